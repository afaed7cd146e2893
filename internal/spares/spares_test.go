package spares_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/spares"
)

// TestPool follows what is kept: the newest is taken first, no more than there is room for, and nothing that nobody takes.
func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spares.New(10, func(n int) int { return n })
		for _, n := range []int{3, 4, 9, 2} { // There is no room for 9.
			s.Give(n)
		}
		take := func(want int) {
			t.Helper()
			if got, ok := s.Take(); got != want || ok != (want > 0) {
				t.Errorf("%d is taken, want %d", got, want)
			}
		}
		time.Sleep(spares.Time + time.Second) // From here on it is noticed what nobody takes.
		take(2)
		take(4)
		s.Give(4)
		s.Give(0) // There is nothing to keep.
		s.Give(1)
		time.Sleep(spares.Time)
		take(1)
		take(4)
		take(0) // Nobody took 3.
		s.Give(10)
		time.Sleep(2*spares.Time + time.Second)
		take(0)
		s.Give(10) // It is kept again.
		take(10)
	})
}
