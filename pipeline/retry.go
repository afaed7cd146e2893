package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Retry is jmpub's only retry policy: it calls again for as long as an error is [Transient], waits longer each time
// (never shorter than what the other side asked for), gives up only where the error says [Fault.Within], and wakes at once when the context is
// done. The zero value works. Safe for concurrent use.
type Retry struct {
	// Initial and Max bound the wait between two tries; each wait is drawn at random from half to one and a half of
	// a value that doubles from Initial to Max. Defaults: 100 ms, 30 s.
	Initial, Max time.Duration
	// Notify, if set, is called with each failed try before the wait.
	Notify func(op string, err error, wait time.Duration)
}

// The defaults of Retry.
const (
	defaultRetryInitial = 100 * time.Millisecond
	defaultRetryMax     = 30 * time.Second
)

// Do calls fn until it returns nil or an error that is not transient, which is returned as it is. When the context is
// done while waiting, the returned error holds both the context's error and the last failure.
func (r *Retry) Do(ctx context.Context, op string, fn func(context.Context) error) error {
	policy := r.policy()
	var failing time.Time
	for {
		err := fn(ctx)
		f, ok := errors.AsType[*Fault](err)
		if !ok || f.Class != Transient {
			return err
		}
		if failing.IsZero() {
			failing = time.Now()
		}
		if f.Within > 0 && time.Since(failing) >= f.Within {
			return &Fault{Class: Abort, Op: f.Op, Err: f.Err, Hint: f.Hint}
		}
		wait := max(policy.NextBackOff(), f.After)
		if r.Notify != nil {
			r.Notify(op, err, wait)
		}
		if cause := Sleep(ctx, wait); cause != nil {
			return errors.Join(cause, err)
		}
	}
}

func (r *Retry) policy() *backoff.ExponentialBackOff {
	initial, longest := r.Initial, r.Max
	if initial <= 0 {
		initial = defaultRetryInitial
	}
	if longest <= 0 {
		longest = defaultRetryMax
	}
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(initial),
		backoff.WithMaxInterval(longest),
		backoff.WithMultiplier(2),
		backoff.WithMaxElapsedTime(0), // The library's default gives up after 15 minutes.
	)
}

// Sleep waits for d or until the context is done, and returns the context's error then.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
