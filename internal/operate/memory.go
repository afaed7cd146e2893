package operate

import (
	"math"
	"runtime/debug"
)

// softMemory is where the garbage collector begins to work harder. What jmpub holds is bounded well below it; without the
// limit, a catch-up at full speed leaves garbage beyond 128 MiB, and so does the reading of a long ledger.
const (
	softMemory     = 64 << 20
	parallelMemory = 12 << 20 // For each window that may be fetched at the same time.
	ledgerMemory   = 80 << 20 // For a command that reads the ledger.
	// appMemory is for each app of a file, besides sharedWindows windows at a time of all of them.
	appMemory     = 128 << 10
	sharedWindows = 16
)

// LimitPublishing sets the limit for a command that publishes.
func LimitPublishing(parallel int) { limitMemory(softMemory + int64(parallel)*parallelMemory) }

// LimitApps sets the limit for a process that publishes so many apps of a file.
func LimitApps(apps int) {
	limitMemory(softMemory + sharedWindows*parallelMemory + int64(apps)*appMemory)
}

// LimitReading sets the limit for a command that reads the ledger.
func LimitReading() { limitMemory(ledgerMemory) }

// limitMemory sets the limit, unless the operator has set one by GOMEMLIMIT.
func limitMemory(bytes int64) {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(bytes)
	}
}
