package pipeline

import (
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
	// Command is what is being done, for people.
	Command string
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
		if err != nil {
			return false // Fenced it is in any case.
		}
		if newest.ID != p.known.ID {
			p.known, err = awaitClaim(ctx, p.cfg.Claims, newest)
			return err == nil
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

// exclusiveTries is how often a command takes the writer's place before it gives up: others may take it from it.
const exclusiveTries = 5

// Commit takes the writer's place and commits what fill makes of the positions that are committed then. fill may be called
// several times, each time with what is committed at that moment. An error leaves nothing behind, unless it says that the commit
// is in doubt.
func (e *Exclusive) Commit(ctx context.Context, fill Fill) error {
	for try := 1; ; try++ {
		err := e.once(ctx, fill)
		class := ClassOf(err)
		if err == nil || class != Abort && class != Fenced || ctx.Err() != nil {
			return err
		}
		if try == exclusiveTries {
			return &Fault{
				Class: Permanent, Op: e.Command, Err: fmt.Errorf("others took the writer's place %d times: %w", try, err),
				Hint: "see which commands and processes work on this app, and try again",
			}
		}
	}
}

// once takes the place once.
func (e *Exclusive) once(ctx context.Context, fill Fill) (err error) {
	newest, err := e.Claims.Newest(ctx)
	if err != nil {
		return err
	}
	if !newest.Done && newest.ID != "" {
		e.Observer.Tell(ClaimAwaited{newest})
	}
	if _, err = awaitClaim(ctx, e.Claims, newest); err != nil {
		return err
	}
	claim := Claim{ID: rand.Text(), Command: e.Command}
	if err = e.Claims.Announce(ctx, claim); err != nil {
		return err
	}
	defer func() {
		// Also if the command was interrupted: a run waits for it.
		left, cancel := context.WithTimeout(context.WithoutCancel(ctx), ClaimTime/4)
		defer cancel()
		if failed := e.leave(left, claim); failed != nil {
			e.Observer.Retry("announce that the command is done", failed, ClaimTime) // The run goes on by itself then.
		}
	}()
	const within = ClaimTime * 3 / 4
	inTime, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("it took longer than %s", within))
	defer cancel()
	if err = e.write(inTime, fill); err != nil && inTime.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w; nothing was changed", e.Command, context.Cause(inTime))
	}
	return err
}

// leave tells that a claim is done, unless another one has taken its place.
func (e *Exclusive) leave(ctx context.Context, claim Claim) error {
	newest, err := e.Claims.Newest(ctx)
	if err != nil || newest.ID != claim.ID {
		return err
	}
	claim.Done = true
	return e.Claims.Announce(ctx, claim)
}

// write fences whoever writes, reads what is committed, and commits.
func (e *Exclusive) write(ctx context.Context, fill Fill) error {
	e.Sink.Forget()
	if err := e.Sink.Open(ctx); err != nil {
		return err
	}
	if err := e.Checkpoints.Open(ctx); err != nil {
		return err
	}
	loaded, err := e.Checkpoints.Load(ctx)
	if err != nil {
		return err
	}
	streams := newStreamTable()
	streams.load(loaded)
	w := writer{sink: e.Sink, checkpoints: e.Checkpoints, coverage: e.Coverage, streams: streams, observer: e.Observer}
	err = w.commit(ctx, fill)
	if own, ok := errors.AsType[*fillError](err); ok {
		return own.error
	}
	return err
}
