package pipeline

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// A command that changes a position or publishes rows takes the writer's place for a moment: it announces a claim, fences whoever
// writes, reads what is committed then, computes, writes in one transaction, and says that the claim is done. A run that is
// fenced waits until the newest claim is done, takes its place back, and goes on from the positions that it finds. So a command needs no
// process that answers it, works with and without a run in the same way, and may die at any instant: before the fence nothing happened;
// behind it the broker aborts what it left open, and the run waits for [ClaimTime] at the most.
//
// A run that takes the place says so too, under its own name, right after its first fence, and once more only if it finds the name of
// the run before it there again, which may have arrived late. One that is fenced and finds the name of any other leaves; whatever else has
// fenced it, it takes its place back. So of several that fence each other the one stays that said so last, and nobody leaves who was not replaced. That can seem so: the coordinator of a transactional id that was restarted
// tells a writer whose transaction timed out no longer from one that was replaced, and Apache Kafka before 4.0 never does.

// Claim is what a command announces before it takes the writer's place.
type Claim struct {
	// ID tells claims apart.
	ID string
	// Command is what is being done, and At when that was announced by the clock of the command's host; both are for people.
	Command string
	At      time.Time
	// Done tells that the command has left.
	Done bool
}

// Claims keep the newest claim on an app's positions. All errors are *[Fault] or the context's; transient faults are retried
// inside.
type Claims interface {
	// Announce makes a claim, or that it is done, the newest one. It fences nobody, and is durable when it returns nil.
	Announce(ctx context.Context, c Claim) error
	// Newest is the newest claim, the zero one if there never was any.
	Newest(ctx context.Context) (Claim, error)
}

// Owners keep which run has an app's writer's place. All errors are *[Fault] or the context's; transient faults are retried inside.
type Owners interface {
	// Own makes a run, which has taken the place, the owner. It fences nobody, and is durable when it returns nil.
	Own(ctx context.Context, run Claim) error
	// Owner is the run that became the owner last, the zero one if none ever did.
	Owner(ctx context.Context) (Claim, error)
}

const (
	// ClaimTime is for how long a claim that is not done keeps others away: a command that takes longer gives up by then.
	ClaimTime = time.Minute
	// claimLook is how often a claim is looked at, and for how long a run that was fenced waits before it looks for what fenced it:
	// another run says so right after its fence.
	claimLook = 500 * time.Millisecond
)

// errFenced is why a session begins after a run was fenced.
var errFenced = errors.New("this run was fenced, and no other one has taken over: a command had the writer's place, or a broker was " +
	"restarted and has forgotten that it had aborted this run's transaction itself")

// afterFence finds out what fenced a run, and waits until a command has left. It returns nil if the run may take its place back, and else
// what it ends with.
func (p *Pipeline) afterFence(ctx context.Context, fenced error) error {
	if p.cfg.Owners == nil || p.cfg.Claims == nil {
		return fenced
	}
	_ = Sleep(ctx, claimLook)
	if owner, err := p.successor(ctx); owner.ID != "" || err != nil {
		return replacedBy(&owner, fenced)
	}
	if p.awaitCommand(ctx) {
		return nil
	}
	return fenced
}

// awaitCommand waits until the newest command has left, or its time is over; for none twice. It tells whether that is known.
func (p *Pipeline) awaitCommand(ctx context.Context) bool {
	newest, err := p.cfg.Claims.Newest(ctx)
	if err == nil && newest.ID != p.expired {
		newest, err = awaitClaim(ctx, p.cfg.Claims, newest)
	}
	if err == nil && !newest.Done {
		p.expired = newest.ID
	}
	return err == nil || ClassOf(err) == Abort // With that, what was there has been deleted.
}

// own says that this run has the place.
func (p *Pipeline) own(ctx context.Context) error {
	if p.owns || p.cfg.Owners == nil {
		return nil
	}
	before, err := p.cfg.Owners.Owner(ctx)
	if err != nil {
		return err
	}
	if before.ID != p.id { // Otherwise that was said already, and only the answer was lost.
		p.predecessor = before.ID
	}
	if err := p.cfg.Owners.Own(ctx, Claim{ID: p.id, Command: p.cfg.Name, At: time.Now()}); err != nil {
		return err
	}
	p.owns = true
	return nil
}

