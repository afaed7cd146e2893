package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/pipeline"
)

// rangeFlags are the flags of commands that look at a range of time.
type rangeFlags struct {
	from, to string
	streams  []string
	asJSON   bool
}

func (r *rangeFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.from, "from", "24h", "begin: RFC 3339, a local time in the app's zone, or how long ago (36h, 7d)")
	f.StringVar(&r.to, "to", "0s", "end, in the same forms")
	f.StringSliceVar(&r.streams, "stream", nil, "stream to look at, repeatable; default all")
	f.BoolVar(&r.asJSON, "json", false, "print a JSON object a line")
}

// window is the range that the flags name.
func (r *rangeFlags) window(p *parts, now time.Time) (pipeline.Window, error) {
	from, err := settings.ParseWhen("--from", r.from, now, p.cfg.Source.TimeZone)
	if err != nil {
		return pipeline.Window{}, err
	}
	to, err := settings.ParseWhen("--to", r.to, now, p.cfg.Source.TimeZone)
	if err != nil {
		return pipeline.Window{}, err
	}
	if !from.Before(to) {
		return pipeline.Window{}, usage.Errorf("--from %s is not before --to %s", pipeline.FormatTime(from), pipeline.FormatTime(to))
	}
	return pipeline.Window{Begin: from, End: to}, nil
}

// wants tells whether a stream was asked for.
func (r *rangeFlags) wants(s pipeline.Stream) bool {
	for _, name := range r.streams {
		if name == s.String() {
			return true
		}
	}
	return len(r.streams) == 0
}

func (r *rangeFlags) check() error {
	for _, name := range r.streams {
		if _, err := pipeline.ParseStream(name); err != nil {
			return usage.Errorf("--stream: %w", err)
		}
	}
	return nil
}

// ledger reads the records of the windows that overlap a range, of the streams that were asked for.
func (r *rangeFlags) ledger(ctx context.Context, p *parts, w pipeline.Window) ([]pipeline.Ledger, error) {
	var records []pipeline.Ledger
	err := p.archive.Windows(ctx, w.Begin, func(l *pipeline.Ledger) error {
		if r.wants(l.Stream) && overlap(l.Window, w) {
			records = append(records, *l)
		}
		return nil
	})
	return records, err
}

// overlap tells whether a window has time in common with a range.
func overlap(l, w pipeline.Window) bool { return l.End.After(w.Begin) && l.Begin.Before(w.End) }

// neighbours reads the records of those windows too that have time in common with one that overlaps the range: they published
// what is near its edges.
func (r *rangeFlags) neighbours(ctx context.Context, p *parts, w pipeline.Window) ([]pipeline.Ledger, error) {
	records, err := r.ledger(ctx, p, w)
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
	return r.ledger(ctx, p, wide)
}
