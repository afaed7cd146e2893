package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

func TestRunPublishesEachRowOnceInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-10 * time.Minute)
		rows := fakes.RowsFrom(begin, 700) // The last hundred lie in the future and are read live.
		kafka := fakes.NewKafka()
		cfg := fakes.ConfigFor(fakes.NewSource(rows...), kafka, begin)
		var held, most int64
		cfg.Observer = func(o pipeline.Observation) {
			if now, ok := o.(pipeline.MemoryHeld); ok {
				held, most = now.Bytes, max(most, now.Bytes)
			}
		}
		fakes.Run(t, cfg, 3*time.Minute)
		kafka.WantIDs(t, fakes.IDsOf(rows))
		if held != 0 || most == 0 {
			t.Errorf("%d bytes are held when all is over, and %d at most before", held, most)
		}
		counts := kafka.Checkpoints[fakes.Messages()].Counts
		if counts.Published != int64(len(rows)) || counts.Windows != int64(len(kafka.Ledger)) {
			t.Errorf("counts %+v, want %d published in %d windows", counts, len(rows), len(kafka.Ledger))
		}
	})
}

// TestEveryStepFailsOnce fails the n-th operation of every kind, for all n, and expects the session that follows to put it right.
func TestEveryStepFailsOnce(t *testing.T) {
	for _, op := range []string{"open", "load", "begin", "publish", "append", "commit", "commit unseen"} {
		for n := 1; ; n++ {
			reached := false
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now().UTC().Add(-5 * time.Minute)
				rows := fakes.RowsFrom(begin, 290)
				kafka := fakes.NewKafka()
				calls := 0
				kafka.Fail = func(_ context.Context, name string) error {
					if name != strings.Fields(op)[0] {
						return nil
					}
					if calls++; calls != n {
						return nil
					}
					reached = true
					if op == "commit unseen" { // It committed, and the reply was lost.
						kafka.Apply()
					}
					return &pipeline.Fault{Class: pipeline.Abort, Op: name, Err: errors.New("injected")}
				}
				if err := fakes.RunFor(t, fakes.ConfigFor(fakes.NewSource(rows...), kafka, begin), 2*time.Minute); err != nil {
					t.Errorf("%s %d: run: %v", op, n, err)
				}
				kafka.WantIDs(t, fakes.IDsOf(rows))
			})
			if !reached || n == 8 {
				break
			}
		}
	}
}

func TestWindowIsReadAgainWhenRowsDoNotAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-time.Minute)
		rows := fakes.RowsFrom(begin, 30)
		source := fakes.NewSource(rows...)
		source.OpenHook = func(n int, _ pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			pages := source.Window(fakes.Messages(), w)
			switch n {
			case 1: // A row is missing.
				pages.Parts[0] = pages.Parts[0][1:]
			case 2: // A row came twice, in the place of another.
				pages.Parts[0][1] = pages.Parts[0][0]
			}
			return pages, nil
		}
		kafka := fakes.NewKafka()
		fakes.Run(t, fakes.ConfigFor(source, kafka, begin), time.Minute)
		kafka.WantIDs(t, fakes.IDsOf(rows))
		if first := kafka.Ledger[0]; first.Restarts != 2 || first.Mismatch || first.Rows != 30 {
			t.Errorf("first window: %+v, want 2 restarts and no mismatch", first)
		}
	})
}

// TestLastingMismatchIsClosedWithANotice has the API announce a row too many: of one second, which is found by ever shorter windows,
// so that only that second is closed with a notice; and of every window, where that does not help, and windows of their usual
// length are closed in the end.
func TestLastingMismatchIsClosedWithANotice(t *testing.T) {
	for _, everywhere := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now().UTC().Add(-10 * time.Minute)
			rows := fakes.RowsFrom(begin, 600)
			source := fakes.NewSource(rows...)
			wrong := begin.Add(127 * time.Second)
			source.OpenHook = func(_ int, _ pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
				pages := source.Window(fakes.Messages(), w)
				if everywhere && pages.Total > 0 || !wrong.Before(w.Begin) && !wrong.After(w.End) {
					pages.Total++
				}
				return pages, nil
			}
			kafka := fakes.NewKafka()
			fakes.Run(t, fakes.ConfigFor(source, kafka, begin), 10*time.Minute)
			kafka.WantIDs(t, fakes.IDsOf(rows))
			var longest time.Duration
			for i, n := range kafka.Notices {
				length := n.End.Sub(n.Begin)
				longest = max(longest, length)
				if n.Kind != pipeline.NoticeMismatch || n.Total != n.Rows+1 || length > 3*time.Second && (!everywhere || i < 6) {
					t.Errorf("everywhere %t: notice %d: %+v", everywhere, i, n)
				}
			}
			if seen := len(kafka.Notices); seen == 0 || !everywhere && seen > 4 || everywhere && longest < 30*time.Second {
				t.Errorf("everywhere %t: %d notices, of at most %v", everywhere, seen, longest)
			}
			if cp := kafka.Checkpoints[fakes.Messages()]; cp.Counts.Mismatches != int64(len(kafka.Notices)) {
				t.Errorf("everywhere %t: checkpoint counts %+v, want %d mismatches", everywhere, cp.Counts, len(kafka.Notices))
			}
		})
	}
}

func TestRepeatedRowsBesidesAllOthersAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-time.Minute)
		rows := fakes.RowsFrom(begin, 30)
		source := fakes.NewSource(rows...)
		source.OpenHook = func(_ int, _ pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			pages := source.Window(fakes.Messages(), w)
			pages.Parts = append(pages.Parts, pages.Parts[0])
			return pages, nil
		}
		kafka := fakes.NewKafka()
		fakes.Run(t, fakes.ConfigFor(source, kafka, begin), time.Minute)
		kafka.WantIDs(t, fakes.IDsOf(rows))
		if first := kafka.Ledger[0]; first.Restarts != 0 || first.Repeated != 3 {
			t.Errorf("first window: %+v, want 3 repeated rows and no restart", first)
		}
	})
}

// TestLargeWindowIsStreamed lets a window outgrow its memory and fail in the middle: it is published in parts, aborted,
// and published once.
func TestLargeWindowIsStreamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-2 * time.Hour)
		rows := make([]fakes.Row, 40_000)
		for i := range rows {
			rows[i] = fakes.Row{ID: int64(i + 1), At: begin.Add(time.Second)}
		}
		source := fakes.NewSource(rows...)
		source.PageSize = 1000
		source.OpenHook = func(n int, _ pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			pages := source.Window(fakes.Messages(), w)
			if n == 1 {
				pages.Parts = pages.Parts[:35]
				pages.Err = &pipeline.Fault{Class: pipeline.Restart, Op: "page 36", Err: errors.New("cursor expired")}
			}
			return pages, nil
		}
		kafka := fakes.NewKafka()
		aborts := 0
		kafka.Fail = func(_ context.Context, op string) error {
			if op == "abort" {
				aborts++
			}
			return nil
		}
		cfg := fakes.ConfigFor(source, kafka, begin)
		cfg.WindowBytes = 1 << 20
		fakes.Run(t, cfg, time.Minute)
		kafka.WantIDs(t, fakes.IDsOf(rows))
		if aborts != 1 {
			t.Errorf("%d aborted transactions, want 1", aborts)
		}
		if limit := 6 << 20; kafka.Peak > limit {
			t.Errorf("largest batch %d bytes, want at most %d", kafka.Peak, limit)
		}
		if first := kafka.Ledger[0]; first.Published != int64(len(rows)) || len(first.Offsets) != 1 {
			t.Errorf("first window: %+v, want all rows in one range of offsets", first)
		}
	})
}

func TestStreamsShareTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-20 * time.Minute)
		kafka := fakes.NewKafka()
		cfg := fakes.ConfigFor(fakes.NewSource(fakes.RowsFrom(begin, 1000)...), kafka, begin)
		cfg.Streams = nil
		for i := range 20 {
			cfg.Streams = append(cfg.Streams, pipeline.Stream{Kind: pipeline.StreamGroups, Name: strconv.Itoa(i)})
		}
		busy := func(ctx context.Context, op string) error {
			if op == "commit" {
				return pipeline.Sleep(ctx, 50*time.Millisecond)
			}
			return nil
		}
		kafka.Fail = busy
		fakes.Run(t, cfg, 2*time.Minute)
		if got, want := len(kafka.IDs()), 20*1000; got != want {
			t.Errorf("%d events, want %d", got, want)
		}
		if len(kafka.Ledger) < 2*kafka.Transactions {
			t.Errorf("%d windows in %d transactions, want them shared", len(kafka.Ledger), kafka.Transactions)
		}
	})
}

func TestGapIsPublishedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-time.Hour).Truncate(time.Second)
		kafka := fakes.NewKafka()
		source := &gapSource{Source: fakes.NewSource(fakes.RowsFrom(begin, 100)...), from: begin}
		fakes.Run(t, fakes.ConfigFor(source, kafka, begin.Add(-time.Hour)), time.Minute)
		if len(kafka.Notices) != 1 || kafka.Notices[0].Kind != pipeline.NoticeGap || !kafka.Notices[0].End.Equal(begin) {
			t.Errorf("notices %+v, want one gap up to %s", kafka.Notices, begin)
		}
		if got := kafka.Checkpoints[fakes.Messages()].Counts.GapSeconds; got != 3600 {
			t.Errorf("gap of %d s counted, want 3600", got)
		}
	})
}

