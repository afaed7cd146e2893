package source

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/jmpub/jmpub/pipeline"
)

// limiter holds all requests of an app to its quota: a token bucket, a pause where the API asks for one, and turns, so that
// what matters most goes first. Safe for concurrent use.
type limiter struct {
	bucket *rate.Limiter

	mu sync.Mutex
	// until is when a pause ends.
	until time.Time
	// taken tells that somebody has the turn. The others wait for it.
	taken   bool
	waiting []*waiter
}

// rank is by how much others may come later and still go first: a request waits as if it had come so much later. So the
// quota goes to the lowest rank that wants it, but none is kept waiting for ever.
type rank time.Duration

const (
	// rankApp is for the stream that has all of an app's messages.
	rankApp rank = 0
	// rankStream is for those of one user, group or chatroom.
	rankStream = rank(5 * time.Second)
	// rankBeside is for what is no message: statistics and lists.
	rankBeside = rank(time.Minute)
)

// waiter waits for the turn.
type waiter struct {
	// since is when it came, its rank added.
	since time.Time
	turn  chan struct{}
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
// deadline, as far as the pause and the bucket tell.
func (l *limiter) wait(ctx context.Context, r rank) error {
	if err := outlives(ctx, l.paused()); err != nil {
		return err
	}
	if err := l.takeTurn(ctx, r); err != nil {
		return err
	}
	defer l.passTurn()
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

// takeTurn returns when the caller is the one who waits for the bucket. Only one does, so whoever comes later and matters
// more has at most one request before it.
func (l *limiter) takeTurn(ctx context.Context, r rank) error {
	l.mu.Lock()
	if !l.taken {
		l.taken = true
		l.mu.Unlock()
		return nil
	}
	w := &waiter{since: time.Now().Add(time.Duration(r)), turn: make(chan struct{})}
	l.waiting = append(l.waiting, w)
	l.mu.Unlock()
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	i := slices.Index(l.waiting, w)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	l.mu.Unlock()
	if i < 0 { // The turn came at the same moment.
		l.passTurn()
	}
	return ctx.Err()
}

// passTurn gives the turn to the one who waits longest, ranks considered; of two that came at once, to the first.
func (l *limiter) passTurn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.taken = false
		return
	}
	next := 0
	for i, w := range l.waiting {
		if w.since.Before(l.waiting[next].since) {
			next = i
		}
	}
	close(l.waiting[next].turn)
	l.waiting = slices.Delete(l.waiting, next, next+1)
}

// outlives refuses a pause that ends after ctx's deadline.
func outlives(ctx context.Context, pause time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok && pause > 0 && time.Until(deadline) < pause {
		return context.DeadlineExceeded
	}
	return nil
}

// waitPause returns when no pause is under way.
func (l *limiter) waitPause(ctx context.Context) error {
	for {
		pause := l.paused()
		if pause <= 0 {
			return nil
		}
		if err := outlives(ctx, pause); err != nil {
			return err
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
