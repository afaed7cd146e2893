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

	"github.com/jmpub/jmpub/pipeline"
)

func TestRunPublishesEachRowOnceInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-10 * time.Minute)
		rows := rowsFrom(begin, 700) // The last hundred lie in the future and are read live.
		kafka := newFakeKafka()
		if err := runFor(t, configFor(newFakeSource(rows...), kafka, begin), 3*time.Minute); err != nil {
			t.Fatalf("run: %v", err)
		}
		wantIDs(t, kafka, idsOf(rows))
		counts := kafka.checkpoints[messages()].Counts
		if counts.Published != int64(len(rows)) || counts.Windows != int64(len(kafka.ledger)) {
			t.Errorf("counts %+v, want %d published in %d windows", counts, len(rows), len(kafka.ledger))
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
				rows := rowsFrom(begin, 290)
				kafka := newFakeKafka()
				calls := 0
				kafka.fail = func(_ context.Context, name string) error {
					if name != strings.Fields(op)[0] {
						return nil
					}
					if calls++; calls != n {
						return nil
					}
					reached = true
					if op == "commit unseen" { // It committed, and the reply was lost.
						kafka.apply()
					}
					return &pipeline.Fault{Class: pipeline.Abort, Op: name, Err: errors.New("injected")}
				}
				if err := runFor(t, configFor(newFakeSource(rows...), kafka, begin), 2*time.Minute); err != nil {
					t.Errorf("%s %d: run: %v", op, n, err)
				}
				wantIDs(t, kafka, idsOf(rows))
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
		rows := rowsFrom(begin, 30)
		source := newFakeSource(rows...)
		source.open = func(n int, _ pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			pages := source.pages(messages(), w)
			switch n {
			case 1: // A row is missing.
				pages.parts[0] = pages.parts[0][1:]
			case 2: // A row came twice, in the place of another.
				pages.parts[0][1] = pages.parts[0][0]
			}
			return pages, nil
		}
		kafka := newFakeKafka()
		if err := runFor(t, configFor(source, kafka, begin), time.Minute); err != nil {
			t.Fatalf("run: %v", err)
		}
		wantIDs(t, kafka, idsOf(rows))
		if first := kafka.ledger[0]; first.Restarts != 2 || first.Mismatch || first.Rows != 30 {
			t.Errorf("first window: %+v, want 2 restarts and no mismatch", first)
		}
	})
}

func TestLastingMismatchIsClosedWithANotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-time.Minute)
		rows := rowsFrom(begin, 30)
		source := newFakeSource(rows...)
		source.open = func(_ int, _ pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			pages := source.pages(messages(), w)
			if pages.total > 0 {
				pages.total++
			}
			return pages, nil
		}
		kafka := newFakeKafka()
		if err := runFor(t, configFor(source, kafka, begin), time.Minute); err != nil {
			t.Fatalf("run: %v", err)
		}
		wantIDs(t, kafka, idsOf(rows))
		if len(kafka.notices) == 0 || kafka.notices[0].Kind != pipeline.NoticeMismatch || kafka.notices[0].Total != 31 {
			t.Errorf("notices: %s, want a mismatch of 31", mustJSON(t, kafka.notices))
		}
		if cp := kafka.checkpoints[messages()]; cp.Counts.Mismatches == 0 {
			t.Errorf("checkpoint counts %+v, want mismatches", cp.Counts)
		}
	})
}

func TestRepeatedRowsBesideAllOthersAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-time.Minute)
		rows := rowsFrom(begin, 30)
		source := newFakeSource(rows...)
		source.open = func(_ int, _ pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			pages := source.pages(messages(), w)
			pages.parts = append(pages.parts, pages.parts[0])
			return pages, nil
		}
		kafka := newFakeKafka()
		if err := runFor(t, configFor(source, kafka, begin), time.Minute); err != nil {
			t.Fatalf("run: %v", err)
		}
		wantIDs(t, kafka, idsOf(rows))
		if first := kafka.ledger[0]; first.Restarts != 0 || first.Repeated != 3 {
			t.Errorf("first window: %+v, want 3 repeated rows and no restart", first)
		}
	})
}

// TestLargeWindowIsStreamed lets a window outgrow its memory and fail in the middle: it is published in parts, aborted,
// and published once.
func TestLargeWindowIsStreamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-2 * time.Hour)
		rows := make([]fakeRow, 40_000)
		for i := range rows {
			rows[i] = fakeRow{id: int64(i + 1), at: begin.Add(time.Second)}
		}
		source := newFakeSource(rows...)
		source.pageSize = 1000
		source.open = func(n int, _ pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			pages := source.pages(messages(), w)
			if n == 1 {
				pages.parts = pages.parts[:35]
				pages.err = &pipeline.Fault{Class: pipeline.Restart, Op: "page 36", Err: errors.New("cursor expired")}
			}
			return pages, nil
		}
		kafka := newFakeKafka()
		aborts := 0
		kafka.fail = func(_ context.Context, op string) error {
			if op == "abort" {
				aborts++
			}
			return nil
		}
		cfg := configFor(source, kafka, begin)
		cfg.WindowBytes = 1 << 20
		if err := runFor(t, cfg, time.Minute); err != nil {
			t.Fatalf("run: %v", err)
		}
		wantIDs(t, kafka, idsOf(rows))
		if aborts != 1 {
			t.Errorf("%d aborted transactions, want 1", aborts)
		}
		if limit := 6 << 20; kafka.peak > limit {
			t.Errorf("largest batch %d bytes, want at most %d", kafka.peak, limit)
		}
		if first := kafka.ledger[0]; first.Published != int64(len(rows)) || len(first.Offsets) != 1 {
			t.Errorf("first window: %+v, want all rows in one range of offsets", first)
		}
	})
}

func TestStreamsShareTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-20 * time.Minute)
		kafka := newFakeKafka()
		cfg := configFor(newFakeSource(rowsFrom(begin, 1000)...), kafka, begin)
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
		kafka.fail = busy
		if err := runFor(t, cfg, 2*time.Minute); err != nil {
			t.Fatalf("run: %v", err)
		}
		if got, want := len(kafka.ids()), 20*1000; got != want {
			t.Errorf("%d events, want %d", got, want)
		}
		if len(kafka.ledger) < 2*kafka.transactions {
			t.Errorf("%d windows in %d transactions, want them shared", len(kafka.ledger), kafka.transactions)
		}
	})
}

func TestIdleStreamCommitsSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kafka := newFakeKafka()
		var head time.Time
		cfg := configFor(newFakeSource(), kafka, time.Now().UTC())
		cfg.Observer = &pipeline.Observer{Head: func(_ pipeline.Stream, end time.Time) { head = end }}
		if err := runFor(t, cfg, 10*time.Minute); err != nil {
			t.Fatalf("run: %v", err)
		}
		if got := kafka.transactions; got < 15 || got > 22 {
			t.Errorf("%d transactions in ten idle minutes, want about 20", got)
		}
		if lag := time.Since(head); lag > 10*time.Second {
			t.Errorf("head is %s behind, want it to follow the clock", lag)
		}
	})
}

func TestGapIsPublishedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-time.Hour).Truncate(time.Second)
		kafka := newFakeKafka()
		source := &gapSource{fakeSource: newFakeSource(rowsFrom(begin, 100)...), from: begin}
		if err := runFor(t, configFor(source, kafka, begin.Add(-time.Hour)), time.Minute); err != nil {
			t.Fatalf("run: %v", err)
		}
		if len(kafka.notices) != 1 || kafka.notices[0].Kind != pipeline.NoticeGap || !kafka.notices[0].End.Equal(begin) {
			t.Errorf("notices %s, want one gap up to %s", mustJSON(t, kafka.notices), begin)
		}
		if got := kafka.checkpoints[messages()].Counts.GapSeconds; got != 3600 {
			t.Errorf("gap of %d s counted, want 3600", got)
		}
	})
}

// gapSource holds nothing before from.
type gapSource struct {
	*fakeSource
	from time.Time
}

func (g *gapSource) Plan(ctx context.Context, s pipeline.Stream, p pipeline.Position) (pipeline.Plan, error) {
	if !p.End.Before(g.from) {
		return g.fakeSource.Plan(ctx, s, p)
	}
	gap := &pipeline.Window{Begin: p.End, End: g.from}
	p.End = g.from
	plan, err := g.fakeSource.Plan(ctx, s, p)
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
				kafka := newFakeKafka()
				ctx, stop := context.WithCancel(t.Context())
				var stopped time.Time
				kafka.fail = func(opCtx context.Context, op string) error {
					if op != "commit" {
						return nil
					}
					stopped = time.Now()
					stop()
					return pipeline.Sleep(opCtx, c.takes)
				}
				cfg := configFor(newFakeSource(rowsFrom(begin, 100)...), kafka, begin)
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
				if committed := len(kafka.ids()) > 0; committed != c.committed {
					t.Errorf("committed %t, want %t", committed, c.committed)
				}
			})
		})
	}
}

func TestRunEndsWithWhatNobodyButTheOperatorCanMend(t *testing.T) {
	for _, class := range []pipeline.Class{pipeline.Permanent, pipeline.Fenced} {
		for _, op := range []string{"open", "load", "publish", "commit"} {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now().UTC().Add(-time.Hour)
				kafka := newFakeKafka()
				kafka.fail = func(_ context.Context, name string) error {
					if name == op {
						return &pipeline.Fault{Class: class, Op: name, Err: errors.New("injected")}
					}
					return nil
				}
				err := runFor(t, configFor(newFakeSource(rowsFrom(begin, 10)...), kafka, begin), time.Hour)
				if err == nil || pipeline.ClassOf(err) != class {
					t.Errorf("%s at %s: run returned %v, want the fault", class, op, err)
				}
				if len(kafka.ids()) != 0 {
					t.Errorf("%s at %s: something was committed", class, op)
				}
			})
		}
	}
}

func TestDroppedStreamLeavesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-10 * time.Minute)
		rows := rowsFrom(begin, 100)
		gone := pipeline.Stream{Kind: pipeline.StreamGroups, Name: "7"}
		source := newFakeSource(rows...)
		source.open = func(_ int, s pipeline.Stream, _ pipeline.Window) (pipeline.Pages, error) {
			if s == gone {
				return nil, &pipeline.Fault{Class: pipeline.Drop, Op: "get page", Err: errors.New("899006")}
			}
			return nil, nil //nolint:nilnil // Leaves the answer to the fake.
		}
		kafka := newFakeKafka()
		var dropped []pipeline.Stream
		cfg := configFor(source, kafka, begin)
		cfg.Streams = append(cfg.Streams, gone)
		cfg.Observer = &pipeline.Observer{Dropped: func(s pipeline.Stream, _ error) { dropped = append(dropped, s) }}
		if err := runFor(t, cfg, time.Minute); err != nil {
			t.Fatalf("run: %v", err)
		}
		wantIDs(t, kafka, idsOf(rows))
		if !slices.Equal(dropped, []pipeline.Stream{gone}) {
			t.Errorf("dropped %v, want %v", dropped, gone)
		}
		cfg.Streams = []pipeline.Stream{gone}
		if err := runFor(t, cfg, time.Minute); err == nil || !strings.Contains(err.Error(), "JMPUB_STREAMS") {
			t.Errorf("run with no stream left: %v, want an error that names the setting", err)
		}
	})
}

func TestWrongTimeZoneIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-10 * time.Hour)
		rows := rowsFrom(begin, 100)
		for i := range rows { // What the API calls 10:00 is eight hours later.
			rows[i].raw = string(fakeRow{id: rows[i].id, at: rows[i].at.Add(8 * time.Hour)}.json())
		}
		kafka := newFakeKafka()
		err := runFor(t, configFor(newFakeSource(rows...), kafka, begin), time.Hour)
		if err == nil || !strings.Contains(err.Error(), "JMPUB_API_TIME_ZONE") {
			t.Errorf("run: %v, want an error that names the setting", err)
		}
		if len(kafka.ids()) != 0 {
			t.Errorf("%d events were published", len(kafka.ids()))
		}
	})
}

func TestRejectedRowIsPublishedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UTC()
		begin := now.Add(-time.Minute)
		rows := rowsFrom(begin, 60)
		rows[20].raw = `{"no":"id"}`
		rows[59].raw = `null` // Near the head, so that several windows bring it.
		kafka := newFakeKafka()
		if err := runFor(t, configFor(newFakeSource(rows...), kafka, begin), 2*time.Minute); err != nil {
			t.Fatalf("run: %v", err)
		}
		wantIDs(t, kafka, slices.Concat(idsOf(rows[:20]), idsOf(rows[21:59])))
		if len(kafka.rejected) != 2 {
			t.Errorf("%d rejected rows, want 2", len(kafka.rejected))
		}
	})
}

// TestTwoLiesDoNotMakeATruth has a page in which a row stands in the place of another, and a total on the last page that
// fits what came; and then, each time, another row that is missing.
func TestTwoLiesDoNotMakeATruth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-time.Minute)
		rows := rowsFrom(begin, 30)
		source := newFakeSource(rows...)
		source.open = func(n int, _ pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			pages := source.pages(messages(), w)
			if n > 8 {
				return pages, nil
			}
			pages.parts[n][1] = pages.parts[n][0]
			if n == 1 {
				return &lyingPages{fakePages: pages}, nil
			}
			return pages, nil
		}
		kafka := newFakeKafka()
		if err := runFor(t, configFor(source, kafka, begin), time.Minute); err != nil {
			t.Fatalf("run: %v", err)
		}
		wantIDs(t, kafka, idsOf(rows))
		if first := kafka.ledger[0]; first.Restarts != 8 || first.Mismatch {
			t.Errorf("first window: %+v, want 8 restarts and no mismatch", first)
		}
	})
}

// lyingPages state a total that is one less on all pages but the first.
type lyingPages struct {
	*fakePages
}

func (p *lyingPages) Next(ctx context.Context) (pipeline.Page, error) {
	page, err := p.fakePages.Next(ctx)
	if p.next > 1 {
		page.Total--
	}
	return page, err
}

// TestRowThatLacksTheClockOfTheAPIIsPublishedOnce has a row near the head that shows only its sender's clock, which is
// forty seconds behind the one that the API filters by: several windows bring it, and nothing in it tells so.
func TestRowThatLacksTheClockOfTheAPIIsPublishedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-time.Minute)
		rows := rowsFrom(begin, 120)
		for i := range rows {
			if i%7 == 0 {
				rows[i].raw = fmt.Sprintf(`{"msgid":%d,"target_type":"group","create_time":%d}`, rows[i].id, rows[i].at.Unix()-40)
			}
		}
		kafka := newFakeKafka()
		if err := runFor(t, configFor(newFakeSource(rows...), kafka, begin), 2*time.Minute); err != nil {
			t.Fatalf("run: %v", err)
		}
		wantIDs(t, kafka, idsOf(rows))
	})
}
