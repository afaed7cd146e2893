package sink

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/jmpub/jmpub/pipeline/event"
)

// BenchmarkAvro encodes an event of each known kind of row one after another; an operation is one event.
func BenchmarkAvro(b *testing.B) {
	files, err := filepath.Glob("../pipeline/event/testdata/normalize/row-*.json")
	if err != nil || len(files) == 0 {
		b.Fatalf("no rows: %v", err)
	}
	var values [][]byte
	size := 0
	for _, file := range files {
		row, cause := os.ReadFile(file)
		if cause != nil {
			b.Fatal(cause)
		}
		e, rejection := event.NewNormalizer("4f7aef34fb361292c566a1cd").Normalize(row)
		if rejection != nil {
			b.Fatal(rejection.Detail)
		}
		values = append(values, e.Value)
		size += len(e.Value)
	}
	b.SetBytes(int64(size / len(values)))
	b.ReportAllocs()
	a := newAvroEncoder()
	var out []byte
	i := 0
	for b.Loop() {
		if out, err = a.append(out[:0], values[i%len(values)], 1); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
