package endtoend_test

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// TestFormatsAndTemplates expects every row exactly once, in JSON and in Avro, with the topics that each template makes. What is
// in Avro is decoded by another library, with the schema that stands in the registry under the topic's subject.
func TestFormatsAndTemplates(t *testing.T) {
	t.Parallel()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	for i, template := range []string{"", "{prefix}.{app_key}.{target_type}", "{prefix}.all", "{app_key}-{prefix}"} {
		for _, registry := range []string{"", fake.URL()} {
			t.Run(fmt.Sprintf("%q avro %t", template, registry != ""), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 10, func(o *sim.Options) { o.Rate, o.IrregularRows = 2, 0.05 })
				j := w.job(fmt.Sprintf("format-%d", i))
				j.template, j.registry = template, registry
				wantWhole(t, j)
			})
		}
	}
}

// TestHostileAPIInAvro is TestHostileAPI with events in Avro.
func TestHostileAPIInAvro(t *testing.T) {
	t.Parallel()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	j := newWorld(t, 20, hostile).job("hostile")
	j.pageSize, j.registry = 50, fake.URL()
	wantWhole(t, j)
}

// TestKilledInAvro cuts runs off that write Avro to one topic, each at another exchange, before and after it took place, and
// expects every row exactly once.
func TestKilledInAvro(t *testing.T) {
	t.Parallel()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	w := newWorld(t, 4, func(o *sim.Options) { o.Rate, o.IrregularRows = 1, 0.05 })
	const apart = 10 // Each exchange is tried in TestKilledAtEachStep.
	killAtSteps(t, apart, func(name string, _ bool) *job {
		j := w.job(name)
		j.template, j.registry = "{prefix}.all", fake.URL()
		return j
	})
}
