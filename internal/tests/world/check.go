package world

import (
	"encoding/json"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/tests/world/kafkamodel"
)

const prefix = "jmessage"

// seen is a record as far as it distinguishes one row from another, and one replay from another.
type seen struct{ topic, key, value, replay string }

// check holds what a reader sees, who sees only what was committed, against what the API had and what happened to the world. stopped is
// when the last process ended.
func (w *World) check(stopped time.Time) {
	published := w.read(prefix)
	w.checkRows(stopped)
	w.checkCopies(published)
	w.checkOrder()
	w.checkLedger(prefix, published)
	other := w.read(elsewhere)
	w.checkReplays(prefix, published)
	w.checkReplays(elsewhere, other)
	w.checkLedger(elsewhere, other)
}

// read counts the records of rows, by all that can differ between two of one row.
func (w *World) read(prefix string) map[seen]int {
	found := make(map[seen]int)
	for _, topic := range verify.Topics(prefix) {
		for _, r := range w.kafka.Committed(topic) {
			found[seen{topic, string(r.Key), string(r.Value), replayOf(&r)}]++
		}
	}
	return found
}

// replayOf is the id of the replay that published a record; empty where none did.
func replayOf(r *kafkamodel.Record) string {
	for _, h := range r.Headers {
		if h.Key == "jmpub_replay" {
			return string(h.Value)
		}
	}
	return ""
}

// head is the newest time of a row that is committed by a run.
func (w *World) head() (newest time.Time) {
	for _, topic := range verify.Topics(prefix) {
		for _, r := range w.kafka.Committed(topic) {
			var at struct {
				Time time.Time `json:"time"`
			}
			if json.Unmarshal(r.Value, &at) == nil && at.Time.After(newest) && replayOf(&r) == "" {
				newest = at.Time
			}
		}
	}
	return newest
}

// checkRows expects each row of the API, as it was, where it belongs, and nothing else.
func (w *World) checkRows(stopped time.Time) {
	once := make(map[seen]bool)
	records := func(yield func(*kgo.Record, error) bool) {
		for _, topic := range verify.Topics(prefix) {
			for _, r := range w.kafka.Committed(topic) {
				s := seen{topic, string(r.Key), string(r.Value), ""}
				if replayOf(&r) != "" || once[s] {
					continue
				}
				once[s] = true
				record := &kgo.Record{Topic: r.Topic, Partition: int32(r.Partition), Offset: r.Offset, Key: r.Key, Value: r.Value}
				for _, h := range r.Headers {
					record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
				}
				if !yield(record, nil) {
					return
				}
			}
		}
	}
	found, err := verify.Collect(prefix, records)
	if err != nil {
		w.found("what is published cannot be read: %v", err)
		return
	}
	report := verify.Compare(w.rows(stopped), found)
	if !report.OK() {
		w.found("%s", report.String())
	}
}

// rows lists what the API had. What was too young when the last process stopped may be missing, and what lies before the first start by
// the clock that the API sorts by.
func (w *World) rows(stopped time.Time) iter.Seq[verify.TruthRow] {
	due, begin := stopped.Add(-fresh-time.Second), w.first
	if w.api.Clock == sim.SenderClock {
		begin = begin.Add(sim.SenderBehind)
	}
	return func(yield func(verify.TruthRow) bool) {
		for r := range w.api.Truth(sim.Range{Begin: w.first, End: stopped.Add(time.Minute)}) {
			row := verify.TruthRow{
				MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw,
				Optional: r.Time.Before(begin) || r.Time.After(due) || r.Appears.After(due),
			}
			if !yield(row) {
				return
			}
		}
	}
}

// when maps the ids of rows, and the bytes of those that have none, to their times.
func (w *World) when() map[string][]time.Time {
	times := make(map[string][]time.Time)
	for r := range w.api.Truth(sim.Range{Begin: w.first, End: time.Now().Add(time.Minute)}) {
		if r.HasMsgID {
			id := strconv.FormatInt(r.MsgID, 10)
			times[id] = append(times[id], r.Time)
		}
		times[string(r.Raw)] = append(times[string(r.Raw)], r.Time)
	}
	return times
}

// timesOf are the times of the rows that a record can be of.
func timesOf(times map[string][]time.Time, s *seen) []time.Time {
	if strings.HasSuffix(s.topic, ".rejected") {
		return times[s.value]
	}
	return times[s.key]
}

// slack is how far a row's time and the clock by which the API answers may be apart.
func (w *World) slack() time.Duration {
	if w.plan.API.Clock == sim.SenderClock {
		return sim.SenderAhead + time.Minute
	}
	return 0
}

