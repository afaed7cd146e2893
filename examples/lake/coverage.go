package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// window is time of a stream that is settled: it was read whole and published, or it is known to be lost.
type window struct {
	Begin time.Time `json:"begin_time"`
	End   time.Time `json:"end_time"`
}

// ledgerRecord is what is needed of a record of jmessage.windows; a notice of a gap has the same fields but no offsets.
type ledgerRecord struct {
	AppKey string `json:"app_key"`
	Stream string `json:"stream"`
	window
	Kind    string `json:"kind"`
	Offsets []struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Last      int64  `json:"last"`
	} `json:"offsets"`
}

func parseLedger(r *kgo.Record) (ledgerRecord, error) {
	var record ledgerRecord
	err := json.Unmarshal(r.Value, &record)
	if err == nil && (record.AppKey == "" || record.Stream == "" || record.Begin.IsZero() || record.End.Before(record.Begin)) {
		err = fmt.Errorf("app_key, stream, begin_time and end_time are expected in %.80q", r.Value)
	}
	if err != nil {
		return record, fmt.Errorf("read the record %s/%d at offset %d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	return record, nil
}

// coverage has the settled time of each <app_key>/<stream>, in order and without overlaps. The ledger's records may come in
// any order (the topic has several partitions), so a hole is a window that was not seen yet. A gap in the history is no
// hole, because a notice tells of it.
type coverage map[string][]window

func (c coverage) add(key string, w window) {
	all := append(slices.Clip(c[key]), w)
	slices.SortFunc(all, func(a, b window) int { return a.Begin.Compare(b.Begin) })
	merged := all[:1]
	for _, next := range all[1:] {
		last := &merged[len(merged)-1]
		switch {
		case next.Begin.After(last.End):
			merged = append(merged, next)
		case next.End.After(last.End):
			last.End = next.End
		}
	}
	c[key] = merged
}

// until is the time before which everything of all these streams is settled; zero while one of them has nothing.
func (c coverage) until(streams []string) time.Time {
	var until time.Time
	for i, key := range streams {
		windows := c[key]
		if len(windows) == 0 {
			return time.Time{}
		}
		if end := windows[0].End; i == 0 || end.Before(until) {
			until = end
		}
	}
	return until
}

// offsets are positions by topic and partition.
type offsets map[string]map[int32]int64

func (o offsets) get(topic string, partition int32) (int64, bool) {
	at, ok := o[topic][partition]
	return at, ok
}

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
	c := make(offsets, len(o))
	for topic, partitions := range o {
		for partition, at := range partitions {
			c.raise(topic, partition, at)
		}
	}
	return c
}
