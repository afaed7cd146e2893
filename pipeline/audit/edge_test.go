package audit_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// outage is a source that plans nothing for a while, so that a position stands still while others go on asking.
type outage struct {
	*fakes.Source

	from, to time.Time
}

func (o *outage) Plan(ctx context.Context, s pipeline.Stream, p pipeline.Position) (pipeline.Plan, error) {
	if now := time.Now(); now.After(o.from) && now.Before(o.to) {
		return pipeline.Plan{}, &pipeline.Fault{Class: pipeline.Transient, Op: "plan", Err: errors.New("injected")}
	}
	return o.Source.Plan(ctx, s, p)
}

// find is what an audit of everything finds, as it goes about it.
func (w *world) find(t *testing.T) (found []*audit.Difference) {
	t.Helper()
	a, chains := w.look(t)
	for i := range chains {
		if err := a.Check(context.WithoutCancel(t.Context()), &chains[i], func(d *audit.Difference) error {
			found = append(found, d)
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	return found
}

// repair publishes what was found, as `audit --repair` does, with a writer of its own, whose sink is as by makes it.
func (w *world) repair(t *testing.T, found []*audit.Difference, by func(pipeline.Sink) pipeline.Sink) (rows int64) {
	t.Helper()
	own := w.NewWriter()
	command := &pipeline.Exclusive{Command: "audit --repair", Sink: by(own), Checkpoints: own.Store(), Claims: w.Kafka}
	err := command.Commit(context.WithoutCancel(t.Context()), func(ctx context.Context, draft *pipeline.Draft) error {
		rows = 0
		for _, d := range found {
			n, err := d.Publish(ctx, w, draft, time.Now())
			if err != nil {
				return err
			}
			rows += n
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return rows
}

func atOnce(s pipeline.Sink) pipeline.Sink { return s }

// TestLateRowsNearAPosition has rows appear late near the end of a position that stands still for longer than it takes until they are searched
// for, or repaired by an operator: the first window after that reaches back to where they stand, and publishes none of them again.
func TestLateRowsNearAPosition(t *testing.T) {
	const stops, lasts = 10 * time.Minute, 40 * time.Minute
	for _, tc := range []struct {
		what      string
		searching bool
		// repairs are when an operator repairs.
		repairs []time.Duration
		// liveFirst has what lies behind the head be read as a backlog after the outage.
		liveFirst bool
	}{
		{what: "searched for", searching: true},
		{what: "repaired", repairs: []time.Duration{20 * time.Minute}},
		{what: "repaired when it goes on", repairs: []time.Duration{lasts + 200*time.Millisecond}},
		{what: "searched for, live first", searching: true, liveFirst: true},
		{what: "repaired, live first", repairs: []time.Duration{20 * time.Minute, lasts + 200*time.Millisecond, lasts + 2*time.Second}, liveFirst: true},
	} {
		t.Run(tc.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now().UTC()
				rows := fakes.RowsFrom(begin, 4200)
				for i := range rows {
					if at := rows[i].At.Sub(begin); i%2 == 0 && at > stops-time.Minute && at < stops {
						rows[i].Late = 90 * time.Second
					}
				}
				w := newWorld(rows...)
				w.source.PageSize = 100
				cfg := fakes.ConfigFor(&outage{w.source, begin.Add(stops), begin.Add(lasts)}, w.Kafka, begin)
				cfg.Overlap, cfg.LiveFirst = w.source.Overlap, tc.liveFirst
				writer := w.NewWriter()
				cfg.Sink, cfg.Checkpoints = writer, writer.Store()
				if tc.searching {
					cfg.Attendants = []pipeline.Attendant{searching(w, 10*time.Minute)}
				}
				repaired := make(chan int64, len(tc.repairs))
				for _, at := range tc.repairs {
					go func() {
						time.Sleep(at)
						repaired <- w.repair(t, w.find(t), atOnce)
					}()
				}
				fakes.Run(t, cfg, 80*time.Minute)
				n := int64(0)
				for range tc.repairs {
					n += <-repaired
				}
				if len(tc.repairs) > 0 && n == 0 {
					t.Errorf("%s: nothing was repaired", tc.what)
				}
				if !tc.searching {
					n += w.repair(t, w.find(t), atOnce)
				}
				got, want := w.IDs(), fakes.IDsOf(rows)
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("%s: %d events, want %d; %d were repaired; twice: %v", tc.what, len(got), len(want), n, twice(got))
				}
			})
		})
	}
}

// twice are those that stand in a sorted list more than once.
func twice(ids []int64) (again []int64) {
	for i := range ids[1:] {
		if ids[i] == ids[i+1] {
			again = append(again, ids[i])
		}
	}
	return again
}
