package pipeline

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// attendance calls a session's attendants when they want to be called. Safe for concurrent use.
type attendance struct {
	session *session
	group   *errgroup.Group
	// ctx ends the calls, which timers make.
	ctx    context.Context //nolint:containedctx // Timers have no other.
	cancel context.CancelFunc

	mu      sync.Mutex
	ended   bool
	waiting map[Attendant]*time.Timer
	calls   sync.WaitGroup
}

// newAttendance is one whose calls end with ctx, and end the group where they fail.
func newAttendance(ctx context.Context, group *errgroup.Group, s *session) *attendance {
	a := &attendance{session: s, group: group, waiting: make(map[Attendant]*time.Timer)}
	a.ctx, a.cancel = context.WithCancel(ctx)
	return a
}

// call calls an attendant, and later on again. The group must not have come to its end, unless this has.
func (a *attendance) call(one Attendant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return
	}
	a.calls.Add(1)
	a.group.Go(func() error {
		defer a.calls.Done()
		next, err := one.Attend(a.ctx, a.session)
		switch {
		case a.ctx.Err() != nil || ClassOf(err) == Drop:
			return nil
		case err == nil && !next.IsZero():
			a.wait(one, time.Until(next))
		}
		return err
	})
}

func (a *attendance) wait(one Attendant, long time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended {
		a.waiting[one] = time.AfterFunc(long, func() { a.call(one) })
	}
}

// end ends the calls, and returns when none is under way.
func (a *attendance) end() {
	a.cancel()
	a.mu.Lock()
	a.ended = true
	for _, timer := range a.waiting {
		timer.Stop() // One that has fired finds the end.
	}
	a.mu.Unlock()
	a.calls.Wait()
}
