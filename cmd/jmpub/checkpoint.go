package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
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
				return usage.Errorf("%q is no command of checkpoint; see `jmpub checkpoint --help`", args[0])
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
		return usage.Errorf("%s takes the name of one stream, such as messages or groups/10055201; got %q", cmd.CommandPath(), args)
	}
	if _, err := pipeline.ParseStream(args[0]); err != nil {
		return usage.Wrap(err)
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
	s, err := settings.Read()
	if err != nil {
		return err
	}
	cfg, err := s.Parse()
	if err != nil {
		return err
	}
	cfg.Start = pipeline.Start{} // Nothing is read from there.
	ctx := cmd.Context()
	p := newParts(cfg, newLogger(cmd.ErrOrStderr(), cfg.LogLevel, cfg.LogFormat))
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
	if err != nil {
		return nil, err
	}
	all := slices.Collect(maps.Values(live))
	dirs, err := filepath.Glob(filepath.Join(a.cfg.CheckpointDir, replayDir("*")))
	for _, dir := range dirs {
		err = errors.Join(err, a.inReplay(dir, func(files *checkpoint.Files) error {
			replayed, unread := files.Load(ctx)
			all = slices.AppendSeq(all, maps.Values(replayed))
			return unread
		}))
	}
	slices.SortFunc(all, func(a, b pipeline.Checkpoint) int {
		return cmp.Or(strings.Compare(a.Replay, b.Replay), strings.Compare(a.Stream.String(), b.Stream.String()))
	})
	return all, err
}

// inReplay opens the files of a replay.
func (a *parts) inReplay(dir string, fn func(*checkpoint.Files) error) error {
	files, err := checkpoint.OpenFiles(dir, a.cfg.Source.AppKey)
	if err != nil {
		return err
	}
	return errors.Join(fn(files), files.Close())
}

// shownPosition is a position as it is listed.
type shownPosition struct {
	Stream string `json:"stream"`
	Replay string `json:"replay,omitempty"`
	Reset  string `json:"reset,omitempty"`
	// End is up to where everything is published, but for the time from PastEnd to PastUntil where those are set: history that
	// is being published behind the live position. LagSeconds is how long ago End was.
	End        time.Time `json:"end_time"`
	PastEnd    time.Time `json:"past_end_time,omitzero"`
	PastUntil  time.Time `json:"past_until,omitzero"`
	LagSeconds int64     `json:"lag_seconds"`
	pipeline.Counts
	SavedAt time.Time `json:"saved_at"`
}

// positionShown is a position in the form in which it is listed.
func positionShown(cp *pipeline.Checkpoint, now time.Time) shownPosition {
	p := shownPosition{
		Stream: cp.Stream.String(), Replay: cp.Replay, Reset: cp.Reset, End: cp.End,
		LagSeconds: int64(now.Sub(cp.End).Seconds()), Counts: cp.Counts, SavedAt: cp.SavedAt.UTC(),
	}
	if cp.Past != nil {
		p.PastEnd, p.PastUntil = cp.Past.End, cp.Past.Until
	}
	return p
}

func showPositions(w io.Writer, all []pipeline.Checkpoint, now time.Time, asJSON bool) error {
	if asJSON {
		out := json.NewEncoder(w)
		for i := range all {
			if err := out.Encode(positionShown(&all[i], now)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no positions yet: every stream begins at JMPUB_START")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STREAM\tEND_TIME\tLAG\tPUBLISHED\tREJECTED\tWINDOWS\tSAVED\tREPLAY")
	for i := range all {
		cp := &all[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%s ago\t%s\n", cp.Stream, pipeline.FormatTime(cp.End),
			now.Sub(cp.End).Round(time.Second), cp.Counts.Published, cp.Counts.Rejected, cp.Counts.Windows,
			now.Sub(cp.SavedAt).Round(time.Second), cp.Replay)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for i := range all {
		if past := all[i].Past; past != nil {
			fmt.Fprintf(w, "%s: behind the position, %s to %s is not published yet\n", all[i].Stream,
				pipeline.FormatTime(past.End), pipeline.FormatTime(past.Until))
		}
	}
	return nil
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
	switch {
	case p.files != nil && replay != "":
		err = p.inReplay(filepath.Join(p.cfg.CheckpointDir, replayDir(replay)), func(files *checkpoint.Files) error { return files.Remove(s) })
	case p.files != nil:
		err = p.files.Remove(s)
	default:
		err = p.write(ctx, p.kafka.Tombstone(s, replay))
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: the position is forgotten\n", s)
	return err
}

func errNotConfirmed() error {
	return usage.Errorf("nothing was changed: answer yes, or give --yes where nobody can answer")
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
