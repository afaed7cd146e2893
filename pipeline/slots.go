package pipeline

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// fetchSlots bound how many windows are fetched at the same time, and are fair: whoever had a slot stands behind all who wait. The
// stream with all of an app's messages has slots of its own, so it never waits for the others. Safe for concurrent use.
type fetchSlots struct {
	messages, others *semaphore.Weighted

	mu sync.Mutex
	// pace is the mean time between two slots that were given back, last when the latest was.
	pace time.Duration
	last time.Time
}

// paceOver is over how many slots the pace is a mean, and longestPause what no longer counts: the streams had nothing to do.
const (
	paceOver     = 64
	longestPause = time.Minute
)

// newFetchSlots gives n windows a slot at a time. estimate is how long one takes until that is known: the time between two
// requests that the quota allows.
func newFetchSlots(n int, estimate time.Duration) *fetchSlots {
	return &fetchSlots{messages: semaphore.NewWeighted(int64(n)), others: semaphore.NewWeighted(int64(n)), pace: estimate}
}

func (t *fetchSlots) of(s Stream) *semaphore.Weighted {
	if s.Kind == StreamMessages {
		return t.messages
	}
	return t.others
}

// take waits for a slot for a stream.
func (t *fetchSlots) take(ctx context.Context, s Stream) error { return t.of(s).Acquire(ctx, 1) }

// giveBack ends a slot that was taken.
func (t *fetchSlots) giveBack(s Stream) {
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

// sweep is about how long it takes until each of so many streams had a slot.
func (t *fetchSlots) sweep(streams int) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Duration(streams) * t.pace
}
