package sim_test

import (
	"encoding/json"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// sortedBySender are the rows of a stream whose create_time lies in whole seconds from begin to end, in its order.
func sortedBySender(tb testing.TB, s *sim.Server, begin, end time.Time, stream string) []string {
	tb.Helper()
	type timed struct {
		clock int64
		raw   string
	}
	var found []timed
	for r := range s.Truth(sim.Range{Begin: begin.Add(-time.Minute), End: end.Add(time.Minute), Stream: stream}) {
		var row struct {
			CreateTime int64 `json:"create_time"`
		}
		if err := json.Unmarshal(r.Raw, &row); err != nil {
			tb.Fatal(err)
		}
		if row.CreateTime < 1e11 {
			row.CreateTime *= 1000
		}
		if sec := row.CreateTime / 1000; sec >= begin.Unix() && sec <= end.Unix() {
			found = append(found, timed{row.CreateTime, string(r.Raw)})
		}
	}
	slices.SortStableFunc(found, func(a, b timed) int { return int(a.clock - b.clock) })
	var rows []string
	for _, f := range found {
		rows = append(rows, f.raw)
	}
	return rows
}

// TestAnyPagingYieldsTheTruth pages random windows of every stream, by either clock, with random page sizes, across a dense
// second and the borders of hours, whose totals are remembered.
func TestAnyPagingYieldsTheTruth(t *testing.T) {
	t.Parallel()
	for _, clock := range []sim.Clock{sim.ServerClock, sim.SenderClock} {
		t.Run(string(clock), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				s := newSim(t, func(o *sim.Options) {
					o.Clock, o.Burst, o.BurstAt = clock, 300, now.Add(-30*time.Minute)
					o.Users, o.Seed = 30, rapid.Uint64Range(0, 9).Draw(rt, "seed")
					o.Rate = rapid.SampledFrom([]float64{0.001, 0.1, 2}).Draw(rt, "rate")
					o.RoomsInMessages = rapid.Bool().Draw(rt, "rooms")
					o.CursorAtEnd = rapid.Bool().Draw(rt, "cursor at end")
					if clock == sim.ServerClock {
						o.IrregularRows, o.NullRows = 0.05, 0.01
					}
				})
				begin := now.Add(-time.Duration(rapid.IntRange(600, 3*3600).Draw(rt, "begin")) * time.Second)
				end := begin.Add(time.Duration(rapid.IntRange(0, 500).Draw(rt, "length")) * time.Second)
				if s.Rate < 1 {
					end = now.Add(-2 * time.Minute)
				}
				stream := rapid.SampledFrom(someStreams()).Draw(rt, "stream")
				var want []string
				if clock == sim.SenderClock {
					want = sortedBySender(t, s, begin, end, stream)
				} else {
					want = truth(s, begin, end.Add(999*time.Millisecond), stream)
				}
				total, rows := pages(t, s, path(stream), begin, end, rapid.IntRange(1, 200).Draw(rt, "count"))
				if total != int64(len(rows)) || !slices.Equal(rows, want) {
					rt.Fatalf("%s: total %d, %d rows; want %d rows", stream, total, len(rows), len(want))
				}
			})
		})
	}
}

// TestTotals holds remembered totals against rows, of windows of many hours and of single seconds.
func TestTotals(t *testing.T) {
	t.Parallel()
	for _, clock := range []sim.Clock{sim.ServerClock, sim.SenderClock} {
		s := newSim(t, func(o *sim.Options) { o.Clock, o.Rate, o.Daily, o.Users = clock, 0.05, true, 30 })
		for _, stream := range someStreams() {
			for range 2 { // The second time, from memory.
				total, rows := pages(t, s, path(stream), now.Add(-20*time.Hour-7*time.Second), now, 1000)
				if total != int64(len(rows)) || total == 0 {
					t.Errorf("%s by %s: total %d, %d rows", stream, clock, total, len(rows))
				}
			}
			for i := range 20 {
				at := now.Add(-time.Hour + time.Duration(i)*time.Second)
				if total, rows := pages(t, s, path(stream), at, at, 10); total != int64(len(rows)) {
					t.Errorf("%s by %s in second %d: total %d, %d rows", stream, clock, i, total, len(rows))
				}
			}
		}
	}
}

// TestLive reads up to the clock: what is yet to come is neither in pages nor in totals.
func TestLive(t *testing.T) {
	t.Parallel()
	at := now.Add(500 * time.Millisecond)
	s := newSim(t, func(o *sim.Options) { o.Rate = 50; o.Now = func() time.Time { return at } })
	seen := 0
	for range 5 {
		total, rows := pages(t, s, "/v2/messages", now.Add(-time.Second), now.Add(24*time.Hour), 7)
		if want := truth(s, now.Add(-time.Second), at, ""); total != int64(len(rows)) || !slices.Equal(rows, want) || len(rows) <= seen {
			t.Errorf("at %v: total %d, %d rows; want %d rows, more than %d", at, total, len(rows), len(want), seen)
		}
		seen = len(rows)
		at = at.Add(300 * time.Millisecond)
	}
}

// TestDenseSecond pages a second of a hundred thousand rows. What a page costs is looked at by its memory.
func TestDenseSecond(t *testing.T) {
	t.Parallel()
	for _, clock := range []sim.Clock{sim.ServerClock, sim.SenderClock} {
		s := newSim(t, func(o *sim.Options) { o.Clock, o.Burst, o.BurstAt = clock, 100_000, now.Add(-time.Hour) })
		_, first := ask(t, s, "/v2/messages?"+window(s, now.Add(-time.Hour-time.Minute), now.Add(-time.Hour+time.Minute), 1000))
		if first.Total < 95_000 || first.Count != 1000 {
			t.Errorf("%s: total %d, %d rows", clock, first.Total, first.Count)
		}
		ids := make(map[string]bool)
		query := first.next()
		for range 5 {
			_, r := ask(t, s, "/v2/messages?"+query)
			for _, row := range r.rows() {
				ids[row] = true
			}
			query = r.next()
		}
		if len(ids) != 5000 {
			t.Errorf("%s: five pages have %d different rows", clock, len(ids))
		}
	}
}

// TestHistoryNeedsNoMemory goes through sixty days of more than five million rows: all totals, and a page of each.
// Not parallel, because it looks at the memory of the whole process.
func TestHistoryNeedsNoMemory(t *testing.T) {
	s := newSim(t, func(o *sim.Options) { o.Rate = 1.1 })
	inUse := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, total := inUse(), int64(0)
	const span = 5*24*time.Hour - time.Second
	for day := 60; day > 0; day -= 5 {
		begin := now.Add(-time.Duration(day) * 24 * time.Hour)
		for _, stream := range []string{"messages", "groups/" + sim.GroupID(3)} {
			query := window(s, begin, begin.Add(span), 1000)
			for page := range 8 {
				status, r := ask(t, s, path(stream)+"?"+query)
				if status != 200 || r.Count == 0 {
					t.Fatalf("%s: status %d, %d rows", stream, status, r.Count)
				}
				if page == 0 && stream == "messages" {
					total += r.Total
				}
				if query = r.next(); query == "" {
					break
				}
			}
		}
	}
	if total < 5_000_000 {
		t.Errorf("%d rows, want more than five million", total)
	}
	if grown := inUse() - before; grown > 8<<20 {
		t.Errorf("%d bytes more are in use", grown)
	}
}
