package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/pipeline"
)

func newCheckpointReset() *cobra.Command {
	var to string
	var yes bool
	cmd := &cobra.Command{
		Use: "reset STREAM --to TIME", Short: "Read a stream again from an earlier time, or skip to a later one", Args: oneStream,
		Long: `Set a stream's position. Rows from the time on are read again and published again, with the same keys; consumers that
keep only the newest record of a key do not notice. Rows before it are not. What it takes is told before anything happens.

Where history is being published behind a live position (JMPUB_CATCHUP=live-first), what of it lies before the time stays to be
published, once.`,
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
	if s.Kind == pipeline.StreamStatistics {
		return usage("%s has no time to go back to; `jmpub checkpoint delete %s` publishes all that the API has once more", s, s)
	}
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
	oldest, newest := now.Add(-pipeline.History), now.Add(-p.cfg.source.Settle).Truncate(time.Second)
	if to.Before(oldest) || to.After(newest) {
		return usage("--to %s is not between %s, the oldest that the API holds, and %s, the newest that has settled",
			pipeline.FormatTime(to), pipeline.FormatTime(oldest), pipeline.FormatTime(newest))
	}
	if err = p.topics.CheckRetention(p.cfg.sink.RecordTime, to); err != nil {
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
	ids, hashes, err := pipeline.IDsBefore(ctx, p.source, p.cfg.source.AppKey, s, to)
	if err != nil {
		return startError(err)
	}
	cp := before.ResetTo(to, ids, hashes)
	cp.AppKey, cp.Stream, cp.SavedAt, cp.Reset = p.cfg.source.AppKey, s, time.Now(), "reset-"+strings.ToLower(rand.Text())
	if err = p.setPosition(ctx, &cp); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: the position is %s now\n", s, pipeline.FormatTime(to))
	return err
}

// resetQuestion tells what a reset brings about.
func resetQuestion(ctx context.Context, p *parts, before pipeline.Checkpoint, had bool, to time.Time) (string, error) {
	at := pipeline.FormatTime
	if !had {
		return fmt.Sprintf("%s has no position yet; it will begin at %s.", p.cfg.streams[0], at(to)), nil
	}
	w := pipeline.Window{Begin: to, End: before.End}
	does := "are published again"
	if to.After(before.End) {
		w = pipeline.Window{Begin: before.End, End: to}
		does = "are SKIPPED and never published"
	} else if past := before.Past; past != nil && to.Before(past.Until) {
		does = "are read, and published again where they were published before"
	}
	if !w.Begin.Before(w.End) {
		return fmt.Sprintf("%s stands at %s already; nothing changes.", before.Stream, at(to)), nil
	}
	cost, err := estimate(ctx, p, w)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s stands at %s.\nFrom %s to %s, about %d rows of %s\n%s: %d requests, at least %s.",
		before.Stream, at(before.End), at(w.Begin), at(w.End), cost.Rows, w.End.Sub(w.Begin).Round(time.Second), does,
		cost.Requests, cost.took())
	past, left := before.Past, before.ResetTo(to, nil, nil).Past
	switch {
	case past == nil:
	case left == nil:
		text += fmt.Sprintf("\nAmong them, %s to %s is not published yet.", at(past.End), at(past.Until))
	default:
		text += fmt.Sprintf("\nBehind the position, %s to %s stays to be published once.", at(left.End), at(left.Until))
	}
	return text, nil
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
