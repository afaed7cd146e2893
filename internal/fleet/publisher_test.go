package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// listener takes down what a publisher writes, and when.
type listener struct {
	began time.Time

	mu      sync.Mutex // Guards what follows. Nobody waits with it: simulated time would stand still.
	apps    int
	told    []string
	trouble []error
	// fails is what the next writes say, hangs has them wait until they are given up.
	fails error
	hangs bool
}

func (l *listener) start(ctx context.Context) (*Publisher, <-chan struct{}) {
	l.began = time.Now()
	p := NewPublisher(l.state, l.write, func(err error) { l.set(func() { l.trouble = append(l.trouble, err) }) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Run(ctx)
	}()
	return p, done
}

// set changes something.
func (l *listener) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *listener) state() *Process {
	l.mu.Lock()
	defer l.mu.Unlock()
	return process("a", l.apps)
}

// write notes when it was, and which parts have a value (+) or are taken away (-).
func (l *listener) write(ctx context.Context, all []Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:", time.Since(l.began))
	for _, r := range all {
		sign := "+"
		if r.Value == nil {
			sign = "-"
		}
		b.WriteString(sign + string(r.Key[len(r.Key)-1:]))
	}
	var hangs bool
	var fails error
	l.set(func() { l.told, hangs, fails = append(l.told, b.String()), l.hangs, l.fails })
	if hangs {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return fails
}

func (l *listener) want(t *testing.T, want ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.told, want) {
		t.Errorf("told %q, want %q", l.told, want)
	}
	l.told = nil
}

// troubles is what has failed so far.
func (l *listener) troubles() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.trouble)
}

// TestStateIsToldEveryTenSeconds, for the first time when the process has had a second to begin, and is taken back in the end.
func TestStateIsToldEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		l := &listener{apps: 201}
		_, done := l.start(ctx)
		time.Sleep(22 * time.Second)
		l.want(t, "1s:+0+1", "11s:+0+1", "21s:+0+1")
		l.set(func() { l.apps = 0 })
		time.Sleep(20 * time.Second)
		l.want(t, "31s:+0-1", "41s:+0")
		stop()
		<-done
		l.want(t, "42s:-0")
		if failed := l.troubles(); len(failed) > 0 {
			t.Error(failed)
		}
	})
}

// TestChangesAreToldSoon, but not more often than each second, and the state is told every ten seconds all the same.
func TestChangesAreToldSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		l := &listener{}
		p, done := l.start(ctx)
		time.Sleep(5 * time.Second)
		p.Changed()
		time.Sleep(4 * time.Second)
		l.want(t, "1s:+0", "6s:+0")
		for range 30 { // Each 100 ms.
			p.Changed()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(11 * time.Second)
		l.want(t, "10s:+0", "11s:+0", "12s:+0", "22s:+0")
		stop()
		<-done
	})
}

// TestTroubleEndsNothing: what cannot be told is tried again at the next time, and a write that hangs is given up.
func TestTroubleEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		l := &listener{apps: 201, fails: errors.New("not allowed")}
		_, done := l.start(ctx)
		time.Sleep(12 * time.Second)
		l.want(t, "1s:+0+1", "11s:+0+1")
		l.set(func() { l.fails, l.hangs = nil, true })
		time.Sleep(10 * time.Second)
		if n := len(l.troubles()); n != 2 {
			t.Errorf("%d failures were told", n)
		}
		time.Sleep(5 * time.Second)
		if failed := l.troubles(); len(failed) != 3 || !errors.Is(failed[2], errNoAnswer) {
			t.Errorf("told %v", failed)
		}
		l.set(func() { l.hangs, l.apps = false, 1 })
		time.Sleep(10 * time.Second)
		l.want(t, "21s:+0+1", "36s:+0-1") // What was not confirmed may stand there.
		l.set(func() { l.hangs = true })
		stop()
		<-done
		if took := time.Since(l.began); took != 39*time.Second { // 37 s when it was stopped, and 2 s for the last word.
			t.Errorf("it ended after %s", took)
		}
	})
}

// TestNothingIsTakenBackThatWasNeverTold: a process that leaves at once asks Kafka for nothing.
func TestNothingIsTakenBackThatWasNeverTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		l := &listener{}
		_, done := l.start(ctx)
		stop()
		<-done
		l.want(t)
	})
}
