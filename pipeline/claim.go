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
// fenced looks for a claim that it does not know: it waits until that is done, takes its place back, and goes on from the
// positions that it finds. So a command needs no process that answers it, works with and without a run in the same way, and may
// die at any instant: before the fence nothing happened; behind it the broker aborts what it left open, and the run waits for
// [ClaimTime] at the most. A run that is fenced without a claim has been replaced by another run.

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

const (
	// ClaimTime is for how long a claim that is not done keeps others away: a command that takes longer gives up by then.
	ClaimTime = time.Minute
	// claimLook is how often a claim is looked at, fencedLooks how often a run that was fenced looks for one: a command announces
	// its claim before it fences, so it is there at once.
	claimLook   = 500 * time.Millisecond
	fencedLooks = 4
)

// errClaimed is why a session begins after a command had the writer's place.
var errClaimed = errors.New("a command took the writer's place and has left")

// wasClaimed tells, of a run that was fenced, that it was fenced by a command, and waits until that has left.
func (p *Pipeline) wasClaimed(ctx context.Context) bool {
	if p.cfg.Claims == nil {
		return false
	}
	for range fencedLooks {
		newest, err := p.cfg.Claims.Newest(ctx)
		switch {
		case err != nil && ClassOf(err) != Abort:
			return false // Fenced it is in any case.
		case err == nil && newest.ID != p.known.ID:
			p.known, err = awaitClaim(ctx, p.cfg.Claims, newest)
			return err == nil || ctx.Err() != nil // Whoever is asked to stop meanwhile was not replaced.
		}
		if Sleep(ctx, claimLook) != nil {
			return false
		}
	}
	return false
}

// learnClaim takes in the claim that was the newest one before this run took its place. One that is not done may be about to fence,
// unless this run has waited for it before.
func (p *Pipeline) learnClaim(newest Claim) {
	switch {
	case newest.Done:
		p.known = newest
	case newest.ID != p.known.ID:
		p.known = Claim{}
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
func (e *Exclusive) once(ctx, patient context.Context, fill Fill) (err error) {
	p, err := e.announce(ctx, patient)
	if p == nil {
		return err
	}
	hard, cancel := context.WithTimeout(context.WithoutCancel(ctx), decidedTime)
	defer cancel()
	defer func() {
		// Also if the command was interrupted: a run waits for it.
		left, stop := context.WithTimeout(context.WithoutCancel(ctx), ClaimTime/4)
		defer stop()
		if failed := e.leave(left, p); failed != nil {
			e.Observer.Retry("announce that the command is done", failed, ClaimTime) // The run goes on by itself then.
		}
	}()
	if err != nil {
		return err
	}
	inTime, cancel := context.WithTimeoutCause(ctx, exclusiveTime, fmt.Errorf("it took longer than %s", exclusiveTime))
	defer cancel()
	err = e.write(inTime, hard, p, fill)
	if err != nil && inTime.Err() != nil && ctx.Err() == nil && !errors.Is(err, ErrInDoubt) {
		return fmt.Errorf("%s: %w; nothing was changed (%v)", e.Command, context.Cause(inTime), err) //nolint:errorlint // Its class is that of a call.
	}
	return err
}

// place is a command's hold on the writer's place.
type place struct {
	claim Claim
	// fencing tells that others may have been fenced since the claim was last seen to be the newest one.
	fencing bool
}

// announce waits until no other command is at work, and makes an own claim the newest one. With an error, the place that it returns
// is nil, or has a claim that may be announced. Of several that announce themselves at the same moment the last one goes first.
func (e *Exclusive) announce(ctx, patient context.Context) (*place, error) {
	for {
		waited, err := e.awaitOthers(ctx, patient)
		if err != nil {
			return nil, err
		}
		p := &place{claim: Claim{ID: rand.Text(), Command: e.Command, At: time.Now()}}
		if err = e.Claims.Announce(ctx, p.claim); err != nil {
			return p, err
		}
		if waited { // Others may have waited for the same command, and announce themselves just now.
			if err = Sleep(ctx, claimLook); err != nil {
				return p, err
			}
		}
		if newest, err := e.Claims.Newest(ctx); err != nil || newest.ID == p.claim.ID {
			return p, err
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

// hold sees to it that whoever was fenced finds a claim. Another command that looked at the same moment may have announced its own
// behind this one, and may have left since: a run would know that claim already.
func (e *Exclusive) hold(ctx context.Context, p *place) error {
	newest, err := e.Claims.Newest(ctx)
	if err == nil && newest.ID != p.claim.ID {
		p.claim.ID = rand.Text()
		err = e.Claims.Announce(ctx, p.claim)
	}
	p.fencing = p.fencing && err != nil
	return err
}

// leave tells that a claim is done, unless another one has taken its place.
func (e *Exclusive) leave(ctx context.Context, p *place) error {
	if p.fencing {
		p.claim.ID = rand.Text() // Whoever was fenced may know the old one.
	} else if newest, err := e.Claims.Newest(ctx); err != nil || newest.ID != p.claim.ID {
		return err
	}
	p.claim.Done = true
	return e.Claims.Announce(ctx, p.claim)
}

// write fences whoever writes, reads what is committed, and commits. A commit that has begun is decided under hard.
func (e *Exclusive) write(ctx, hard context.Context, p *place, fill Fill) error {
	e.Sink.Forget()
	p.fencing = true
	if err := e.Sink.Open(ctx); err != nil {
		return err
	}
	if err := e.Checkpoints.Open(ctx); err != nil {
		return err
	}
	if err := e.hold(ctx, p); err != nil {
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
