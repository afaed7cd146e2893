package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// TestRowsOfARangeInParts reads a range from an API that takes short windows alone and does not count the seconds at their ends: every row
// between the range's own ends comes.
func TestRowsOfARangeInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-time.Hour)
		rows := fakes.RowsFrom(begin, 300)
		source := fakes.NewSource(rows...)
		const longest = 20 * time.Second
		source.OpenHook = func(_ int, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			if w.End.Sub(w.Begin) > longest {
				return nil, &pipeline.Fault{Class: pipeline.Restart, Op: "open", Err: pipeline.ErrTooManyRows, Span: longest}
			}
			return source.Window(s, pipeline.Window{Begin: w.Begin.Add(time.Second), End: w.End.Add(-time.Second)}), nil
		}
		reader := pipeline.RowReader{Source: source}
		norm := event.NewNormalizer(fakes.AppKey)
		came := make(map[int64]bool)
		err := reader.Each(t.Context(), fakes.Messages(), pipeline.Window{Begin: begin, End: begin.Add(299 * time.Second)}, func(row []byte) {
			e, _ := norm.Normalize(row)
			came[e.MsgID] = true
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range rows[1:299] {
			if !came[r.ID] {
				t.Errorf("the row of second %d did not come", i+1)
			}
		}
	})
}

// TestARangeAddsUpToItsTotal reads a range from an API that passes over a row in each of its first answers: all rows come, as they do from one
// whose totals are always wrong, after a few readings.
func TestARangeAddsUpToItsTotal(t *testing.T) {
	const rows, most = 100, 60
	for name, answer := range map[string]func(n int, p *fakes.Pages){
		"the first answer":           func(n int, p *fakes.Pages) { passOver(p, n, n == 1) },
		"six answers":                func(n int, p *fakes.Pages) { passOver(p, n, n <= 6) },
		"the total is always wrong":  func(_ int, p *fakes.Pages) { p.Total += 2 },
		"pages state different ones": func(n int, p *fakes.Pages) { p.Total += int64(n % 2) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now().UTC().Add(-time.Hour)
				whole := pipeline.Window{Begin: begin, End: begin.Add(rows * time.Second)}
				source := fakes.NewSource(fakes.RowsFrom(begin, rows)...)
				source.OpenHook = func(n int, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
					pages := source.Window(s, w)
					answer(n, pages)
					return pages, nil
				}
				came := make(map[string]bool)
				reader := pipeline.RowReader{Source: source}
				if err := reader.Each(t.Context(), fakes.Messages(), whole, func(row []byte) { came[string(row)] = true }); err != nil {
					t.Fatal(err)
				}
				if len(came) != rows || source.Opens() > most {
					t.Errorf("%d of %d rows came, of %d readings", len(came), rows, source.Opens())
				}
			})
		})
	}
}

// passOver answers with the n-th row in the place of the one behind it.
func passOver(p *fakes.Pages, n int, does bool) {
	if part := p.Parts[n%len(p.Parts)]; does && len(part) > 1 {
		part[1] = part[0]
	}
}

// TestARangeThatCannotBeReadIsGivenUp asks a bounded number of times.
func TestARangeThatCannotBeReadIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := fakes.NewSource()
		source.OpenHook = func(int, pipeline.Stream, pipeline.Window) (pipeline.Pages, error) {
			return nil, &pipeline.Fault{Class: pipeline.Restart, Op: "open", Err: errors.New("cursor expired")}
		}
		reader := pipeline.RowReader{Source: source}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		now := time.Now().UTC()
		err := reader.Each(ctx, fakes.Messages(), pipeline.Window{Begin: now.Add(-time.Minute), End: now}, func([]byte) {})
		if pipeline.ClassOf(err) != pipeline.Abort || source.Opens() > 20 {
			t.Errorf("asked %d times: %v", source.Opens(), err)
		}
	})
}

// TestRowsBeforeATime knows the rows that stand before a time by both of their clocks, and no other.
func TestRowsBeforeATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Now().UTC().Truncate(time.Second).Add(-time.Hour)
		row := func(id int64, server, client time.Duration) fakes.Row {
			return fakes.Row{ID: id, At: at.Add(server), Raw: fmt.Sprintf(
				`{"msgid":%d,"target_type":"group","target_id":"1","msg_type":"text","msg_body":{},"msg_ctime":%d,"create_time":%d}`,
				id, at.Add(server).UnixMilli(), at.Add(client).UnixMilli())}
		}
		source := fakes.NewSource(
			row(1, -1500*time.Millisecond, -1500*time.Millisecond), // Counted to a second before it.
			row(2, 300*time.Millisecond, -2*time.Second),
			row(3, 400*time.Millisecond, 500*time.Millisecond),
		)
		reader := pipeline.RowReader{Source: source}
		before, err := reader.RowsBefore(t.Context(), fakes.AppKey, fakes.Messages(), at)
		if ids := before.IDs(); err != nil || !slices.Equal(ids, []int64{1}) {
			t.Errorf("the rows %v stand before it, %v; want 1", ids, err)
		}
	})
}

// TestUncoveredRangesAreFewAndApart joins what touches, and takes no more ranges than a checkpoint has room for.
func TestUncoveredRangesAreFewAndApart(t *testing.T) {
	begin := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }
	uncover := func(cp pipeline.Checkpoint, from, to int) (pipeline.Checkpoint, error) {
		return cp.Uncover(pipeline.Window{Begin: at(from), End: at(to)}, pipeline.RowSet{}, pipeline.RowSet{}, time.Second)
	}
	cp := pipeline.Checkpoint{Stream: fakes.Messages(), End: at(10_000)}
	for _, r := range [][2]int{{10, 20}, {20, 30}, {0, 10}} {
		var err error
		if cp, err = uncover(cp, r[0], r[1]); err != nil || len(cp.Backlog) != 1 {
			t.Errorf("behind %v: %d ranges, %v; want them joined", r, len(cp.Backlog), err)
		}
	}
	if b := cp.Backlog[0]; !b.End.Equal(at(0)) || !b.Until.Equal(at(30)) {
		t.Errorf("they are joined to %s to %s", b.End, b.Until)
	}
	const room = 16
	for i := 1; ; i++ {
		next, err := uncover(cp, 100*i, 100*i+10)
		if err != nil {
			if len(cp.Backlog) != room || len(next.Backlog) != room {
				t.Errorf("%d ranges are taken, want %d: %v", len(cp.Backlog), room, err)
			}
			break
		}
		if cp = next; len(cp.Backlog) > room {
			t.Fatalf("%d ranges are taken", len(cp.Backlog))
		}
	}
}

// TestARejectedRowThatComesTwiceCountsOnce has an API that sends a page again within a window.
func TestARejectedRowThatComesTwiceCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-time.Hour)
		source := fakes.NewSource(fakes.Row{At: begin.Add(5 * time.Second), Raw: `{"no_msgid":1}`}, fakes.Row{At: begin.Add(6 * time.Second), Raw: `{"no_msgid":2}`})
		source.OpenHook = func(_ int, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			pages := source.Window(s, w)
			pages.Parts = append(pages.Parts, pages.Parts...)
			return pages, nil
		}
		kafka := fakes.NewKafka()
		fakes.Run(t, fakes.ConfigFor(source, kafka, begin), time.Minute)
		first := kafka.Ledger[0]
		if len(kafka.Rejected) != 2 || first.Rejected != 2 || first.Repeated != 2 || first.Rows != 4 || first.Mismatch {
			t.Errorf("%d rows are rejected; the ledger: %+v", len(kafka.Rejected), first)
		}
	})
}
