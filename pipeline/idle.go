package pipeline

import (
	"context"
	"sync"
	"time"
)

// A reader that has nothing to do but wait has no goroutine: there may be thousands of streams in which nothing happens, and each would keep the
// stack that its deepest call took. A timer or the queue for a turn has it go on in a new one.

// work reads on, and calls ended, once, when the context is done, the stream's range is read, or an error came that reading again does not
// help. It returns before that where the reader has to wait.
func (r *reader) work(ctx context.Context, ended func(error)) {
	idle, err := r.read(ctx)
	switch {
	case !idle:
		ended(err)
	case r.wantsTurn:
		r.awaitTurn(ctx, ended)
	default:
		r.awaitDue(ctx, ended)
	}
}

// run does the same and waits for the end.
func (r *reader) run(ctx context.Context) error {
	ended := make(chan error, 1)
	r.work(ctx, func(err error) { ended <- err })
	return <-ended
}

// awaitTurn goes on when the reader has a place in the queue for slots. Whichever of that and the end of the context comes first keeps the other
// from doing anything.
func (r *reader) awaitTurn(ctx context.Context, ended func(error)) {
	isFirst := context.AfterFunc(ctx, func() { ended(ctx.Err()) })
	r.res.slots.enter(r.stream, r.backlog, func() bool {
		if !isFirst() {
			return false
		}
		r.entered = true
		go r.work(ctx, ended)
		return true
	})
}

// awaitDue goes on when the next window can be asked for.
func (r *reader) awaitDue(ctx context.Context, ended func(error)) {
	var timer *time.Timer
	var setting sync.Mutex // The context may be done before the timer is set.
	setting.Lock()
	defer setting.Unlock()
	isFirst := context.AfterFunc(ctx, func() {
		setting.Lock()
		timer.Stop()
		setting.Unlock()
		ended(ctx.Err())
	})
	timer = time.AfterFunc(r.wait, func() {
		if isFirst() {
			r.wait, r.waited = 0, true
			r.work(ctx, ended)
		}
	})
}
