//go:build integration

package endtoend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/tests/avrotest"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
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
