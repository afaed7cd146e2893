package operate

import (
	"context"
	"log/slog"
	"time"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// Span is a range of time.
type Span struct{ From, To settings.Moment }

// relative tells whether the span is another one at another time.
func (s *Span) relative() bool { return s.From.At.IsZero() || s.To.At.IsZero() }

// window is the range as seen from now.
func (s *Span) window(cfg *settings.Config, now time.Time) (pipeline.Window, error) {
	w := pipeline.Window{Begin: s.From.Resolve(now), End: s.To.Resolve(now)}
	if !w.Begin.Before(w.End) {
		return w, usage.Errorf("--from %s is not before --to %s", cfg.Time(w.Begin), cfg.Time(w.End))
	}
	return w, nil
}

// Range is a range of time of some streams.
type Range struct {
	Span
	// Streams are those that are looked at; none means all.
	Streams []pipeline.Stream
}

// expected are the streams that were asked for, or else the configured ones.
func (r *Range) expected(cfg *settings.Config) []pipeline.Stream {
	if len(r.Streams) == 0 {
		return cfg.Streams
	}
	return r.Streams
}

// ReadWindows calls fn with the ledger record of each committed window that has time in common with a range, in the order of the
// ledger, and returns the time that none of them covers. What fn is given is valid during the call.
func ReadWindows(ctx context.Context, cfg *settings.Config, log *slog.Logger, r Range, fn func(*pipeline.Ledger) error) ([]audit.Hole, error) {
	return readWindows(ctx, cfg, log, r, fn, func(*output) error { return nil })
}

// SumWindows sums up the same windows by a duration that divides a day, in the app's time zone, and tells of which hours or days all
// was read.
func SumWindows(
	ctx context.Context, cfg *settings.Config, log *slog.Logger, r Range, every time.Duration,
) (*audit.Sums, []audit.Hole, error) {
	sums := audit.NewSums(every, cfg.Source.TimeZone)
	add := func(l *pipeline.Ledger) error { sums.Add(l); return nil }
	holes, err := readWindows(ctx, cfg, log, r, add, func(out *output) error { return sums.Complete(ctx, out.coverage) })
	return sums, holes, err
}

// readWindows calls fn with each window, and then finish.
func readWindows(
	ctx context.Context, cfg *settings.Config, log *slog.Logger, r Range, fn func(*pipeline.Ledger) error, finish func(*output) error,
) ([]audit.Hole, error) {
	wiring := newReading(cfg, log)
	defer wiring.Close()
	out, err := wiring.openOutput(ctx)
	if err != nil {
		return nil, err
	}
	w, err := r.window(cfg, time.Now())
	if err != nil {
		return nil, err
	}
	var coverage audit.Coverage
	err = audit.EachWithin(ctx, out.archive, r.Streams, w, func(l *pipeline.Ledger) error {
		coverage.Add(l)
		return fn(l)
	})
	if err != nil {
		return nil, err
	}
	return coverage.Holes(r.expected(cfg), audit.Settled(w, time.Now())), finish(out)
}
