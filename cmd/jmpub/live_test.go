package main

import (
	"context"
	"iter"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/view"
	"github.com/jmpub/jmpub/pipeline"
)

// liveRun is a run that tells where its stream is.
type liveRun struct {
	*station

	// url is where it listens; empty where it does not.
	url  string
	end  context.CancelFunc
	left chan error

	mu       sync.Mutex
	at       pipeline.Checkpoint
	sessions int
	windows  int
	changed  chan struct{}
}

// startLive starts a run, which ends without an error when the test stops it.
func (s *station) startLive(prepare ...func(*operate.RunOptions)) *liveRun {
	s.t.Helper()
	cfg := s.config()
	c := &liveRun{station: s, left: make(chan error, 1), changed: make(chan struct{})}
	var ctx context.Context
	ctx, c.end = context.WithCancel(s.t.Context())
	s.t.Cleanup(c.end)
	var said journal
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("the run said:\n%s", said.String())
		}
	})
	o := operate.RunOptions{Version: "test", Observers: []pipeline.Observer{c.observe}}
	for _, do := range prepare {
		do(&o)
	}
	live, err := operate.NewProcess(ctx, cfg, view.NewLogger(&said, slog.LevelInfo, "text", secret.Redactor{}), o)
	if err != nil {
		s.t.Fatal(err)
	}
	c.url = live.StatusURL()
	go func() {
		defer live.Close()
		c.left <- live.Run(ctx)
	}()
	return c
}

func (c *liveRun) observe(o pipeline.Observation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch o := o.(type) {
	case pipeline.StreamStarted:
		c.sessions++
		c.at = *o.Checkpoint
	case pipeline.WindowCommitted:
		c.windows++
		c.at = *o.Checkpoint
	default:
		return
	}
	at := c.at
	c.reached.Store(&at)
	close(c.changed)
	c.changed = make(chan struct{})
}

// until waits until something holds of the run, and returns its stream's position then.
func (c *liveRun) until(what string, holds func() bool) pipeline.Checkpoint {
	c.t.Helper()
	late := time.NewTimer(time.Minute) // So that a mistake ends the test.
	defer late.Stop()
	for {
		c.mu.Lock()
		at, changed, done := c.at, c.changed, holds()
		c.mu.Unlock()
		if done {
			return at
		}
		select {
		case <-changed:
		case err := <-c.left:
			c.t.Fatalf("until %s: the run has ended: %v", what, err)
		case <-late.C:
			c.t.Fatalf("the run did not come to it: %s; it is at %+v", what, at)
		}
	}
}

// live waits until the run has published everything up to now, and nothing is left behind that.
func (c *liveRun) live() pipeline.Checkpoint {
	c.t.Helper()
	now := time.Now().Add(-10 * time.Second)
	return c.until("live", func() bool { return c.windows > 0 && c.at.End.After(now) && len(c.at.Backlog) == 0 })
}

// caughtUp waits until the run has begun anew since it had so many sessions, and is live then. What it has seen itself may be from
// before the last command, which it notices a moment later; so what is committed must say the same.
func (c *liveRun) caughtUp(sessions int) {
	c.t.Helper()
	now := time.Now().Add(-10 * time.Second)
	c.until("live again", func() bool {
		if c.sessions <= sessions || !c.at.End.After(now) || len(c.at.Backlog) > 0 {
			return false
		}
		committed, ok := c.position()
		return ok && committed.End.After(now) && len(committed.Backlog) == 0
	})
}

func (c *liveRun) sessionsNow() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions
}

// stop ends the run, and returns the position at its end.
func (c *liveRun) stop() pipeline.Checkpoint {
	c.t.Helper()
	c.end()
	if err := <-c.left; err != nil {
		c.t.Errorf("run: %v", err)
	}
	return c.at // Nobody writes it any more.
}

// environment is held by the test that has set this process's.
var environment sync.Mutex

// config is what the commands read from the environment.
func (s *station) config() *settings.Config {
	s.t.Helper()
	environment.Lock()
	defer environment.Unlock()
	defer func() {
		for name := range s.env {
			_ = os.Unsetenv(name) // It was set.
		}
	}()
	for name, value := range s.env {
		if err := os.Setenv(name, value); err != nil { //nolint:forbidigo // Others run beside this test, so it cannot be t.Setenv.
			s.t.Fatal(err)
		}
	}
	read, err := settings.Read()
	if err != nil {
		s.t.Fatal(err)
	}
	cfg, err := read.Parse()
	if err != nil {
		s.t.Fatal(err)
	}
	return cfg
}

// reset does what `checkpoint reset` does. from is zero where the position itself is set.
func (s *station) reset(cfg *settings.Config, from, to time.Time, confirm func()) (*pipeline.Checkpoint, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute) // So that a mistake ends the test.
	defer cancel()
	o := operate.ResetOptions{
		Stream: pipeline.Stream{Kind: pipeline.StreamMessages}, To: settings.Moment{At: to},
		Confirm: func(string) bool { confirm(); return true },
	}
	if !from.IsZero() {
		o.From = &settings.Moment{At: from}
	}
	return operate.Reset(ctx, cfg, slog.New(slog.DiscardHandler), o)
}

// meeting has n goroutines wait for each other.
func meeting(n int) (arrive func()) {
	var all sync.WaitGroup
	all.Add(n)
	return func() {
		all.Done()
		all.Wait()
	}
}

// wantTimes expects each row that was ever there as often as times says, and at most so much more often.
func (s *station) wantTimes(times func(second time.Time) (due, more int)) {
	s.t.Helper()
	s.compare("jmessage", s.timesOf(times))
}

func (s *station) timesOf(times func(second time.Time) (due, more int)) iter.Seq[verify.TruthRow] {
	return func(yield func(verify.TruthRow) bool) {
		for r := range s.api.Truth(sim.Range{Begin: s.begin, End: time.Now()}) {
			due, more := times(r.Time.Truncate(time.Second))
			for i := range due + more {
				if !yield(verify.TruthRow{MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw, Optional: i >= due}) {
					return
				}
			}
		}
	}
}

// within is 1 for what lies in a closed range.
func within(second, from, to time.Time) int {
	if second.Before(from) || second.After(to) {
		return 0
	}
	return 1
}
