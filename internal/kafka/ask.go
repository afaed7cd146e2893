package kafka

import "context"

// question is what a broker is asked about a partition: the offset at a time.
type question struct {
	place

	timestamp int64
}

// rounds are the requests with a question, one after the other. One may be under way; next is for those who have asked since it was sent.
type rounds struct{ next *round }

// round is one request, and its answer.
type round struct {
	send   func() (int64, error)
	cancel context.CancelFunc
	// askers is how many wait for it; guarded by the mutex of Together.
	askers int

	// done is closed when the answer is there.
	done   chan struct{}
	offset int64
	err    error
}

// ask returns what send finds. One request is sent for all who ask the same at the same time; nobody gets the answer to one that was sent
// before it asked.
func (t *Together) ask(ctx context.Context, q question, send func(context.Context) (int64, error)) (int64, error) {
	all, r := t.enter(ctx, q, send)
	select {
	case <-r.done:
		return r.offset, r.err
	case <-ctx.Done():
		t.mu.Lock()
		defer t.mu.Unlock()
		if r.askers--; r.askers == 0 {
			r.cancel()
			if all.next == r { // Nobody else shall find it.
				all.next = nil
			}
		}
		return 0, ctx.Err()
	}
}

// enter adds somebody to the next round, which outlives who asked first.
func (t *Together) enter(ctx context.Context, q question, send func(context.Context) (int64, error)) (*rounds, *round) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.asked[q]
	if all == nil {
		if t.asked == nil {
			t.asked = make(map[question]*rounds)
		}
		all = &rounds{}
		t.asked[q] = all
		go t.answer(q, all)
	}
	if all.next == nil {
		lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
		all.next = &round{send: func() (int64, error) { return send(lasting) }, cancel: cancel, done: make(chan struct{})}
	}
	all.next.askers++
	return all, all.next
}

// answer sends one request after the other, for as long as somebody asks.
func (t *Together) answer(q question, all *rounds) {
	for r := t.following(q, all); r != nil; r = t.following(q, all) {
		r.offset, r.err = r.send()
		r.cancel()
		close(r.done)
	}
}

func (t *Together) following(q question, all *rounds) *round {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := all.next
	if all.next = nil; r == nil {
		delete(t.asked, q)
	}
	return r
}
