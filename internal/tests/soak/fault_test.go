//go:build integration

package soak

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// exitFenced is how a process leaves that was replaced (`jmpub --help`).
const exitFenced = 3

// Restart ends the process by SIGTERM and starts another.
func (t *Trial) Restart(tb testing.TB) {
	tb.Helper()
	t.Revive(tb)
	if code := t.Process.Terminate(tb); code != 0 {
		tb.Errorf("%s: exit code %d after SIGTERM; the log ends:\n%s", t.Name, code, t.Process.Tail(20))
	}
	t.Inject("SIGTERM")
	t.Start(tb)
}

// Replace starts a second process; the first must leave as fenced.
func (t *Trial) Replace(tb testing.TB) {
	tb.Helper()
	t.Revive(tb)
	before := t.Await(tb, t.begin, Patience)
	first := t.Process
	t.Start(tb)
	t.Await(tb, before.End.Add(time.Second), Patience)
	t.wantFenced(tb, first)
	t.Inject("replaced by another writer")
}

// Wake stops a process for as long as it takes another to replace it, and wakes it up again: it must leave as fenced.
func (t *Trial) Wake(tb testing.TB, asleep time.Duration) {
	tb.Helper()
	t.Revive(tb)
	before := t.Await(tb, t.begin, Patience)
	first := t.Process
	first.Pause(tb)
	Wait(tb, asleep)
	t.Start(tb)
	t.Await(tb, before.End.Add(time.Second), Patience)
	first.Resume(tb)
	t.wantFenced(tb, first)
	t.Inject("old writer wakes up")
}

func (t *Trial) wantFenced(tb testing.TB, p *Process) {
	tb.Helper()
	if code := p.Exit(tb, Patience); code != exitFenced {
		tb.Errorf("%s: a replaced process left with exit code %d, want %d; the log ends:\n%s", t.Name, code, exitFenced, p.Tail(20))
	}
}

// Freeze stops the process for a while.
func (t *Trial) Freeze(tb testing.TB, d time.Duration) {
	tb.Helper()
	t.Process.Pause(tb)
	Wait(tb, d)
	t.Process.Resume(tb)
	t.Inject("jmpub stopped and continued")
}

// KillBrokers ends brokers as kill -9 does, for a while.
func (t *Trial) KillBrokers(tb testing.TB, down time.Duration, brokers ...int) {
	tb.Helper()
	t.KillBrokersWhile(tb, func() { Wait(tb, down) }, brokers...)
}

// KillBrokersWhile ends brokers as kill -9 does, for as long as fn takes.
func (t *Trial) KillBrokersWhile(tb testing.TB, fn func(), brokers ...int) {
	tb.Helper()
	for _, i := range brokers {
		t.Cluster.Kill(tb, i)
	}
	fn()
	for _, i := range brokers {
		t.Cluster.Restart(tb, i)
	}
	t.WaitReady(tb, len(t.Addrs))
	t.Inject(brokersKilled(len(brokers), len(t.Addrs)))
}

func brokersKilled(n, of int) string {
	switch n {
	case of:
		return "all brokers killed"
	case 1:
		return "broker killed"
	}
	return fmt.Sprintf("%d brokers killed", n)
}

// HangBroker stops a broker for a while; its connections stay open.
func (t *Trial) HangBroker(tb testing.TB, i int, d time.Duration) {
	tb.Helper()
	t.Pause(tb, i)
	Wait(tb, d)
	t.Resume(tb, i)
	t.WaitReady(tb, len(t.Addrs))
	t.Inject("broker hangs")
}

// Coordinator is the index of the broker that coordinates the trial's transactions.
func (t *Trial) Coordinator(tb testing.TB) int {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), Patience)
	defer cancel()
	for { // A broker that has just started is known before it answers, or answers before it is known.
		all, err := t.admin.ListTransactions(ctx, nil, nil)
		for _, txn := range all.Sorted() {
			if txn.TxnID == t.transactionalID() {
				return int(txn.Coordinator) - 1
			}
		}
		if ctx.Err() != nil {
			tb.Fatalf("%s: no transaction of its group in %v: %v", t.Name, all.TransactionalIDs(), err)
		}
		Wait(tb, 200*time.Millisecond)
	}
}

// Network breaks all links for a while by fn and heals them.
func (t *Trial) Network(tb testing.TB, kind string, d time.Duration, links []*Link, fn func(*Link)) {
	tb.Helper()
	for _, l := range links {
		fn(l)
	}
	Wait(tb, d)
	for _, l := range slices.Backward(links) {
		l.Heal(tb)
	}
	t.Inject(kind)
}
