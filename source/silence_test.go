package source

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// follower reads a stream at the head, as a reader of the pipeline does.
type follower struct {
	t      *testing.T
	client *Client
	stream pipeline.Stream
	script *script
	end    time.Time
}

func newFollower(t *testing.T, change func(*Config)) *follower {
	t.Helper()
	s := &script{answers: []answer{page(0, "")}}
	cfg := testConfig(s)
	cfg.PollIdle = 10 * time.Second
	if change != nil {
		change(&cfg)
	}
	return &follower{t: t, client: newTestClient(t, cfg), stream: messages(), script: s, end: time.Now().UTC().Truncate(time.Second)}
}

// next reads the next window, and returns how long it had to wait for that.
func (f *follower) next() time.Duration {
	f.t.Helper()
	before := time.Now()
	plan, err := f.client.Plan(f.t.Context(), f.stream, pipeline.Position{End: f.end, Span: time.Hour})
	if err != nil {
		f.t.Fatal(err)
	}
	waited := time.Since(before)
	if _, err := readAll(f.t.Context(), f.client, f.stream, plan.Window); err != nil {
		f.t.Fatal(err)
	}
	f.end = plan.Window.End
	return waited
}

// forTime reads for so long, and returns the longest wait.
func (f *follower) forTime(d time.Duration) time.Duration {
	f.t.Helper()
	var longest time.Duration
	for begin := time.Now(); time.Since(begin) < d; {
		longest = max(longest, f.next())
	}
	return longest
}

// brings has all that is asked for from now on hold rows, or none.
func (f *follower) brings(rows ...string) {
	f.script.mu.Lock()
	defer f.script.mu.Unlock()
	f.script.answers = []answer{page(len(rows), "", rows...)}
}

func TestSilentStreamIsAskedMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const poll, second = 2 * time.Second, time.Second
		f := newFollower(t, nil)
		f.forTime(8 * time.Second) // The first window has to settle.
		if got := f.forTime(time.Minute); got != poll {
			t.Errorf("in the first minute it waited up to %v", got)
		}
		f.forTime(2*time.Minute - 8*time.Second)
		if got := f.next(); got < 5*second || got > 7*second {
			t.Errorf("after three minutes it waited %v, want about 6s", got)
		}
		f.forTime(3 * time.Minute)
		if got := f.forTime(time.Hour); got != 10*second {
			t.Errorf("after six minutes it waited up to %v", got)
		}
		f.brings(`{"msgid":1}`)
		f.next()
		f.brings()
		if got := f.forTime(50 * second); got != poll {
			t.Errorf("after a row it waited up to %v", got)
		}
		history := func() {
			f.brings(`{"msgid":1}`)
			if _, err := readAll(t.Context(), f.client, f.stream, settled(10*time.Minute)); err != nil {
				t.Fatal(err)
			}
			f.brings()
		}
		history()
		if got := f.next(); got > poll {
			t.Errorf("after a row and a window of its history it waited %v", got)
		}
		f.forTime(10 * time.Minute)
		f.next()
		time.Sleep(4 * second)
		history()
		if got := f.next(); got != 6*second {
			t.Errorf("after a window of its history it waited %v", got)
		}
		f.client.Forget(f.stream)
		f.next()
		if got := f.next(); got != poll {
			t.Errorf("once forgotten it waited %v", got)
		}
	})
}

// TestFirstMessageAfterSilenceIsReadSoon holds the promise of the documents: settle, the longest interval, and a bit.
func TestFirstMessageAfterSilenceIsReadSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollower(t, nil)
		f.forTime(time.Hour)
		for range 20 {
			sent := time.Now()
			for f.end.Before(sent) {
				f.next()
			}
			if took := time.Since(sent); took > 16*time.Second {
				t.Errorf("it took %v", took)
			}
			time.Sleep(777 * time.Millisecond)
		}
	})
}

// TestShortPollLastsAMinute has a poll interval that is far less than the share of a silence that is still short.
func TestShortPollLastsAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollower(t, func(c *Config) { c.Poll, c.Settle = time.Second, 0 })
		f.forTime(2 * time.Second)
		if got := f.forTime(55 * time.Second); got != time.Second {
			t.Errorf("in the first minute it waited up to %v", got)
		}
	})
}

func TestPollIdleMayBeOff(t *testing.T) {
	for _, idle := range []time.Duration{0, 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			f := newFollower(t, func(c *Config) { c.PollIdle = idle })
			f.forTime(time.Hour)
			if got := f.forTime(time.Minute); got != 2*time.Second {
				t.Errorf("with %v it waited up to %v", idle, got)
			}
		})
	}
}

// TestPlanIsNoPoll plans a window that was not asked for once more: the time since the last request counts, and not since the last plan.
func TestPlanIsNoPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollower(t, nil)
		f.forTime(time.Minute)
		p := pipeline.Position{End: f.end, Span: time.Hour}
		if _, err := f.client.Plan(t.Context(), f.stream, p); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond)
		if waited := f.next(); waited > 0 {
			t.Errorf("the second plan waited %v", waited)
		}
	})
}

// closable is a transport that counts how often its idle connections are closed.
type closable struct {
	http.RoundTripper

	closed int
}

func (c *closable) CloseIdleConnections() { c.closed++ }

func TestTransportOfOthersStaysOpen(t *testing.T) {
	shared := &closable{}
	cfg := testConfig(nil)
	cfg.Transport = shared
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if c.Close(); shared.closed > 0 {
		t.Error("connections that others may use were closed")
	}
	if one := NewTransport(); one.MaxIdleConnsPerHost < 100 || one.MaxIdleConns < one.MaxIdleConnsPerHost {
		t.Errorf("%d connections to a host are kept of %d", one.MaxIdleConnsPerHost, one.MaxIdleConns)
	}
}
