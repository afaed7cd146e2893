// Package spares keeps what is dear to make, until somebody needs it again.
package spares

import (
	"slices"
	"sync"
	"time"
)

// Time is how long something is kept without anybody who needs it, or up to twice as long.
const Time = time.Minute

// Pool keeps things of a kind. A [sync.Pool] would lose them at each garbage collection, of which a catch-up has several a second. What came last
// is taken first, so that the others show how many are not needed: those that nobody has taken from one minute to the next are let go, and an idle
// process keeps none. Safe for concurrent use.
type Pool[T any] struct {
	// most bounds what is kept, by the sum of the sizes.
	most int
	size func(T) int

	mu   sync.Mutex
	kept []T
	held int
	// untaken is how many of the first ones nobody has taken since the last sweep.
	untaken  int
	sweeping bool
}

// New makes a pool that keeps at most so much, by the sum of the sizes.
func New[T any](most int, size func(T) int) *Pool[T] { return &Pool[T]{most: most, size: size} }

// Take takes one, if there is any.
func (p *Pool[T]) Take() (one T, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.kept) == 0 {
		return one, false
	}
	last := len(p.kept) - 1
	one = p.kept[last]
	p.drop(last, last+1)
	return one, true
}

// Give keeps one, if there is room for it, and unless it has no size. Nobody uses it any more.
func (p *Pool[T]) Give(one T) {
	size := p.size(one)
	p.mu.Lock()
	defer p.mu.Unlock()
	if size == 0 || p.held+size > p.most {
		return
	}
	p.kept, p.held = append(p.kept, one), p.held+size
	if !p.sweeping {
		p.sweeping = true
		time.AfterFunc(Time, p.sweep)
	}
}

func (p *Pool[T]) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(0, p.untaken)
	p.untaken = len(p.kept)
	if p.sweeping = p.untaken > 0; p.sweeping {
		time.AfterFunc(Time, p.sweep)
	}
}

// drop takes some of those out that are kept.
func (p *Pool[T]) drop(from, to int) {
	for _, one := range p.kept[from:to] {
		p.held -= p.size(one)
	}
	p.kept = slices.Delete(p.kept, from, to)
	p.untaken = min(p.untaken, len(p.kept))
}
