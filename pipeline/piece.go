package pipeline

import (
	"context"
	"errors"
	"time"
)

// mismatchAttempts is how often a window whose rows do not add up to its total is read before it is closed all the same,
// with a notice. Each attempt must have brought the same rows.
const mismatchAttempts = 3

// piece is one window under way. It is planned and fetched by a goroutine of its own; everything else about it belongs to
// the reader.
type piece struct {
	*session
	stream Stream
	steps  chan<- step
	// gaveBack tells the reader that there is memory again.
	gaveBack func()
	// reserved is what it may take from the memory budget before it has to ask; needs is about what it will.
	reserved, needs int64
	// begins is where the window begins, after the one before it.
	begins time.Time
	// opens tells that it is a replay's first.
	opens bool
	// past tells that it lies before the live position. joint is where the past ends, if there is one behind this window.
	past  bool
	joint time.Time
	// until is where the stream ends, as the reader's.
	until time.Time
	// short tells that its length is not what suited the density.
	short bool
	// turn is closed when every window before it has been handed on; edge is what is known of them then.
	turn chan struct{}
	edge *edge
	// plan is what is being asked for, as far as the reader was told; fetched is the whole window.
	plan    *Plan
	fetched *fetch
	cancel  context.CancelFunc

	// What follows belongs to the piece's goroutine: where it begins and has to end, and what it is asking for.
	from     Position
	asked    Plan
	restarts int
	// mismatches counts how often in a row the window brought the set of rows lastSet, which is not its total.
	mismatches int
	lastSet    uint64
	// mismatched tells that the last reading ended so.
	mismatched bool
}

// step is what a piece tells the reader: a plan, the reply to its first request (what a row of it takes in memory, and
// whether it has all rows), the whole window, or an error that no reading anew can mend.
type step struct {
	piece   *piece
	plan    *Plan
	page    *Page
	bytes   int
	single  bool
	fetched *fetch
	err     error
}

// goAhead gives the piece its turn.
func (p *piece) goAhead(e *edge) {
	p.edge = e
	close(p.turn)
}

// tell hands a step to the reader.
func (p *piece) tell(ctx context.Context, s step) error {
	s.piece = p
	select {
	case p.steps <- s:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run reads the window until it is whole. A window that must be read anew is read anew here, as often as it takes, with the
// waits of the retry policy.
func (p *piece) run(ctx context.Context) {
	again := p.cfg.Retry
	again.Notify = nil // Each restart is reported as such.
	var whole *fetch
	err := again.Do(ctx, "read window", func(ctx context.Context) error {
		for {
			var err error
			if whole, err = p.attempt(ctx); err == nil || ClassOf(err) != Restart || ctx.Err() != nil {
				return err
			}
			fault, _ := errors.AsType[*Fault](err)
			if fault.Span <= 0 {
				return &Fault{Class: Transient, Op: "read " + p.stream.String(), Err: err, After: fault.After}
			}
			p.from.Span = fault.Span // A window of another length starts without a wait.
		}
	})
	if err != nil {
		p.giveBack(p.reserved)
	}
	if p.tell(ctx, step{fetched: whole, err: err}) != nil && whole != nil {
		whole.release()
	}
}

// attempt plans the window and reads it once.
func (p *piece) attempt(ctx context.Context) (*fetch, error) {
	// Only a window that does not add up is asked for exactly as before. Otherwise the plan is made anew, because the
	// history that the API holds moves on while a fault lasts.
	next := p.layOut
	if p.mismatches > 0 {
		next = func(ctx context.Context) error { return p.turns.Take(ctx, p.stream) }
	}
	if err := next(ctx); err != nil {
		return nil, err
	}
	p.mismatched = false
	f, err := p.read(ctx, p.asked)
	if err == nil {
		return f, nil
	}
	if ClassOf(err) == Restart && ctx.Err() == nil {
		p.restarts++
		p.cfg.Observer.Restart(p.stream, p.asked.Window, err)
		if !p.mismatched {
			p.mismatches = 0
		}
	}
	return nil, err
}

// layOut plans the window, tells the reader, and waits for its turn. The head moves on while a window waits for that, so
// it is planned once more then.
func (p *piece) layOut(ctx context.Context) error {
	plan, err := p.source.Plan(ctx, p.stream, p.from)
	if err != nil {
		return err
	}
	if !plan.Head {
		p.from.Until = plan.Window.End // What follows may be under way from now on.
		if err = p.tell(ctx, step{plan: &plan}); err != nil {
			return err
		}
	}
	waited := p.cfg.Now()
	if err = p.turns.Take(ctx, p.stream); err != nil {
		return err
	}
	if plan.Head {
		if p.cfg.Now().Sub(waited) >= time.Second { // The API's bounds have whole seconds.
			plan, err = p.source.Plan(ctx, p.stream, p.from)
		}
		if err == nil && !plan.Head {
			p.from.Until = plan.Window.End
		}
		if err == nil {
			err = p.tell(ctx, step{plan: &plan})
		}
		if err != nil {
			p.turns.Give(p.stream)
			return err
		}
	}
	p.asked = plan
	p.cfg.Observer.Planned(p.stream, plan)
	return nil
}

// giveBack returns memory to the budget.
func (p *piece) giveBack(bytes int64) {
	if bytes > 0 {
		p.budget.Release(bytes)
		p.gaveBack()
	}
}

// read fetches the window once, in the turn that was taken.
func (p *piece) read(ctx context.Context, plan Plan) (*fetch, error) {
	if p.reserved == 0 && p.budget.TryAcquire(p.needs) {
		p.reserved = p.needs
	}
	f := &fetch{
		piece: p, plan: plan, held: p.reserved, slot: true,
		assembly: newAssembly(plan.Window, p.cfg.Overlap, p.cfg.AppKey, p.stream),
	}
	p.reserved = 0
	if !p.joint.IsZero() && nearJoint(p.joint, plan.Window.Begin) {
		f.assembly.joint = p.joint
	}
	f.assembly.foreign = p.past && plan.Window.End.After(p.until)
	defer f.leave()
	f.assembly.ledger.Restarts = p.restarts
	f.assembly.ledger.Started = p.cfg.Now()
	err := f.pages(ctx)
	if err == nil {
		err = f.check()
	}
	if f.streamed != nil {
		return f, f.endStream(ctx, err)
	}
	if err != nil {
		p.reserved, f.held = f.held, 0 // For the next attempt.
		return nil, err
	}
	f.shrink()
	return f, nil
}
