package endtoend_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/source"
)

// gauge counts the requests that are under way at the same time.
type gauge struct {
	next      http.RoundTripper
	mu        sync.Mutex
	now, most int
}

// RoundTrip implements http.RoundTripper.
func (g *gauge) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	g.now++
	g.most = max(g.most, g.now)
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.now--
		g.mu.Unlock()
	}()
	return g.next.RoundTrip(r)
}

// TestCatchUpAsksSeldomAndSideBySide reads sixty days, dense, sparse and with a dense part in sparse times, and counts the
// requests.
func TestCatchUpAsksSeldomAndSideBySide(t *testing.T) {
	t.Parallel()
	const minute, day = 1, 24 * 60
	for _, c := range []struct {
		name     string
		minutes  int
		change   func(*sim.Options)
		most     func(rows int) int
		parallel bool
	}{
		{
			name: "dense", minutes: 59 * day, parallel: true,
			change: func(o *sim.Options) { o.Rate, o.Latency = 0.004, 2*time.Millisecond }, // Pages of 100 rows.
			most:   func(rows int) int { return rows * 115 / 100 / 100 },
		},
		{
			name: "a row a day", minutes: 60 * day,
			change: func(o *sim.Options) { o.Rate = 1.0 / (day * 60) },
			most:   func(int) int { return 15 },
		},
		{
			name: "a dense second in sparse times", minutes: 30 * day, parallel: true,
			change: func(o *sim.Options) {
				o.Rate, o.Burst, o.BurstAt, o.Latency = 0.002, 5000, o.End.Add(-3*day*time.Minute), 2*time.Millisecond
			},
			most: func(rows int) int { return rows * 200 / 100 / 100 },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.minutes, c.change)
			w.end = w.end.Add(-minute * time.Minute)
			j := w.job("catch-up")
			j.pageSize, j.unchecked = 100, true
			meter := &gauge{}
			j.change = func(cfg *source.Config) {
				meter.next = cfg.Transport
				cfg.Transport = meter
			}
			wantWhole(t, j)
			rows := 0
			for range j.truth() {
				rows++
			}
			// The run goes on at the head until it is stopped: a few requests more.
			const atTheHead = 4
			if got := int(w.api.Stats().Requests); got > c.most(rows)+atTheHead {
				t.Errorf("%d requests for %d rows, want at most %d", got, rows, c.most(rows)+atTheHead)
			}
			if want := 4; c.parallel && meter.most != want {
				t.Errorf("%d requests were under way at the same time, want %d", meter.most, want)
			}
		})
	}
}
