package source

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/jmpub/jmpub/pipeline"
)

// limiter holds all requests of an app to its quota: a token bucket, and a pause where the API asks for one. Safe for
// concurrent use.
type limiter struct {
	bucket *rate.Limiter

	mu sync.Mutex
	// until is when a pause ends.
	until time.Time
}

// burstPart is the part of a rate that may go out at once; the steady flow is slower by as much.
const burstPart = 100

// newLimiter makes a limiter that lets no more than r.Requests pass in any time of r.Per: a bucket of b tokens, filled
// with (n - b + 1) in that time, gives at most n.
func newLimiter(r Rate) *limiter {
	burst := max(1, min(r.Requests/burstPart, int(float64(r.Requests)/r.Per.Seconds())))
	steady := float64(r.Requests-burst+1) / r.Per.Seconds()
	return &limiter{bucket: rate.NewLimiter(rate.Limit(steady), burst)}
}

// wait returns when a request may be sent. It returns [context.DeadlineExceeded] at once if that would be after ctx's
// deadline.
func (l *limiter) wait(ctx context.Context) error {
	for {
		// The pause comes before the bucket: whoever waited for it then still leaves one by one.
		if err := l.waitPause(ctx); err != nil {
			return err
		}
		if err := l.bucket.Wait(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return context.DeadlineExceeded // The bucket says so before it happens, in words of its own.
		}
		if l.paused() <= 0 {
			return nil
		}
	}
}

// waitPause returns when no pause is under way.
func (l *limiter) waitPause(ctx context.Context) error {
	for {
		pause := l.paused()
		if pause <= 0 {
			return nil
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < pause {
			return context.DeadlineExceeded
		}
		if err := pipeline.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// paused is how long the pause still lasts.
func (l *limiter) paused() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.until)
}

// pause holds all requests back for a time. A longer pause that is under way stays.
func (l *limiter) pause(d time.Duration) {
	until := time.Now().Add(d)
	l.mu.Lock()
	defer l.mu.Unlock()
	if until.After(l.until) {
		l.until = until
	}
}
