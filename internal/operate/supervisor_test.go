package operate

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// TestPulse takes what publishes for alive while it waits for the head and for as long as it has said, and not when
// it hangs in a call that comes to no end.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kafka := fakes.NewKafka()
		hang := make(chan struct{})
		var hung atomic.Bool
		kafka.Fail = func(ctx context.Context, op string) error {
			if op == "commit" && hung.Load() {
				<-hang
			}
			return ctx.Err()
		}
		begin := time.Now().Add(-time.Minute)
		cfg := fakes.ConfigFor(fakes.NewSource(fakes.RowsFrom(begin, 7200)...), kafka, begin)
		var p pulse
		cfg.Observer = p.observe
		cfg.Retry.Notify = cfg.Observer.Retry
		run, err := pipeline.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		p.run.Store(run)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- run.Run(ctx) }()
		expect := func(when string, want bool) {
			t.Helper()
			soon, cancel := context.WithTimeout(t.Context(), pingTime)
			defer cancel()
			if got := p.alive(soon); got != want {
				t.Errorf("%s: alive is %t", when, got)
			}
		}
		time.Sleep(time.Minute)
		expect("while it publishes", true)
		p.until.Store(0)
		expect("by a ping", true)
		p.waits(time.Hour)
		time.Sleep(time.Hour + time.Minute)
		expect("while it waits for as long as it has said", true)
		hung.Store(true)
		time.Sleep(pulseTime + time.Minute)
		p.until.Store(time.Now().Add(-time.Minute).UnixNano()) // Those who read may be heard for a moment after it.
		expect("while it hangs", false)
		close(hang)
		hung.Store(false)
		time.Sleep(time.Minute)
		expect("when that is over", true)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestPulseOfWhatWaits is alive for the time that a call waits before it is tried again.
func TestPulseOfWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pulse
		if p.alive(t.Context()) {
			t.Error("before anything was heard")
		}
		p.observe(pipeline.RetryScheduled{Wait: time.Hour})
		time.Sleep(time.Hour + pulseTime - time.Second)
		if !p.alive(t.Context()) {
			t.Error("it waits for the API's quota, and is taken for dead")
		}
		time.Sleep(time.Second)
		if p.alive(t.Context()) {
			t.Error("it should have been heard of by now")
		}
	})
}
