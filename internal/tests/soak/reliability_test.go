//go:build integration

package soak

import (
	"maps"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
)

// trial is one kind of fault while history and live messages are published.
type trial struct {
	name    string
	minutes int
	change  func(*sim.Options)
	env     map[string]string
	// allowed is how many requests the API answers before the fault; all where it is zero.
	allowed int
	breaks  func(tb testing.TB, t *Trial)
	// least is how often each fault must have been injected at least: the trial goes on until it was.
	least map[string]int
}

// results are printed when all trials of a test are over.
type results struct {
	mu   sync.Mutex
	list []Result
}

func (r *results) run(t *testing.T, rig *Rig, c *trial) {
	t.Helper()
	started := time.Now()
	trial := rig.NewTrial(t, c.name, max(3, c.minutes), c.change)
	maps.Copy(trial.Env, c.env)
	if c.allowed > 0 {
		trial.Gate.Allow(c.allowed)
	}
	trial.Start(t)
	if c.breaks != nil {
		c.breaks(t, trial)
	}
	trial.AwaitFaults(t, c.least, Patience)
	result := trial.Finish(t)
	if len(result.Injected) == 0 {
		t.Error("nothing was injected")
	}
	if result.GaveUp > 0 { // Each was started when everything could be reached.
		t.Errorf("%d processes left by themselves", result.GaveUp)
	}
	result.Took = time.Since(started)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, result)
}

// TestReliabilityOnApacheKafka injects each fault by itself while history and live messages are published through a cluster
// of three brokers, and counts what arrives. Faults of processes and of the API do not touch each other, so those run side
// by side.
func TestReliabilityOnApacheKafka(t *testing.T) { //nolint:tparallel // Faults of whole brokers follow one another.
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rig := NewRig(t, kafkatest.Options{Brokers: 3})
	rig.Keep = *keep
	var r results
	t.Cleanup(func() { Print(os.Stdout, r.list) })
	t.Run("side by side", func(t *testing.T) {
		for _, c := range append(processTrials(NewDice(seed)), apiTrials()...) {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				r.run(t, rig, &c)
			})
		}
	})
	for _, c := range clusterTrials(NewDice(seed + 1)) {
		t.Run(c.name, func(t *testing.T) { r.run(t, rig, &c) })
	}
}

// often repeats a fault after a wait of up to most.
func often(tb testing.TB, dice Dice, n int, most time.Duration, fault func()) {
	tb.Helper()
	for range n {
		Wait(tb, dice.Between(0, most))
		fault()
	}
}

// killInTransactions kills jmpub until it was killed n times within an open transaction, which most are for some milliseconds.
func killInTransactions(tb testing.TB, dice Dice, t *Trial, n int) {
	tb.Helper()
	const attempts = 4
	for kills := 0; t.Injected[KilledInTransaction] < n; kills++ {
		if kills > attempts*n {
			tb.Fatalf("%s: of %d kills, %d were in an open transaction, want %d", t.Name, kills, t.Injected[KilledInTransaction], n)
		}
		Wait(tb, dice.Between(0, 500*time.Millisecond))
		t.KillInTransaction(tb)
	}
}

func processTrials(dice Dice) []trial {
	// Each trial draws for itself: they run side by side.
	own := func() Dice { return NewDice(dice.Uint64()) }
	killing, ending, replacing, waking, expiring := own(), own(), own(), own(), own()
	return []trial{
		{name: "jmpub killed", minutes: *kills / 10, breaks: func(tb testing.TB, t *Trial) {
			often(tb, killing, *kills, time.Second, func() { t.Kill(tb) })
			killInTransactions(tb, killing, t, *kills)
		}},
		{name: "jmpub ended", breaks: func(tb testing.TB, t *Trial) {
			often(tb, ending, 20, 2*time.Second, func() { t.Restart(tb) })
		}},
		{name: "standby takes over", breaks: func(tb testing.TB, t *Trial) {
			kill := false
			often(tb, replacing, 10, time.Second, func() {
				t.HandOver(tb, kill)
				kill = !kill
			})
		}},
		{name: "old writer wakes up", breaks: func(tb testing.TB, t *Trial) {
			often(tb, waking, 6, time.Second, func() { t.Wake(tb, waking.Between(0, 3*time.Second)) })
		}},
		{
			name: "transaction times out", env: map[string]string{"JMPUB_KAFKA_TRANSACTION_TIMEOUT": "10s"},
			breaks: func(tb testing.TB, t *Trial) {
				often(tb, expiring, 4, 2*time.Second, func() { t.Expire(tb, 13*time.Second) })
			},
		},
	}
}

