package sim_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

func TestBounds(t *testing.T) {
	t.Parallel()
	const milli = time.Millisecond
	at := now.Add(-10 * time.Minute)
	end := at.Add(10 * time.Second)
	for _, c := range []struct {
		name        string
		change      func(*sim.Options)
		first, last time.Time // of what must come
	}{
		{"inclusive", func(*sim.Options) {}, at, end.Add(999 * milli)},
		{"begin strict", func(o *sim.Options) { o.BeginStrict = true }, at.Add(time.Second), end.Add(999 * milli)},
		{"end strict", func(o *sim.Options) { o.EndStrict = true }, at, end.Add(-milli)},
		{"strict", func(o *sim.Options) { o.BeginStrict, o.EndStrict = true, true }, at.Add(time.Second), end.Add(-milli)},
		{"millis", func(o *sim.Options) { o.EndMillis = true }, at, end},
		{"millis, strict", func(o *sim.Options) { o.EndMillis, o.BeginStrict, o.EndStrict = true, true, true }, at.Add(milli), end.Add(-milli)},
	} {
		differs := false
		for seed := range uint64(20) {
			s := newSim(t, func(o *sim.Options) { o.Rate, o.Seed = 5, seed; c.change(o) })
			_, rows := pages(t, s, "/v2/messages", at, end, 1000)
			if want := truth(s, c.first, c.last, ""); !slices.Equal(rows, want) {
				t.Errorf("%s, seed %d: %d rows, want %d", c.name, seed, len(rows), len(want))
			}
			differs = differs || len(rows) != len(truth(s, at, end.Add(999*milli), ""))
		}
		if differs == (c.name == "inclusive") {
			t.Errorf("%s: it makes a difference: %t", c.name, differs)
		}
	}
}

func TestLateRows(t *testing.T) {
	t.Parallel()
	s, at := settable(t, func(o *sim.Options) { o.Rate, o.Late, o.LateFrom, o.LateBy = 20, 0.2, 30*time.Second, time.Minute })
	begin, end := now.Add(-10*time.Second), now.Add(-time.Second)
	last, late := int64(-1), 0
	all := s.Truth(sim.Range{Begin: begin, End: end.Add(999 * time.Millisecond)})
	for _, wait := range []time.Duration{0, 29 * time.Second, 40 * time.Second, 60 * time.Second} {
		*at = now.Add(wait)
		var want []string
		for r := range all {
			if !r.Appears.After(*at) {
				want = append(want, string(r.Raw))
			}
			if delay := r.Appears.Sub(r.Time); delay != 0 && (delay < s.LateFrom || delay > s.LateBy) {
				t.Fatalf("a row is %v late", delay)
			} else if delay != 0 {
				late++
			}
		}
		total, rows := pages(t, s, "/v2/messages", begin, end, 7)
		if total != int64(len(rows)) || !slices.Equal(rows, want) || total < last {
			t.Errorf("after %v: total %d, %d rows; want %d", wait, total, len(rows), len(want))
		}
		last = total
	}
	if late == 0 || last != int64(len(truth(s, begin, end.Add(999*time.Millisecond), ""))) {
		t.Errorf("%d late rows; at last %d rows are there", late, last)
	}
}

// TestDrift sees rows that appeared since the first request, and the total change with them.
func TestDrift(t *testing.T) {
	t.Parallel()
	s, at := settable(t, func(o *sim.Options) { o.Drift, o.Rate, o.Late, o.LateBy = true, 20, 0.3, time.Minute })
	_, first := ask(t, s, "/v2/messages?"+window(s, now.Add(-time.Minute), now.Add(-time.Second), 10))
	*at = now.Add(time.Minute)
	rows, r := first.rows(), first
	for r.next() != "" {
		_, r = ask(t, s, "/v2/messages?"+r.next())
		rows = append(rows, r.rows()...)
	}
	if r.Total <= first.Total || int64(len(rows)) <= first.Total || distinct(rows) != len(rows) {
		t.Errorf("total %d, later %d, with %d rows", first.Total, r.Total, len(rows))
	}
}

func TestRoomsInMessages(t *testing.T) {
	t.Parallel()
	for _, rooms := range []bool{false, true} {
		s := newSim(t, func(o *sim.Options) { o.RoomsInMessages = rooms })
		total, rows := pages(t, s, "/v2/messages", now.Add(-3*time.Hour), now.Add(-time.Second), 1000)
		has := slices.ContainsFunc(rows, func(row string) bool { return strings.Contains(row, `"target_type":"chatroom"`) })
		if has != rooms || total != int64(len(rows)) {
			t.Errorf("rooms %t: found %t, total %d of %d rows", rooms, has, total, len(rows))
		}
		if _, inRoom := pages(t, s, path("chatrooms/"+sim.RoomID(0)), now.Add(-time.Hour), now, 1000); len(inRoom) == 0 {
			t.Errorf("rooms %t: a room is empty", rooms)
		}
	}
}

func TestZone(t *testing.T) {
	t.Parallel()
	here := newSim(t, nil)
	utc := newSim(t, func(o *sim.Options) { o.Zone = time.UTC })
	query := window(utc, now.Add(-20*time.Hour), now.Add(-19*time.Hour), 1000)
	_, a := ask(t, utc, "/v2/messages?"+query)
	_, b := ask(t, here, "/v2/messages?"+window(here, now.Add(-20*time.Hour), now.Add(-19*time.Hour), 1000))
	_, other := ask(t, here, "/v2/messages?"+query)
	if a.Total != b.Total || !slices.Equal(a.rows(), b.rows()) {
		t.Error("the same instants in two zones are two windows")
	}
	if slices.Equal(a.rows(), other.rows()) {
		t.Error("the same local times in two zones are one window")
	}
}

// TestCursorsThatDoNotDoWhatOneExpects follows cursors that stay the same, and those that lead to empty pages, and finds every row.
func TestCursorsThatDoNotDoWhatOneExpects(t *testing.T) {
	t.Parallel()
	begin, end := now.Add(-10*time.Minute), now.Add(-time.Minute)
	for name, change := range map[string]func(*sim.Options){
		"constant":              func(o *sim.Options) { o.ConstantCursor = true },
		"empty pages":           func(o *sim.Options) { o.EmptyPages = true },
		"constant, empty pages": func(o *sim.Options) { o.ConstantCursor, o.EmptyPages = true, true },
	} {
		s := newSim(t, func(o *sim.Options) { o.Rate = 1; change(o) })
		var rows []string
		cursors, empty := make(map[string]bool), 0
		want := truth(s, begin, end.Add(999*time.Millisecond), "")
		for query := window(s, begin, end, 100); query != "" && len(rows) < len(want); {
			_, r := ask(t, s, "/v2/messages?"+query)
			rows = append(rows, r.rows()...)
			if len(r.Messages) == 0 {
				empty++
			}
			query = r.next()
			cursors[query] = true
		}
		if !slices.Equal(rows, want) {
			t.Errorf("%s: %d rows, want %d", name, len(rows), len(want))
		}
		if (len(cursors) == 1) != s.ConstantCursor || (empty > 0) != s.EmptyPages {
			t.Errorf("%s: %d cursors, %d empty pages", name, len(cursors), empty)
		}
	}
}
