package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/pipeline"
)

const (
	app    = "4f7aef34fb361292c566a1cd"
	stream = app + "/messages"
)

// noon is when the histories of these tests begin.
func noon() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }

// topics are a log in memory: the records of each partition, in order.
type topics struct {
	records map[string]map[int32][]*kgo.Record
	ids     int64
	// days is the newest coverage of each day of a stream, by its key.
	days map[string]*pipeline.Coverage
}

// window publishes a window of messages with an event in each of the given minutes after noon, as jmpub does.
func (p *topics) window(coveragePartition int32, begin, end int, minutes ...int) {
	last := make(map[int32]int64)
	for _, minute := range minutes {
		p.ids++
		partition := int32(p.ids % 2)
		last[partition] = p.add("jmessage.group", partition, strconv.FormatInt(p.ids, 10), p.event(p.ids, minute))
	}
	p.cover("messages", coveragePartition, begin, begin, end, last)
}

// cover publishes the coverage of a stream, as with a window that was read up to end but for a gap until read; last are the last offsets
// of its events by partition. A partition other than that of the records before it is one that the topic was given later.
func (p *topics) cover(name string, partition int32, gap, read, end int, last map[int32]int64) {
	var s pipeline.Stream
	if err := s.UnmarshalText([]byte(name)); err != nil {
		panic(err)
	}
	for begin := pipeline.DayOf(at(gap)); begin.Before(at(end)); begin = begin.Add(24 * time.Hour) {
		key := string(checkpoint.CoverageKey(app, s, begin))
		c := p.days[key]
		if c == nil {
			c = &pipeline.Coverage{AppKey: app, Stream: s, Day: begin}
			if p.days == nil {
				p.days = make(map[string]*pipeline.Coverage)
			}
			p.days[key] = c
		}
		c.Gaps, c.Read = within(c, c.Gaps, at(gap), at(read)), within(c, c.Read, at(read), at(end))
		for partition, offset := range last {
			c.Offsets = slices.DeleteFunc(c.Offsets, func(o pipeline.LastOffset) bool { return o.Partition == partition })
			c.Offsets = append(c.Offsets, pipeline.LastOffset{Topic: "jmessage.group", Partition: partition, Last: offset})
		}
		value, err := checkpoint.EncodeCoverage(c)
		if err != nil {
			panic(err)
		}
		p.add("jmessage.coverage", partition, key, string(value))
	}
}

// within adds to ranges of a day the time from begin to end, as far as it is of that day.
func within(c *pipeline.Coverage, ranges []pipeline.Window, begin, end time.Time) []pipeline.Window {
	var all spans
	for _, r := range ranges {
		all = all.with(window(r))
	}
	if begin.Before(c.Day) {
		begin = c.Day
	}
	if next := c.Day.Add(24 * time.Hour); end.After(next) {
		end = next
	}
	ranges = nil
	for _, w := range all.with(window{begin, end}) {
		ranges = append(ranges, pipeline.Window(w))
	}
	return ranges
}

// at is a minute after noon.
func at(minute int) time.Time { return noon().Add(time.Duration(minute) * time.Minute) }

func clock(minute int) string { return at(minute).Format(time.RFC3339) }

// untimed is a minute of an event that has no time.
const untimed = -1 << 20

func (*topics) event(id int64, minute int) string {
	if minute == untimed {
		return fmt.Sprintf(`{"msgid":%d,"app_key":%q}`, id, app)
	}
	return fmt.Sprintf(`{"msgid":%d,"app_key":%q,"target_type":"group","time":%q,"text":"t"}`, id, app, clock(minute))
}

func (p *topics) add(topic string, partition int32, key, value string) int64 {
	if p.records == nil {
		p.records = make(map[string]map[int32][]*kgo.Record)
	}
	if p.records[topic] == nil {
		p.records[topic] = make(map[int32][]*kgo.Record)
	}
	offset := int64(len(p.records[topic][partition]))
	p.records[topic][partition] = append(p.records[topic][partition], &kgo.Record{
		Topic: topic, Partition: partition, Offset: offset, Key: []byte(key), Value: []byte(value),
		Headers: []kgo.RecordHeader{{Key: "jmpub_stream", Value: []byte("messages")}},
	})
	return offset
}

