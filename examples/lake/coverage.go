package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// window is time from Begin until just before End.
type window struct {
	Begin time.Time `json:"begin_time"`
	End   time.Time `json:"end_time"`
}

// report is what is needed of a record of jmessage.coverage, which has what is known of a day of a stream, or of a notice.
type report struct {
	AppKey string `json:"app_key"`
	Stream string `json:"stream"`
	// Read was read to its end, and nothing will come of Gaps.
	Read    []window `json:"read"`
	Gaps    []window `json:"gaps"`
	Offsets []struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Last      int64  `json:"last"`
	} `json:"offsets"`
	// Kind is a notice's, and Begin where its time begins.
	Kind  string    `json:"kind"`
	Begin time.Time `json:"begin_time"`
}

func parseReport(record *kgo.Record) (report, error) {
	var r report
	err := json.Unmarshal(record.Value, &r)
	if err == nil && (r.AppKey == "" || r.Stream == "") {
		err = fmt.Errorf("app_key and stream are expected in %.80q", record.Value)
	}
	if err != nil {
		return r, fmt.Errorf("read the record %s/%d at offset %d: %w", record.Topic, record.Partition, record.Offset, err)
	}
	return r, nil
}

// settled is the time of which nothing more is awaited.
func (r *report) settled() []window {
	if r.Kind == "removed" { // The user, group or room is gone: nothing will come of it any more.
		return []window{{r.Begin, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}}
	}
	return slices.Concat(r.Read, r.Gaps)
}

// coverage has the settled time of each stream, <app_key>/<stream>. It is added up from all records and never taken back, so they may
// come in any order. That while jmpub follows the head it publishes the history behind it too (JMPUB_CATCHUP=live-first), or that a
// position was deleted and covers its days anew, makes no difference.
type coverage map[string]spans

// cover tells that all of the window is settled in every stream.
func (c coverage) cover(w window) bool {
	for _, settled := range c {
		if !settled.cover(w) {
			return false
		}
	}
	return len(c) > 0
}

// spans are windows in order that neither overlap nor touch. They are never changed, only replaced.
type spans []window

// with has the windows too.
func (s spans) with(windows ...window) spans {
	all := slices.Concat(s, windows)
	slices.SortFunc(all, func(a, b window) int { return a.Begin.Compare(b.Begin) })
	var merged spans
	for _, next := range all {
		last := len(merged) - 1
		switch {
		case !next.Begin.Before(next.End):
		case last < 0 || next.Begin.After(merged[last].End):
			merged = append(merged, next)
		case next.End.After(merged[last].End):
			merged[last].End = next.End
		}
	}
	return merged
}

// cover tells that all of the window is in s.
func (s spans) cover(w window) bool {
	return slices.ContainsFunc(s, func(have window) bool { return !have.Begin.After(w.Begin) && !have.End.Before(w.End) })
}

// offsets are positions by topic and partition.
type offsets map[string]map[int32]int64

// raise moves a position forward, never back.
func (o offsets) raise(topic string, partition int32, to int64) {
	if o[topic] == nil {
		o[topic] = make(map[int32]int64)
	}
	o[topic][partition] = max(o[topic][partition], to)
}

// reached tells that no position of o is before that of goal.
func (o offsets) reached(goal offsets) bool {
	for topic, partitions := range goal {
		for partition, to := range partitions {
			if o[topic][partition] < to {
				return false
			}
		}
	}
	return true
}

func (o offsets) clone() offsets {
	c := maps.Clone(o)
	for topic, partitions := range o {
		c[topic] = maps.Clone(partitions)
	}
	return c
}
