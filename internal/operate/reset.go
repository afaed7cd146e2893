package operate

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/pipeline"
)

// ResetOptions say where a stream's position is set.
type ResetOptions struct {
	Stream  pipeline.Stream
	To      settings.Moment
	Confirm Confirm
}

// Reset sets a stream's live position and returns where it is then.
func Reset(ctx context.Context, cfg *settings.Config, log *slog.Logger, o ResetOptions) (time.Time, error) {
	w := newReading(cfg, log)
	defer w.Close()
	p, err := w.openPositions(ctx)
	if err != nil {
		return time.Time{}, err
	}
	all, err := p.list(ctx)
	if err != nil {
		return time.Time{}, err
	}
	s := o.Stream
	if s.Kind == pipeline.StreamStatistics {
		return time.Time{}, usage.Errorf("%s has no time to go back to; `jmpub checkpoint delete %s` publishes all that the API has once more", s, s)
	}
	client, err := w.openSource(ctx, cfg.Source)
	if err != nil {
		return time.Time{}, err
	}
	now, err := client.Now(ctx, s)
	if err != nil {
		return time.Time{}, startError(err)
	}
	to := o.To.Resolve(now)
	oldest, newest := now.Add(-settings.HistoryLength), now.Add(-cfg.Source.Settle).Truncate(time.Second)
	if to.Before(oldest) || to.After(newest) {
		return to, usage.Errorf("--to %s is not between %s, the oldest that the API holds, and %s, the newest that has settled",
			pipeline.FormatTime(to), pipeline.FormatTime(oldest), pipeline.FormatTime(newest))
	}
	if err = p.sink.CheckRetention(to); err != nil {
		return to, usage.Wrap(err)
	}
	before, had := find(all, s, "")
	question := fmt.Sprintf("%s has no position yet; it will begin at %s.", s, pipeline.FormatTime(to))
	if had {
		if question, err = resetQuestion(ctx, &estimator{cfg: cfg, totals: client}, &before, to); err != nil {
			return to, startError(err)
		}
	}
	if !o.Confirm(question) {
		return to, errNotConfirmed()
	}
	ids, hashes, err := pipeline.IDsBefore(ctx, client, cfg.Source.AppKey, s, to)
	if err != nil {
		return to, startError(err)
	}
	cp := before.ResetTo(to, ids, hashes)
	cp.AppKey, cp.Stream, cp.SavedAt, cp.Reset = cfg.Source.AppKey, s, time.Now(), "reset-"+strings.ToLower(rand.Text())
	return to, p.set(ctx, &cp)
}

// resetQuestion says what a reset brings about.
func resetQuestion(ctx context.Context, e *estimator, before *pipeline.Checkpoint, to time.Time) (string, error) {
	at := pipeline.FormatTime
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
	cost, err := e.estimate(ctx, []pipeline.Stream{before.Stream}, w)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s stands at %s.\nFrom %s to %s, about %d rows of %s\n%s: %d requests, at least %s.",
		before.Stream, at(before.End), at(w.Begin), at(w.End), cost.Rows, w.End.Sub(w.Begin).Round(time.Second), does,
		cost.Requests, cost.Took())
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
