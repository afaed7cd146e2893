package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/pipeline"
)

const checkpointHelp = `See, set and forget the positions from which jmpub publishes: one for each stream, and one for each replay.

reset and delete work while jmpub runs: the running process is fenced, sees that only its position was changed, reads it
anew and goes on from there. An idle stream notices within half a minute. With positions in files (JMPUB_CHECKPOINT=file:DIR)
the process has to be stopped first.`

const checkpointExamples = `  jmpub checkpoint list
  jmpub checkpoint get messages --json
  jmpub checkpoint reset messages --to 36h
  jmpub checkpoint reset groups/10055201 --to '2026-11-01 00:00:00' --yes
  jmpub checkpoint delete users/left-the-company`

func newCheckpoint() *cobra.Command {
	cmd := &cobra.Command{
		Use: "checkpoint", Short: "See, set and forget positions", Long: checkpointHelp, Example: checkpointExamples,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("%q is no command of checkpoint; see `jmpub checkpoint --help`", args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(newCheckpointList(), newCheckpointGet(), newCheckpointReset(), newCheckpointDelete())
	return cmd
}

func newCheckpointList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the app's positions, those of replays too", Args: noArgs,
		Example: "  jmpub checkpoint list\n  jmpub checkpoint list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withPositions(cmd, func(_ context.Context, _ *parts, all []pipeline.Checkpoint) error {
				return showPositions(cmd.OutOrStdout(), all, time.Now(), asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object a line")
	return cmd
}

func newCheckpointGet() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "get STREAM", Short: "Show one stream's positions", Args: oneStream,
		Example: "  jmpub checkpoint get messages",
		RunE: func(cmd *cobra.Command, args []string) error {
			return withPositions(cmd, func(_ context.Context, _ *parts, all []pipeline.Checkpoint) error {
				var own []pipeline.Checkpoint
				for _, cp := range all {
					if cp.Stream.String() == args[0] {
						own = append(own, cp)
					}
				}
				if len(own) == 0 {
					return fmt.Errorf("%s has no position yet: it begins at JMPUB_START", args[0])
				}
				return showPositions(cmd.OutOrStdout(), own, time.Now(), asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object a line")
	return cmd
}

// oneStream wants the name of a stream.
func oneStream(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage("%s takes the name of one stream, such as messages or groups/10055201; got %q", cmd.CommandPath(), args)
	}
	if _, err := pipeline.ParseStream(args[0]); err != nil {
		return usageError{err}
	}
	return nil
}

// withPositions reads the app's positions. Nothing is written, and nobody is fenced.
func withPositions(cmd *cobra.Command, fn func(context.Context, *parts, []pipeline.Checkpoint) error) error {
	return withParts(cmd, func(ctx context.Context, p *parts) error {
		all, err := p.positions(ctx)
		if err != nil {
			return startError(err)
		}
		return fn(ctx, p, all)
	})
}

// withParts opens Kafka, or the files, for a command that works on positions.
func withParts(cmd *cobra.Command, fn func(context.Context, *parts) error) error {
	s, err := readSettings()
	if err != nil {
		return err
	}
	cfg, err := s.parse()
	if err != nil {
		return err
	}
	cfg.start = pipeline.Start{} // Nothing is read from there.
	ctx := cmd.Context()
	p := newParts(cfg, newLogger(cmd.ErrOrStderr(), cfg.logLevel, cfg.logFormat))
	defer p.Close()
	p.observe(logObserver(p.log))
	if err := p.connect(ctx); err != nil {
		return startError(err)
	}
	if err := p.openSink(ctx); err != nil {
		return startError(err)
	}
	return fn(ctx, p)
}

// positions lists the app's positions.
func (a *parts) positions(ctx context.Context) ([]pipeline.Checkpoint, error) {
	if a.kafka != nil {
		return a.kafka.All(ctx)
	}
	live, err := a.files.Load(ctx)
	var all []pipeline.Checkpoint
	for _, cp := range live {
		all = append(all, cp)
	}
	return all, err
}

// shownPosition is a position as it is listed.
type shownPosition struct {
	Stream string `json:"stream"`
	Replay string `json:"replay,omitempty"`
	Reset  string `json:"reset,omitempty"`
	// End is up to where everything is published; LagSeconds is how long ago that was.
	End        time.Time `json:"end_time"`
	LagSeconds int64     `json:"lag_seconds"`
	pipeline.Counts
	SavedAt time.Time `json:"saved_at"`
}

func showPositions(w io.Writer, all []pipeline.Checkpoint, now time.Time, asJSON bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STREAM\tEND_TIME\tLAG\tPUBLISHED\tREJECTED\tWINDOWS\tSAVED\tREPLAY")
	out := json.NewEncoder(w)
	for i := range all {
		cp := &all[i]
		if asJSON {
			err := out.Encode(shownPosition{
				Stream: cp.Stream.String(), Replay: cp.Replay, Reset: cp.Reset, End: cp.End,
				LagSeconds: int64(now.Sub(cp.End).Seconds()), Counts: cp.Counts, SavedAt: cp.SavedAt.UTC(),
			})
			if err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%s ago\t%s\n", cp.Stream, pipeline.FormatTime(cp.End),
			now.Sub(cp.End).Round(time.Second), cp.Counts.Published, cp.Counts.Rejected, cp.Counts.Windows,
			now.Sub(cp.SavedAt).Round(time.Second), cp.Replay)
	}
	if asJSON {
		return nil
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no positions yet: every stream begins at JMPUB_START")
		return err
	}
	return table.Flush()
}

func newCheckpointReset() *cobra.Command {
	var to string
	var yes bool
	cmd := &cobra.Command{
		Use: "reset STREAM --to TIME", Short: "Read a stream again from an earlier time, or skip to a later one", Args: oneStream,
		Long: `Set a stream's position. Rows from the time on are read again and published again, with the same keys; consumers that
keep only the newest record of a key do not notice. Rows before it are not.`,
		Example: "  jmpub checkpoint reset messages --to 36h\n  jmpub checkpoint reset messages --to 2026-11-01T00:00:00+08:00 --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			stream, _ := pipeline.ParseStream(args[0]) // It was checked.
			return withPositions(cmd, func(ctx context.Context, p *parts, all []pipeline.Checkpoint) error {
				return reset(ctx, cmd, p, all, stream, to, yes)
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "RFC 3339, a local time in the app's zone, or how long ago (36h, 7d)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// live finds the live position of a stream.
func live(all []pipeline.Checkpoint, s pipeline.Stream) (pipeline.Checkpoint, bool) {
	for _, cp := range all {
		if cp.Stream == s && cp.Replay == "" {
			return cp, true
		}
	}
	return pipeline.Checkpoint{}, false
}

func reset(ctx context.Context, cmd *cobra.Command, p *parts, all []pipeline.Checkpoint, s pipeline.Stream, text string, yes bool) error {
	if err := p.openSource(ctx); err != nil {
		return startError(err)
	}
	now, err := p.source.Now(ctx, s)
	if err != nil {
		return startError(err)
	}
	to, err := parseWhen("--to", text, now, p.cfg.source.TimeZone)
	if err != nil {
		return err
	}
	oldest, newest := now.Add(-historyLength), now.Add(-p.cfg.source.Settle).Truncate(time.Second)
	if to.Before(oldest) || to.After(newest) {
		return usage("--to %s is not between %s, the oldest that the API holds, and %s, the newest that has settled",
			pipeline.FormatTime(to), pipeline.FormatTime(oldest), pipeline.FormatTime(newest))
	}
	if err = p.sink.CheckRetention(to); err != nil {
		return usageError{err}
	}
	before, had := live(all, s)
	p.cfg.streams = []pipeline.Stream{s}
	question, err := resetQuestion(ctx, p, before, had, to)
	if err != nil {
		return startError(err)
	}
	fmt.Fprintln(cmd.ErrOrStderr(), question)
	if !yes && !confirmed(cmd) {
		return errNotConfirmed()
	}
	cp := before
	cp.AppKey, cp.Stream, cp.End, cp.SavedAt, cp.Reset = p.cfg.source.AppKey, s, to, time.Now(), "reset-"+strings.ToLower(rand.Text())
	if cp.Seen, err = pipeline.IDsBefore(ctx, p.source, cp.AppKey, s, to); err != nil {
		return startError(err)
	}
	cp.SeenRejected = nil
	if err = p.setPosition(ctx, &cp); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: the position is %s now\n", s, pipeline.FormatTime(to))
	return err
}

// resetQuestion tells what a reset brings about.
func resetQuestion(ctx context.Context, p *parts, before pipeline.Checkpoint, had bool, to time.Time) (string, error) {
	if !had {
		return fmt.Sprintf("%s has no position yet; it will begin at %s.", p.cfg.streams[0], pipeline.FormatTime(to)), nil
	}
	w := pipeline.Window{Begin: to, End: before.End}
	does := "published again"
	if to.After(before.End) {
		w = pipeline.Window{Begin: before.End, End: to}
		does = "SKIPPED and never published"
	}
	if !w.Begin.Before(w.End) {
		return fmt.Sprintf("%s stands at %s already; nothing changes.", before.Stream, pipeline.FormatTime(to)), nil
	}
	cost, err := estimate(ctx, p, w)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s stands at %s. With %s, about %d rows of %s are %s (%d requests).",
		before.Stream, pipeline.FormatTime(before.End), pipeline.FormatTime(to), cost.Rows,
		w.End.Sub(w.Begin).Round(time.Second), does, cost.Requests), nil
}

// setPosition writes a position; a running jmpub is fenced by that, and goes on from there.
func (a *parts) setPosition(ctx context.Context, cp *pipeline.Checkpoint) error {
	if a.files != nil {
		return a.files.Save(ctx, []*pipeline.Closed{{Checkpoint: *cp}})
	}
	record, err := a.kafka.Record(cp)
	if err != nil {
		return err
	}
	return a.write(ctx, record)
}

// write appends a record of jmpub's own in a transaction of its own.
func (a *parts) write(ctx context.Context, record pipeline.Record) error {
	if err := a.sink.Open(ctx); err != nil {
		return startError(err)
	}
	tx, err := a.sink.Begin(ctx)
	if err != nil {
		return err
	}
	if err := tx.Append(ctx, []pipeline.Record{record}); err != nil {
		return startError(err)
	}
	return tx.Commit(ctx)
}

func newCheckpointDelete() *cobra.Command {
	var yes bool
	var replay string
	cmd := &cobra.Command{
		Use: "delete STREAM", Short: "Forget a stream's position: it begins at JMPUB_START again", Args: oneStream,
		Example: "  jmpub checkpoint delete messages --yes\n  jmpub checkpoint delete messages --replay after-the-outage",
		RunE: func(cmd *cobra.Command, args []string) error {
			stream, _ := pipeline.ParseStream(args[0]) // It was checked.
			return withPositions(cmd, func(ctx context.Context, p *parts, all []pipeline.Checkpoint) error {
				return forget(ctx, cmd, p, all, stream, replay, yes)
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().StringVar(&replay, "replay", "", "forget the position of this replay, not the live one")
	return cmd
}

func forget(ctx context.Context, cmd *cobra.Command, p *parts, all []pipeline.Checkpoint, s pipeline.Stream, replay string, yes bool) error {
	there := false
	for _, cp := range all {
		there = there || cp.Stream == s && cp.Replay == replay
	}
	if !there {
		return fmt.Errorf("%s has no such position; see `jmpub checkpoint list`", s)
	}
	if replay == "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s will begin at JMPUB_START again, and publish what it published since then once more.\n", s)
	}
	if !yes && !confirmed(cmd) {
		return errNotConfirmed()
	}
	var err error
	if p.files != nil {
		err = p.files.Remove(s)
	} else {
		err = p.write(ctx, p.kafka.Tombstone(s, replay))
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: the position is forgotten\n", s)
	return err
}

func errNotConfirmed() error {
	return usage("nothing was changed: answer yes, or give --yes where nobody can answer")
}

// confirmed asks on a terminal, and elsewhere reads an answer that somebody piped in.
func confirmed(cmd *cobra.Command) bool {
	fmt.Fprint(cmd.ErrOrStderr(), "Go on? [y/N] ")
	in := cmd.InOrStdin()
	if in == nil {
		in = os.Stdin
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}
