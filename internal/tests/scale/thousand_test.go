//go:build integration

package scale_test

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
	"github.com/jmpub/jmpub/internal/tests/soak"
)

var (
	many    = flag.Int("scale.apps", 0, "how many apps are measured; with 0 nothing is")
	brokers = flag.Int("scale.brokers", 1, "on how many brokers: three take more than two processors by themselves")
)

// wanted leaves out what takes minutes and tells figures, where those are not asked for.
func wanted(t *testing.T) {
	t.Helper()
	if *many == 0 {
		t.Skip("it measures: see make scale")
	}
}

// row tells a figure where scripts/kafka.sh shows it.
func row(format string, args ...any) { fmt.Printf("| "+format+" |\n", args...) } //nolint:forbidigo // As a table.

// TestMeasureIdleApps measures what one process takes for apps in which nothing happens.
func TestMeasureIdleApps(t *testing.T) {
	wanted(t)
	cluster := kafkatest.Start(t, kafkatest.Options{Brokers: *brokers})
	o := sim.Defaults()
	o.Begin, o.End = time.Now().Add(-time.Hour), time.Now().Add(-59*time.Minute)
	o.Rate = 0.05
	f := newFleet(t, cluster, sim.Alike(o, *many), "JMPUB_START=5m")
	p := f.start()
	began := time.Now()
	f.awaitAll(p)
	took := time.Since(began)
	const silence, measured = 6 * time.Minute, time.Minute
	soak.Wait(t, silence)
	f.asked.mark()
	before := p.usage()
	soak.Wait(t, measured)
	after := p.usage()
	_, requests := f.asked.pauses()
	goroutines, stacks, heap := p.ofRuntime()
	row("%d idle apps | published after %s | %.3f cores | %d MiB resident | %.1f requests/s | %.0f goroutines with %.1f MiB of stacks | %.1f MiB of heap",
		*many, took.Round(100*time.Millisecond), (after.cpu-before.cpu).Seconds()/after.at.Sub(before.at).Seconds(), after.resident>>20,
		float64(requests)/measured.Seconds(), goroutines, stacks/(1<<20), heap/(1<<20))
	if code := p.signal(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// ofRuntime is what /metrics says of a process's goroutines, their stacks, and the heap, of which about half is garbage.
func (p *process) ofRuntime() (goroutines, stacks, heap float64) {
	for line := range strings.Lines(p.metrics()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.ParseFloat(value, 64) // A comment is no number.
		switch name {
		case "go_goroutines":
			goroutines = n
		case "go_memstats_stack_inuse_bytes":
			stacks = n
		case "go_memstats_heap_inuse_bytes":
			heap = n
		}
	}
	return goroutines, stacks, heap
}

// TestMeasureRebalance measures for how long apps are not asked for when a fourth process joins three, one is stopped, and one killed.
func TestMeasureRebalance(t *testing.T) {
	wanted(t)
	cluster := kafkatest.Start(t, kafkatest.Options{Brokers: *brokers})
	o := sim.Defaults()
	o.Begin, o.Rate = time.Now().Add(-5*time.Minute).Truncate(time.Second), 0.005
	o.End = time.Now().Add(4 * time.Minute).Truncate(time.Second)
	f := newFleet(t, cluster, sim.Alike(o, *many), "JMPUB_START=10m", "JMPUB_RECHECK=off")
	began := time.Now()
	processes := []*process{f.start(), f.start(), f.start()}
	t.Logf("three processes publish %v apps after %s", f.awaitAll(processes...), time.Since(began).Round(100*time.Millisecond))
	soak.Wait(t, 30*time.Second)
	step := func(what string, change func()) {
		t.Helper()
		before := f.owners(processes...)
		f.asked.mark()
		began := time.Now()
		change()
		each := f.awaitAll(processes...)
		took := time.Since(began)
		soak.Wait(t, 5*time.Second)
		after := f.owners(processes...)
		pauses, _ := f.asked.pauses()
		moved := func(key string) bool { return after[key] != before[key] }
		n := 0
		for key := range after {
			if moved(key) {
				n++
			}
		}
		row("%s: %v apps after %s | the longest time without a request: %s of the %d that stayed | %s of the %d that moved", what, each,
			took.Round(100*time.Millisecond), most(pauses, func(key string) bool { return !moved(key) }), *many-n, most(pauses, moved), n)
	}
	step("nothing happens", func() {})
	step("a fourth joins", func() {
		processes = append(processes, f.start())
		f.await("it has apps", soak.Patience, func() bool {
			s, _ := processes[3].state()
			return s.Owned > 0
		})
	})
	step("one is stopped", func() {
		processes[0].signal(syscall.SIGTERM)
		processes = processes[1:]
	})
	step("one is killed", func() {
		processes[0].signal(syscall.SIGKILL)
		processes = processes[1:]
	})
	f.awaitRead(o.End, processes...)
	for _, p := range processes {
		p.signal(syscall.SIGTERM)
	}
	f.compare()
}

// TestMeasureRolling measures for how long apps are not asked for when one process becomes three, all of them are restarted in turn and become
// one again, while with each of these changes one of three brokers is restarted; TestMeasureRollingKilled does the same with brokers that are killed.
func TestMeasureRolling(t *testing.T) {
	rolling(t, "a broker was restarted", (*kafkatest.Cluster).Stop)
}

func TestMeasureRollingKilled(t *testing.T) {
	rolling(t, "a broker was killed", (*kafkatest.Cluster).Kill)
}

func rolling(t *testing.T, fault string, end func(*kafkatest.Cluster, testing.TB, int)) {
	t.Helper()
	wanted(t)
	const three, rows = 3, 5.0 // A second, of all apps.
	cluster := kafkatest.Start(t, kafkatest.Options{Brokers: three})
	o := sim.Defaults()
	o.Begin, o.Rate = time.Now().Add(-5*time.Minute).Truncate(time.Second), rows/float64(*many)
	o.End = time.Now().Add(8 * time.Minute).Truncate(time.Second)
	// An app that is silent is asked as often as the others, or what is measured would be how seldom that is.
	f := newFleet(t, cluster, sim.Alike(o, *many), "JMPUB_START=10m", "JMPUB_RECHECK=off", "JMPUB_POLL_IDLE=2s")
	processes := []*process{f.start()}
	f.awaitAll(processes...)
	soak.Wait(t, 10*time.Second)
	f.asked.mark()
	steps := 0
	step := func(what string, change func()) {
		t.Helper()
		change()
		broker := steps % three
		steps++
		end(cluster, t, broker)
		cluster.Restart(t, broker)
		cluster.WaitReady(t, three)
		each := f.awaitAll(processes...)
		soak.Wait(t, 5*time.Second)
		pauses, _ := f.asked.pauses()
		row("%s, %s: %v apps | the longest time without a request: %s", what, fault, each, most(pauses, func(string) bool { return true }))
		f.asked.mark()
	}
	join := func() { processes = append(processes, f.start()) }
	leave := func() {
		if code := processes[0].signal(syscall.SIGTERM); code != 0 {
			t.Errorf("SIGTERM: exit code %d", code)
		}
		processes = processes[1:]
	}
	step("a second joins", join)
	step("a third joins", join)
	for range three {
		step("one is restarted", func() {
			leave()
			join()
		})
	}
	step("one of three is stopped", leave)
	step("one of two is stopped", leave)
	f.awaitRead(o.End, processes...)
	leave()
	f.compare()
}

// TestMeasureFairness measures how far behind the apps are while one of them catches up with two months at its own quota.
func TestMeasureFairness(t *testing.T) {
	wanted(t)
	cluster := kafkatest.Start(t, kafkatest.Options{Brokers: *brokers})
	all := sim.Alike(sim.Defaults(), *many)
	now := time.Now().UTC().Truncate(time.Second)
	busy := *many / 20
	for i := range all {
		o := &all[i]
		o.Begin, o.Rate = now.Add(-4*time.Minute), 0.001
		switch {
		case i == 0:
			o.Begin, o.Rate = now.Add(-59*24*time.Hour), 2
		case i <= busy:
			o.Rate = 5
		}
	}
	f := newFleet(t, cluster, all, "JMPUB_START=3m", "JMPUB_RECHECK=off")
	f.write(len(all), func(i int) string {
		if i == 0 {
			return ", start: 59d, rate: 600/m"
		}
		return ""
	})
	processes := []*process{f.start(), f.start(), f.start()}
	f.await("all are published", soak.Patience, func() bool {
		_, there := f.owned(processes...)
		return there
	})
	soak.Wait(t, 30*time.Second)
	worst := make(map[string]float64)
	for range 60 {
		for _, p := range processes {
			s, _ := p.state()
			for _, app := range s.Apps {
				kind := "idle"
				switch i := slices.IndexFunc(all, func(o sim.Options) bool { return o.AppKey == app.AppKey }); {
				case app.Standby:
					continue
				case i == 0:
					kind = "catching up"
				case i <= busy:
					kind = "busy"
				}
				worst[kind] = max(worst[kind], app.Lag)
			}
		}
		soak.Wait(t, time.Second)
	}
	for _, kind := range slices.Sorted(maps.Keys(worst)) {
		row("%s | at most %.1f s behind within a minute", kind, worst[kind])
	}
	for i, p := range processes {
		u := p.usage()
		row("process %d | %.1f s of CPU | %d MiB resident", i+1, u.cpu.Seconds(), u.resident>>20)
	}
}
