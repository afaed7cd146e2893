package pipeline

import (
	"context"
	"errors"
	"sync"
	"time"
)

// What a window waits for before it is read, and what it gives back: its plan, memory, a slot, a place to be streamed ([Bounds] has the order).

// takeSlot waits for a slot.
func (f *windowFetch) takeSlot(ctx context.Context) error {
	slot, err := f.res.slots.take(ctx, f.stream, f.backlog)
	if err != nil {
		return err
	}
	f.slot = slot
	return nil
}

// layOut plans the window, tells the reader, and waits for memory and a slot, unless the reader has done that. The head moves on while a
// window waits for that, so it is planned once more then.
func (f *windowFetch) layOut(ctx context.Context) (err error) {
	defer func() {
		if err != nil && f.slot != nil {
			f.slot.giveBack()
		}
	}()
	plan, hasTurn, err := f.firstPlan(ctx)
	if err != nil {
		return err
	}
	if !hasTurn {
		if plan, err = f.awaitTurn(ctx, plan); err != nil {
			return err
		}
	} else if err = f.tellPlan(ctx, plan); err != nil {
		return err
	}
	f.asked = plan
	f.res.observer.Tell(WindowPlanned{f.stream, plan})
	return nil
}

// firstPlan plans the window, and tells whether it has its turn, which the reader may have waited for.
func (f *windowFetch) firstPlan(ctx context.Context) (plan Plan, hasTurn bool, err error) {
	if f.slot != nil && !f.slot.over {
		soon, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if plan, err = f.res.source.Plan(soon, f.stream, f.from); err == nil || soon.Err() == nil || ctx.Err() != nil {
			return plan, true, err
		}
		f.slot.giveBack() // The clocks have come to disagree: others have the slot meanwhile.
	}
	plan, err = f.res.source.Plan(ctx, f.stream, f.from)
	return plan, false, err
}

// awaitTurn waits for memory and a slot, tells the reader the plan, and returns it as it is then.
func (f *windowFetch) awaitTurn(ctx context.Context, plan Plan) (_ Plan, err error) {
	planned := f.res.now()
	if f.alone && f.reserved == 0 {
		if f.reserved, err = f.res.memory.await(ctx, f.stream, f.needs); err != nil {
			return plan, err
		}
	}
	if !plan.Head {
		if err = f.tellPlan(ctx, plan); err != nil {
			return plan, err
		}
	}
	if err = f.takeSlot(ctx); err != nil || !plan.Head {
		return plan, err
	}
	if f.res.now().Sub(planned) >= time.Second { // The API's bounds have whole seconds.
		if plan, err = f.planAgain(ctx); err != nil {
			return plan, err
		}
	}
	return plan, f.tellPlan(ctx, plan)
}

// tellPlan tells the reader what is about to be asked for. What follows may be under way from then on.
func (f *windowFetch) tellPlan(ctx context.Context, plan Plan) error {
	if !plan.Head {
		f.from.Until, f.alone = plan.Window.End, false
	}
	return f.tell(ctx, &windowPlanned{f, plan})
}

// planAgain plans a window that has waited for its slot. That takes no time, unless the clocks have come to disagree; then others have
// the slot meanwhile.
func (f *windowFetch) planAgain(ctx context.Context) (Plan, error) {
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	plan, err := f.res.source.Plan(soon, f.stream, f.from)
	if err == nil || soon.Err() == nil || ctx.Err() != nil {
		return plan, err
	}
	f.slot.pause()
	if plan, err = f.res.source.Plan(ctx, f.stream, f.from); err != nil {
		return plan, err
	}
	return plan, f.slot.resume(ctx)
}

// errNoRoom ends the reading of a window that would have to be streamed, and may not yet, and of a look.
var errNoRoom = errors.New("there is neither memory for the window nor a place to stream it")

// mayWait tells whether the window may wait until those before it are handed on, with what it has.
func (f *windowFetch) mayWait() bool {
	select {
	case <-f.predecessors:
		return true // There is nothing to wait for.
	default:
		return f.res.bounds.single
	}
}

// mayStream takes a place to be streamed, if there is one. A window that holds memory waits for it where nobody else may need that memory: there
// are no more of those than there is memory for.
func (f *windowFetch) mayStream(ctx context.Context, holds bool) (bool, error) {
	places := f.res.bounds.streamed
	switch {
	case f.place != nil:
		return true, nil
	case holds && f.res.bounds.single:
		if err := places.Acquire(ctx, 1); err != nil {
			return false, err
		}
	case !places.TryAcquire(1):
		return false, nil
	}
	f.place = sync.OnceFunc(func() { places.Release(1) })
	return true, nil
}

// awaitPlace waits for a place to be streamed. It holds nothing meanwhile: neither the rows that came, for which there is no room, nor
// memory that its predecessors may need.
func (f *windowFetch) awaitPlace(ctx context.Context) error {
	f.giveBack(f.reserved)
	f.reserved = 0
	select {
	case <-f.predecessors:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := f.res.bounds.streamed.Acquire(ctx, 1); err != nil {
		return err
	}
	f.place = sync.OnceFunc(func() { f.res.bounds.streamed.Release(1) })
	return nil
}

// leavePlace gives back the place to be streamed, if it has one.
func (f *windowFetch) leavePlace() {
	if f.place != nil {
		f.place()
		f.place = nil
	}
}

// giveBack returns memory to the budget.
func (f *windowFetch) giveBack(bytes int64) {
	if bytes <= 0 {
		return
	}
	f.res.memory.giveBack(bytes)
	select {
	case f.freed <- struct{}{}:
	default: // It knows already.
	}
}
