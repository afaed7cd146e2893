package pipeline

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// fetchSlots bound how many windows are fetched at the same time, and are fair: whoever had a slot stands behind all who wait. The
// stream with all of an app's messages has slots of its own, so it never waits for the others. Whoever has an app's slot takes one of those
// that all pipelines share, if there are such. Safe for concurrent use.
type fetchSlots struct {
	messages, others *semaphore.Weighted
	shared           *Bounds

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
func newFetchSlots(n int, estimate time.Duration, shared *Bounds) *fetchSlots {
	return &fetchSlots{
		messages: semaphore.NewWeighted(int64(n)), others: semaphore.NewWeighted(int64(n)), pace: estimate, shared: shared,
	}
}

func (t *fetchSlots) of(s Stream) *semaphore.Weighted {
	if s.Kind == StreamMessages {
		return t.messages
	}
	return t.others
}

// take waits for a slot for a stream.
func (t *fetchSlots) take(ctx context.Context, s Stream) (*fetchSlot, error) {
	if err := t.of(s).Acquire(ctx, 1); err != nil {
		return nil, err
	}
	slot := &fetchSlot{slots: t, stream: s}
	if err := slot.resume(ctx); err != nil {
		slot.giveBack()
		return nil, err
	}
	return slot, nil
}

// fetchSlot is a slot that was taken. It is used by one goroutine.
type fetchSlot struct {
	slots  *fetchSlots
	stream Stream
	// shared tells that it has a shared slot, over that it was given back.
	shared, over bool
}

// pause leaves the shared slot to others, and keeps the app's.
func (s *fetchSlot) pause() {
	if s.shared {
		s.shared = false
		s.slots.shared.fetches.Release(1)
	}
}

// resume waits for a shared slot, where there are such and this is not over.
func (s *fetchSlot) resume(ctx context.Context) error {
	if s.slots.shared == nil || s.shared || s.over {
		return nil
	}
	if err := s.slots.shared.fetches.Acquire(ctx, 1); err != nil {
		return err
	}
	s.shared = true
	return nil
}

// giveBack ends the slot; only the first call does anything.
func (s *fetchSlot) giveBack() {
	if s.over {
		return
	}
	s.over = true
	s.pause()
	s.slots.giveBack(s.stream)
}

// giveBack ends an app's slot that was taken.
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
