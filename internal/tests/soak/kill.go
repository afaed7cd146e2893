package soak

import (
	"context"
	"testing"
	"time"
)

// The faults that tests count.
const (
	Killed              = "kill -9"
	KilledInTransaction = "kill -9 in an open transaction"
)

// Kill ends the process as kill -9 does and starts another.
func (t *Trial) Kill(tb testing.TB) {
	tb.Helper()
	t.Process.Kill(tb)
	t.Inject(Killed)
	if t.inTransaction(tb) { // It stays open until the next process has its id.
		t.Inject(KilledInTransaction)
	}
	t.Start(tb)
}

// transactionalID is that of the trial's live run.
func (t *Trial) transactionalID() string {
	return t.Env["JMPUB_GROUP"] + "/" + t.Env["JMPUB_TOPIC_PREFIX"] + "/" + t.Env["JMPUB_APP_KEY"]
}

// inTransaction tells whether the coordinator knows of an open transaction of the trial's. It does not while the coordinator
// cannot be asked.
func (t *Trial) inTransaction(tb testing.TB) bool {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 2*time.Second)
	defer cancel()
	described, err := t.admin.DescribeTransactions(ctx, t.transactionalID())
	return err == nil && described[t.transactionalID()].State == "Ongoing"
}
