package main

import (
	"math"
	"runtime/debug"
)

// softMemory is where the garbage collector begins to work harder. What jmpub holds is bounded well below it; without the
// limit, a catch-up at full speed leaves garbage beyond 128 MiB.
const (
	softMemory     = 64 << 20
	parallelMemory = 12 << 20 // For each window that may be fetched at the same time.
)

// limitMemory sets the limit, unless the operator has set one by GOMEMLIMIT.
func limitMemory(parallel int) {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(softMemory + int64(parallel)*parallelMemory)
	}
}
