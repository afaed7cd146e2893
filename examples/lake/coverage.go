package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// window is time that is settled, from Begin until just before End: it was read whole and published, or it is known to be
// lost.
type window struct {
	Begin time.Time `json:"begin"`
	End   time.Time `json:"end"`
}

// ledgerRecord is what is needed of a record of jmessage.windows; a notice of a gap has the same fields but no offsets.
type ledgerRecord struct {
	AppKey string `json:"app_key"`
	Stream string `json:"stream"`
	// Begin and End are the window's first and last second, both of it.
	Begin   time.Time `json:"begin_time"`
	End     time.Time `json:"end_time"`
	Kind    string    `json:"kind"`
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

// settles is the time that the record settles; nothing where it is a notice that settles none.
func (r *ledgerRecord) settles() (window, bool) {
	switch r.Kind {
	case "", "gap":
		return window{r.Begin, r.End.Add(time.Second)}, true
	case "removed": // The user, group or room is gone: nothing will come of it any more.
		return window{r.Begin, endOfTime()}, true
	default:
		return window{}, false // Another notice: its window stands in the ledger too.
	}
}

func endOfTime() time.Time { return time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }

// coverage has the settled time of each <app_key>/<stream>. The ledger's records may come in any order: the topic has several
// partitions, and while jmpub follows the head it publishes the history behind it too (JMPUB_CATCHUP=live-first). So a hole
// is a window that was not seen yet, or that is still to come. A gap in the history is no hole, because a notice tells of it.
type coverage map[string]spans

func (c coverage) add(key string, w window) { c[key] = c[key].with(w) }

// settled is the time that is settled in all of these streams.
func (c coverage) settled(streams []string) spans {
	all := c[streams[0]]
	for _, key := range streams[1:] {
		all = all.both(c[key])
	}
	return all
}

// spans are windows in order that neither overlap nor touch. They are never changed, only replaced.
type spans []window

// with has w too.
func (s spans) with(w window) spans {
	all := append(slices.Clip(s), w)
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
	return merged
}

// both has the time that is in s and in other.
func (s spans) both(other spans) spans {
	var common spans
	for _, a := range s {
		for _, b := range other {
			w := window{a.Begin, a.End}
			if b.Begin.After(w.Begin) {
				w.Begin = b.Begin
			}
			if b.End.Before(w.End) {
				w.End = b.End
			}
			if w.Begin.Before(w.End) {
				common = append(common, w)
			}
		}
	}
	return common
}

// cover tells that all of the window is in s.
func (s spans) cover(w window) bool {
	return slices.ContainsFunc(s, func(have window) bool { return !have.Begin.After(w.Begin) && !have.End.Before(w.End) })
}

func (s spans) equal(other spans) bool {
	return slices.EqualFunc(s, other, func(a, b window) bool { return a.Begin.Equal(b.Begin) && a.End.Equal(b.End) })
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