// read gives the lake up to n records of each partition, from where it stands.
func (p *topics) read(l *lake, n int) (more bool, err error) {
	for _, topic := range []string{"jmessage.group", "jmessage.coverage", "jmessage.notices"} {
		for partition := range int32(3) {
			l.state.Offsets.raise(topic, partition, 0) // As the consumer does for all partitions there are.
		}
	}
	for topic, partitions := range p.records {
		for partition, records := range partitions {
			at := l.state.Offsets[topic][partition]
			for _, r := range records[at:min(int(at)+n, len(records))] {
				if err := l.take(r); err != nil {
					return false, err
				}
			}
			more = more || int(at)+n < len(records)
		}
	}
	return more, nil
}

func newLake(t *testing.T, dir string, step func(string) error) *lake {
	t.Helper()
	l := &lake{
		disk: &disk{root: dir, step: step}, prefix: "jmessage", streams: []string{stream},
		now: func() time.Time { return noon().Add(24 * time.Hour) }, log: slog.New(slog.DiscardHandler),
	}
	return l
}

// fill reads everything, committing after each n records a partition.
func fill(l *lake, p *topics, n int) error {
	if err := l.open(); err != nil {
		return err
	}
	for {
		more, err := p.read(l, n)
		if err != nil {
			return err
		}
		if err := l.commit(); err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
}

// contents are the msgids of each of the lake's files.
func contents(t *testing.T, dir string) map[string][]int64 {
	t.Helper()
	all := make(map[string][]int64)
	files, err := filepath.Glob(filepath.Join(dir, "target=*", "*", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name, err := filepath.Rel(dir, file)
		if err != nil {
			t.Fatal(err)
		}
		if err := readRows(file, func(rows []Row) error {
			for _, row := range rows {
				all[name] = append(all[name], row.MsgID)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		slices.Sort(all[name])
	}
	return all
}

func want(t *testing.T, dir string, wanted map[string][]int64) {
	t.Helper()
	if got := contents(t, dir); fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Errorf("the lake has\n%v, want\n%v", got, wanted)
	}
}

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
var errCut = errors.New("cut")

// TestCutOffAtEachStep ends the program before each of its changes on disk, once a run, and starts it again. Every event
// must be in the lake once, and no file may be left over.
func TestCutOffAtEachStep(t *testing.T) {
	p := &topics{}
	for minute := 0; minute < 240; minute += 40 {
		p.window(int32(minute/40%3), minute-1, minute+40, minute+1, minute+17, minute+39)
	}
	p.window(0, 200, 201, 3, untimed) // A late one, and one that has no hour.
	p.window(0, 239, 250, 241)
	events := int(p.ids)
	const n = 3 // Records of a partition between two commits.
	steps := 0
	whole := t.TempDir()
	if err := fill(newLake(t, whole, func(string) error { steps++; return nil }), p, n); err != nil {
		t.Fatal(err)
	}
	wanted := byHour(contents(t, whole))
	for cut := 1; cut <= steps; cut++ {
		dir := t.TempDir()
		count, at := 0, ""
		err := fill(newLake(t, dir, func(what string) error {
			if count++; count < cut {
				return nil
			}
			at = what
			return errCut
		}), p, n)
		if !errors.Is(err, errCut) {
			t.Fatalf("cut %d: %v", cut, err)
		}
		onceEach(t, contents(t, dir), "cut off at "+at)
		l := newLake(t, dir, nil)
		if err := fill(l, p, n); err != nil {
			t.Fatal(err)
		}
		got := contents(t, dir)
		in := onceEach(t, got, "after "+at)
		staged := l.staged()
		if in+staged != events || staged != 1 {
			t.Errorf("cut off at %s: %d of %d events are in the lake, %d are staged; want all but the last hour's", at, in, events, staged)
		}
		if hours := byHour(got); fmt.Sprint(hours) != fmt.Sprint(wanted) {
			t.Errorf("cut off at %s: the lake has %v, want %v", at, hours, wanted)
		}
		leftovers(t, dir, len(l.state.Staged))
	}
}

// onceEach counts the lake's rows, of which none may be there twice.
func onceEach(t *testing.T, files map[string][]int64, when string) int {
	t.Helper()
	seen := make(map[int64]string)
	for file, ids := range files {
		for _, id := range ids {
			if other, again := seen[id]; again {
				t.Errorf("%s: %d is in %s and in %s", when, id, other, file)
			}
			seen[id] = file
		}
	}
	return len(seen)
}

// byHour are the msgids of each folder.
func byHour(files map[string][]int64) map[string][]int64 {
	hours := make(map[string][]int64)
	for file, ids := range files {
		folder := filepath.Dir(file)
		hours[folder] = append(hours[folder], ids...)
		slices.Sort(hours[folder])
	}
	return hours
}

func leftovers(t *testing.T, dir string, staged int) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, stagingDir))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != staged {
		t.Errorf("%d files are staged, want %d: %v", len(entries), staged, entries)
	}
}

func TestWrongUse(t *testing.T) {
	for _, test := range []struct{ args, names string }{
		{"", "-streams is missing"},
		{"-streams messages", "-streams"},
		{"-streams a/messages -every 0s", "-every"},
		{"-streams a/messages -from noon", "-from"},
		{"-streams a/messages more", `"more"`},
		{"-colour red", "-colour"},
	} {
		err := run(t.Context(), strings.Fields(test.args), &strings.Builder{})
		if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), test.names) {
			t.Errorf("lake %s: %v, want an error of usage that names %s", test.args, err, test.names)
		}
	}
}

