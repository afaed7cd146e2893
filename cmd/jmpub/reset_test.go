package main

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// historyGate holds up requests for windows of history from when a test has seen enough of it published. It asks for that, and not for how
// late a window ends, since windows that are read ahead may have the slots that those before them wait for.
type historyGate struct {
	zone *time.Location
	// end is where that history ends. What is later passes, and requests for a moment, and for one row, which ask how many there are.
	end time.Time

	mu     sync.Mutex
	enough func() bool
	opened chan struct{}
	held   int
}

// newHistoryGate closes the API's history for a station.
func (s *station) newHistoryGate(end time.Time, enough func() bool) *historyGate {
	g := &historyGate{zone: s.api.Zone, end: end, enough: enough, opened: make(chan struct{})}
	hold := g.hold
	s.gate.Store(&hold)
	return g
}

// open lets everything pass until there is enough once more; nil is never.
func (g *historyGate) open(enough func() bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.enough = enough
	close(g.opened)
	g.opened = make(chan struct{})
}

func (g *historyGate) hold(r *http.Request) {
	asked := r.URL.Query()
	begin, none := time.ParseInLocation(time.DateTime, asked.Get("begin_time"), g.zone)
	end, err := time.ParseInLocation(time.DateTime, asked.Get("end_time"), g.zone)
	if none != nil || err != nil || end.After(g.end) || end.Sub(begin) < 30*time.Second || asked.Get("count") == "1" {
		return
	}
	for {
		g.mu.Lock()
		enough, opened := g.enough, g.opened
		g.mu.Unlock()
		if enough == nil || !enough() {
			return
		}
		g.count(1)
		select {
		case <-opened:
		case <-r.Context().Done():
		}
		g.count(-1)
		if r.Context().Err() != nil {
			return
		}
	}
}

func (g *historyGate) count(more int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held += more
}

// holds tells whether a request waits.
func (g *historyGate) holds() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held > 0
}

// TestResetThatIsAnsweredLate has a run publish more of the history behind the head while the question of a reset stands: what it
// published meanwhile is not published again, since the reset is made of the position that is committed when it is written.
func TestResetThatIsAnsweredLate(t *testing.T) {
	t.Parallel()
	s := newStation(t, longHistory)
	s.env["JMPUB_CATCHUP"], s.env["JMPUB_API_PAGE_SIZE"], s.env["JMPUB_START"] = "live-first", "20", "90m"
	backlogBehind := func(at time.Time) func() bool {
		return func() bool {
			cp := s.reached.Load()
			return cp != nil && len(cp.Backlog) == 1 && cp.Backlog[0].End.After(at)
		}
	}
	gate := s.newHistoryGate(s.end.Add(-time.Minute), backlogBehind(s.begin))
	run := s.startLive()
	asked := run.until("some of the history is published", backlogBehind(s.begin))
	to := s.end.Add(-5 * time.Minute)
	var answered pipeline.Checkpoint
	next, err := s.reset(s.config(), time.Time{}, to, func() {
		more := backlogBehind(asked.Backlog[0].End)
		gate.open(more)
		answered = run.until("more of it is published", more)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(next.Backlog) != 1 || !next.Backlog[0].Until.Equal(to) || next.Backlog[0].End.Before(answered.Backlog[0].End) {
		t.Errorf("the position was %+v, and is %+v after the reset to %s", answered, next, to)
	}
	gate.open(nil)
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
	t.Parallel()
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
