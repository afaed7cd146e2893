package sim_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

func TestSameSeedSameHistory(t *testing.T) {
	t.Parallel()
	begin, end := now.Add(-time.Hour), now
	irregular := func(o *sim.Options) { o.IrregularRows, o.Late, o.LateBy = 0.1, 0.1, time.Hour }
	a, b := newSim(t, irregular), newSim(t, irregular)
	other := newSim(t, func(o *sim.Options) { irregular(o); o.Seed = 2 })
	if !slices.Equal(truth(a, begin, end, ""), truth(b, begin, end, "")) {
		t.Error("the same seed gave two histories")
	}
	if slices.Equal(truth(a, begin, end, ""), truth(other, begin, end, "")) {
		t.Error("two seeds gave the same history")
	}
	// Where the truth begins and ends does not matter.
	whole, parts := truth(a, begin, end, ""), []string(nil)
	for at := begin; !at.After(end); at = at.Add(7777 * time.Millisecond) {
		parts = append(parts, truth(a, at, at.Add(7776*time.Millisecond), "")...)
	}
	if len(parts) < len(whole) || !slices.Equal(whole, parts[:len(whole)]) {
		t.Error("the history in parts is another")
	}
	// What the API hides, and how it sorts, is no part of the truth.
	hiding := newSim(t, func(o *sim.Options) {
		irregular(o)
		o.BeginStrict, o.EndMillis, o.Late, o.Clock = true, true, 1, sim.SenderClock
		o.Faults = sim.Faults{Dropped: 1}
	})
	if !slices.Equal(whole, truth(hiding, begin, end, "")) {
		t.Error("switches change the truth")
	}
	if rows := truth(a, begin, end, "users/nobody"); len(rows) != 0 {
		t.Errorf("an unknown user has %d rows", len(rows))
	}
}

// TestOrderOfTruth looks at the clock of rows, their places within a second, and their ids.
func TestOrderOfTruth(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{0.3, 3, 50} {
		s := newSim(t, func(o *sim.Options) { o.Rate = rate })
		var last sim.Row
		falls, first, final, between := 0, 0, 0, 0
		begin, end := now.Add(-time.Hour).Add(300*time.Millisecond), now.Add(-700*time.Millisecond)
		for r := range s.Truth(sim.Range{Begin: begin, End: end}) {
			if r.Time.Before(last.Time) || r.Time.Before(begin) || r.Time.After(end) {
				t.Fatalf("rate %g: a row at %v after %v", rate, r.Time, last.Time)
			}
			if r.MsgID < last.MsgID {
				falls++
			}
			switch r.Time.Nanosecond() / 1e6 {
			case 0:
				first++
			case 999:
				final++
			default:
				between++
			}
			last = r
		}
		if rows := first + final + between; falls < rows/3 || first == 0 || final == 0 || between < rows/4 {
			t.Errorf("rate %g: %d rows, %d at .000, %d at .999, ids fall %d times", rate, rows, first, final, falls)
		}
	}
}

// TestIDsOfDenseSeconds are unique where index and second are at their limits.
func TestIDsOfDenseSeconds(t *testing.T) {
	t.Parallel()
	const rows = 400_000
	at := now.Add(-time.Hour)
	s := newSim(t, func(o *sim.Options) { o.Rate, o.Burst, o.BurstAt = 50_000, rows, at })
	ids := make([]int64, 0, rows+400_000)
	for r := range s.Truth(sim.Range{Begin: at.Add(-time.Second), End: at.Add(1999 * time.Millisecond)}) {
		ids = append(ids, r.MsgID)
	}
	slices.Sort(ids)
	if n := len(ids); n < rows+50_000 || len(slices.Compact(ids)) != n {
		t.Errorf("%d rows, %d different ids", n, len(slices.Compact(ids)))
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate  float64
		daily bool
	}{{1.0 / 86400, false}, {0.01, false}, {1, false}, {7.5, true}, {0.2, true}} {
		s := newSim(t, func(o *sim.Options) { o.Rate, o.Daily, o.Seed = c.rate, c.daily, 4 })
		total := int64(0)
		const week = 7*24*time.Hour - time.Second
		for i := range 8 {
			begin := now.Add(-time.Duration(59-7*i) * 24 * time.Hour)
			_, r := ask(t, s, "/v2/messages?"+window(s, begin, begin.Add(week), 1))
			total += r.Total
		}
		want := c.rate * 56 * 86400
		tolerance := 0.02*want + 20
		if diff := float64(total) - want; diff > tolerance || diff < -tolerance {
			t.Errorf("rate %g, daily %t: %d rows, want about %.0f", c.rate, c.daily, total, want)
		}
	}
	daily := newSim(t, func(o *sim.Options) { o.Daily = true })
	day := now.In(daily.Zone).Add(-24 * time.Hour).Truncate(24 * time.Hour).Add(-8 * time.Hour) // Midnight in the zone.
	hour := func(h int) int64 {
		_, r := ask(t, daily, "/v2/messages?"+window(daily, day.Add(time.Duration(h)*time.Hour), day.Add(time.Duration(h+1)*time.Hour-time.Second), 1))
		return r.Total
	}
	if night, evening := hour(3), hour(20); evening < 5*night {
		t.Errorf("%d rows at night, %d in the evening", night, evening)
	}
}

func TestBeginAndEnd(t *testing.T) {
	t.Parallel()
	begin, end := now.Add(-time.Hour), now.Add(-30*time.Minute)
	s := newSim(t, func(o *sim.Options) { o.Begin, o.End = begin, end })
	_, rows := pages(t, s, "/v2/messages", begin.Add(-time.Hour), now, 1000)
	if want := truth(s, begin, end.Add(-time.Millisecond), ""); !slices.Equal(rows, want) || len(rows) == 0 {
		t.Errorf("%d rows, want %d", len(rows), len(want))
	}
	if all := truth(s, time.Time{}, time.Time{}, ""); !slices.Equal(rows, all) {
		t.Errorf("%d rows in a range without bounds, want %d", len(all), len(rows))
	}
}

// TestStreamsArePartsOfAll holds that what a group or room has is what messages has of it.
func TestStreamsArePartsOfAll(t *testing.T) {
	t.Parallel()
	s := newSim(t, nil)
	begin, end := now.Add(-time.Hour), now
	all := truth(s, begin, end, "messages")
	for stream, mark := range map[string]string{
		"groups/" + sim.GroupID(3):   `"target_id":"` + sim.GroupID(3) + `"`,
		"chatrooms/" + sim.RoomID(2): `"target_id":"` + sim.RoomID(2) + `"`,
	} {
		var want []string
		for _, row := range all {
			if strings.Contains(row, mark) {
				want = append(want, row)
			}
		}
		if got := truth(s, begin, end, stream); !slices.Equal(got, want) || len(got) == 0 {
			t.Errorf("%s: %d rows, want %d", stream, len(got), len(want))
		}
	}
}