// successor is the run that has taken this one's place; the zero one if none says so. What a predecessor has sent may still arrive: this run
// says once more then that it has the place, because the predecessor may be there still.
func (p *Pipeline) successor(ctx context.Context) (Claim, error) {
	if !p.owns {
		return Claim{}, nil
	}
	owner, err := p.cfg.Owners.Owner(ctx)
	switch {
	case ClassOf(err) == Abort, owner.ID == p.id:
		return Claim{}, nil // What was there may have been deleted.
	case err == nil && owner.ID == p.predecessor:
		p.owns = false
		return Claim{}, nil
	default:
		return owner, err
	}
}

// replacedBy says who has taken over, where that is known.
func replacedBy(owner *Claim, fenced error) error {
	if owner.ID == "" {
		return fenced
	}
	return &Fault{
		Class: Fenced, Op: "publish",
		Err:  fmt.Errorf("another jmpub has taken over this app: %.100q, since %s", owner.Command, FormatTime(owner.At)),
		Hint: "one process publishes an app of a JMPUB_GROUP; this one leaves",
	}
}

// awaitClaim waits until a claim, and each that follows it, is done, or its time is over. It returns the last one.
func awaitClaim(ctx context.Context, claims Claims, newest Claim) (Claim, error) {
	for seen := time.Now(); !newest.Done && newest.ID != "" && time.Since(seen) < ClaimTime; {
		if err := Sleep(ctx, claimLook); err != nil {
			return newest, err
		}
		next, err := claims.Newest(ctx)
		if ClassOf(err) == Abort { // What was there has been deleted meanwhile; the next look begins anew.
			continue
		}
		if err != nil {
			return newest, err
		}
		if next.ID != newest.ID {
			seen = time.Now()
		}
		newest = next
	}
	return newest, nil
}

// Exclusive is one write of an operator's command, with a run or without.
type Exclusive struct {
	// Command is what is being done, for people.
	Command     string
	Sink        Sink
	Checkpoints Checkpoints
	Claims      Claims
	Coverage    CoverageReader
	Observer    Observer
}

const (
	// exclusiveTries is how often a command takes the writer's place before it gives up: others may take it from it.
	exclusiveTries = 5
	// exclusivePatience is for how long a command waits for others, one after another.
	exclusivePatience = 5 * ClaimTime
	// exclusiveTime is after how long a command that has the place gives up, and decidedTime by when its transaction is decided then.
	exclusiveTime = ClaimTime * 3 / 4
	decidedTime   = ClaimTime * 7 / 8
)

// Commit takes the writer's place and commits what fill makes of the positions that are committed then. fill may be called
// several times, each time with what is committed at that moment. A done ctx ends everything but a commit that has begun. An error
// leaves nothing behind, unless [ErrInDoubt] is in it.
func (e *Exclusive) Commit(ctx context.Context, fill Fill) error {
	patient, cancel := context.WithTimeout(ctx, exclusivePatience)
	defer cancel()
	for try := 1; ; try++ {
		err := e.once(ctx, patient, fill)
		class := ClassOf(err)
		switch {
		case errors.Is(err, ErrInDoubt):
			return fmt.Errorf("%s: %w; see `jmpub checkpoint list` before it is tried again", e.Command, err)
		case err == nil || class != Abort && class != Fenced || ctx.Err() != nil:
			return err
		case try == exclusiveTries:
			return fmt.Errorf("%s: others took the writer's place %d times (%w); nothing was changed: "+
				"see which commands and processes work on this app, and try again", e.Command, try, err)
		}
	}
}

