package endtoend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// liveWorld has a history that goes on while it is read, dense where live reading begins.
func liveWorld(t *testing.T, change func(*sim.Options)) *job {
	t.Helper()
	w := newWorld(t, 11, func(o *sim.Options) {
		o.Rate, o.IrregularRows = 3, 0.05
		change(o)
		o.End = time.Now().Add(10 * time.Minute)
	})
	j := w.job("live")
	j.liveFirst, j.pageSize, j.until = true, 20, time.Now().UTC().Truncate(time.Second).Add(-20*time.Second)
	return j
}

// TestLiveFirst reads the head and what lies behind it, whatever the API's documents leave open, and expects each row once.
func TestLiveFirst(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*sim.Options){
		"plain":         func(*sim.Options) {},
		"bounds strict": func(o *sim.Options) { o.BeginStrict, o.EndStrict = true, true },
		"end in ms":     func(o *sim.Options) { o.EndMillis = true },
		"sender's clock": func(o *sim.Options) { // What a slow clock stamps now may belong to the backlog, and is late then.
			o.Clock, o.IrregularRows, o.BeginStrict = sim.SenderClock, 0, true
		},
		"hostile": hostile,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantWhole(t, liveWorld(t, change))
		})
	}
}

// TestLiveFirstKilled cuts the run off at exchanges all along, and starts it again.
func TestLiveFirstKilled(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{12, 18, 21, 24, 27, 30, 33, 36, 40, 45, 50, 60, 75, 100} {
		t.Run(fmt.Sprintf("at %d", n), func(t *testing.T) {
			t.Parallel()
			j := liveWorld(t, func(*sim.Options) {})
			for i := range int64(3) {
				cutOff(t, j, n+2*i, i == 1)
			}
			wantWhole(t, j)
		})
	}
}
