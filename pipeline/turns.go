package pipeline

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Turns bound how many streams are fetched from at the same time, and are fair: a window is a turn, and whoever had one
// stands behind all who wait. The stream with all of an app's messages never waits for one. Safe for concurrent use.
type Turns struct {
	slots *semaphore.Weighted

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

// NewTurns gives n streams a turn at a time. estimate is how long a turn takes until that is known: the time between two
// requests that the quota allows.
func NewTurns(n int, estimate time.Duration) *Turns {
	return &Turns{slots: semaphore.NewWeighted(int64(n)), pace: estimate}
}

// Take waits for a turn of a stream.
func (t *Turns) Take(ctx context.Context, s Stream) error {
	if s.Kind == StreamMessages {
		return nil
	}
	return t.slots.Acquire(ctx, 1)
}

// Give ends a turn that was taken.
func (t *Turns) Give(s Stream) {
	if s.Kind == StreamMessages {
		return
	}
	t.slots.Release(1)
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
