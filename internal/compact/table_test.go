package compact_test

import (
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/jmpub/jmpub/internal/compact"
)

// TestTableIsAMap holds it against a map, with few different keys and with many, 0 among them.
func TestTableIsAMap(t *testing.T) {
	var table compact.Table[int]
	for seed := range uint64(200) {
		dice := rand.New(rand.NewPCG(seed, 0))
		if had := table.Cap(); dice.IntN(2) == 0 {
			table = compact.Table[int]{}
		} else if table = table.Emptied(); table.Len() != 0 || table.Cap() != had {
			t.Fatalf("seed %d: %d keys in an empty table with memory for %d, want none and %d", seed, table.Len(), table.Cap(), had)
		}
		want := make(map[uint64]int)
		keys := uint64(1) << dice.IntN(16)
		if dice.IntN(2) == 0 {
			table.Expect(dice.IntN(5000))
		}
		for i := range 1 + dice.IntN(5000) {
			key := dice.Uint64N(keys)
			if dice.IntN(2) == 0 {
				key *= 0x9e3779b97f4a7c15 // Spread over all bits; 0 stays.
			}
			_, there := want[key]
			if !there {
				want[key] = i
			}
			if added := table.Add(key, i); added == there {
				t.Fatalf("seed %d: %d is added: %t", seed, key, added)
			}
			for _, one := range []uint64{key, dice.Uint64N(2 * keys)} {
				value, ok := want[one]
				if got, is := table.Get(one); got != value || is != ok {
					t.Fatalf("seed %d: %d is %d, %t; want %d, %t", seed, one, got, is, value, ok)
				}
			}
		}
		if table.Len() != len(want) {
			t.Fatalf("seed %d: %d keys, want %d", seed, table.Len(), len(want))
		}
		if got := slices.Sorted(table.Keys()); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			t.Fatalf("seed %d: the keys are others: %d, want %d", seed, len(got), len(want))
		}
		for range table.Keys() {
			break // Who has enough may stop.
		}
	}
}

// TestTableIsCompact fills it, and looks at the heap.
func TestTableIsCompact(t *testing.T) {
	const n, most = 1_000_000, 16 << 20
	var table compact.Table[struct{}]
	before := heap()
	for i := range uint64(n) {
		table.Add(i, struct{}{})
		if i%(n/64) != 0 {
			continue
		}
		if took := heap() - before; took > 64<<10+int64(i)*most/n {
			t.Fatalf("%d keys take %d bytes", i, took)
		}
	}
	runtime.KeepAlive(&table)
}

// heap is what is live.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
