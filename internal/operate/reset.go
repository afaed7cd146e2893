package operate

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/words"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/source"
)

// ResetOptions say where a stream's position is set, or which range is published again.
type ResetOptions struct {
	Stream pipeline.Stream
	// From, where it is not nil, makes it a range: From to To is published again, and the live position stays.
	From    *settings.Moment
	To      settings.Moment
	Confirm Confirm
	// Notice, where it is not nil, is published with the reset. Its window is made to be that which is published again, or the new position.
	Notice *pipeline.Notice
}

type reset struct {
	cfg    *settings.Config
	stream pipeline.Stream
	source *source.Client
	rows   *pipeline.RowReader
	// evidence knows the stream's newest ledger record where the position is lost.
	evidence pipeline.Evidence
	// begin and to are the range that is published again; both are the new position where that itself is set.
	begin, to time.Time
	isRange   bool
	// now is the API's clock, as far as it is believed.
	now time.Time
}

// Reset sets a stream's live position, or has a range published again, and returns the position that the stream has then.
func Reset(ctx context.Context, cfg *settings.Config, log *slog.Logger, o ResetOptions) (*pipeline.Checkpoint, error) {
	s := o.Stream
	if s.Kind == pipeline.StreamStatistics {
		return nil, usage.Errorf("%s has no time to go back to; `jmpub checkpoint delete %s` publishes all that the API has once more", s, s)
	}
	w := newReading(cfg, log)
	defer w.Close()
	out, err := w.openOutput(ctx)
	if err != nil {
		return nil, err
	}
	if err = w.checkWrite(ctx, out); err != nil {
		return nil, err
	}
	client, err := w.openSource(ctx, cfg.Source)
	if err != nil {
		return nil, err
	}
	r := &reset{
		cfg: cfg, stream: s, source: client,
		rows:     &pipeline.RowReader{Source: client, Retry: w.retry, Observer: w.observer},
		evidence: out.evidence,
	}
	if err = r.setRange(ctx, &o); err != nil {
		return nil, err
	}
	if err = out.topics.CheckRetention(r.cfg.Sink.RecordTime, r.begin); err != nil {
		return nil, usage.Wrap(err)
	}
	positions, err := w.positions(ctx, out)
	if err != nil {
		return nil, err
	}
	question, err := r.question(ctx, positions)
	if err != nil {
		return nil, startError(err)
	}
	if !o.Confirm(question) {
		return nil, errNotConfirmed()
	}
	var next pipeline.Checkpoint
	err = w.exclusive(out, "reset "+s.String()).Commit(ctx, func(ctx context.Context, d *pipeline.Draft) error {
		before, known := d.Position(s)
		if next, err = r.apply(ctx, &before, known); err == nil {
			d.SetPosition(&next)
		}
		if err == nil && o.Notice != nil {
			n := *o.Notice
			n.Window = pipeline.Window{Begin: r.begin, End: r.to}
			d.Notify(n)
		}
		return err
	})
	return &next, startError(err)
}

// setRange resolves the times that were asked for and refuses what the API does not hold.
func (r *reset) setRange(ctx context.Context, o *ResetOptions) error {
	now, err := r.source.Now(ctx, r.stream)
	if err != nil {
		return startError(err)
	}
	r.now, r.to = now, o.To.Resolve(now)
	r.begin, r.isRange = r.to, o.From != nil
	oldest, newest := now.Add(-pipeline.History), now.Add(-r.cfg.Source.Settle).Truncate(time.Second)
	within := func(flag string, t time.Time) error {
		if t.Before(oldest) || t.After(newest) {
			return usage.Errorf("%s %s is not between %s, the oldest that the API holds, and %s, the newest that has settled",
				flag, r.cfg.Time(t), r.cfg.Time(oldest), r.cfg.Time(newest))
		}
		return nil
	}
	if err = within("--to", r.to); err != nil || !r.isRange {
		return err
	}
	w, err := (&Span{From: *o.From, To: o.To}).window(r.cfg, now)
	if err != nil {
		return err
	}
	r.begin = w.Begin
	return within("--from", r.begin)
}

