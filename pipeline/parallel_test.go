package pipeline_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// slowPages takes a while for each page, and shows the span that windows should have.
type slowPages struct {
	pipeline.Pages

	wait, span time.Duration
	left       func()
}

func (p *slowPages) Next(ctx context.Context) (pipeline.Page, error) {
	if err := pipeline.Sleep(ctx, p.wait); err != nil {
		return pipeline.Page{}, err
	}
	page, err := p.Pages.Next(ctx)
	page.Span = p.span
	if err != nil && p.left != nil {
		p.left()
		p.left = nil
	}
	return page, err
}

// TestWindowsAreFetchedSideBySideAndPublishedInOrder reads a history whose windows take all kinds of times, and some of
// them have to be read again, longer or shorter. With little memory, they are published part by part.
func TestWindowsAreFetchedSideBySideAndPublishedInOrder(t *testing.T) {
	for i, seed := range []uint64{1, 2, 3, uint64(time.Now().UnixNano()), 1, 2, uint64(time.Now().UnixNano())} {
		little := i > 3
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 0))
			begin := time.Now().UTC().Truncate(time.Second)
			var rows []fakes.Row
			for i := range 4000 {
				rows = append(rows, fakes.Row{ID: int64(i + 1), At: begin.Add(time.Duration(i) * 500 * time.Millisecond)})
			}
			time.Sleep(time.Hour)
			source := fakes.NewSource(rows...)
			source.PageSize = 20
			var now, most atomic.Int64
			source.OpenHook = func(n int, _ pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
				if n%7 == 0 && w.End.Sub(w.Begin) > 10*time.Second {
					return nil, &pipeline.Fault{Class: pipeline.Restart, Op: "open", Span: w.End.Sub(w.Begin) / 3}
				}
				pages := source.Window(fakes.Messages(), w)
				if n%5 == 0 {
					pages.Err = &pipeline.Fault{Class: pipeline.Restart, Op: "cursor expired"}
				}
				most.Store(max(most.Load(), now.Add(1)))
				return &slowPages{
					Pages: pages, span: time.Minute, left: func() { now.Add(-1) },
					wait: time.Duration(dice.Int64N(int64(10 * time.Second))),
				}, nil
			}
			kafka := fakes.NewKafka()
			end := begin.Add(40 * time.Minute)
			cfg := fakes.ConfigFor(source, kafka, begin.Add(-time.Second))
			cfg.Until, cfg.Parallel = end, 3
			if little {
				cfg.WindowBytes = 16 << 10
			}
			if err := fakes.RunFor(t, cfg, 24*time.Hour); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if time.Since(begin) > 12*time.Hour {
				t.Errorf("seed %d: the run did not end by itself", seed)
			}
			if got := kafka.IDs(); !slices.Equal(got, fakes.IDsOf(rows)) {
				t.Errorf("seed %d: %d events, want %d in order", seed, len(got), len(rows))
			}
			if got := kafka.Checkpoints[fakes.Messages()].End; !got.Equal(end) {
				t.Errorf("seed %d: the checkpoint is at %v, want %v", seed, got, end)
			}
			if most.Load() != int64(cfg.Parallel) && !little {
				t.Errorf("seed %d: %d windows were fetched at the same time, want %d", seed, most.Load(), cfg.Parallel)
			}
			reached := cfg.Start.At
			for _, l := range kafka.Ledger {
				if l.Begin.After(reached) || !l.End.After(reached) {
					t.Fatalf("seed %d: window %v after %v", seed, l.Window, reached)
				}
				reached = l.End
			}
		})
	}
}

