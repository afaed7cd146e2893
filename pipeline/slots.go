package pipeline

import (
	"context"
	"sync"
	"time"
)

// fetchSlots bound how many windows are fetched at the same time, and are fair: whoever had a slot stands behind all who wait. The
// stream with all of an app's messages has slots of its own, so it never waits for the others. Windows of a backlog, which the API may answer
// slowly or not at all, leave one slot to the head; where there is one only, they have another. Whoever has an app's slot takes one of those
// that all pipelines share which have the same bounds. Safe for concurrent use.
type fetchSlots struct {
	messages, others kindSlots
	shared           *Bounds

	mu sync.Mutex
	// pace is the mean time between two slots that were given back, last when the latest was.
	pace time.Duration
	last time.Time
}

// kindSlots are what a window of a kind of streams has to have, one after the other: at the head, and of a backlog.
type kindSlots struct{ head, backlog []*queue }

func newKindSlots(n int) kindSlots {
	all, backlog := newQueue(n), newQueue(max(1, n-1))
	slots := kindSlots{head: []*queue{all}, backlog: []*queue{backlog, all}}
	if n == 1 {
		slots.backlog = slots.backlog[:1]
	}
	return slots
}

// paceOver is over how many slots the pace is a mean, and longestPause what no longer counts: the streams had nothing to do.
const (
	paceOver     = 64
	longestPause = time.Minute
)

// newFetchSlots gives n windows a slot at a time. estimate is how long one takes until that is known: the time between two
// requests that the quota allows.
func newFetchSlots(n int, estimate time.Duration, shared *Bounds) *fetchSlots {
	return &fetchSlots{messages: newKindSlots(n), others: newKindSlots(n), pace: estimate, shared: shared}
}

// of is what a window of a stream has to have.
func (t *fetchSlots) of(s Stream, backlog bool) []*queue {
	slots := &t.others
	if s.Kind == StreamMessages {
		slots = &t.messages
	}
	if backlog {
		return slots.backlog
	}
	return slots.head
}

// take waits for a slot for a stream, at its head or for its backlog.
func (t *fetchSlots) take(ctx context.Context, s Stream, backlog bool) (*fetchSlot, error) {
	if err := t.of(s, backlog)[0].acquire(ctx); err != nil {
		return nil, err
	}
	return t.takeRest(ctx, s, backlog)
}

// enter has granted called with the first part of a slot, for which thousands may wait; see [queue]. takeRest takes the others.
func (t *fetchSlots) enter(s Stream, backlog bool, granted func() bool) {
	t.of(s, backlog)[0].ask(granted)
}

func (t *fetchSlots) takeRest(ctx context.Context, s Stream, backlog bool) (*fetchSlot, error) {
	needed := t.of(s, backlog)
	for i, one := range needed[1:] {
		if err := one.acquire(ctx); err != nil {
			release(needed[:i+1])
			return nil, err
		}
	}
	slot := &fetchSlot{slots: t, stream: s, backlog: backlog}
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
	// backlog tells that it is one of those for a backlog, shared that it has a shared slot, over that it was given back.
	backlog, shared, over bool
}

// pause leaves the shared slot to others, and keeps the app's.
func (s *fetchSlot) pause() {
	if s.shared {
		s.shared = false
		s.slots.shared.fetches.Release(1)
	}
}

// resume waits for a shared slot, if this is not over.
func (s *fetchSlot) resume(ctx context.Context) error {
	if s.shared || s.over {
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
	s.slots.giveBack(s.stream, s.backlog)
}

// giveBack ends an app's slot that was taken.
func (t *fetchSlots) giveBack(s Stream, backlog bool) {
	release(t.of(s, backlog))
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

func release(slots []*queue) {
	for _, one := range slots {
		one.giveBack()
	}
}

// sweep is about how long it takes until each of so many streams had a slot.
func (t *fetchSlots) sweep(streams int) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Duration(streams) * t.pace
}
