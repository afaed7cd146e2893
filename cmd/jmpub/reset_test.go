package main

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// historyGate holds up requests for windows of history that end behind a time, so that a test decides how far it is read. Those for
// a moment, and for all of it, pass.
type historyGate struct {
	zone *time.Location
	end  time.Time

	mu      sync.Mutex
	limit   time.Time
	changed chan struct{}
}

func (g *historyGate) allow(limit time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = limit
	if g.changed != nil {
		close(g.changed)
	}
	g.changed = make(chan struct{})
}

func (g *historyGate) hold(r *http.Request) {
	begin, none := time.ParseInLocation(time.DateTime, r.URL.Query().Get("begin_time"), g.zone)
	end, err := time.ParseInLocation(time.DateTime, r.URL.Query().Get("end_time"), g.zone)
	if span := end.Sub(begin); none != nil || err != nil || span < 30*time.Second || span > 4*time.Minute || end.After(g.end) {
		return
	}
	for {
		g.mu.Lock()
		limit, changed := g.limit, g.changed
		g.mu.Unlock()
		if !end.After(limit) {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// TestResetThatIsAnsweredLate has a run publish more of the history behind the head while the question of a reset stands: what it
// published meanwhile is not published again, since the reset is made of the position that is committed when it is written.
func TestResetThatIsAnsweredLate(t *testing.T) {
	s := newStation(t)
	s.env["JMPUB_CATCHUP"], s.env["JMPUB_API_PAGE_SIZE"] = "live-first", "20"
	gate := &historyGate{zone: s.api.Zone, end: s.end.Add(-time.Minute)}
	gate.allow(s.begin.Add(4 * time.Minute))
	hold := gate.hold
	s.gate.Store(&hold)
	run := s.startLive()
	asked := run.until("some of the history is published", func() bool {
		return len(run.at.Backlog) == 1 && run.at.Backlog[0].End.After(s.begin)
	})
	to := s.begin.Add(15 * time.Minute)
	var answered pipeline.Checkpoint
	next, err := s.reset(s.config(), time.Time{}, to, func() {
		gate.allow(s.begin.Add(9 * time.Minute))
		answered = run.until("more of it is published", func() bool { return run.at.Backlog[0].End.After(s.begin.Add(5 * time.Minute)) })
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(next.Backlog) != 1 || !next.Backlog[0].Until.Equal(to) || next.Backlog[0].End.Before(answered.Backlog[0].End) {
		t.Errorf("the position was %+v, and is %+v after the reset to %s", answered, next, to)
	}
	gate.allow(s.end)
	run.caughtUp(1)
	last := run.stop()
	split := asked.Backlog[0].Until
	s.wantTimes(func(second time.Time) (due, more int) {
		switch {
		case second.Before(split.Add(-5 * time.Second)):
			return 1, 0 // Before the time it is published once; behind it, the history had not come so far.
		case second.Before(split):
			return 1, 1 // The first live window overlaps what is before it.
		case second.Before(answered.End):
			return 2, 0
		case second.Before(last.End):
			return 1, 1
		default:
			return 0, 2
		}
	})
}

// TestTwoResetsAtOnce has two ranges published again by commands that are answered at the same moment, beside a run: each of them comes
// once more, everything else once, and the live position stays.
func TestTwoResetsAtOnce(t *testing.T) {
	s := newStation(t)
	run := s.startLive()
	before := run.live()
	sessions := run.sessionsNow()
	cfg, arrive := s.config(), meeting(2)
	ranges := [][2]time.Time{
		{s.begin.Add(3 * time.Minute), s.begin.Add(6 * time.Minute)}, {s.begin.Add(10 * time.Minute), s.begin.Add(11 * time.Minute)},
	}
	var resets sync.WaitGroup
	for _, r := range ranges {
		resets.Go(func() {
			next, err := s.reset(cfg, r[0], r[1], arrive)
			if err != nil || next.End.Before(before.End) {
				t.Errorf("reset: %v; the position is %+v, it was %+v", err, next, before)
			}
		})
	}
	resets.Wait()
	run.caughtUp(sessions)
	last := run.stop()
	s.wantTimes(func(second time.Time) (due, more int) {
		again := within(second, ranges[0][0], ranges[0][1]) + within(second, ranges[1][0], ranges[1][1])
		if second.Before(last.End) {
			return 1 + again, 0
		}
		return 0, 1
	})
}
