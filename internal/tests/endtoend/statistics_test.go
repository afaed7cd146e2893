package endtoend_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/pipeline"
)

// almanac is a job that publishes statistics of a simulated API whose day goes by in seconds.
type almanac struct {
	*job

	// skipped is how much the simulator's clock is ahead, in nanoseconds.
	skipped *atomic.Int64
}

func newAlmanac(t *testing.T, name string, change func(*sim.Options)) *almanac {
	t.Helper()
	skipped := new(atomic.Int64)
	w := newWorld(t, 0, func(o *sim.Options) {
		*o = sim.Defaults()
		o.Rate, o.Now = 0.002, func() time.Time { return time.Now().Add(time.Duration(skipped.Load())) }
		change(o)
	})
	a := &almanac{w.job("t"), skipped}
	a.streams, a.statistics = nil, []pipeline.Stream{{Kind: pipeline.StreamStatistics, Name: name}}
	return a
}

// followUntil follows until something holds of what is published.
func (a *almanac) followUntil(t *testing.T, holds func(last map[string]json.RawMessage) error) (last map[string]json.RawMessage, records int) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), runWithin)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- a.run(ctx, nil) }()
	for {
		last, records = a.published(t)
		lacking := holds(last)
		if lacking == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended by itself: %v; %v", err, lacking)
		case <-time.After(100 * time.Millisecond): // Until there is more to look at.
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatalf("it ended with %v", err)
	}
	return last, records
}

// published is what the compacted topic says at last of each period, and how many records there are.
func (a *almanac) published(t *testing.T) (last map[string]json.RawMessage, records int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runWithin)
	defer cancel()
	var mu sync.Mutex
	var all []*kgo.Record
	collect := func(topic string, r *kgo.Record) error {
		if topic == string(pipeline.StatisticsTopic(a.statistics[0])) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, r)
		}
		return nil
	}
	found, err := verify.Read(ctx, a.brokers, a.prefix, collect, contractCheck(t))
	if err != nil {
		t.Fatal(err)
	}
	if report := verify.Compare(func(func(verify.TruthRow) bool) {}, found); !report.OK() {
		t.Error(report.String())
	}
	slices.SortFunc(all, func(a, b *kgo.Record) int { return cmp.Compare(a.Offset, b.Offset) }) // A key has one partition.
	last = make(map[string]json.RawMessage)
	for _, r := range all {
		if bytes.Equal(last[string(r.Key)], r.Value) {
			t.Errorf("%s was published twice in a row as %s", r.Key, r.Value)
		}
		last[string(r.Key)] = r.Value
	}
	return last, len(all)
}

// TestStatisticsOfAKilledProcess kills and restarts the process at random while days go by, the API fails, and its statistics
// are late; at last the topic has what the API says.
func TestStatisticsOfAKilledProcess(t *testing.T) {
	t.Parallel()
	killedStatistics(t, nil)
}

// killedStatistics is that on these brokers, or on an embedded one where there are none.
func killedStatistics(t *testing.T, brokers []string) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	a := newAlmanac(t, "messages", func(o *sim.Options) {
		o.Seed, o.StatisticsLag = seed, time.Hour
		o.ServerError, o.Truncated, o.Dropped, o.RateLimitedBare = 0.02, 0.02, 0.02, 0.001
	})
	if brokers != nil {
		a.brokers = brokers
	}
	for i := range 15 {
		cutOff(t, a.job, 1+r.Int64N(120), i%2 == 0)
		a.skipped.Add(int64(time.Duration(r.IntN(8)) * time.Hour))
	}
	for a.api.Now().In(a.api.Zone).Hour() < 2 { // The statistics of a day that is just over are an hour late.
		a.skipped.Add(int64(time.Hour))
	}
	last, records := a.followUntil(t, a.whole)
	if refused := a.api.Stats().Codes[899003]; refused > 3 {
		t.Errorf("%d requests were refused, want at most those of a midnight", refused)
	}
	t.Logf("%d periods, %d records, %d statistics", len(last), records, a.api.Stats().Statistics)
}

// whole says what lacks: a period, or one of the days that are over that is not as the API's rows are.
func (a *almanac) whole(last map[string]json.RawMessage) error {
	for unit, n := range map[pipeline.Unit]int{pipeline.Day: 60, pipeline.Month: 2} {
		for back := range n {
			p := pipeline.PeriodOf(unit, a.api.Now().In(a.api.Zone)).Add(-back)
			if _, ok := last[a.api.AppKey+"/"+p.String()]; !ok {
				return fmt.Errorf("the %s %s is missing", unit, p)
			}
		}
	}
	for back := 1; back < 60; back++ {
		p := pipeline.PeriodOf(pipeline.Day, a.api.Now().In(a.api.Zone)).Add(-back)
		var group, single int64
		for row := range a.api.Truth(sim.Range{Begin: p.Begin, End: p.End().Add(-time.Millisecond)}) {
			switch row.Target {
			case "group":
				group++
			case "single":
				single++
			default:
			}
		}
		var event struct {
			Data struct {
				Group  int64            `json:"group_send_msg"`
				Single int64            `json:"single_send_msg"`
				Types  map[string]int64 `json:"group_msg_stat"`
			} `json:"data"`
		}
		if err := json.Unmarshal(last[a.api.AppKey+"/"+p.String()], &event); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		types := int64(0)
		for _, n := range event.Data.Types {
			types += n
		}
		if event.Data.Group != group || event.Data.Single != single || types != group {
			return fmt.Errorf("%s: published %+v, want %d and %d", p, event.Data, group, single)
		}
	}
	return nil
}

// TestStatisticsWithoutTheRight ends as what concerns that stream alone.
func TestStatisticsWithoutTheRight(t *testing.T) {
	t.Parallel()
	a := newAlmanac(t, "users", func(o *sim.Options) { o.NoStatistics = true })
	var dropped []pipeline.StreamDropped
	a.observer = func(o pipeline.Observation) {
		if drop, ok := o.(pipeline.StreamDropped); ok {
			dropped = append(dropped, drop) // The stream is the only one, so one goroutine reports it.
		}
	}
	err := a.run(t.Context(), nil)
	if len(dropped) != 1 || dropped[0].Stream != a.statistics[0] {
		t.Fatalf("%v; dropped %+v, want %s once", err, dropped, a.statistics[0])
	}
	if fault, ok := errors.AsType[*pipeline.Fault](dropped[0].Err); !ok || fault.Class != pipeline.Drop || fault.Hint == "" {
		t.Errorf("%v; want it dropped, with a hint", dropped[0].Err)
	}
}
