//go:build integration

package scale_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
	"github.com/jmpub/jmpub/internal/tests/soak"
)

// TestAppsOnApacheKafka has processes come, leave, die and hang while they share apps, and the file change: every row is there once in the end.
func TestAppsOnApacheKafka(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.Start(t, kafkatest.Options{})
	const apps, lasts = 60, 70 * time.Second
	o := sim.Defaults()
	now := time.Now().UTC().Truncate(time.Second)
	o.Begin, o.End, o.Rate = now.Add(-5*time.Minute), now.Add(lasts), 0.5
	o.Faults = sim.Faults{ServerError: 0.01, Dropped: 0.01, Repeated: 0.01, Displaced: 0.01, ExpiredEarly: 0.01}
	f := newFleet(t, cluster, sim.Alike(o, apps), "JMPUB_START=10m")
	f.write(apps-10, nothingMore)
	first := f.start()
	f.await("the first process has the apps of the file", soak.Patience, func() bool {
		s, _ := first.state()
		return s.Owned == apps-10
	})
	f.write(apps, nothingMore)
	first.signal(syscall.SIGHUP)
	t.Logf("one process has %v apps", f.awaitAll(first))
	second, third := f.start(), f.start()
	shared := func(what string, processes ...*process) {
		t.Helper()
		each := f.awaitAll(processes...)
		for _, n := range each {
			if n == 0 {
				t.Errorf("%s: the processes have %v apps", what, each)
			}
		}
		t.Logf("%s: the processes have %v apps", what, each)
	}
	f.await("three processes share the apps", soak.Patience, func() bool {
		each, allThere := f.owned(first, second, third)
		return allThere && each[0] > 0 && each[1] > 0 && each[2] > 0
	})
	shared("three", first, second, third)
	f.awaitShown(first, second, third)
	second.signal(syscall.SIGKILL)
	shared("one was killed", first, third)
	f.awaitShown(first, third)
	second = f.start()
	f.await("it has apps again", soak.Patience, func() bool {
		each, allThere := f.owned(first, second, third)
		return allThere && each[1] > 0
	})
	third.signal(syscall.SIGSTOP)
	shared("one hangs", first, second)
	third.signal(syscall.SIGCONT)
	f.await("who hung has apps again", soak.Patience, func() bool {
		each, allThere := f.owned(first, second, third)
		return allThere && each[2] > 0
	})
	for _, p := range []**process{&first, &second, &third} {
		if code := (*p).signal(syscall.SIGTERM); code != 0 {
			t.Errorf("SIGTERM: exit code %d", code)
		}
		if said := (*p).said.String(); p == &first && strings.Contains(said, "cannot be told") { // It has made the topic.
			t.Errorf("the first process says\n%s", said)
		}
		*p = f.start()
	}
	f.await("all have been restarted", soak.Patience, func() bool {
		_, allThere := f.owned(first, second, third)
		return allThere
	})
	f.awaitRead(o.End, first, second, third)
	f.awaitShown(first, second, third)
	for _, p := range []*process{first, second, third} {
		if code := p.signal(syscall.SIGTERM); code != 0 {
			t.Errorf("SIGTERM: exit code %d", code)
		}
	}
	if published, others := f.shown(); len(published) > 0 || others["nobody"]+others["silent"] != apps {
		t.Errorf("when all have left, %v are shown as published, and %v as not", published, others)
	}
	f.compare()
}
