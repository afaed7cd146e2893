package endtoend_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/pipeline"
)

// wantWhole runs the job to its end and expects every row exactly once.
func wantWhole(t *testing.T, j *job) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runWithin)
	defer cancel()
	if err := j.run(ctx, nil); err != nil {
		t.Fatalf("run: %v", err)
	}
	if ctx.Err() != nil {
		t.Fatal("the run did not come to the end of the history in time")
	}
	report := j.compare(t)
	if !report.OK() || report.Rows == 0 {
		t.Errorf("%s", report.String())
	}
}

func TestWholeHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10, func(o *sim.Options) { o.Rate, o.IrregularRows = 2, 0.02 })
	wantWhole(t, w.job("whole"))
}

// hostile is an API in which everything goes wrong now and then. A 429 is rare, because each of them holds all requests back
// for a second.
func hostile(o *sim.Options) {
	o.Rate, o.IrregularRows = 5, 0.02
	o.CursorAtEnd, o.Gzip = true, true
	o.CursorTTL = 2 * time.Second
	o.Faults = sim.Faults{
		RateLimited: 0.004, RateLimitedBare: 0.002, ServerError: 0.03, HTMLError: 0.02, HTMLPage: 0.01, Truncated: 0.03,
		Malformed: 0.02, Dropped: 0.02, DroppedMidway: 0.02, Repeated: 0.05, Displaced: 0.03, WrongTotal: 0.03,
		ExpiredEarly: 0.03, Slow: 0.01, SlowBy: 100 * time.Millisecond,
	}
}

// TestUnknowns tries every answer to what the API's documents leave open.
func TestUnknowns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*sim.Options)
	}{
		{"bounds strict", func(o *sim.Options) { o.BeginStrict, o.EndStrict = true, true }},
		{"begin strict", func(o *sim.Options) { o.BeginStrict = true }},
		{"end in milliseconds", func(o *sim.Options) { o.EndMillis = true }},
		{"sender's clock", func(o *sim.Options) { o.Clock = sim.SenderClock }},
		{"sender's clock, bounds strict", func(o *sim.Options) { o.Clock, o.BeginStrict, o.EndStrict = sim.SenderClock, true, true }},
		{"cursor with the last page", func(o *sim.Options) { o.CursorAtEnd = true }},
		{"empty pages in between", func(o *sim.Options) { o.EmptyPages = true }},
		{"one cursor for all pages", func(o *sim.Options) { o.ConstantCursor = true }},
		{"one cursor, empty pages, lost replies", func(o *sim.Options) {
			o.ConstantCursor, o.EmptyPages, o.Dropped, o.DroppedMidway, o.Truncated = true, true, 0.02, 0.02, 0.02
		}},
		{"no total", func(o *sim.Options) { o.NoTotal = true }},
		{"no total, one cursor, lost replies", func(o *sim.Options) {
			o.NoTotal, o.ConstantCursor, o.Dropped, o.DroppedMidway, o.Truncated = true, true, 0.01, 0.01, 0.01
		}},
		{"expired cursor is 404", func(o *sim.Options) { o.ExpiredStatus, o.ExpiredCode, o.ExpiredEarly = 404, 0, 0.05 }},
		{"expired cursor is 410", func(o *sim.Options) { o.ExpiredStatus, o.ExpiredCode, o.ExpiredEarly = 410, 899003, 0.05 }},
		{"old times are refused", func(o *sim.Options) { o.OldIsError = true }},
		{"another zone", func(o *sim.Options) { o.Zone = time.UTC }},
		{"a dense second", func(o *sim.Options) { o.Burst, o.BurstAt = 3000, o.End.Add(-time.Minute) }},
		{"sparse", func(o *sim.Options) { o.Rate = 0.01 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 15, func(o *sim.Options) { o.Rate, o.IrregularRows = 1, 0.02; c.change(o) })
			j := w.job("unknown")
			j.pageSize = 20
			wantWhole(t, j)
		})
	}
}

// TestStreams reads users, groups and rooms, some with awkward names, side by side.
func TestStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30, func(o *sim.Options) { o.Rate, o.RoomsInMessages = 2, false })
	j := w.job("streams")
	j.streams = []pipeline.Stream{
		{Kind: pipeline.StreamGroups, Name: sim.GroupID(0)},
		{Kind: pipeline.StreamGroups, Name: sim.GroupID(1)},
		{Kind: pipeline.StreamChatrooms, Name: sim.RoomID(2)},
	}
	wantWhole(t, j)
	// Streams of users overlap those of groups, so each of the awkward names is tried by itself.
	for _, i := range []int{0, 3, 11, 17} {
		j := w.job(fmt.Sprintf("user-%d", i))
		j.streams = []pipeline.Stream{{Kind: pipeline.StreamUsers, Name: sim.Username(i)}}
		wantWhole(t, j)
	}
	all := w.job("messages-and-rooms") // Where /messages has no rooms, the two do not overlap.
	all.streams = []pipeline.Stream{
		{Kind: pipeline.StreamMessages},
		{Kind: pipeline.StreamChatrooms, Name: sim.RoomID(0)},
		{Kind: pipeline.StreamChatrooms, Name: sim.RoomID(1)},
	}
	wantWhole(t, all)
}

// TestKilledAtEachStep cuts a run off at each of its exchanges with the API and with Kafka one after another, before and after it
// took place, starts it again, and expects every row exactly once.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, func(o *sim.Options) { o.Rate, o.IrregularRows = 1, 0.05 })
	killAtEachStep(t, w)
}

// killAtEachStep kills runs on a world at each of their exchanges.
func killAtEachStep(t *testing.T, w *world) {
	t.Helper()
	killAtSteps(t, 1, func(name string, lost bool) *job {
		j := w.job(name)
		j.unchecked = !lost // Half of them are enough to see that a killed run keeps the contract.
		return j
	})
}

// killAtSteps counts a run's exchanges and cuts one run off at each of those that are so many apart, before and after it took place.
func killAtSteps(t *testing.T, apart int64, made func(name string, lost bool) *job) {
	t.Helper()
	counter := &cut{}
	ctx, cancel := context.WithTimeout(t.Context(), runWithin)
	defer cancel()
	if err := made("count", false).run(ctx, counter); err != nil || ctx.Err() != nil {
		t.Fatalf("a run that is not cut off: %v, %v", err, ctx.Err())
	}
	steps := counter.n.Load()
	t.Logf("a run has %d exchanges", steps)
	for n := int64(1); n <= steps; n += apart {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d lost %t", n, lost), func(t *testing.T) {
				t.Parallel()
				j := made(fmt.Sprintf("kill-%d-%t", n, lost), lost)
				cutOff(t, j, n, lost)
				wantWhole(t, j)
			})
		}
	}
}
