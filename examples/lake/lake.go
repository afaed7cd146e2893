package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"path/filepath"
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
	// from is where the history begins, if that is known: nothing is awaited for the time before.
	from time.Time
	now  func() time.Time
	log  *slog.Logger

	state *state
	// rows are in no file yet.
	rows  map[hour][]Row
	count int
	// goal is what was known when the goal was set: once reading has come to need, the hours of the settled time are complete.
	// What is known by then may name offsets that reading never reaches while jmpub is ahead of it.
	goal struct {
		settled coverage
		need    offsets
	}
}

// targets are the event topics, without the prefix.
var targets = []string{"single", "group", "chatroom", "other"} //nolint:gochecknoglobals // A constant.

// The topics that tell how far the history has been read, and which streams were removed.
const (
	topicCoverage = "coverage"
	topicNotices  = "notices"
)

// open reads where the lake stands. Only of the streams that are named their coverage is kept, so for a new one the topic is read from
// its beginning, which a compacted topic still has.
func (l *lake) open() error {
	var err error
	l.rows, l.count = make(map[hour][]Row), 0
	if l.state, err = l.disk.open(); err != nil {
		return err
	}
	maps.DeleteFunc(l.state.Covered, func(key string, _ spans) bool { return !slices.Contains(l.streams, key) })
	for _, key := range l.streams {
		settled, known := l.state.Covered[key]
		if !known {
			delete(l.state.Offsets, l.prefix+"."+topicCoverage)
			delete(l.state.Offsets, l.prefix+"."+topicNotices)
		}
		l.state.Covered[key] = settled.with(window{End: l.from})
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
	case name == topicCoverage && r.Value == nil: // Somebody deleted it; what it said stays true.
		return nil
	case name == topicCoverage || name == topicNotices:
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

// cover takes in a record of the coverage or a notice.
func (l *lake) cover(record *kgo.Record) error {
	r, err := parseReport(record)
	if err != nil {
		return err
	}
	if key := r.AppKey + "/" + r.Stream; slices.Contains(l.streams, key) {
		l.state.Covered[key] = l.state.Covered[key].with(r.settled()...)
	}
	for _, o := range r.Offsets {
		if name := strings.TrimPrefix(o.Topic, l.prefix+"."); name == "rejected" || strings.HasPrefix(name, "statistics.") {
			continue // No events.
		}
		if _, known := l.state.Offsets[o.Topic][o.Partition]; !known {
			return fmt.Errorf("events stand in %s/%d, which is not read: if the partition is new, start again; "+
				"the topics that are read are %s.{%s}", o.Topic, o.Partition, l.prefix, strings.Join(targets, ","))
		}
		l.state.Need.raise(o.Topic, o.Partition, o.Last+1)
	}
	return nil
}

func (l *lake) setGoal() {
	l.goal.settled, l.goal.need = maps.Clone(l.state.Covered), l.state.Need.clone()
}

// commit brings everything that was taken to disk, and into the lake whatever hours are complete by that.
func (l *lake) commit() error {
	if err := l.stage(); err != nil {
		return err
	}
	l.state.Install = nil
	if l.state.Offsets.reached(l.state.Need) {
		l.setGoal()
	}
	if l.state.Offsets.reached(l.goal.need) {
		if err := l.complete(l.goal.settled); err != nil {
			return err
		}
		l.setGoal()
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

// complete makes a file of each hour of the settled time that has staged rows.
func (l *lake) complete(settled coverage) error {
	due := make(map[hour][]stagedFile)
	l.state.Staged = slices.DeleteFunc(l.state.Staged, func(s stagedFile) bool {
		if !s.complete(settled) {
			return false
		}
		due[s.hour] = append(due[s.hour], s)
		return true
	})
	hours := slices.SortedFunc(maps.Keys(due), func(a, b hour) int {
		return cmp.Or(a.Begin.Compare(b.Begin), cmp.Compare(a.Target, b.Target))
	})
	for _, h := range hours {
		if err := l.compact(h, due[h]); err != nil {
			return err
		}
	}
	l.state.Complete = settled
	return nil
}

func (l *lake) compact(h hour, staged []stagedFile) error {
	there, err := l.files(h)
	if err != nil {
		return err
	}
	known := slices.Collect(maps.Values(there))
	if !h.Begin.IsZero() {
		timeless, listErr := l.files(hour{Target: h.Target})
		if listErr != nil {
			return listErr
		}
		known = slices.AppendSeq(known, maps.Values(timeless))
	}
	name := fmt.Sprintf("%08d-%s-%s.new", l.state.Commit, h.Target, h.Begin.Format("20060102T15"))
	written, repeated, err := l.disk.compact(staged, known, name)
	if err != nil {
		return err
	}
	if repeated > 0 {
		l.log.Warn("left out events that are in the lake already", slog.String("hour", h.folder()), slog.Int("rows", repeated))
	}
	if written == 0 {
		return nil
	}
	file := path.Join(h.folder(), "events.parquet")
	if _, taken := there[file]; taken || h.complete(l.state.Complete) {
		file = lateFile(h, there)
	}
	l.state.Install = append(l.state.Install, move{path.Join(stagingDir, name), file})
	l.log.Info("wrote", slog.String("file", file), slog.Int("rows", written))
	return nil
}

// files are the lake's files of an hour, each with where it can be read: those that this commit adds are not in place yet.
func (l *lake) files(h hour) (map[string]string, error) {
	in, err := l.disk.files(h)
	if err != nil {
		return nil, err
	}
	files := make(map[string]string)
	for _, file := range in {
		files[path.Join(h.folder(), filepath.Base(file))] = file
	}
	for _, m := range l.state.Install {
		if path.Dir(m.To) == h.folder() {
			files[m.To] = l.disk.path(m.From)
		}
	}
	return files, nil
}

// lateFile is the name of the next file of rows that came after their hour was complete.
func lateFile(h hour, there map[string]string) string {
	for n := 1; ; n++ {
		file := path.Join(h.folder(), fmt.Sprintf("events-late-%d.parquet", n))
		if _, taken := there[file]; !taken {
			return file
		}
	}
}

// staged counts the rows of hours that are not complete.
func (l *lake) staged() int {
	n := 0
	for _, s := range l.state.Staged {
		n += s.Rows
	}
	return n
}