// apply is the position after the reset; before is the one that is committed now.
func (r *reset) apply(ctx context.Context, before *pipeline.Checkpoint, known bool) (pipeline.Checkpoint, error) {
	justBefore, err := r.rows.RowsBefore(ctx, r.cfg.Source.AppKey, r.stream, r.begin)
	if err != nil {
		return pipeline.Checkpoint{}, err
	}
	overlap := r.cfg.Source.Overlap
	next := before.ResetTo(r.to, justBefore, overlap)
	next.Damage = nil
	newest, err := r.evidence.Sequences(ctx, []pipeline.Stream{r.stream})
	if err != nil {
		return next, err
	}
	next.Sequence = max(next.Sequence, newest[r.stream])
	if r.isRange {
		if before.Damage != nil {
			return next, usage.Errorf("the position of %s cannot be read, so only --to can be given: %w", r.stream, before.Damage)
		}
		if !known {
			return next, usage.Errorf("%s has no position yet, so nothing of it is published that could be published again", r.stream)
		}
		upTo, err := r.rows.RowsBefore(ctx, r.cfg.Source.AppKey, r.stream, r.to.Add(time.Second))
		if err != nil {
			return next, err
		}
		if next, err = before.Uncover(pipeline.Window{Begin: r.begin, End: r.to}, justBefore, upTo, overlap); err != nil {
			return next, usage.Wrap(err)
		}
	}
	next.AppKey, next.Stream, next.SavedAt = r.cfg.Source.AppKey, r.stream, time.Now()
	return next, nil
}

// question says what the reset brings about, as far as the position that is committed now lets it be known.
func (r *reset) question(ctx context.Context, positions []pipeline.Checkpoint) (string, error) {
	at := r.cfg.Time
	live := slices.IndexFunc(positions, func(cp pipeline.Checkpoint) bool { return cp.Stream == r.stream && cp.Replay == "" })
	if live < 0 {
		return fmt.Sprintf("%s has no position yet; it will begin at %s.", r.stream, at(r.to)), nil
	}
	before := &positions[live]
	if before.Damage != nil {
		//nolint:nilerr // It is what is about to be put right.
		return fmt.Sprintf("The position of %s cannot be read. It will begin at %s: what is published behind that is published again,\n"+
			"and what is not published before it never is.", r.stream, at(r.to)), nil
	}
	w := pipeline.Window{Begin: r.to, End: before.End}
	does := "are published again"
	switch {
	case r.isRange:
		w = pipeline.Window{Begin: r.begin, End: r.to}
		does = "are published again where they were published before; the position stays"
	case r.to.After(before.End):
		w = pipeline.Window{Begin: before.End, End: r.to}
		does = "are SKIPPED, and what is not published of them yet never is"
	case len(before.Backlog) > 0 && r.to.Before(before.Backlog[len(before.Backlog)-1].Until):
		does = "are read, and published again where they were published before"
	}
	if w.End.After(r.now) { // A clock was wrong when the position was made; what has not come yet cannot be counted.
		w.End = r.now
	}
	if !w.Begin.Before(w.End) {
		return fmt.Sprintf("%s stands at %s already; nothing changes.", r.stream, at(r.to)), nil
	}
	cost, err := estimate(ctx, r.cfg, r.source, []pipeline.Stream{r.stream}, w)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s stands at %s.\nFrom %s to %s, about %s of %s\n%s: %s, at least %s.",
		r.stream, at(before.End), at(w.Begin), at(w.End), words.Rows(cost.Rows), w.End.Sub(w.Begin).Round(time.Second), does,
		words.Requests(cost.Requests), cost.Took())
	for _, b := range before.Backlog {
		switch {
		case r.isRange || !b.Until.After(r.to):
			fmt.Fprintf(&text, "\nBehind the position, %s to %s stays to be published once.", at(b.End), at(b.Until))
		case b.End.Before(r.to):
			fmt.Fprintf(&text, "\nBehind the position, %s to %s stays to be published once.", at(b.End), at(r.to))
		default:
			fmt.Fprintf(&text, "\nAmong them, %s to %s is not published yet.", at(b.End), at(b.Until))
		}
	}
	return text.String(), nil
}
