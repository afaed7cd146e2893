//go:build integration

package soak

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// Restart ends the process by SIGTERM and starts another.
func (t *Trial) Restart(tb testing.TB) {
	tb.Helper()
	t.Revive(tb)
	t.leaves(tb, t.Process)
	t.Inject("SIGTERM")
	t.Start(tb)
}

// HandOver starts a second process, which stands by, and ends the first one by SIGTERM, or by kill -9: the second one publishes.
func (t *Trial) HandOver(tb testing.TB, kill bool) {
	tb.Helper()
	t.Revive(tb)
	before := t.Await(tb, t.begin, Patience)
	first := t.Process
	t.awaitRole(tb, t.Start(tb), false)
	kind := "handed over to a standby"
	if kill {
		kind = "standby takes over from a killed one"
		first.Kill(tb)
	} else {
		t.leaves(tb, first)
	}
	t.Await(tb, before.End.Add(time.Second), Patience)
	t.Inject(kind)
}

// Wake stops a process until a standby has taken over, and wakes it up again: it must stand by then.
func (t *Trial) Wake(tb testing.TB, asleep time.Duration) {
	tb.Helper()
	t.Revive(tb)
	before := t.Await(tb, t.begin, Patience)
	first := t.Process
	second := t.Start(tb)
	t.awaitRole(tb, second, false)
	first.Pause(tb)
	t.awaitRole(tb, second, true)
	t.Await(tb, before.End.Add(time.Second), Patience)
	Wait(tb, asleep)
	first.Resume(tb)
	t.awaitRole(tb, first, false)
	t.leaves(tb, first)
	t.Inject("old writer wakes up")
}

// awaitRole waits until a process publishes, or stands by.
func (t *Trial) awaitRole(tb testing.TB, p *Process, owner bool) {
	tb.Helper()
	t.await(tb, Patience, func() string {
		if v, err := p.Vitals(tb.Context()); err != nil || !v.Joined || v.Owner != owner {
			return fmt.Sprintf("a process has the role %+v (%v), want owner: %t", v, err, owner)
		}
		return ""
	})
}

// leaves ends a process by SIGTERM.
func (t *Trial) leaves(tb testing.TB, p *Process) {
	tb.Helper()
	if code := p.Terminate(tb); code != 0 {
		tb.Errorf("%s: exit code %d after SIGTERM; the log ends:\n%s", t.Name, code, p.Tail(20))
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