// covers tells whether a licence is for a row of one of the times.
func (l *licence) covers(slack time.Duration, times []time.Time) bool {
	to := l.to.Add(time.Second) // Ends are whole seconds, which are included.
	return slices.ContainsFunc(times, func(t time.Time) bool {
		return !t.Before(l.from.Add(-slack)) && (l.to.IsZero() || t.Before(to.Add(slack)))
	})
}

// checkCopies expects each row as often as operators had it published, and no more.
func (w *World) checkCopies(published map[seen]int) {
	times := w.when()
	for s, n := range published {
		if s.replay != "" {
			continue
		}
		allowed := 1
		var granted []string
		for _, l := range w.licences {
			if l.replay == "" && l.covers(w.slack(), timesOf(times, &s)) {
				allowed++
				granted = append(granted, l.what)
			}
		}
		if n > allowed {
			w.found("%s %s of %v is published %d times; %d are explained (%s)", s.topic, s.key, timesOf(times, &s), n, allowed, strings.Join(granted, "; "))
		}
	}
	w.checkOnlyReset(published, times)
}

// checkOnlyReset expects, where one command alone has had something published again, that it was.
func (w *World) checkOnlyReset(published map[seen]int, times map[string][]time.Time) {
	var resets []*licence
	for _, l := range w.licences {
		if l.replay == "" {
			resets = append(resets, l)
		}
	}
	if len(resets) != 1 || !resets[0].sure || w.slack() > 0 {
		return
	}
	if w.plan.API.Late > 0 { // What was published by then is uncertain.
		return
	}
	inner := *resets[0]
	inner.to = inner.to.Add(-time.Minute) // It may not have been published yet when the command was given.
	for s, n := range published {
		if s.replay == "" && n < 2 && inner.covers(0, timesOf(times, &s)) {
			w.found("%s %s of %v is not published again, although %s succeeded", s.topic, s.key, timesOf(times, &s), inner.what)
		}
	}
}

// checkOrder expects the rows of each partition in the order of time, where nothing in the plan brings another one.
func (w *World) checkOrder() {
	disorders := slices.ContainsFunc(w.plan.Events, func(e Event) bool {
		return e.Kind == BadAPI || e.Kind == Reset || e.Kind == ResetRange || e.Kind == Delete
	})
	if disorders || w.plan.LiveFirst || w.plan.API.Late > 0 || w.slack() > 0 || w.plan.API.IrregularRows > 0 {
		return
	}
	times := w.when()
	newest := make(map[string]time.Time)
	for _, topic := range verify.Topics(prefix)[1:] {
		for _, r := range w.kafka.Committed(topic) {
			if replayOf(&r) != "" {
				continue
			}
			place := topic + "/" + strconv.Itoa(r.Partition)
			at := times[string(r.Key)][0]
			if at.Before(newest[place]) {
				w.found("%s of %s stands in %s behind a row of %s", r.Key, at, place, newest[place])
				return
			}
			newest[place] = at
		}
	}
}

// checkReplays expects what replays bring once each, and all of it where they were complete.
func (w *World) checkReplays(prefix string, published map[seen]int) {
	times := w.when()
	for s, n := range published {
		if s.replay == "" {
			continue
		}
		if n > 1 {
			w.found("%s %s is published %d times by the replay %s", s.topic, s.key, n, s.replay)
		}
		if !slices.ContainsFunc(w.licences, func(l *licence) bool {
			return l.replay == s.replay && l.prefix == prefix && l.covers(w.slack(), timesOf(times, &s))
		}) {
			w.found("%s %s of %v is published by the replay %s, which has no such time", s.topic, s.key, timesOf(times, &s), s.replay)
		}
	}
}

// checkLedger expects the ledger to count what is published, and its records to be numbered without a gap.
func (w *World) checkLedger(prefix string, published map[seen]int) {
	records := 0
	for _, n := range published {
		records += n
	}
	counted, numbers := int64(0), []int64(nil)
	for _, r := range w.kafka.Committed(prefix + ".windows") {
		var l struct {
			Sequence  int64  `json:"sequence"`
			Published int64  `json:"published"`
			Rejected  int64  `json:"rejected"`
			Replay    string `json:"replay"`
		}
		if err := json.Unmarshal(r.Value, &l); err != nil {
			w.found("a record of the ledger cannot be read: %v", err)
			return
		}
		counted += l.Published + l.Rejected
		if l.Replay == "" {
			numbers = append(numbers, l.Sequence)
		}
	}
	if counted != int64(records) {
		w.found("the ledger of %s counts %d rows, %d are published", prefix, counted, records)
	}
	for i, n := range numbers {
		if n != int64(i+1) {
			w.found("record %d of the ledger has the number %d", i+1, n)
			return
		}
	}
}
