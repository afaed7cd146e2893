package statistics_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/statistics"
)

// TestStatisticsWithMessages publishes both in one run whose sessions fail, and what the app has no right to is reported once.
func TestStatisticsWithMessages(t *testing.T) {
	for seed := range fakes.Seeds(4) {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now().UTC().Add(-time.Hour)
			rows := fakes.RowsFrom(begin, 6000)
			source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
			source.PageSize = 100
			if seed > 0 {
				kafka.Fail = nowAndThen(seed, kafka)
			}
			messages := &fakeStatistics{zone: zone(), settle: time.Hour}
			refused := &refusedStatistics{}
			var mu sync.Mutex
			dropped := make(map[pipeline.Stream]int)
			cfg := fakes.ConfigFor(source, kafka, begin)
			cfg.Observer = func(o pipeline.Observation) {
				if d, ok := o.(pipeline.StreamDropped); ok {
					mu.Lock()
					defer mu.Unlock()
					dropped[d.Stream]++
				}
			}
			for name, of := range map[string]statistics.Source{"messages": messages, "users": refused} {
				cfg.Members = append(cfg.Members, statistics.New(statistics.Config{
					AppKey: fakes.AppKey, Stream: statisticsOf(name), Zone: zone(), Source: of, Observer: cfg.Observer,
				}))
			}
			if err := fakes.RunFor(t, cfg, 3*time.Hour); err != nil {
				t.Fatalf("seed %d: run: %v", seed, err)
			}
			kafka.WantIDs(t, fakes.IDsOf(rows))
			last := latest(t, kafka)
			for back := range 60 {
				p := pipeline.PeriodOf(pipeline.Day, time.Now().In(zone())).Add(-back)
				if _, ok := last[fakes.AppKey+"/"+p.String()]; !ok {
					t.Errorf("seed %d: %s is missing", seed, p)
				}
			}
			if want := map[pipeline.Stream]int{statisticsOf("users"): 1}; !maps.Equal(dropped, want) || refused.asked != 1 {
				t.Errorf("seed %d: dropped %v after %d requests, want %v after one", seed, dropped, refused.asked, want)
			}
			if cp := kafka.Checkpoints[statisticsOf("messages")]; cp.Counts.Published < 60 {
				t.Errorf("seed %d: the position of the statistics is %+v", seed, cp)
			}
		})
	}
}

// nowAndThen fails a commit now and then, before or after it took place.
func nowAndThen(seed uint64, kafka *fakes.Kafka) func(context.Context, string) error {
	dice := rand.New(rand.NewPCG(seed, 2))
	return func(_ context.Context, op string) error {
		if op != "commit" || dice.IntN(15) > 0 {
			return nil
		}
		if dice.IntN(2) == 0 {
			kafka.Apply()
		}
		return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("injected")}
	}
}

// refusedStatistics are those of an app that does not pay for them.
type refusedStatistics struct{ asked int }

func (*refusedStatistics) Now(context.Context, pipeline.Stream) (time.Time, error) {
	return time.Now(), nil
}

func (f *refusedStatistics) Statistics(context.Context, pipeline.Stream, pipeline.Period, int) ([]statistics.Row, int, error) {
	f.asked++
	return nil, 1, &pipeline.Fault{Class: pipeline.Drop, Op: "get statistics", Err: errors.New("403")}
}

// TestNothingButStatistics needs no stream of messages, and ends where the app has no right to any.
func TestNothingButStatistics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kafka := fakes.NewKafka()
		cfg := statistics.Config{AppKey: fakes.AppKey, Stream: statisticsOf("groups"), Zone: zone(), Source: &fakeStatistics{zone: zone()}}
		if err := fakes.RunFor(t, alone(kafka, cfg), time.Hour); err != nil || len(kafka.Records) < 60 {
			t.Errorf("%d records, %v", len(kafka.Records), err)
		}
		cfg.Source = &refusedStatistics{}
		if err := fakes.RunFor(t, alone(kafka, cfg), time.Hour); err == nil {
			t.Error("nothing is left to read, and the run goes on")
		}
	})
}
