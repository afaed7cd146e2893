//go:build integration

package soak

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
)

// The arguments of a soak; see `make soak`.
var (
	faults = flag.Int("soak.faults", 40, "how many faults are injected, besides those of the API")
	seed   = flag.Uint64("soak.seed", 0, "the dice and the histories; 0 is another each time")
	kills  = flag.Int("soak.kills", 100, "how often jmpub is killed at any time, and again in an open transaction, where that is tried by itself")
	keep   = flag.String("soak.keep", "", "a folder for the logs of what failed")
)

const (
	// epoch is how many faults one history has before it is looked at as a whole: the memory of a soak of hours is bounded by it.
	epoch = 60
	// lookEvery is after how many faults all that is there is read.
	lookEvery = 6
)

// TestSoakOnApacheKafka injects faults of all kinds in any order. Between faults all that is there is read: nothing may be
// there twice, altered, or from nowhere. At the end of each epoch everything must be there.
func TestSoakOnApacheKafka(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d, %d faults", *seed, *faults)
	dice := NewDice(*seed)
	rig := NewRig(t, kafkatest.Options{Brokers: 3})
	rig.Keep = *keep
	var results []Result
	t.Cleanup(func() { Print(os.Stdout, results) })
	for n, left := 1, *faults; left > 0 && !t.Failed(); n++ {
		started := time.Now()
		trial := rig.NewTrial(t, fmt.Sprintf("epoch %d", n), 5, func(o *sim.Options) { unlike(dice, o) })
		trial.Env["JMPUB_KAFKA_TRANSACTION_TIMEOUT"] = "10s"
		trial.Start(t)
		for i := range min(epoch, left) {
			left--
			Wait(t, dice.Between(0, 3*time.Second))
			trial.Revive(t)
			breakSomething(t, dice, trial)
			if (i+1)%lookEvery == 0 {
				// Every fault is over: what is committed by now is known, and nothing of it may be missing.
				trial.Check(t, trial.Vitals(t).End)
			}
		}
		result := trial.Finish(t)
		result.Took = time.Since(started)
		results = append(results, result)
	}
}

// unlike draws an API: every unknown one way or the other, every fault at some rate. It is one that can be kept up with, in pages of a
// hundred rows: cursors outlive a pause of a second, and rows do not come faster than windows succeed that fail in all these ways.
func unlike(dice Dice, o *sim.Options) {
	coin := func() bool { return dice.IntN(2) == 0 }
	rate := func(most float64) float64 { return most * dice.Float64() }
	o.Seed, o.Rate, o.IrregularRows = dice.Uint64(), 20+rate(80), rate(0.05)
	o.BeginStrict, o.EndStrict, o.EndMillis, o.CursorAtEnd, o.EmptyCursor = coin(), coin(), coin(), coin(), coin()
	o.EmptyPages, o.ConstantCursor = coin(), coin()
	o.OldIsError, o.QuotaHeader, o.NoRateHeaders, o.RetryAfter, o.Gzip = coin(), coin(), coin(), coin(), coin()
	if dice.IntN(4) == 0 {
		o.Clock, o.End = sim.SenderClock, time.Now() // A sender's clock that is slow makes a live row late.
	}
	o.CursorTTL = dice.Between(2*time.Second, 10*time.Second)
	o.Latency, o.LatencyJitter = dice.Between(0, 20*time.Millisecond), dice.Between(0, 50*time.Millisecond)
	o.Faults = sim.Faults{
		RateLimited: rate(0.01), RateLimitedBare: rate(0.02), ServerError: rate(0.04), HTMLError: rate(0.02), HTMLPage: rate(0.02),
		Truncated: rate(0.03), Malformed: rate(0.03), Dropped: rate(0.03), DroppedHeaders: rate(0.02), DroppedMidway: rate(0.03),
		Repeated: rate(0.04), Displaced: rate(0.04), Shuffled: rate(0.04), WrongTotal: rate(0.03), ExpiredEarly: rate(0.03),
		Slow: rate(0.02), SlowBy: 500 * time.Millisecond,
	}
}

// breakSomething injects one fault and ends it.
func breakSomething(tb testing.TB, dice Dice, t *Trial) {
	tb.Helper()
	broker := dice.IntN(3)
	while := dice.Between(500*time.Millisecond, 5*time.Second)
	one, all := t.Brokers[broker:broker+1], t.Brokers
	api := []*Link{t.Link}
	faults := []struct {
		weight int
		fault  func()
	}{
		{5, func() { t.Kill(tb) }},
		{3, func() { t.KillInTransaction(tb) }},
		{3, func() { t.Restart(tb) }},
		{2, func() { t.HandOver(tb, dice.IntN(2) == 0) }},
		{2, func() { t.Wake(tb, while) }},
		{2, func() { t.Freeze(tb, while) }},
		{1, func() { t.Freeze(tb, 12*time.Second) }},
		{3, func() { t.KillBrokers(tb, while, broker) }},
		{1, func() { t.KillBrokers(tb, while, broker, (broker+1)%3) }},
		{1, func() { t.KillBrokers(tb, while, 0, 1, 2) }},
		{2, func() { t.HangBroker(tb, broker, while) }},
		{2, func() { t.Network(tb, "one broker cut off", while, one, func(l *Link) { l.Cut(tb) }) }},
		{2, func() { t.Network(tb, "all brokers cut off", while, all, func(l *Link) { l.Cut(tb) }) }},
		{2, func() { t.Network(tb, "packets swallowed", while, one, func(l *Link) { l.Swallow() }) }},
		{2, func() {
			t.Network(tb, "connections reset", while, all, func(l *Link) { l.Reset(1000 + dice.IntN(100_000)) })
		}},
		{1, func() { t.Network(tb, "delayed", while, all, func(l *Link) { l.Delay(200 * time.Millisecond) }) }},
		{1, func() { t.Network(tb, "narrow", while, all, func(l *Link) { l.Narrow(50 + dice.IntN(500)) }) }},
		{1, func() { t.Network(tb, "API cut off", while, api, func(l *Link) { l.Cut(tb) }) }},
		{1, func() { t.Network(tb, "API swallowed", while, api, func(l *Link) { l.Swallow() }) }},
		{1, func() {
			t.Network(tb, "API replies cut", while, api, func(l *Link) { l.Reset(1000 + dice.IntN(50_000)) })
		}},
		{1, func() { // A death in the middle of another fault.
			t.Network(tb, "killed while a broker is cut off", while, one, func(l *Link) { l.Cut(tb); t.Kill(tb) })
		}},
	}
	sum := 0
	for _, f := range faults {
		sum += f.weight
	}
	drawn := dice.IntN(sum)
	for _, f := range faults {
		if drawn -= f.weight; drawn < 0 {
			f.fault()
			return
		}
	}
}
