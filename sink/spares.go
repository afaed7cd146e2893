package sink

import (
	"slices"
	"sync"
	"time"
)

// sparesTime is how long something is kept without anybody who needs it, or up to twice as long.
const sparesTime = time.Minute

// spares keep what is dear to make until somebody needs it again. A [sync.Pool] would lose it at each garbage collection, of which a catch-up
// has several a second. What came last is taken first, so that the others show how many are not needed: those that nobody has taken from one
// minute to the next are let go, and an idle process keeps none. Safe for concurrent use.
type spares[T any] struct {
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

// take takes one, if there is any.
func (s *spares[T]) take() (one T, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) == 0 {
		return one, false
	}
	last := len(s.kept) - 1
	one = s.kept[last]
	s.drop(last, last+1)
	return one, true
}

// give keeps one, if there is room for it. Nobody uses it any more.
func (s *spares[T]) give(one T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held+s.size(one) > s.most {
		return
	}
	s.kept, s.held = append(s.kept, one), s.held+s.size(one)
	if !s.sweeping {
		s.sweeping = true
		time.AfterFunc(sparesTime, s.sweep)
	}
}

func (s *spares[T]) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(0, s.untaken)
	s.untaken = len(s.kept)
	if s.sweeping = s.untaken > 0; s.sweeping {
		time.AfterFunc(sparesTime, s.sweep)
	}
}

// drop takes some of those out that are kept.
func (s *spares[T]) drop(from, to int) {
	for _, one := range s.kept[from:to] {
		s.held -= s.size(one)
	}
	s.kept = slices.Delete(s.kept, from, to)
	s.untaken = min(s.untaken, len(s.kept))
}
