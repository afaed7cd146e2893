package event_test

import (
	"testing"

	"github.com/jmpub/jmpub/internal/tests/allocations"
	"github.com/jmpub/jmpub/pipeline/event"
)

// BenchmarkNormalize takes the known kinds of row one after another; an operation is one row.
func BenchmarkNormalize(b *testing.B) {
	rows := sampleRows(b)
	size := 0
	for _, row := range rows {
		size += len(row)
	}
	b.SetBytes(int64(size / len(rows)))
	b.ReportAllocs()
	n := event.NewNormalizer(appKey)
	i := 0
	for b.Loop() {
		if _, rejection := n.Normalize(rows[i%len(rows)]); rejection != nil {
			b.Fatal(rejection.Detail)
		}
		i++
	}
}

// TestAllocations counts what events of all known kinds of row allocate.
func TestAllocations(t *testing.T) {
	allocations.Check(t, "event", map[string]allocations.Operation{"normalize 1000 rows": func(tb testing.TB) func() {
		tb.Helper()
		rows, n := sampleRows(tb), event.NewNormalizer(appKey)
		return func() {
			for i := range 1000 {
				if _, rejection := n.Normalize(rows[i%len(rows)]); rejection != nil {
					tb.Fatal(rejection.Detail)
				}
			}
		}
	}})
}
