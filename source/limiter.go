package source

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/jmpub/jmpub/pipeline"
)

// limiter holds all requests of an app to its quota: a token bucket, a pause where the API asks for one, and a queue, in
// which what matters most goes first. Safe for concurrent use.
type limiter struct {
	bucket *rate.Limiter

	mu sync.Mutex
	// until is when a pause ends.
	until time.Time
	// busy is set while somebody waits for the bucket. The others queue.
	busy  bool
	queue []*waiter
}

// handicap orders the requests that wait: each is ordered as if it had arrived that much later. So the quota goes to those with
// the least handicap, but none is kept waiting for ever.
type handicap time.Duration

const (
	// noHandicap is for the stream that has all of an app's messages.
	noHandicap handicap = 0
	// streamHandicap is for those of one user, group or chatroom.
	streamHandicap = handicap(5 * time.Second)
	// extraHandicap is for what is no message: statistics and lists.
	extraHandicap = handicap(time.Minute)
)

// waiter waits until it is the one who waits for the bucket.
type waiter struct {
	// arrived is when it came, its handicap added.
	arrived time.Time
	granted chan struct{}
}

// burstShare is the fraction (1/100) of a rate that may go out at once; the steady flow is slower by as much.
const burstShare = 100

// newLimiter makes a limiter that lets no more than r.Requests pass in any time of r.Per: a bucket of b tokens, filled
// with (n - b + 1) in that time, gives at most n.
func newLimiter(r Rate) *limiter {
	burst := max(1, min(r.Requests/burstShare, int(float64(r.Requests)/r.Per.Seconds())))
	steady := float64(r.Requests-burst+1) / r.Per.Seconds()
	return &limiter{bucket: rate.NewLimiter(rate.Limit(steady), burst)}
}

// wait returns when a request may be sent. It returns [context.DeadlineExceeded] at once if that would be after ctx's
// deadline, as far as the pause and the bucket can say.
func (l *limiter) wait(ctx context.Context, h handicap) error {
	if err := outlives(ctx, l.paused()); err != nil {
		return err
	}
	if err := l.acquire(ctx, h); err != nil {
		return err
	}
	defer l.release()
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

// acquire returns when the caller is the one who waits for the bucket. Only one does, so whoever comes later and matters
// more has at most one request before it.
func (l *limiter) acquire(ctx context.Context, h handicap) error {
	l.mu.Lock()
	if !l.busy {
		l.busy = true
		l.mu.Unlock()
		return nil
	}
	w := &waiter{arrived: time.Now().Add(time.Duration(h)), granted: make(chan struct{})}
	l.queue = append(l.queue, w)
	l.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	waits := l.dequeue(w)
	l.mu.Unlock()
	if !waits { // It was granted at the same moment.
		l.release()
	}
	return ctx.Err()
}

// release lets the one go on who arrived first, handicaps added; of two that came at once, the one who queued first.
func (l *limiter) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.busy = false
		return
	}
	next := slices.MinFunc(l.queue, func(a, b *waiter) int { return a.arrived.Compare(b.arrived) })
	l.dequeue(next)
	close(next.granted)
}

// dequeue takes a waiter out of the queue, and reports whether it was in it. The caller holds the lock.
func (l *limiter) dequeue(w *waiter) bool {
	before := len(l.queue)
	l.queue = slices.DeleteFunc(l.queue, func(other *waiter) bool { return other == w })
	return len(l.queue) < before
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
	for pause := l.paused(); pause > 0; pause = l.paused() {
		if err := outlives(ctx, pause); err != nil {
			return err
		}
		if err := pipeline.Sleep(ctx, pause); err != nil {
			return err
		}
	}
	return nil
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

// Pace bounds how often something is done by several clients together, each of which has a rate of its own besides. Safe for concurrent use.
type Pace struct{ limiter *limiter }

// NewPace is a pace of so many in a time.
func NewPace(r Rate) *Pace { return &Pace{newLimiter(r)} }

// Wait returns when the next one may be done, or when ctx is done.
func (p *Pace) Wait(ctx context.Context) error { return p.limiter.wait(ctx, noHandicap) }
