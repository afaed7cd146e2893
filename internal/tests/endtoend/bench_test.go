package endtoend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/source"
)

// BenchmarkCatchUp publishes a history of half a million rows, exactly once with checkpoints, from the simulated API without
// latency into the embedded broker, all in this process. An operation is the whole of it.
func BenchmarkCatchUp(b *testing.B) {
	const minutes, rate = 8 * 60, 17
	w := newWorld(b, minutes, func(o *sim.Options) { o.Rate = rate })
	rows := 0
	for range w.api.Truth(sim.Range{Begin: w.begin, End: w.end}) {
		rows++
	}
	fake := srfake.New()
	b.Cleanup(fake.Close)
	runs := 0 // Each is a job of its own: one that was there before would have nothing left to do.
	for format, registry := range map[string]string{"json": "", "avro": fake.URL()} {
		b.Run(format, func(b *testing.B) {
			for b.Loop() {
				runs++
				j := w.job(fmt.Sprintf("bench-%d", runs))
				j.pageSize, j.registry = 1000, registry
				if err := j.run(b.Context(), nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkLatency follows live APIs with so many rows a second at the default settings, and measures the time from a row's
// appearance to the moment at which a read_committed consumer has it, and how many requests it takes. It takes as long as -benchtime says, as in
// -benchtime 60x: an operation is a second.
func BenchmarkLatency(b *testing.B) {
	for _, rate := range []float64{1, 100, 2000} {
		b.Run(fmt.Sprintf("%v rows a second", rate), func(b *testing.B) { measureLatency(b, rate) })
	}
}

func measureLatency(b *testing.B, rate float64) {
	b.Helper()
	w := newWorld(b, 1, func(o *sim.Options) { o.Rate, o.End = rate, o.End.Add(time.Hour) })
	j := w.job("latency")
	j.until = w.end.Add(time.Hour)
	j.pageSize = 1000
	j.change = func(c *source.Config) { c.Poll, c.Settle = 2*time.Second, 5*time.Second }
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- j.run(ctx, nil) }()

	reader, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.ConsumeRegex(), kgo.ConsumeTopics(`latency\.(single|group|chatroom)`),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.MetadataMinAge(200*time.Millisecond), kgo.MetadataMaxAge(time.Second))
	if err != nil {
		b.Fatal(err)
	}
	defer reader.Close()
	const warmUp = 20 * time.Second // The history, and the pipeline's start.
	started := time.Now()
	until := started.Add(warmUp + time.Duration(b.N)*time.Second)
	reading, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	var took []time.Duration
	warm := make(chan int64, 1)
	time.AfterFunc(warmUp, func() { warm <- w.api.Stats().Requests })
	for reading.Err() == nil {
		fetches := reader.PollFetches(reading)
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) {
			var event struct {
				Time time.Time `json:"time"`
			}
			if json.Unmarshal(r.Value, &event) == nil && event.Time.After(started.Add(warmUp/2)) {
				took = append(took, now.Sub(event.Time))
			}
		})
	}
	requests := w.api.Stats().Requests - <-warm
	stop()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
	if len(took) == 0 {
		b.Fatal("nothing was read")
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds(), "p50-s")
	b.ReportMetric(took[len(took)*99/100].Seconds(), "p99-s")
	b.ReportMetric(float64(len(took)), "rows")
	b.ReportMetric(float64(requests)*60/float64(b.N), "requests/min")
}
