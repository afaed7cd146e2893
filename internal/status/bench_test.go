package status_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/jmpub/jmpub/internal/status"
)

// TestIdleAppIsSmall bounds what the status of an app with one stream holds in memory, before and after it has read something.
func TestIdleAppIsSmall(t *testing.T) {
	const apps, most = 1_000, 4 << 10
	p := status.NewProcess(status.ProcessOptions{Many: true})
	all := make([]*status.Status, apps)
	before := heap()
	for i := range all {
		all[i] = p.Add(app(fmt.Sprintf("%024x", i), "jmessage"))
		all[i].StandBy(true)
	}
	idle := (heap() - before) / apps
	for _, s := range all {
		s.StandBy(false)
		publishSome(s)
	}
	busy := (heap() - before) / apps
	t.Logf("%d bytes an app that stands by, %d one that has published", idle, busy)
	if idle > most || busy > most {
		t.Errorf("an app that stands by has %d bytes, one that has published %d; want at most %d", idle, busy, most)
	}
	runtime.KeepAlive(p)
}

// heap is how many bytes are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
