//go:build integration

package soak

import (
	"os"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/tests/kafkatest"
)

// TestFullDiskOnApacheKafka fills the brokers' disks, one and then all, and frees them again. A broker without room for its
// log ends itself.
func TestFullDiskOnApacheKafka(t *testing.T) {
	t.Parallel() // It waits for most of its time.
	name, volumes := kafkatest.SmallVolumes(t, 3, 300)
	rig := NewRig(t, kafkatest.Options{Brokers: 3, Volume: name})
	rig.Keep = *keep
	started := time.Now()
	trial := rig.NewTrial(t, "full disk", 3, nil)
	trial.Start(t)
	trial.Await(t, time.Now().Add(-2*time.Minute), Patience)
	for _, full := range [][]int{{1}, {0, 1, 2}} {
		for _, i := range full {
			volumes[i].Fill(t)
		}
		for _, i := range full {
			rig.AwaitExit(t, i)
			trial.Inject("log directory full")
		}
		for _, i := range full {
			volumes[i].Free(t)
			rig.Restart(t, i)
		}
		rig.WaitReady(t, 3)
	}
	result := trial.Finish(t)
	result.Took = time.Since(started)
	Print(os.Stdout, []Result{result})
}