// gapSource holds nothing before from.
type gapSource struct {
	*fakes.Source

	from time.Time
}

func (g *gapSource) Plan(ctx context.Context, s pipeline.Stream, p pipeline.Position) (pipeline.Plan, error) {
	if !p.End.Before(g.from) {
		return g.Source.Plan(ctx, s, p)
	}
	gap := &pipeline.Window{Begin: p.End, End: g.from}
	p.End = g.from
	plan, err := g.Source.Plan(ctx, s, p)
	plan.Gap = gap
	return plan, err
}

func TestStopLetsTheCommitFinish(t *testing.T) {
	for _, c := range []struct {
		name      string
		takes     time.Duration
		committed bool
		stops     time.Duration
	}{
		{"within the grace", 5 * time.Second, true, 5 * time.Second},
		{"beyond the grace", time.Hour, false, 8 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now().UTC().Add(-time.Hour)
				kafka := fakes.NewKafka()
				ctx, stop := context.WithCancel(t.Context())
				var stopped time.Time
				kafka.Fail = func(opCtx context.Context, op string) error {
					if op != "commit" {
						return nil
					}
					stopped = time.Now()
					stop()
					return pipeline.Sleep(opCtx, c.takes)
				}
				cfg := fakes.ConfigFor(fakes.NewSource(fakes.RowsFrom(begin, 100)...), kafka, begin)
				p, err := pipeline.New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Run(ctx); err != nil {
					t.Errorf("run: %v, want nil after a stop", err)
				}
				if took := time.Since(stopped); took != c.stops {
					t.Errorf("stop took %s, want %s", took, c.stops)
				}
				if committed := len(kafka.IDs()) > 0; committed != c.committed {
					t.Errorf("committed %t, want %t", committed, c.committed)
				}
			})
		})
	}
}

func TestRunEndsWithWhatOnlyTheOperatorCanCorrect(t *testing.T) {
	for _, class := range []pipeline.Class{pipeline.Permanent, pipeline.Fenced} {
		for _, op := range []string{"open", "load", "publish", "commit"} {
			if op == "open" && class == pipeline.Fenced {
				continue // Whoever takes the place for the first time is not fenced.
			}
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now().UTC().Add(-time.Hour)
				kafka := fakes.NewKafka()
				kafka.Fail = func(_ context.Context, name string) error {
					if name == op {
						kafka.Run = pipeline.Claim{ID: "another"}
						return &pipeline.Fault{Class: class, Op: name, Err: errors.New("injected")}
					}
					return nil
				}
				err := fakes.RunFor(t, fakes.ConfigFor(fakes.NewSource(fakes.RowsFrom(begin, 10)...), kafka, begin), time.Hour)
				if err == nil || pipeline.ClassOf(err) != class {
					t.Errorf("%s at %s: run returned %v, want the fault", class, op, err)
				}
				if len(kafka.IDs()) != 0 {
					t.Errorf("%s at %s: something was committed", class, op)
				}
			})
		}
	}
}

func TestDroppedStreamLeavesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-10 * time.Minute)
		rows := fakes.RowsFrom(begin, 100)
		gone := pipeline.Stream{Kind: pipeline.StreamGroups, Name: "7"}
		source := fakes.NewSource(rows...)
		source.OpenHook = func(_ int, s pipeline.Stream, _ pipeline.Window) (pipeline.Pages, error) {
			if s == gone {
				return nil, &pipeline.Fault{Class: pipeline.Drop, Op: "get page", Err: errors.New("899006")}
			}
			return nil, nil //nolint:nilnil // Leaves the answer to the fake.
		}
		kafka := fakes.NewKafka()
		var dropped []pipeline.Stream
		cfg := fakes.ConfigFor(source, kafka, begin)
		cfg.Streams = append(cfg.Streams, gone)
		cfg.Observer = func(o pipeline.Observation) {
			if d, ok := o.(pipeline.StreamDropped); ok {
				dropped = append(dropped, d.Stream)
			}
		}
		fakes.Run(t, cfg, time.Minute)
		kafka.WantIDs(t, fakes.IDsOf(rows))
		if !slices.Equal(dropped, []pipeline.Stream{gone}) {
			t.Errorf("dropped %v, want %v", dropped, gone)
		}
		cfg.Streams = []pipeline.Stream{gone}
		if err := fakes.RunFor(t, cfg, time.Minute); err == nil || !strings.Contains(err.Error(), "JMPUB_STREAMS") {
			t.Errorf("run with no stream left: %v, want an error that names the setting", err)
		}
	})
}

func TestWrongTimeZoneIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-10 * time.Hour)
		rows := fakes.RowsFrom(begin, 100)
		for i := range rows { // What the API calls 10:00 is eight hours later.
			rows[i].Raw = string(fakes.Row{ID: rows[i].ID, At: rows[i].At.Add(8 * time.Hour)}.JSON())
		}
		kafka := fakes.NewKafka()
		err := fakes.RunFor(t, fakes.ConfigFor(fakes.NewSource(rows...), kafka, begin), time.Hour)
		if err == nil || !strings.Contains(err.Error(), "JMPUB_API_TIME_ZONE") {
			t.Errorf("run: %v, want an error that names the setting", err)
		}
		if len(kafka.IDs()) != 0 {
			t.Errorf("%d events were published", len(kafka.IDs()))
		}
	})
}

func TestRejectedRowIsPublishedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UTC()
		begin := now.Add(-time.Minute)
		rows := fakes.RowsFrom(begin, 60)
		rows[20].Raw = `{"no":"id"}`
		rows[59].Raw = `null` // Near the head, so that several windows bring it.
		kafka := fakes.NewKafka()
		fakes.Run(t, fakes.ConfigFor(fakes.NewSource(rows...), kafka, begin), 2*time.Minute)
		kafka.WantIDs(t, slices.Concat(fakes.IDsOf(rows[:20]), fakes.IDsOf(rows[21:59])))
		if len(kafka.Rejected) != 2 {
			t.Errorf("%d rejected rows, want 2", len(kafka.Rejected))
		}
	})
}

// TestTwoLiesDoNotMakeATruth has a page in which a row stands in the place of another, and a total on the last page that
// fits what came; and then, each time, another row that is missing.
func TestTwoLiesDoNotMakeATruth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-time.Minute)
		rows := fakes.RowsFrom(begin, 30)
		source := fakes.NewSource(rows...)
		source.OpenHook = func(n int, _ pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			pages := source.Window(fakes.Messages(), w)
			if n > 8 {
				return pages, nil
			}
			pages.Parts[n][1] = pages.Parts[n][0]
			if n == 1 {
				return &lyingPages{Pages: pages}, nil
			}
			return pages, nil
		}
		kafka := fakes.NewKafka()
		fakes.Run(t, fakes.ConfigFor(source, kafka, begin), time.Minute)
		kafka.WantIDs(t, fakes.IDsOf(rows))
		if first := kafka.Ledger[0]; first.Restarts != 8 || first.Mismatch {
			t.Errorf("first window: %+v, want 8 restarts and no mismatch", first)
		}
	})
}

// TestTotalAloneTakesNoMemory reads a window anew whose total is more than any memory holds.
func TestTotalAloneTakesNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-time.Minute)
		rows := fakes.RowsFrom(begin, 30)
		source := fakes.NewSource(rows...)
		source.OpenHook = func(n int, _ pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			pages := source.Window(fakes.Messages(), w)
			if n == 1 {
				pages.Total = 1 << 60
			}
			return pages, nil
		}
		kafka := fakes.NewKafka()
		fakes.Run(t, fakes.ConfigFor(source, kafka, begin), time.Minute)
		kafka.WantIDs(t, fakes.IDsOf(rows))
		if first := kafka.Ledger[0]; first.Restarts != 1 || first.Mismatch {
			t.Errorf("first window: %+v, want 1 restart and no mismatch", first)
		}
	})
}

// lyingPages state a total that is one less on all pages but the first.
type lyingPages struct {
	*fakes.Pages
}

func (p *lyingPages) Next(ctx context.Context) (pipeline.Page, error) {
	page, err := p.Pages.Next(ctx)
	if p.Requests() > 1 {
		page.Total--
	}
	return page, err
}

// TestRowThatLacksTheClockOfTheAPIIsPublishedOnce has a row near the head that shows only its sender's clock, which is
// forty seconds behind the one that the API filters by: several windows bring it, and nothing in it tells so.
func TestRowThatLacksTheClockOfTheAPIIsPublishedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-time.Minute)
		rows := fakes.RowsFrom(begin, 120)
		for i := range rows {
			if i%7 == 0 {
				rows[i].Raw = fmt.Sprintf(`{"msgid":%d,"target_type":"group","create_time":%d}`, rows[i].ID, rows[i].At.Unix()-40)
			}
		}
		kafka := fakes.NewKafka()
		fakes.Run(t, fakes.ConfigFor(fakes.NewSource(rows...), kafka, begin), 2*time.Minute)
		kafka.WantIDs(t, fakes.IDsOf(rows))
	})
}