// TestWindowThatFailsByChanceIsSoonReadAgain has the first window fail a dozen times, as with cursors that die between pages: the waits between
// its readings do not grow for as long as those before an API that does not answer.
func TestWindowThatFailsByChanceIsSoonReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-time.Hour)
		rows := fakes.RowsFrom(begin, 60)
		source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
		const failures, longest = 12, 8 * time.Second // Half more than what the wait grows to, at most.
		var asked []time.Time
		source.OpenHook = func(_ int, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			if asked = append(asked, time.Now()); len(asked) > failures {
				return source.Window(s, w), nil
			}
			return nil, &pipeline.Fault{Class: pipeline.Restart, Op: "page 2", Err: errors.New("cursor expired")}
		}
		cfg := fakes.ConfigFor(source, kafka, begin)
		cfg.Parallel = 1
		fakes.Run(t, cfg, 10*time.Minute)
		for i := range failures {
			if wait := asked[i+1].Sub(asked[i]); wait > longest {
				t.Errorf("reading %d came %s after the one before it", i+2, wait)
			}
		}
		kafka.WantIDs(t, fakes.IDsOf(rows))
	})
}

// TestRowsNearTheEndOfALongWindow reads four days, a row an hour but for a dense minute near the end of a window, with other windows under
// way, from an API that lets a window be opened that has few rows. What is not dense of that window is read in few steps.
func TestRowsNearTheEndOfALongWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, suits, span, days = 60, 50, 24 * time.Hour, 4
		begin := time.Now().UTC().Truncate(time.Second)
		var rows []fakes.Row
		for at := begin; at.Before(begin.Add(days * span)); at = at.Add(time.Hour) {
			rows = append(rows, fakes.Row{ID: int64(len(rows) + 1), At: at})
		}
		for i := range 8 * suits {
			at := begin.Add(3*span - time.Minute + time.Duration(i)*time.Minute/(8*suits))
			rows = append(rows, fakes.Row{ID: int64(len(rows) + 1), At: at})
		}
		slices.SortFunc(rows, func(a, b fakes.Row) int { return a.At.Compare(b.At) })
		time.Sleep((days + 1) * span)
		source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
		source.PageSize, source.Span = suits, span
		opened := 0
		source.OpenHook = func(_ int, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			opened++
			pages, long := source.Window(s, w), w.End.Sub(w.Begin)
			if pages.Total <= 2*suits || long <= 4*time.Second {
				return &slowPages{Pages: pages, wait: time.Second, span: span}, nil
			}
			return nil, &pipeline.Fault{
				Class: pipeline.Restart, Op: "open", Err: pipeline.ErrTooManyRows, Span: max(2*time.Second, long*suits/time.Duration(pages.Total)),
			}
		}
		cfg := fakes.ConfigFor(source, kafka, begin)
		cfg.Until, cfg.Parallel = begin.Add(days*span), 4
		if err := fakes.RunFor(t, cfg, span); err != nil {
			t.Fatal(err)
		}
		kafka.WantIDs(t, fakes.IDsOf(rows))
		if opened > most {
			t.Errorf("%d windows were opened, want at most %d", opened, most)
		}
	})
}

// waits is a source that counts how often it was asked to plan, and had to wait.
type waits struct {
	*fakes.Source

	asked, waited int
}

func (w *waits) Plan(ctx context.Context, s pipeline.Stream, p pipeline.Position) (pipeline.Plan, error) {
	began := time.Now()
	defer func() {
		if w.asked++; time.Since(began) > 0 {
			w.waited++
		}
	}()
	return w.Source.Plan(ctx, s, p)
}

// TestAStreamWaitsForItsHeadByItself expects no window to be begun long before it can be asked for: each takes a goroutine.
func TestAStreamWaitsForItsHeadByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		w := &waits{Source: fakes.NewSource(fakes.RowsFrom(begin, 1200)...)}
		kafka := fakes.NewKafka()
		cfg := fakes.ConfigFor(w.Source, kafka, begin)
		cfg.Source = w
		fakes.Run(t, cfg, 20*time.Minute)
		if w.asked < 500 || w.waited > 5 {
			t.Errorf("%d windows were planned, %d of them had to wait", w.asked, w.waited)
		}
	})
}
