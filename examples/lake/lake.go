package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// lake turns records into files. It is used by one goroutine.
type lake struct {
	disk *disk
	// prefix is that of jmpub's topics.
	prefix string
	// streams are those that must cover an hour, as <app_key>/<stream>.
	streams []string
	now     func() time.Time
	log     *slog.Logger

	state *state
	// rows are in no file yet.
	rows  map[hour][]Row
	count int
	// goal is what the ledger said when the goal was set: once reading has come to need, the hours before until are complete.
	goal struct {
		until time.Time
		need  offsets
	}
}

// targets are the event topics, without the prefix.
var targets = []string{"single", "group", "chatroom", "other"} //nolint:gochecknoglobals // A constant.

// The topics that tell how far the history has been read.
const (
	topicWindows = "windows"
	topicNotices = "notices"
)

// open reads where the lake stands.
func (l *lake) open() error {
	var err error
	l.rows, l.count = make(map[hour][]Row), 0
	if l.state, err = l.disk.open(); err != nil {
		return err
	}
	l.setGoal()
	return nil
}

// take takes in a record of any of the topics. Records of a partition come in order.
func (l *lake) take(r *kgo.Record) error {
	name := strings.TrimPrefix(r.Topic, l.prefix+".")
	l.state.Offsets.raise(r.Topic, r.Partition, r.Offset+1)
	switch {
	case r.Attrs.IsControl(): // The end of a transaction: it only moves the offset.
		return nil
	case name == topicWindows || name == topicNotices:
		return l.cover(r)
	}
	row, err := newRow(r)
	if err != nil {
		return err
	}
	h := hourOf(name, &row, l.now())
	l.rows[h] = append(l.rows[h], row)
	l.count++
	return nil
}

// cover takes in what the ledger tells.
func (l *lake) cover(r *kgo.Record) error {
	record, err := parseLedger(r)
	if err != nil {
		return err
	}
	if record.Kind != "" && record.Kind != "gap" {
		return nil // Another notice: its window stands in the ledger too.
	}
	l.state.Covered.add(record.AppKey+"/"+record.Stream, record.window)
	for _, o := range record.Offsets {
		if !slices.Contains(targets, strings.TrimPrefix(o.Topic, l.prefix+".")) {
			continue // Rejected rows.
		}
		if _, known := l.state.Offsets.get(o.Topic, o.Partition); !known {
			return fmt.Errorf("the partition %s/%d is new: start again to read it too", o.Topic, o.Partition)
		}
		l.state.Need.raise(o.Topic, o.Partition, o.Last+1)
	}
	return nil
}

func (l *lake) setGoal() {
	l.goal.until, l.goal.need = l.state.Covered.until(l.streams), l.state.Need.clone()
}

// commit brings everything that was taken to disk, and into the lake whatever hours are complete by that.
func (l *lake) commit() error {
	if err := l.stage(); err != nil {
		return err
	}
	l.state.Install = nil
	for l.state.Offsets.reached(l.goal.need) {
		if err := l.complete(l.goal.until); err != nil {
			return err
		}
		before := l.goal.until
		if l.setGoal(); l.goal.until.Equal(before) {
			break
		}
	}
	return l.disk.save(l.state)
}

// stage writes the rows that are in no file.
func (l *lake) stage() error {
	for h, rows := range l.rows {
		name := fmt.Sprintf("%08d-%s-%s.rows", l.state.Commit, h.Target, h.Begin.Format("20060102T15"))
		if err := l.disk.stage(name, rows); err != nil {
			return err
		}
		l.state.Staged = append(l.state.Staged, stagedFile{hour: h, Name: name, Rows: len(rows)})
	}
	l.rows, l.count = make(map[hour][]Row), 0
	return nil
}

// complete makes a file of each hour before until that has staged rows.
func (l *lake) complete(until time.Time) error {
	due := make(map[hour][]stagedFile)
	var rest []stagedFile
	for _, s := range l.state.Staged {
		if s.complete(until) {
			due[s.hour] = append(due[s.hour], s)
		} else {
			rest = append(rest, s)
		}
	}
	hours := slices.SortedFunc(maps.Keys(due), func(a, b hour) int {
		return cmp.Or(a.Begin.Compare(b.Begin), cmp.Compare(a.Target, b.Target))
	})
	for _, h := range hours {
		if err := l.compact(h, due[h]); err != nil {
			return err
		}
	}
	l.state.Staged = rest
	if until.After(l.state.CompleteUntil) {
		l.state.CompleteUntil = until
	}
	return nil
}

func (l *lake) compact(h hour, staged []stagedFile) error {
	name := fmt.Sprintf("%08d-%s-%s.new", l.state.Commit, h.Target, h.Begin.Format("20060102T15"))
	written, repeated, err := l.disk.compact(h, staged, name)
	if err != nil {
		return err
	}
	if repeated > 0 {
		l.log.Warn("left out events that are in the lake already", slog.String("hour", h.folder()), slog.Int("rows", repeated))
	}
	if written == 0 {
		return nil
	}
	file := "events.parquet"
	if h.complete(l.state.CompleteUntil) {
		files, err := l.disk.files(h)
		if err != nil {
			return err
		}
		late := 1
		for slices.Contains(files, l.disk.path(path.Join(h.folder(), lateName(late)))) {
			late++
		}
		file = lateName(late)
	}
	l.state.Install = append(l.state.Install, move{path.Join(stagingDir, name), path.Join(h.folder(), file)})
	l.log.Info("wrote", slog.String("file", path.Join(h.folder(), file)), slog.Int("rows", written))
	return nil
}

// lateName is the n-th file of rows that came after their hour was complete.
func lateName(n int) string { return fmt.Sprintf("events-late-%d.parquet", n) }
