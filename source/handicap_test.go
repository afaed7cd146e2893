package source

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// order lets requests of given handicaps come at given times, and notes in which order they went.
type order struct {
	l    *limiter
	all  sync.WaitGroup
	mu   sync.Mutex
	went []string
	at   map[string]time.Duration
}

func (o *order) ask(t *testing.T, name string, h handicap, start time.Time) {
	t.Helper()
	o.all.Go(func() {
		if err := o.l.wait(t.Context(), h); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.went = append(o.went, name)
		o.at[name] = time.Since(start)
	})
}

// TestHandicapsOrderTheQueue fills the queue with what may wait, and then comes with what matters.
func TestHandicapsOrderTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &order{l: newLimiter(Rate{Requests: 60, Per: time.Minute}), at: make(map[string]time.Duration)}
		start := time.Now()
		for _, name := range []string{"list 1", "list 2", "list 3"} {
			o.ask(t, name, extraHandicap, start)
			synctest.Wait()
		}
		time.Sleep(100 * time.Millisecond)
		for _, name := range []string{"group 1", "group 2"} {
			o.ask(t, name, streamHandicap, start)
			synctest.Wait()
		}
		o.ask(t, "messages", noHandicap, start)
		o.all.Wait()
		// The first went at once, and the second waited for the bucket already.
		want := []string{"list 1", "list 2", "messages", "group 1", "group 2", "list 3"}
		if !slices.Equal(o.went, want) {
			t.Errorf("went %v, want %v", o.went, want)
		}
		if at := o.at["messages"]; at > 2*time.Second {
			t.Errorf("the messages went after %v, want one request before them", at)
		}
	})
}

// TestNobodyWaitsForEver keeps the quota used up by what goes first.
func TestNobodyWaitsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Rate{Requests: 600, Per: time.Minute})
		busy, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var served [2]int
		for i, h := range []handicap{noHandicap, streamHandicap, streamHandicap} {
			all.Go(func() {
				for l.wait(busy, h) == nil {
					served[min(i, 1)]++
				}
			})
		}
		// One asks again at once, so it is never out of the queue: the streams pass it only by waiting longer.
		time.Sleep(time.Minute)
		start := time.Now()
		if err := l.wait(t.Context(), extraHandicap); err != nil {
			t.Errorf("wait: %v", err)
		}
		if took := time.Since(start); took < 55*time.Second || took > 70*time.Second {
			t.Errorf("statistics went after %v, want about a minute", took)
		}
		stop()
		all.Wait()
		// It has every second request, because it asks for one only when the last one was answered.
		if all := served[0] + served[1]; served[0] < all*45/100 || served[1] < all*45/100 {
			t.Errorf("the app's stream had %d requests, the two others %d; want half", served[0], served[1])
		}
	})
}

// TestQueueSurvivesThoseWhoGiveUp lets waiters leave the queue, one of them just as it may go on.
func TestQueueSurvivesThoseWhoGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Rate{Requests: 1, Per: time.Second})
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				// One a second gets through; the deadlines are at the very instants at which one goes on.
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Second/2)
				defer cancel()
				if err := l.wait(ctx, streamHandicap); err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("wait: %v", err)
				}
			})
		}
		all.Wait()
		if err := l.wait(t.Context(), noHandicap); err != nil {
			t.Errorf("wait: %v", err)
		}
		if l.busy || len(l.queue) > 0 {
			t.Errorf("somebody goes on: %v, %d wait; want nobody", l.busy, len(l.queue))
		}
	})
}
