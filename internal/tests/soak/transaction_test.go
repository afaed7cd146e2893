//go:build integration

package soak

import (
	"runtime"
	"testing"
	"time"
)

// awaitTransaction waits for an open transaction. Most are open for some milliseconds.
func (t *Trial) awaitTransaction(tb testing.TB, within time.Duration) {
	tb.Helper()
	for deadline := time.Now().Add(within); !t.inTransaction(tb) && time.Now().Before(deadline); {
		runtime.Gosched() // Asking takes long enough.
	}
}

// KillInTransaction is [Trial.Kill] while a transaction is open: most are for some milliseconds, so the process is stopped before, and goes on
// where that was too late.
func (t *Trial) KillInTransaction(tb testing.TB) {
	tb.Helper()
	const attempts = 10
	for range attempts {
		t.awaitTransaction(tb, 5*time.Second)
		t.Process.Pause(tb)
		if t.inTransaction(tb) {
			break
		}
		t.Process.Resume(tb)
	}
	t.Kill(tb)
}

// Expire stops the process in a transaction for so long that the broker ends it.
func (t *Trial) Expire(tb testing.TB, d time.Duration) {
	tb.Helper()
	for deadline := time.Now().Add(Patience); time.Now().Before(deadline); {
		t.awaitTransaction(tb, 10*time.Second)
		t.Process.Pause(tb)
		if !t.inTransaction(tb) { // It was over before the process stood still.
			t.Process.Resume(tb)
			continue
		}
		Wait(tb, d)
		if t.inTransaction(tb) {
			tb.Errorf("%s: the broker has not ended a transaction after %v", t.Name, d)
		}
		t.Process.Resume(tb)
		t.Inject("transaction timed out")
		return
	}
	tb.Fatalf("%s: the process could not be stopped in a transaction", t.Name)
}
