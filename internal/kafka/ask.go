package kafka

import (
	"context"
	"sync"
)

// asks have those who ask the same at the same time share one request. Nobody gets the answer to one that was sent before it asked. Q is
// what is asked, A the answer, which nobody may change. Safe for concurrent use; the zero value is ready.
type asks[Q comparable, A any] struct {
	mu  sync.Mutex
	all map[Q]*rounds[A]
}

// rounds are the requests with a question, one after the other. One may be under way; next is for those who have asked since it was sent.
type rounds[A any] struct{ next *round[A] }

// round is one request, and its answer.
type round[A any] struct {
	send   func() (A, error)
	cancel context.CancelFunc
	// askers is how many wait for it; guarded by the mutex of asks.
	askers int

	// done is closed when the answer is there.
	done   chan struct{}
	answer A
	err    error
}

// ask returns what send finds.
func (a *asks[Q, A]) ask(ctx context.Context, q Q, send func(context.Context) (A, error)) (A, error) {
	same, r := a.enter(ctx, q, send)
	select {
	case <-r.done:
		return r.answer, r.err
	case <-ctx.Done():
		a.mu.Lock()
		defer a.mu.Unlock()
		if r.askers--; r.askers == 0 {
			r.cancel()
			if same.next == r { // Nobody else shall find it.
				same.next = nil
			}
		}
		var none A
		return none, ctx.Err()
	}
}

// enter adds somebody to the next round, which outlives who asked first.
func (a *asks[Q, A]) enter(ctx context.Context, q Q, send func(context.Context) (A, error)) (*rounds[A], *round[A]) {
	a.mu.Lock()
	defer a.mu.Unlock()
	same := a.all[q]
	if same == nil {
		if a.all == nil {
			a.all = make(map[Q]*rounds[A])
		}
		same = &rounds[A]{}
		a.all[q] = same
		go a.answer(q, same)
	}
	if same.next == nil {
		lasting, cancel := context.WithCancel(context.WithoutCancel(ctx)) //nolint:gosec // Whoever answers calls it, or the last one who leaves.
		same.next = &round[A]{send: func() (A, error) { return send(lasting) }, cancel: cancel, done: make(chan struct{})}
	}
	same.next.askers++
	return same, same.next
}

// answer sends one request after the other, for as long as somebody asks.
func (a *asks[Q, A]) answer(q Q, same *rounds[A]) {
	for r := a.following(q, same); r != nil; r = a.following(q, same) {
		r.answer, r.err = r.send()
		r.cancel()
		close(r.done)
	}
}

func (a *asks[Q, A]) following(q Q, same *rounds[A]) *round[A] {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := same.next
	if same.next = nil; r == nil {
		delete(a.all, q)
	}
	return r
}
