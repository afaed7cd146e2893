package operate

import (
	"context"
	"slices"
	"time"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/pipeline"
)

// Range is a range of time of some streams.
type Range struct {
	From, To settings.Moment
	// Streams are those that are looked at; none means all.
	Streams []pipeline.Stream
}

// window is the range as seen from now.
func (r *Range) window(now time.Time) (pipeline.Window, error) {
	w := pipeline.Window{Begin: r.From.Resolve(now), End: r.To.Resolve(now)}
	if !w.Begin.Before(w.End) {
		return w, usage.Errorf("--from %s is not before --to %s", pipeline.FormatTime(w.Begin), pipeline.FormatTime(w.End))
	}
	return w, nil
}

// expected are the streams that were asked for, or else the configured ones.
func (r *Range) expected(cfg *settings.Config) []pipeline.Stream {
	if len(r.Streams) == 0 {
		return cfg.Streams
	}
	return r.Streams
}

// records reads the ledger's records of windows that overlap a window, of the streams that were asked for.
func (r *Range) records(ctx context.Context, archive pipeline.Archive, w pipeline.Window) ([]pipeline.Ledger, error) {
	var records []pipeline.Ledger
	err := archive.Windows(ctx, w.Begin, func(l *pipeline.Ledger) error {
		if (len(r.Streams) == 0 || slices.Contains(r.Streams, l.Stream)) && overlap(l.Window, w) {
			records = append(records, *l)
		}
		return nil
	})
	return records, err
}

// neighbours reads the records of those windows too that have time in common with one that overlaps the window: they
// published what is near its ends.
func (r *Range) neighbours(ctx context.Context, archive pipeline.Archive, w pipeline.Window) ([]pipeline.Ledger, error) {
	records, err := r.records(ctx, archive, w)
	if err != nil {
		return nil, err
	}
	wide := w
	for i := range records {
		if l := &records[i]; l.Begin.Before(wide.Begin) {
			wide.Begin = l.Begin
		} else if l.End.After(wide.End) {
			wide.End = l.End
		}
	}
	wide.Begin, wide.End = wide.Begin.Add(-time.Second), wide.End.Add(time.Second) // Bounds are inclusive.
	return r.records(ctx, archive, wide)
}

// overlap tells whether two windows have time in common.
func overlap(l, w pipeline.Window) bool { return l.End.After(w.Begin) && l.Begin.Before(w.End) }