// FuzzTake feeds foreign bytes: an error or a row, and never an event that has another msgid than its key.
func FuzzTake(f *testing.F) {
	p := &topics{}
	p.window(0, 0, 70, 1)
	for topic, partitions := range p.records {
		for _, records := range partitions {
			f.Add(strings.TrimPrefix(topic, "jmessage."), []byte("1"), records[0].Value)
		}
	}
	f.Add("coverage", []byte(""), []byte(strings.ReplaceAll(
		`{"app_key":"APP","stream":"messages","read":[{"begin_time":"2026-11-01T12:00:00Z","end_time":"2026-11-01T11:00:00Z"}]}`, "APP", app)))
	f.Add("notices", []byte(""), []byte(`{"kind":"removed","app_key":"a","stream":"s","begin_time":"9999-12-31T23:59:59Z"}`))
	f.Add("group", []byte("1"), []byte(`{"time":"9999-99-99T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, topic string, key, value []byte) {
		l := newLake(t, t.TempDir(), nil)
		if err := l.open(); err != nil {
			t.Fatal(err)
		}
		if err := l.take(&kgo.Record{Topic: "jmessage." + topic, Key: key, Value: value}); err != nil {
			return
		}
		for h, rows := range l.rows {
			for _, row := range rows {
				if strconv.FormatInt(row.MsgID, 10) != strings.TrimLeft(string(key), "+0") && row.MsgID != 0 && key[0] != '-' {
					t.Errorf("key %q became msgid %d", key, row.MsgID)
				}
				if row.Event != string(value) {
					t.Errorf("the event %q became %q", value, row.Event)
				}
				if !h.Begin.IsZero() && (row.Time.Before(h.Begin) || !row.Time.Before(h.Begin.Add(time.Hour))) {
					t.Errorf("%v is not in the hour %v", row.Time, h.Begin)
				}
			}
		}
		for key, windows := range l.state.Covered {
			for i, w := range windows {
				if !w.End.After(w.Begin) || i > 0 && !w.Begin.After(windows[i-1].End) {
					t.Errorf("%s is covered by %v", key, windows)
				}
			}
		}
	})
}