func apiTrials() []trial {
	return []trial{
		{name: "API cut off", breaks: func(tb testing.TB, t *Trial) {
			t.Await(tb, time.Now().Add(-2*time.Minute), Patience)
			for range 5 {
				Wait(tb, time.Second)
				t.Network(tb, "API cut off", 2*time.Second, []*Link{t.Link}, func(l *Link) { l.Cut(tb) })
			}
			for range 5 {
				Wait(tb, time.Second)
				t.Network(tb, "API replies cut", 2*time.Second, []*Link{t.Link}, func(l *Link) { l.Reset(20_000) })
			}
		}},
		{name: "API slow", change: func(o *sim.Options) {
			o.Latency, o.LatencyJitter = 100*time.Millisecond, 200*time.Millisecond
			o.Slow, o.SlowBy = 0.1, 2*time.Second
		}, least: map[string]int{"API: slow": 20}},
		// Whoever sees the headers stops when nothing is left, so only what is under way then is too much. There are more than twice
		// as many pages as a minute allows: its quota ends while several are asked for at a time, wherever in a minute the trial begins.
		{name: "API limits the rate", minutes: 25, change: func(o *sim.Options) {
			o.PerMinute, o.QuotaHeader, o.Rate, o.Latency = 60, true, 10, 100*time.Millisecond
		}, least: map[string]int{rateExceeded: 1}},
		{name: "API limits the rate, no headers", change: func(o *sim.Options) {
			o.PerMinute, o.NoRateHeaders = 150, true
		}, least: map[string]int{rateExceeded: 10}},
		// One request in eleven takes longer than a cursor lives, so most windows of several pages are read again. All others are far
		// from that, on a busy machine too.
		{name: "API's cursors expire", change: func(o *sim.Options) {
			o.CursorTTL, o.Slow, o.SlowBy = 5*time.Second, 1.0/11, 6*time.Second
		}, least: map[string]int{"API: expired cursors": 5}},
		{name: "API lies and breaks", minutes: 10, change: hostile, least: everyKind(3)},
		{name: "API by the sender's clock, strict bounds", minutes: 10, change: func(o *sim.Options) {
			hostile(o)
			o.End = time.Now() // A sender's clock that is slow makes a live row late.
			o.Clock, o.BeginStrict, o.EndStrict, o.EndMillis, o.CursorAtEnd = sim.SenderClock, true, true, true, true
		}, least: everyKind(3)},
	}
}

// rateExceeded is how a trial counts requests beyond the quota.
const rateExceeded = "API: rate exceeded"

// everyKind wants each fault of a hostile API n times.
func everyKind(n int) map[string]int {
	least := make(map[string]int)
	for _, kind := range []string{
		"rate limited", "rate limited bare", "server error", "html error", "html page", "truncated", "malformed", "dropped",
		"dropped headers", "dropped midway", "repeated", "displaced", "shuffled", "wrong total", "expired early", "slow",
	} {
		least["API: "+kind] = n
	}
	return least
}

// hostile is an API in which everything goes wrong now and then, a fifth of the time.
func hostile(o *sim.Options) {
	o.IrregularRows, o.Gzip = 0.03, true
	o.Faults = sim.Faults{
		RateLimited: 0.005, RateLimitedBare: 0.01, ServerError: 0.02, HTMLError: 0.01, HTMLPage: 0.01, Truncated: 0.02,
		Malformed: 0.02, Dropped: 0.02, DroppedHeaders: 0.01, DroppedMidway: 0.02, Repeated: 0.02, Displaced: 0.02,
		Shuffled: 0.02, WrongTotal: 0.02, ExpiredEarly: 0.02, Slow: 0.01, SlowBy: 500 * time.Millisecond,
	}
}

func clusterTrials(dice Dice) []trial {
	others := func(i int) []int { return []int{(i + 1) % 3, (i + 2) % 3} }
	return []trial{
		{name: "coordinator killed", breaks: func(tb testing.TB, t *Trial) {
			t.Await(tb, time.Now().Add(-2*time.Minute), Patience)
			for range 3 {
				t.KillBrokers(tb, dice.Between(time.Second, 4*time.Second), t.Coordinator(tb))
				t.Inject("coordinator among them")
			}
		}},
		{name: "leaders killed", breaks: func(tb testing.TB, t *Trial) {
			t.Await(tb, time.Now().Add(-2*time.Minute), Patience)
			for i := range 3 { // Each leads a third of the partitions.
				t.KillBrokers(tb, dice.Between(time.Second, 4*time.Second), i)
			}
			t.KillBrokers(tb, 3*time.Second, others(dice.IntN(3))...)
		}},
		{
			// A third of the history is read by then.
			name: "all brokers down for longer than a cursor lives", allowed: 60, change: func(o *sim.Options) { o.CursorTTL = 5 * time.Second },
			breaks: func(tb testing.TB, t *Trial) {
				t.AwaitGate(tb)
				t.KillBrokersWhile(tb, func() {
					t.Gate.Open()
					Wait(tb, 12*time.Second)
				}, 0, 1, 2)
			},
		},
		{
			name: "min.insync.replicas not met", env: map[string]string{"JMPUB_TOPICS_MIN_INSYNC_REPLICAS": "3"},
			breaks: func(tb testing.TB, t *Trial) {
				t.Await(tb, time.Now().Add(-2*time.Minute), Patience)
				for range 2 {
					t.KillBrokers(tb, 10*time.Second, dice.IntN(3))
				}
			},
		},
		{name: "brokers hang", breaks: func(tb testing.TB, t *Trial) {
			t.Await(tb, time.Now().Add(-2*time.Minute), Patience)
			for i := range 3 {
				t.HangBroker(tb, i, dice.Between(time.Second, 12*time.Second))
			}
		}},
		{name: "network to Kafka", breaks: func(tb testing.TB, t *Trial) {
			t.Await(tb, time.Now().Add(-2*time.Minute), Patience)
			all := t.Brokers
			for i := range all {
				t.Network(tb, "one broker cut off", dice.Between(time.Second, 4*time.Second), all[i:i+1], func(l *Link) { l.Cut(tb) })
				t.Network(tb, "packets to one broker swallowed", dice.Between(time.Second, 6*time.Second), all[i:i+1], func(l *Link) { l.Swallow() })
			}
			t.Network(tb, "all cut off", 3*time.Second, all, func(l *Link) { l.Cut(tb) })
			t.Network(tb, "all delayed by 300 ms", 6*time.Second, all, func(l *Link) { l.Delay(300 * time.Millisecond) })
			t.Network(tb, "50 KB/s", 8*time.Second, all, func(l *Link) { l.Narrow(50) })
			t.Network(tb, "connections reset", 6*time.Second, all, func(l *Link) { l.Reset(30_000) })
		}},
	}
}
