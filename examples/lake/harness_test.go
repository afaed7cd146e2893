package main

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
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
