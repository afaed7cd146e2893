package pipeline

import (
	"context"
	"sync"
	"sync/atomic"
)

// queue gives places to those who ask, in the order in which they ask. Thousands may wait for one, so that takes no goroutine. Safe for
// concurrent use.
type queue struct {
	mu      sync.Mutex
	free    int
	waiting []func() bool
}

func newQueue(places int) *queue { return &queue{free: places} }

// ask has granted called, once, with a place: at once where one is free. Who does not want it any more returns false; then the next one has it.
func (q *queue) ask(granted func() bool) {
	q.mu.Lock()
	if q.free == 0 {
		q.waiting = append(q.waiting, granted)
		q.mu.Unlock()
		return
	}
	q.free--
	q.mu.Unlock()
	if !granted() {
		q.giveBack()
	}
}

func (q *queue) giveBack() {
	for next := q.next(); next != nil; next = q.next() {
		if next() {
			return
		}
	}
}

// next is who has waited the longest; nil where nobody waits, and one place more is free then.
func (q *queue) next() func() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.free++
		return nil
	}
	first := q.waiting[0]
	q.waiting[0] = nil // What is left of the array must not keep it in memory.
	q.waiting = q.waiting[1:]
	return first
}

// acquire waits for a place.
func (q *queue) acquire(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var over atomic.Bool
	has := make(chan struct{})
	q.ask(func() bool {
		first := over.CompareAndSwap(false, true)
		close(has)
		return first
	})
	select {
	case <-has:
		return nil
	case <-ctx.Done():
		if !over.CompareAndSwap(false, true) { // It has come at the same moment.
			q.giveBack()
		}
		return ctx.Err()
	}
}
