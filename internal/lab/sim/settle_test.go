package sim_test

import (
	"slices"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// TestLateHours asks for whole hours while rows of them are still to appear: their totals are not to be remembered yet.
func TestLateHours(t *testing.T) {
	t.Parallel()
	s, at := settable(t, func(o *sim.Options) { o.Rate, o.Late, o.LateBy = 0.5, 0.5, 2*time.Hour })
	begin, end := now.Add(-3*time.Hour), now.Add(-time.Second)
	last := int64(0)
	for range 7 {
		var want []string
		for r := range s.Truth(sim.Range{Begin: begin, End: end.Add(999 * time.Millisecond)}) {
			if !r.Appears.After(*at) {
				want = append(want, string(r.Raw))
			}
		}
		total, rows := pages(t, s, "/v2/messages", begin, end, 1000)
		if total != int64(len(rows)) || !slices.Equal(rows, want) || total <= last {
			t.Errorf("at %v: total %d, %d rows; want %d, more than %d", at, total, len(rows), len(want), last)
		}
		last = total
		*at = at.Add(20 * time.Minute)
	}
}

// TestHoursBySender asks for an hour that has just ended: rows whose senders' clocks are behind still belong to it.
func TestHoursBySender(t *testing.T) {
	t.Parallel()
	s, at := settable(t, func(o *sim.Options) { o.Clock, o.Rate = sim.SenderClock, 5 })
	begin, end := now.Add(-time.Hour), now.Add(-time.Second)
	*at = now.Add(time.Second)
	early, _ := pages(t, s, "/v2/messages", begin, end, 1000)
	*at = now.Add(time.Minute)
	want := sortedBySender(t, s, begin, end, "")
	total, rows := pages(t, s, "/v2/messages", begin, end, 1000)
	if total != int64(len(rows)) || !slices.Equal(rows, want) || total <= early {
		t.Errorf("total %d, %d rows; want %d, more than %d", total, len(rows), len(want), early)
	}
}

// TestEdgeOfAnHour ends a window in the last second of an hour, where bounds in milliseconds leave out the rest of it.
func TestEdgeOfAnHour(t *testing.T) {
	t.Parallel()
	begin, end := now.Add(-2*time.Hour), now.Add(-time.Hour-time.Second)
	s := newSim(t, func(o *sim.Options) { o.EndMillis, o.Rate = true, 20 })
	total, rows := pages(t, s, "/v2/messages", begin, end, 1000)
	if want := truth(s, begin, end, ""); total != int64(len(rows)) || !slices.Equal(rows, want) {
		t.Errorf("total %d, %d rows; want %d", total, len(rows), len(want))
	}
}