// once takes the place once.
func (e *Exclusive) once(ctx, patient context.Context, fill Fill) error {
	claim, err := e.announce(ctx, patient)
	if claim.ID == "" {
		return err
	}
	hard, cancel := context.WithTimeout(context.WithoutCancel(ctx), decidedTime)
	defer cancel()
	defer func() {
		// Also if the command was interrupted: a run waits for it.
		left, stop := context.WithTimeout(context.WithoutCancel(ctx), ClaimTime/4)
		defer stop()
		if failed := e.leave(left, claim); failed != nil {
			e.Observer.Retry("announce that the command is done", failed, ClaimTime) // The run goes on by itself then.
		}
	}()
	if err != nil {
		return err
	}
	inTime, cancel := context.WithTimeoutCause(ctx, exclusiveTime, fmt.Errorf("it took longer than %s", exclusiveTime))
	defer cancel()
	err = e.write(inTime, hard, claim, fill)
	if err != nil && inTime.Err() != nil && ctx.Err() == nil && !errors.Is(err, ErrInDoubt) {
		return fmt.Errorf("%s: %w; nothing was changed (%v)", e.Command, context.Cause(inTime), err) //nolint:errorlint // Its class is that of a call.
	}
	return err
}

// announce waits until no other command is at work, and makes an own claim the newest one. With an error, the claim that it returns is
// the zero one, or may be announced. Of several that announce themselves at the same moment the last one goes first.
func (e *Exclusive) announce(ctx, patient context.Context) (Claim, error) {
	for {
		waited, err := e.awaitOthers(ctx, patient)
		if err != nil {
			return Claim{}, err
		}
		claim := Claim{ID: rand.Text(), Command: e.Command, At: time.Now()}
		if err = e.Claims.Announce(ctx, claim); err != nil {
			return claim, err
		}
		if waited { // Others may have waited for the same command, and announce themselves just now.
			if err = Sleep(ctx, claimLook); err != nil {
				return claim, err
			}
		}
		if newest, err := e.Claims.Newest(ctx); err != nil || newest.ID == claim.ID {
			return claim, err
		}
	}
}

// awaitOthers waits until no other command is at work, and tells whether one was.
func (e *Exclusive) awaitOthers(ctx, patient context.Context) (waited bool, err error) {
	newest, err := e.Claims.Newest(ctx)
	if err != nil || newest.Done || newest.ID == "" {
		return false, err
	}
	e.Observer.Tell(ClaimAwaited{newest})
	if newest, err = awaitClaim(patient, e.Claims, newest); patient.Err() != nil && ctx.Err() == nil {
		return true, fmt.Errorf("%s: other commands were at work for %s, the last one since %s: %.100q; nothing was changed: try again later",
			e.Command, exclusivePatience, FormatTime(newest.At), newest.Command)
	}
	return true, err
}

// hold sees to it that a run that was fenced waits. Another command that looked at the same moment may have announced its own claim behind
// this one, and may have left since.
func (e *Exclusive) hold(ctx context.Context, claim Claim) error {
	newest, err := e.Claims.Newest(ctx)
	if err == nil && newest.ID != claim.ID {
		err = e.Claims.Announce(ctx, claim)
	}
	return err
}

// leave tells that a claim is done, unless another one has taken its place.
func (e *Exclusive) leave(ctx context.Context, claim Claim) error {
	if newest, err := e.Claims.Newest(ctx); err != nil || newest.ID != claim.ID {
		return err
	}
	claim.Done = true
	return e.Claims.Announce(ctx, claim)
}

// write fences whoever writes, reads what is committed, and commits. A commit that has begun is decided under hard.
func (e *Exclusive) write(ctx, hard context.Context, claim Claim, fill Fill) error {
	e.Sink.Forget()
	if err := e.Sink.Open(ctx); err != nil {
		return err
	}
	if err := e.Checkpoints.Open(ctx); err != nil {
		return err
	}
	if err := e.hold(ctx, claim); err != nil {
		return err
	}
	loaded, err := e.Checkpoints.Load(ctx)
	if err != nil {
		return err
	}
	streams := newStreamTable()
	streams.load(loaded)
	w := writer{sink: e.Sink, checkpoints: e.Checkpoints, coverage: e.Coverage, streams: streams, observer: e.Observer}
	err = w.commit(hard, func(hard context.Context, d *Draft) error {
		inTime, cancel := context.WithCancel(hard)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		filled := fill(inTime, d)
		return cmp.Or(filled, ctx.Err()) // What was computed in time may be written.
	})
	if own, ok := errors.AsType[*fillError](err); ok {
		return own.error
	}
	return err
}
