package hostile

import (
	"runtime"
	"time"
)

// PeakHeap is the most that the heap grew by meanwhile.
func PeakHeap(fn func()) uint64 {
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	done, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		for {
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
			select {
			case <-done:
				peak <- most
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	fn()
	close(done)
	return max(<-peak, before.HeapAlloc) - before.HeapAlloc
}
