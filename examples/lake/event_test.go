package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestLateEventsGetFilesOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.window(0, 0, 70, 1, 61)
	l := newLake(t, dir, nil)
	for _, minutes := range [][]int{{70}, {5, 71}, {6}, {130}} {
		if err := fill(l, p, 100); err != nil {
			t.Fatal(err)
		}
		p.window(0, 60, 80, minutes...)
	}
	want(t, dir, map[string][]int64{
		day + "hour=12/events.parquet": {1}, day + "hour=12/events-late-1.parquet": {4}, day + "hour=12/events-late-2.parquet": {6},
	})
}

// TestLateEventOfAnHourThatHadNone is late all the same.
func TestLateEventOfAnHourThatHadNone(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.window(0, 0, 70)
	if err := fill(newLake(t, dir, nil), p, 100); err != nil {
		t.Fatal(err)
	}
	p.window(0, 0, 70, 5)
	if err := fill(newLake(t, dir, nil), p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string][]int64{day + "hour=12/events-late-1.parquet": {1}})
}

func TestEventThatComesAgainIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.window(0, 0, 70, 1, 2)
	p.ids = 1
	p.window(0, 0, 70, 2, 3) // 2 again, within the hour, and 3.
	l := newLake(t, dir, nil)
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	p.ids = 2
	p.window(0, 0, 70, 3, 4) // 3 again, when its hour is in the lake, and 4.
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string][]int64{
		day + "hour=12/events.parquet": {1, 2, 3}, day + "hour=12/events-late-1.parquet": {4},
	})
}

func TestAppsMayHaveTheSameMsgid(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.add("jmessage.group", 0, "1", p.event(1, 1))
	p.add("jmessage.group", 0, "1", strings.ReplaceAll(p.event(1, 2), app, "another"))
	p.window(0, 0, 60)
	if err := fill(newLake(t, dir, nil), p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string][]int64{day + "hour=12/events.parquet": {1, 1}})
}

// TestAbsentIsNotEmpty: what an event has not is null in its row, what is empty is empty.
func TestAbsentIsNotEmpty(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.add("jmessage.group", 0, "1", fmt.Sprintf(`{"msgid":1,"app_key":%q,"time":%q,"text":""}`, app, clock(1)))
	p.add("jmessage.group", 0, "2", fmt.Sprintf(`{"msgid":2,"app_key":%q,"time":%q}`, app, clock(1)))
	p.window(0, 0, 60)
	if err := fill(newLake(t, dir, nil), p, 100); err != nil {
		t.Fatal(err)
	}
	err := readRows(filepath.Join(dir, day, "hour=12", "events.parquet"), func(rows []Row) error {
		for _, row := range rows {
			if (row.Text != nil) != (row.MsgID == 1) || row.TargetID != nil {
				t.Errorf("the row of msgid %d has the text %v and the target %v", row.MsgID, row.Text, row.TargetID)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestEventFromTheFutureThatComesAgain places an event whose clock was ahead, and again when that time has come.
func TestEventFromTheFutureThatComesAgain(t *testing.T) {
	const tomorrow = 26 * 60
	dir := t.TempDir()
	p := &topics{}
	p.window(0, 0, 60, tomorrow)
	if err := fill(newLake(t, dir, nil), p, 100); err != nil {
		t.Fatal(err)
	}
	placed := map[string][]int64{
		"target=group/date=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__/events-late-1.parquet": {1},
	}
	want(t, dir, placed)
	p.ids = 0
	p.window(0, 60, tomorrow+60, tomorrow)
	l := newLake(t, dir, nil)
	l.now = func() time.Time { return noon().Add(48 * time.Hour) }
	if err := fill(l, p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, placed)
}

// TestLakeWhoseStateIsGone begins anew over the files that are there: none is overwritten, nothing comes twice.
func TestLakeWhoseStateIsGone(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.window(0, 0, 60, 1, 2)
	if err := fill(newLake(t, dir, nil), p, 100); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, stateName)); err != nil {
		t.Fatal(err)
	}
	p.window(0, 0, 60, 3)
	if err := fill(newLake(t, dir, nil), p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string][]int64{
		day + "hour=12/events.parquet": {1, 2}, day + "hour=12/events-late-1.parquet": {3},
	})
}

func TestEventWithoutAnHourIsNotHeldBack(t *testing.T) {
	dir := t.TempDir()
	p := &topics{}
	p.window(0, 0, 30, untimed, 1_000_000)
	if err := fill(newLake(t, dir, nil), p, 100); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string][]int64{
		"target=group/date=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__/events-late-1.parquet": {1, 2},
	})
}

func TestNewPartitionIsNotPassedOver(t *testing.T) {
	p := &topics{}
	p.window(0, 0, 70, 1, 2)
	l := newLake(t, t.TempDir(), nil)
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	err := l.take(p.records["jmessage.coverage"][0][0])
	if err == nil || !strings.Contains(err.Error(), "start again") {
		t.Errorf("an unread partition: %v, want an error that says what to do", err)
	}
	elsewhere := `{"app_key":"a","stream":"messages","day":"2026-11-01","offsets":[{"topic":"jmessage.TOPIC","partition":0,"last":2}]}`
	for topic, read := range map[string]bool{"rejected": true, "statistics.users": true, "4f7a.group": false} {
		r := &kgo.Record{Topic: "jmessage.coverage", Value: []byte(strings.ReplaceAll(elsewhere, "TOPIC", topic))}
		if err := l.take(r); (err == nil) != read {
			t.Errorf("a window whose records stand in %s: %v", topic, err)
		}
	}
}

// errCut ends the program as kill -9 does.
