//go:build integration

package endtoend_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/tests/avrotest"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
	"github.com/jmpub/jmpub/pipeline"
)

// TestOnApacheKafka repeats on Apache Kafka what is proved on the embedded broker.
func TestOnApacheKafka(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.Start(t, kafkatest.Options{})
	onKafka := func(t *testing.T, minutes int, change func(*sim.Options)) *world {
		t.Helper()
		w := newWorld(t, minutes, change)
		w.brokers = cluster.Addrs
		return w
	}
	t.Run("whole history", func(t *testing.T) {
		t.Parallel()
		w := onKafka(t, 30, func(o *sim.Options) { o.Rate, o.IrregularRows = 5, 0.02 })
		j := w.job("whole")
		j.pageSize = 100
		wantWhole(t, j)
	})
	t.Run("hostile API", func(t *testing.T) {
		t.Parallel()
		w := onKafka(t, 20, hostile)
		j := w.job("hostile")
		j.pageSize = 50
		wantWhole(t, j)
	})
	t.Run("in Avro, with Apicurio Registry", func(t *testing.T) {
		t.Parallel()
		registry := avrotest.StartApicurio(t)
		for i, template := range []string{"", "{prefix}.{app_key}.all"} {
			w := onKafka(t, 20, hostile)
			j := w.job(fmt.Sprintf("avro-%d", i))
			j.pageSize, j.registry, j.template = 50, registry, template
			wantWhole(t, j)
		}
	})
	t.Run("killed at each step", func(t *testing.T) {
		t.Parallel()
		w := onKafka(t, 4, func(o *sim.Options) { o.Rate, o.IrregularRows = 1, 0.05 })
		killAtEachStep(t, w)
	})
	t.Run("groups and rooms of the lists", func(t *testing.T) {
		t.Parallel()
		w := onKafka(t, 10, func(o *sim.Options) { hostile(o); o.Rate = 2 })
		for _, n := range []int64{0, 30, 75, 150} {
			cutDiscovered(t, w, n)
		}
	})
	t.Run("statistics", func(t *testing.T) { t.Parallel(); killedStatistics(t, cluster.Addrs) })
	t.Run("a second process fences the first", func(t *testing.T) {
		t.Parallel()
		fencing(t, onKafka(t, 4, func(o *sim.Options) { o.Rate, o.End = 10, o.End.Add(time.Hour) }))
	})
}

// fencing starts a second process while the first waits for the next window, and expects the first to leave.
func fencing(t *testing.T, w *world) {
	t.Helper()
	j := w.job("fence")
	j.until = j.end.Add(time.Hour) // The first one goes on after the history, and finds new rows at each poll.
	ctx, cancel := context.WithTimeout(t.Context(), runWithin)
	defer cancel()
	committed := make(chan struct{})
	var once sync.Once
	j.observer = func(o pipeline.Observation) {
		if c, ok := o.(pipeline.WindowCommitted); ok && c.Checkpoint.End.After(j.end) {
			once.Do(func() { close(committed) })
		}
	}
	first := make(chan error, 1)
	go func() { first <- j.run(ctx, nil) }()
	select {
	case <-committed:
	case <-ctx.Done():
		t.Fatal("the first process did not come to the end of the history")
	}
	second := w.job("fence")
	if err := second.run(ctx, nil); err != nil {
		t.Fatalf("second process: %v", err)
	}
	select {
	case err := <-first:
		if pipeline.ClassOf(err) != pipeline.Fenced {
			t.Errorf("first process ended with %v, want it fenced", err)
		}
	case <-ctx.Done():
		t.Error("the first process did not notice that it was replaced")
	}
	if report := second.compare(t); !report.OK() {
		t.Errorf("%s", report.String())
	}
}
