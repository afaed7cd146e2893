package pipeline_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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
// them have to be read again, longer or shorter.
func TestWindowsAreFetchedSideBySideAndPublishedInOrder(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3, uint64(time.Now().UnixNano())} {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 0))
			begin := time.Now().UTC().Truncate(time.Second)
			var rows []fakeRow
			for i := range 4000 {
				rows = append(rows, fakeRow{id: int64(i + 1), at: begin.Add(time.Duration(i) * 500 * time.Millisecond)})
			}
			time.Sleep(time.Hour)
			source := newFakeSource(rows...)
			source.pageSize = 20
			var now, most atomic.Int64
			source.open = func(n int, _ pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
				if n%7 == 0 && w.End.Sub(w.Begin) > 10*time.Second {
					return nil, &pipeline.Fault{Class: pipeline.Restart, Op: "open", Span: w.End.Sub(w.Begin) / 3}
				}
				pages := source.pages(messages(), w)
				if n%5 == 0 {
					pages.err = &pipeline.Fault{Class: pipeline.Restart, Op: "cursor expired"}
				}
				most.Store(max(most.Load(), now.Add(1)))
				return &slowPages{
					Pages: pages, span: time.Minute, left: func() { now.Add(-1) },
					wait: time.Duration(dice.Int64N(int64(10 * time.Second))),
				}, nil
			}
			kafka := newFakeKafka()
			end := begin.Add(40 * time.Minute)
			cfg := configFor(source, kafka, begin.Add(-time.Second))
			cfg.Until, cfg.Parallel = end, 3
			if err := runFor(t, cfg, 24*time.Hour); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if time.Since(begin) > 12*time.Hour {
				t.Errorf("seed %d: the run did not end by itself", seed)
			}
			if got := kafka.ids(); !slices.Equal(got, idsOf(rows)) {
				t.Errorf("seed %d: %d events, want %d in order", seed, len(got), len(rows))
			}
			if got := kafka.checkpoints[messages()].End; !got.Equal(end) {
				t.Errorf("seed %d: the checkpoint is at %v, want %v", seed, got, end)
			}
			if most.Load() != int64(cfg.Parallel) {
				t.Errorf("seed %d: %d windows were fetched at the same time, want %d", seed, most.Load(), cfg.Parallel)
			}
			reached := cfg.Start.At
			for _, l := range kafka.ledger {
				if l.Begin.After(reached) || !l.End.After(reached) {
					t.Fatalf("seed %d: window %v after %v", seed, l.Window, reached)
				}
				reached = l.End
			}
		})
	}
}
