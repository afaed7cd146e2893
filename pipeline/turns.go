package pipeline

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Turns bound how many windows are fetched at the same time, and are fair: a window is a turn, and whoever had one stands
// behind all who wait. The stream with all of an app's messages has turns of its own, so it never waits for the others.
// Safe for concurrent use.
type Turns struct {
	messages, others *semaphore.Weighted

	mu sync.Mutex
	// streams is how many share the turns, pace the mean time between two turns that ended, last when the latest did.
	streams int
	pace    time.Duration
	last    time.Time
}

// paceOver is over how many turns the pace is a mean, and longestPause what no longer counts as a turn's time: the streams
// had nothing to do.
const (
	paceOver     = 64
	longestPause = time.Minute
)

// NewTurns gives n windows a turn at a time. estimate is how long a turn takes until that is known: the time between two
// requests that the quota allows.
func NewTurns(n int, estimate time.Duration) *Turns {
	return &Turns{messages: semaphore.NewWeighted(int64(n)), others: semaphore.NewWeighted(int64(n)), pace: estimate}
}

func (t *Turns) of(s Stream) *semaphore.Weighted {
	if s.Kind == StreamMessages {
		return t.messages
	}
	return t.others
}

// Take waits for a turn of a stream.
func (t *Turns) Take(ctx context.Context, s Stream) error { return t.of(s).Acquire(ctx, 1) }

// Give ends a turn that was taken.
func (t *Turns) Give(s Stream) {
	t.of(s).Release(1)
	if s.Kind == StreamMessages {
		return
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if took := now.Sub(t.last); !t.last.IsZero() && took <= longestPause {
		t.pace += (took - t.pace) / paceOver
	}
	t.last = now
}

// Share sets how many streams share the turns.
func (t *Turns) Share(streams int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.streams = streams
}

// Sweep is about how long it takes until each of the streams has had a turn.
func (t *Turns) Sweep() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Duration(t.streams) * t.pace
}
