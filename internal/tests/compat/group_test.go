//go:build integration

package compat_test

import (
	"context"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/lab/verify"
)

// group reads a history by a consumer group that commits its offsets, while its members come and go: the first is killed,
// the second shares with a third and leaves. The group must see each row once.
func group(t *testing.T, h *history, java *Java, protocol string) {
	t.Helper()
	ctx := bounded(t)
	topics := verify.Topics(h.prefix)
	g := &members{ctx: ctx, java: java, h: h, protocol: protocol}

	first := g.join(t, topics)
	byFirst := first.until(t, func(Step) bool { return len(first.records) >= 1000 })
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	second := g.join(t, topics)
	alone := second.until(t, func(Step) bool { return len(second.records) >= 1000 })
	third := g.join(t, topics)
	third.until(t, func(Step) bool { return true })
	done := make(chan Step)
	go func() {
		defer close(done)
		shared := second.until(t, func(s Step) bool { return s.Assigned > 0 && s.Assigned < alone.Assigned })
		if err := second.Leave(); err != nil {
			t.Error(err)
		}
		done <- shared
	}()
	last := third.until(t, func(s Step) bool { return s.End && s.Assigned == alone.Assigned })
	shared := <-done
	t.Logf("read by the first member %d, which had %d partitions; second %d, %d, then %d partitions; third %d, %d partitions",
		len(first.records), byFirst.Assigned, len(second.records), alone.Assigned, shared.Assigned, len(third.records), last.Assigned)
	if len(third.records) == 0 {
		t.Error("the third member had nothing to read")
	}

	var seenByAll []seen
	records := slices.Concat(first.records, second.records, third.records)
	for _, r := range records {
		seenByAll = append(seenByAll, seenOf(r))
	}
	want, err := franz(ctx, h.Addrs, topics)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(want, byPlace)
	slices.SortFunc(seenByAll, byPlace)
	wantSame(t, "franz-go", "the group", want, seenByAll)
	found, err := verify.Collect(h.prefix, func(yield func(*kgo.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	})
	h.want(t, "the group", found, err)
}

// members are those of one group.
type members struct {
	ctx      context.Context //nolint:containedctx // It bounds the group's life.
	java     *Java
	h        *history
	protocol string
}

// member is one of a group, with what it has read.
type member struct {
	*JavaMember

	records []*kgo.Record
}

func (g *members) join(t *testing.T, topics []string) *member {
	t.Helper()
	const mostAStep = 100
	m, err := g.java.Join(g.ctx, g.h.Addrs, g.h.prefix+"-"+g.protocol, g.protocol, mostAStep, topics...)
	if err != nil {
		t.Fatal(err)
	}
	return &member{JavaMember: m}
}

// until lets the member read on until a step is as it should be, or something breaks.
func (m *member) until(t *testing.T, enough func(Step) bool) Step {
	t.Helper()
	for {
		records, step, err := m.Step()
		if err != nil {
			t.Errorf("after %d records: %v", len(m.records), err)
			return step
		}
		m.records = append(m.records, records...)
		if enough(step) {
			return step
		}
	}
}
