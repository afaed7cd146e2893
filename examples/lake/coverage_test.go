package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const day = "target=group/date=2026-11-01/"

func TestHourIsWrittenOnceItIsCovered(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.window(0, 0, 30, 1, 29)
	p.window(0, 30, 59, 58)
	l := newLake(t, dir, nil)
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, nil)
	p.window(0, 59, 60, 59, 60)
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string][]int64{day + "hour=12/events.parquet": {1, 2, 3, 4}})
}

// TestCoverageAheadOfTheEvents has coverage read one window before the events that it counts, again and again, as where jmpub publishes
// faster than the lake reads: no hour is written without its last event, and none waits for ever.
func TestCoverageAheadOfTheEvents(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	l := newLake(t, dir, nil)
	if _, err := p.read(open(t, l), 0); err != nil {
		t.Fatal(err)
	}
	event := func(id int) *kgo.Record { return p.records["jmessage.group"][int32(id%2)][(id-1)/2] }
	for id := 1; id <= 6; id++ {
		p.window(0, id*30-30, id*30, id*30-1)
		if err := l.take(p.records["jmessage.coverage"][0][id-1]); err != nil {
			t.Fatal(err)
		}
		if id > 1 {
			if err := l.take(event(id - 1)); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.commit(); err != nil {
			t.Fatal(err)
		}
		for file, ids := range contents(t, dir) {
			if len(ids) != 2 {
				t.Errorf("%s was written with %v, before all of its events were read", file, ids)
			}
		}
	}
	want(t, dir, map[string][]int64{day + "hour=12/events.parquet": {1, 2}, day + "hour=13/events.parquet": {3, 4}})
}

func open(t *testing.T, l *lake) *lake {
	t.Helper()
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestWindowThatWasNotSeenYetHoldsItsHourBack(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.window(0, 0, 30, 1)
	p.window(0, 50, 70, 55) // The one before it is published behind it.
	l := newLake(t, dir, nil)
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, nil)
	p.ids = 100
	p.window(1, 30, 50, 40)
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string][]int64{day + "hour=12/events.parquet": {1, 2, 101}})
}

// TestHistoryBehindTheHead has the head published before the history behind it, as with JMPUB_CATCHUP=live-first.
func TestHistoryBehindTheHead(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.window(0, 90, 185, 100, 130) // 1 and 2, from half past one.
	l := newLake(t, dir, nil)
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string][]int64{day + "hour=14/events.parquet": {2}})
	p.window(1, 0, 80, 1, 70) // 3 and 4.
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string][]int64{day + "hour=12/events.parquet": {3}, day + "hour=14/events.parquet": {2}})
	p.window(2, 80, 90, 85)
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string][]int64{
		day + "hour=12/events.parquet": {3}, day + "hour=13/events.parquet": {1, 4, 5}, day + "hour=14/events.parquet": {2},
	})
}

func TestHourInWhichTheHistoryBegins(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.window(0, 20, 60, 25)
	l := newLake(t, dir, nil)
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, nil)
	l = newLake(t, dir, nil)
	l.from = noon().Add(20 * time.Minute)
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string][]int64{day + "hour=12/events.parquet": {1}})
}

func TestStreamThatWasRemovedIsNotAwaited(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.window(0, 0, 70, 1)
	p.cover("groups/10", 1, 0, 0, 20, nil)
	p.add("jmessage.notices", 0, "", fmt.Sprintf(
		`{"kind":"removed","app_key":%q,"stream":"groups/10","begin_time":%q,"end_time":%q}`, app, clock(20), clock(30)))
	l := newLake(t, dir, nil)
	l.streams = append(l.streams, app+"/groups/10")
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string][]int64{day + "hour=12/events.parquet": {1}})
}

func TestLostTimeDoesNotHoldItsHourBack(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.window(0, 0, 30, 1)
	p.cover("messages", 0, 30, 50, 55, nil)
	if err := fill(newLake(t, dir, nil), p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, nil) // The hour's last minutes are neither read nor lost.
	p.window(0, 55, 70, 55)
	if err := fill(newLake(t, dir, nil), p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string][]int64{day + "hour=12/events.parquet": {1, 2}})
}

// TestOtherNoticesSettleNothing: a gap stands in the coverage, and a replay's time may not be published yet.
func TestOtherNoticesSettleNothing(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.window(0, 0, 30, 1)
	for _, kind := range []string{"mismatch", "replay_started", "late_rows", "of a later release"} {
		p.add("jmessage.notices", 0, "", fmt.Sprintf(
			`{"kind":%q,"app_key":%q,"stream":"messages","begin_time":%q,"end_time":%q}`, kind, app, clock(0), clock(90)))
	}
	if err := fill(newLake(t, dir, nil), p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, nil)
}

func TestEveryNamedStreamMustCoverTheHour(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.window(0, 0, 70, 1)
	l := newLake(t, dir, nil)
	l.streams = append(l.streams, app+"/groups/10")
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, nil)
	p.cover("groups/10", 1, 0, 0, 60, nil)
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string][]int64{day + "hour=12/events.parquet": {1}})
}

// TestStreamThatIsNamedLater has its coverage read again, which was of no interest before.
func TestStreamThatIsNamedLater(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.window(0, 0, 70, 1, 61)
	p.cover("groups/10", 1, 0, 0, 130, nil)
	p.cover("groups/11", 1, 0, 0, 130, nil)
	l := newLake(t, dir, nil)
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	if len(l.state.Covered) != 1 {
		t.Errorf("of streams that are not named is kept: %v", l.state.Covered)
	}
	p.window(0, 70, 120)
	l = newLake(t, dir, nil)
	l.streams = append(l.streams, app+"/groups/10")
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string][]int64{day + "hour=12/events.parquet": {1}, day + "hour=13/events.parquet": {2}})
}

// TestStateStaysSmall: what is kept of a stream does not grow with its history.
func TestStateStaysSmall(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	for minute := 0; minute < 10*24*60; minute += 300 {
		p.window(0, minute, minute+300, minute+10)
	}
	l := newLake(t, dir, nil)
	l.now = func() time.Time { return noon().Add(20 * 24 * time.Hour) }
	if err := fill(l, p, 5); err != nil {
		t.Fatal(err)
	}
	if n, staged := len(l.state.Covered[stream]), len(l.state.Staged); n != 1 || staged != 0 {
		t.Errorf("the state has %d windows of a history without a hole, and %d staged files", n, staged)
	}
}

// TestCoverageThatBeginsAnew is that of a position that was deleted: what was read before stays settled.
func TestCoverageThatBeginsAnew(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.window(0, 0, 30, 1)
	p.days = nil
	p.window(0, 30, 70, 40)
	if err := fill(newLake(t, dir, nil), p, 1); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string][]int64{day + "hour=12/events.parquet": {1, 2}})
}

// TestDeletedCoverage is a record without a value in the compacted topic.
func TestDeletedCoverage(t *testing.T) {
	l := newLake(t, t.TempDir(), nil)
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	if err := l.take(&kgo.Record{Topic: "jmessage.coverage", Key: []byte(stream + "/2026-11-01")}); err != nil {
		t.Error(err)
	}
}
