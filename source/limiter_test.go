package source

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestLimiterKeepsToTheRate lets several streams ask as fast as they can, with idle times that fill the bucket.
func TestLimiterKeepsToTheRate(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rate := Rate{
			Requests: rapid.IntRange(1, 900).Draw(rt, "requests"),
			Per:      rapid.SampledFrom([]time.Duration{time.Second, time.Minute}).Draw(rt, "per"),
		}
		idle := rapid.SliceOfN(rapid.IntRange(0, 3000), 1, 5).Draw(rt, "idle")
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter(rate)
			var at []time.Time
			for i := range 3*rate.Requests + 5 {
				if i%40 == 0 {
					time.Sleep(time.Duration(idle[i/40%len(idle)]) * time.Millisecond)
				}
				if err := l.wait(t.Context(), streamHandicap); err != nil {
					t.Fatalf("wait: %v", err)
				}
				at = append(at, time.Now())
			}
			for i := rate.Requests; i < len(at); i++ {
				// One less than a microsecond is the bucket's rounding.
				if took := at[i].Sub(at[i-rate.Requests]); took < rate.Per-time.Microsecond {
					t.Fatalf("%v: %d requests in %v", rate, rate.Requests+1, took)
				}
			}
			if took := at[len(at)-1].Sub(at[0]); took > time.Duration(1+len(at)/rate.Requests)*rate.Per*102/100+time.Duration(1+len(at)/40)*3*time.Second {
				t.Fatalf("%v: %d requests took %v", rate, len(at), took)
			}
		})
	})
}

func TestLimiterUsesTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Rate{Requests: 600, Per: time.Minute})
		start := time.Now()
		for range 6000 {
			if err := l.wait(t.Context(), streamHandicap); err != nil {
				t.Fatalf("wait: %v", err)
			}
		}
		if took := time.Since(start); took > 10*time.Minute+10*time.Second {
			t.Errorf("6000 requests at 600/m took %v", took)
		}
	})
}

func TestLimiterPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Rate{Requests: 10, Per: time.Second})
		l.pause(30 * time.Second)
		l.pause(time.Second) // A shorter one does not end it.
		start := time.Now()
		var all sync.WaitGroup
		var mu sync.Mutex
		var after []time.Duration
		for range 3 {
			all.Go(func() {
				if err := l.wait(t.Context(), streamHandicap); err != nil {
					t.Errorf("wait: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				after = append(after, time.Since(start))
			})
		}
		all.Wait()
		for i, d := range after { // One by one, not all at once.
			if want := 30*time.Second + time.Duration(i)*100*time.Millisecond; d < want || d > want+time.Millisecond {
				t.Errorf("request %d went after %v, want %v", i, d, want)
			}
		}
	})
}

// TestLimiterPausesWhoWaitsAlready has a pause begin while somebody waits for the rate.
func TestLimiterPausesWhoWaitsAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Rate{Requests: 1, Per: 10 * time.Second})
		if err := l.wait(t.Context(), noHandicap); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		time.AfterFunc(time.Second, func() { l.pause(time.Minute) })
		if err := l.wait(t.Context(), noHandicap); err != nil || time.Since(began) < time.Minute {
			t.Errorf("the second request is sent after %v: %v", time.Since(began), err)
		}
	})
}

func TestLimiterEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Rate{Requests: 1, Per: time.Minute})
		if err := l.wait(t.Context(), streamHandicap); err != nil {
			t.Fatalf("wait: %v", err)
		}
		start := time.Now()
		short, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := l.wait(short, streamHandicap); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 0 {
			t.Errorf("got %v after %v, want the deadline at once: the bucket is empty for longer", err, time.Since(start))
		}
		l.pause(time.Hour)
		if err := l.wait(short, streamHandicap); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 0 {
			t.Errorf("got %v after %v, want the deadline at once: the pause is longer", err, time.Since(start))
		}
		stopped, stop := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, stop)
		if err := l.wait(stopped, streamHandicap); !errors.Is(err, context.Canceled) || time.Since(start) != 5*time.Second {
			t.Errorf("got %v after %v, want it cancelled after 5s", err, time.Since(start))
		}
	})
}
