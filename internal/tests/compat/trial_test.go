//go:build integration

package compat_test

import (
	"context"
	"iter"
	"maps"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/tests/soak"
)

// history is one that jmpub has published whole, and that nobody adds to any more.
type history struct {
	*soak.Trial

	name string
	// minutes is its length, with 100 rows a second; kills is how often jmpub is killed within a transaction.
	minutes, kills int
	env            map[string]string
	codec          uint8
	change         func(*sim.Options)

	prefix string
	// began and ended bound the publishing; end is where the history ended.
	began, ended, end time.Time
}

// start lets the real command begin to publish the history.
func (h *history) start(t *testing.T, rig *soak.Rig) {
	t.Helper()
	h.began = time.Now()
	h.end = h.began.UTC().Truncate(time.Second)
	if h.kills > 0 {
		h.end = h.end.Add(20 * time.Second) // While it is killed, messages are sent.
	}
	h.Trial = rig.NewTrial(t, h.name, h.minutes, func(o *sim.Options) {
		o.End, o.IrregularRows = h.end, 0.03
		if h.change != nil {
			h.change(o)
		}
	})
	h.prefix = h.Env["JMPUB_TOPIC_PREFIX"]
	maps.Copy(h.Env, h.env)
	h.Start(t)
}

// finish waits until all of the history is committed, and ends the command.
func (h *history) finish(t *testing.T) {
	t.Helper()
	h.Await(t, h.end, soak.Patience)
	if code := h.Process.Terminate(t); code != 0 {
		t.Errorf("%s: exit code %d after SIGTERM; the log ends:\n%s", h.name, code, h.Process.Tail(20))
	}
	h.ended = time.Now()
}

// killInTransactions kills jmpub n times while a transaction of it holds events that are neither committed nor aborted.
func killInTransactions(t *testing.T, h *history, n int) {
	t.Helper()
	h.Brokers[0].Delay(60 * time.Millisecond) // So that transactions last.
	defer h.Brokers[0].Heal(t)
	admin := h.Admin(t)
	deadline := time.Now().Add(soak.Patience)
	for done := 0; done < n; {
		if time.Now().After(deadline) || !h.Process.Running() {
			t.Fatalf("%s was killed within a transaction %d times, not %d", h.prefix, done, n)
		}
		soak.Wait(t, 20*time.Millisecond)
		h.Process.Pause(t)
		if !open(t, admin, h.prefix) {
			h.Process.Resume(t)
			continue
		}
		h.Kill(t)
		done++
	}
}

// open tells whether a transaction holds events, while nobody writes. What jmpub has sent may still be on its way.
func open(t *testing.T, admin *kadm.Client, prefix string) bool {
	t.Helper()
	for range 2 {
		ends, err := admin.ListEndOffsets(t.Context(), verify.Topics(prefix)...)
		if err != nil {
			t.Fatal(err)
		}
		stable, err := admin.ListCommittedOffsets(t.Context(), verify.Topics(prefix)...)
		if err != nil {
			t.Fatal(err)
		}
		undecided := false
		ends.Each(func(o kadm.ListedOffset) {
			s, ok := stable.Lookup(o.Topic, o.Partition)
			undecided = undecided || o.Err == nil && ok && s.Err == nil && s.Offset < o.Offset
		})
		if !undecided {
			return false
		}
		soak.Wait(t, 100*time.Millisecond) // Or it is just being ended.
	}
	return true
}

// topics are all that jmpub writes.
func (h *history) topics() []string {
	return append(verify.Topics(h.prefix), h.prefix+".windows", h.prefix+".notices", h.prefix+".checkpoints")
}

// events are the topics of events.
func (h *history) events() []string { return verify.Topics(h.prefix)[1:] }

// rows lists what the API held.
func (h *history) rows() iter.Seq[verify.TruthRow] {
	return func(yield func(verify.TruthRow) bool) {
		for r := range h.Sim.Truth(sim.Range{Begin: h.end.Add(-24 * time.Hour), End: h.end}) {
			if !yield(verify.TruthRow{MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw}) {
				return
			}
		}
	}
}

// want holds what a reader found against the truth.
func (h *history) want(t *testing.T, reader string, found *verify.Found, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s, %s: %v", h.prefix, reader, err)
		return
	}
	report := verify.Compare(h.rows(), found)
	if !report.OK() || report.Rows == 0 {
		t.Errorf("%s, %s: %s", h.prefix, reader, report.String())
		return
	}
	t.Logf("%s: %s found %s", h.prefix, reader, report.String())
}

// bounded is a context for readers.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soak.Patience)
	t.Cleanup(cancel)
	return ctx
}

// complaints are the first differences of many.
type complaints struct {
	t *testing.T
	n int
}

func (c *complaints) add(format string, args ...any) {
	c.t.Helper()
	const most = 5
	if c.n++; c.n <= most {
		c.t.Errorf(format, args...)
	}
}

// end tells how many there were.
func (c *complaints) end() {
	c.t.Helper()
	if c.n > 0 {
		c.t.Errorf("%d differences in all", c.n)
	}
}
