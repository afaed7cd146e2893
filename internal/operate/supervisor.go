package operate

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/jmpub/jmpub/pipeline"
)

// pulse shows whether what publishes an app is alive: it makes observations, waits for as long as it has said, or takes a ping. A Kafka or an
// API that is slow or away keeps it alive, because each request and each wait has an end, after which there is an observation. Safe for
// concurrent use.
type pulse struct {
	// until is up to when it is taken for alive, in nanoseconds of Unix time.
	until atomic.Int64
	run   atomic.Pointer[pipeline.Pipeline]
}

const (
	// pulseTime is how long after an observation something is taken for alive: longer than a request with its timeout and the longest wait of
	// the retry policy.
	pulseTime = 2 * time.Minute
	// pingTime is how long what publishes may take to take a ping.
	pingTime = 5 * time.Second
)

// observe is a [pipeline.Observer].
func (p *pulse) observe(o pipeline.Observation) {
	wait := time.Duration(0)
	if retry, is := o.(pipeline.RetryScheduled); is {
		wait = retry.Wait
	}
	p.waits(wait)
}

// waits notes that nothing may be heard for so long.
func (p *pulse) waits(d time.Duration) { p.until.Store(time.Now().Add(d + pulseTime).UnixNano()) }

// alive tells whether something was heard lately, or is now.
func (p *pulse) alive(ctx context.Context) bool {
	if time.Now().UnixNano() < p.until.Load() {
		return true
	}
	run := p.run.Load()
	return run != nil && run.Ping(ctx) == nil
}

// pulses are those of the apps that the process has. It waits for its turn as those do who share them out.
func (s *seats) pulses(ctx context.Context) ([]*pulse, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer s.leave()
	var all []*pulse
	for _, one := range s.list {
		if one.owner.stop != nil || one.pulse.run.Load() != nil { // Where nobody shares out, there is no owner at work.
			all = append(all, one.pulse)
		}
	}
	return all, nil
}

// alive tells whether nothing hangs: neither who shares out the apps nor what publishes any of those that the process has.
func (p *Process) alive(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	all, err := p.seats.pulses(ctx)
	if err != nil {
		return false
	}
	var dead atomic.Bool
	var asking sync.WaitGroup
	for _, one := range all {
		asking.Go(func() {
			if !one.alive(ctx) {
				dead.Store(true)
			}
		})
	}
	asking.Wait()
	return !dead.Load()
}

// tellSupervisorEvery is how often a supervisor is told what the process does, where it has no watchdog that asks for more.
// Before it is ready, the supervisor waits for that. watchdogShare is how many times within the watchdog's time it is told that the process is
// alive.
const (
	tellSupervisorEvery = 5 * time.Second
	untilReady          = 500 * time.Millisecond
	watchdogShare       = 3
)

// isSupervised tells whether systemd has started the process and asks for what [Process.tellSupervisor] says.
func (p *Process) isSupervised(ctx context.Context) bool { return p.notify(ctx, "STATUS=starting") }

// tellSupervisor tells systemd, where that has started the process and asks for it (NOTIFY_SOCKET), when the first app is published or the
// process stands by, what it does, that it is alive, and that it stops, until ctx is done.
func (p *Process) tellSupervisor(ctx context.Context, every time.Duration) {
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		p.log.WarnContext(ctx, "the supervisor's watchdog is not served", slog.Any("error", fmt.Errorf("WATCHDOG_USEC: %w", err)))
	}
	if watchdog > 0 {
		every = min(every, watchdog/watchdogShare)
	}
	ready, said := false, ""
	for {
		text, works := p.status.Summary()
		var state []string
		if works && !ready {
			ready = true
			state = append(state, daemon.SdNotifyReady)
		}
		if text != said {
			said = text
			state = append(state, "STATUS="+strings.ReplaceAll(text, "\n", " "))
		}
		if watchdog > 0 && p.alive(ctx) {
			state = append(state, daemon.SdNotifyWatchdog)
		}
		p.notify(ctx, state...)
		wait := every
		if !ready {
			wait = min(wait, untilReady)
		}
		if pipeline.Sleep(ctx, wait) != nil {
			p.notify(ctx, daemon.SdNotifyStopping, "STATUS=stopping: what is being committed is finished")
			return
		}
	}
}

// notify sends to the supervisor, and reports whether there is one.
func (p *Process) notify(ctx context.Context, state ...string) bool {
	if len(state) == 0 {
		return true
	}
	sent, err := daemon.SdNotify(false, strings.Join(state, "\n"))
	if err != nil {
		p.log.DebugContext(ctx, "the supervisor cannot be told", slog.Any("error", err))
	}
	return sent || err != nil
}
