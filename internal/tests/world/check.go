package world

import (
	"encoding/json"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/tests/canonical"
	"github.com/jmpub/jmpub/internal/tests/world/kafkamodel"
	"github.com/jmpub/jmpub/pipeline"
)

const prefix = "jmessage"

// seen is a record as far as it distinguishes one row from another, and one replay from another. An event's value does not: it may be in
// another format.
type seen struct{ topic, key, value, replay string }

func seenIn(topic string, r *kafkamodel.Record) seen {
	s := seen{topic, string(r.Key), "", replayOf(r)}
	if isRejected(topic) {
		s.value = string(r.Value)
	}
	return s
}

func isRejected(topic string) bool { return strings.HasSuffix(topic, ".rejected") }

// check holds what a reader sees, who sees only what was committed, against what the API had and what happened to the world. stopped is
// when the last process ended.
func (a *app) check(stopped time.Time) {
	published := a.published(prefix)
	a.checkRows(stopped)
	a.checkCopies(published)
	a.checkOrder()
	other := a.published(elsewhere)
	a.checkReplays(prefix, published)
	a.checkReplays(elsewhere, other)
	a.checkReports(prefix, published, stopped)
	a.checkReports(elsewhere, other, stopped)
}

// published counts the records of rows, by all that can differ between two of one row.
func (a *app) published(prefix string) map[seen]int {
	found := make(map[seen]int)
	for _, topic := range verify.Topics(prefix) {
		for r := range a.records(topic) {
			found[seenIn(topic, r)]++
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

// head is the newest time of a stream's row that is committed by a run.
func (a *app) head(stream pipeline.Stream) (newest time.Time) {
	rows := a.when()
	for s := range a.published(prefix) {
		for _, p := range rows.of(&s) {
			if s.replay == "" && p.stream == stream && p.at.After(newest) {
				newest = p.at
			}
		}
	}
	return newest
}

// trailingZeros are those of a number, which Avro does not keep.
var trailingZeros = regexp.MustCompile(`(\.\d*[1-9])0+\b|\.0+\b`)

// checkRows expects each row of the API, as it was, where it belongs, and nothing else.
func (a *app) checkRows(stopped time.Time) {
	once := make(map[seen]bool)
	records := func(yield func(*kgo.Record, error) bool) {
		for _, topic := range verify.Topics(prefix) {
			for r := range a.records(topic) {
				s := seenIn(topic, r)
				s.value = trailingZeros.ReplaceAllString(string(canonical.JSON(r.Value)), "$1")
				if s.replay != "" || once[s] {
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
		a.found("what is published cannot be read: %v", err)
		return
	}
	report := verify.Compare(a.rows(stopped), found)
	if !report.OK() {
		a.found("%s", report.String())
	}
}

// rows lists what the API had. What was too young when the last process stopped may be missing, and what lies before the first start by
// the clock that the API sorts by.
func (a *app) rows(stopped time.Time) iter.Seq[verify.TruthRow] {
	due, begin := stopped.Add(-fresh-time.Second), a.first
	if a.api.Clock == sim.SenderClock {
		begin = begin.Add(sim.SenderBehind)
	}
	return func(yield func(verify.TruthRow) bool) {
		for _, r := range a.truth(stopped.Add(time.Minute)) {
			row := verify.TruthRow{
				MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw,
				Optional: a.mayBeForgotten(r.Time, r.Time) || r.Time.Before(begin) || r.Time.After(due) || r.Appears.After(due),
			}
			if !yield(row) {
				return
			}
		}
	}
}

// place is where a row belongs: its stream, and its time by the server's clock and by the sender's.
type place struct {
	stream     pipeline.Stream
	at, sender time.Time
}

// places are those of all rows, by the id of a row, and by the bytes of each.
type places map[string][]place

func (a *app) when() places {
	all := make(places)
	for s, r := range a.truth(time.Now().Add(time.Minute)) {
		p := place{s, r.Time, senderTime(&r)}
		if r.HasMsgID {
			id := strconv.FormatInt(r.MsgID, 10)
			all[id] = append(all[id], p)
		}
		all[string(r.Raw)] = append(all[string(r.Raw)], p)
	}
	return all
}

// senderTime is a row's time by the sender's clock; zero where that cannot be right.
func senderTime(r *sim.Row) time.Time {
	var row struct {
		Created any `json:"create_time"`
	}
	if json.Unmarshal(r.Raw, &row) == nil {
		const earliest = 1e11 // In 1973.
		if ms, ok := row.Created.(float64); ok && ms >= earliest {
			return time.UnixMilli(int64(ms)).UTC()
		}
	}
	return time.Time{}
}

// of are the places of the rows that a record can be of.
func (p places) of(s *seen) []place {
	if isRejected(s.topic) {
		return p[s.value]
	}
	return p[s.key]
}

// slack is how far a row's time and the clock by which the API answers may be apart.
func (a *app) slack() time.Duration {
	if a.plan.API.Clock == sim.SenderClock {
		return sim.SenderAhead + time.Minute
	}
	return 0
}

// covers tells whether a licence is for a row of one of the places. Nobody knows by which clock the API sorts, so a row that one of its
// clocks places before the range may come with it.
func (l *licence) covers(slack time.Duration, rows []place) bool {
	to := l.to.Add(time.Second) // Ends are whole seconds, which are included.
	return slices.ContainsFunc(rows, func(p place) bool {
		latest := p.at
		switch {
		case p.sender.IsZero(): // It comes with the second that it stands in, at its end or the next one's begin.
			latest = p.at.Add(time.Second)
		case p.sender.After(latest):
			latest = p.sender
		}
		about := l.stream == (pipeline.Stream{}) || l.stream == p.stream
		return about && !latest.Before(l.from.Add(-slack)) && (l.to.IsZero() || p.at.Before(to.Add(slack)))
	})
}

// checkCopies expects each row as often as operators had it published, and no more.
func (a *app) checkCopies(published map[seen]int) {
	rows := a.when()
	for s, n := range published {
		if s.replay != "" {
			continue
		}
		allowed := a.usually()
		var granted []string
		for _, l := range a.licences {
			if l.replay == "" && l.covers(a.slack(), rows.of(&s)) {
				allowed++
				granted = append(granted, l.what)
			}
		}
		if n > allowed {
			a.found("%s %s of %v is published %d times, %s; %d are explained (%s)", s.topic, s.key, rows.of(&s), n, a.where(&s), allowed,
				strings.Join(granted, "; "))
		}
	}
	a.checkOnlyReset(published, rows)
}

// usually is how often a row may be published that nobody has published again: once, or more often without transactions, when a process ends, is
// fenced by a command, or does not hear that a record was taken: each time that it sends it while what comes back waits.
func (a *app) usually() int {
	if !a.plan.Files {
		return 1
	}
	const answered = 10 * time.Second // It takes longer until a request is given up.
	n := 1 + a.fleet.started + len(a.plan.Events)
	if a.plan.Memory > 0 {
		const rereads = 5 // What came of a window that is streamed, and begins anew, is published.
		n += rereads
	}
	for i := range a.plan.Events {
		n += int(a.plan.Events[i].For / answered)
	}
	return n
}

// where tells where records stand, and when they came there.
func (a *app) where(s *seen) string {
	var all []string
	for r := range a.records(s.topic) {
		if seenIn(s.topic, r) == *s {
			all = append(all, fmt.Sprintf("at %d/%d after %s", r.Partition, r.Offset, r.Time.Sub(a.began)))
		}
	}
	return strings.Join(all, ", ")
}

// checkOnlyReset expects, where one command alone has had something published again, that it was.
func (a *app) checkOnlyReset(published map[seen]int, rows places) {
	var resets []*licence
	for _, l := range a.licences {
		if l.replay == "" && !l.healed {
			resets = append(resets, l)
		}
	}
	if len(resets) != 1 || !resets[0].sure || a.slack() > 0 {
		return
	}
	if a.plan.API.Late > 0 || a.plan.LiveFirst || a.has(BadAPI) { // What was published by then is uncertain.
		return
	}
	inner := *resets[0]
	if inner.head.Before(inner.to) {
		inner.to = inner.head
	}
	inner.to = inner.to.Add(-time.Minute) // Near the head, it may not have been published yet when the command was given.
	for s, n := range published {
		all := rows.of(&s)
		certain := !slices.ContainsFunc(all, func(p place) bool { return p.at.Before(inner.from) || p.sender.Before(inner.from) })
		if s.replay == "" && n < 2 && certain && inner.covers(0, all) {
			a.found("%s %s of %v is not published again, although %s succeeded", s.topic, s.key, rows.of(&s), inner.what)
		}
	}
}

// checkOrder expects the rows of each partition in the order of time, where nothing in the plan brings another one.
func (a *app) checkOrder() {
	disorders := slices.ContainsFunc(a.plan.Events, func(e Event) bool {
		return e.Kind == BadAPI || e.Kind == Reset || e.Kind == ResetRange || e.Kind == Delete
	})
	if disorders || a.plan.LiveFirst || a.plan.Early || a.plan.API.Late > 0 || a.slack() > 0 || a.plan.API.IrregularRows > 0 || a.plan.Lists || a.plan.Files {
		return
	}
	rows := a.when()
	newest := make(map[string]time.Time)
	for _, topic := range verify.Topics(prefix)[1:] {
		for r := range a.records(topic) {
			if replayOf(r) != "" {
				continue
			}
			place := topic + "/" + strconv.Itoa(r.Partition)
			at := rows[string(r.Key)][0].at
			if slices.ContainsFunc(a.licences, func(l *licence) bool { return l.healed && l.covers(0, rows[string(r.Key)]) }) {
				continue
			}
			if at.Before(newest[place]) {
				a.found("%s of %s stands in %s behind a row of %s", r.Key, at, place, newest[place])
				return
			}
			newest[place] = at
		}
	}
}

// checkReplays expects what replays bring once each, and all of it where they were complete.
func (a *app) checkReplays(prefix string, published map[seen]int) {
	rows, slack := a.when(), a.slack()
	if a.comesLate() { // What appears just before its range while it begins is as new to it as what lies within.
		slack += longestOverlap
	}
	for s, n := range published {
		if s.replay == "" {
			continue
		}
		if n > a.usually() {
			a.found("%s %s is published %d times by the replay %s", s.topic, s.key, n, s.replay)
		}
		if !slices.ContainsFunc(a.licences, func(l *licence) bool {
			return l.replay == s.replay && l.prefix == prefix && l.covers(slack, rows.of(&s))
		}) {
			a.found("%s %s of %v is published by the replay %s, which has no such time", s.topic, s.key, rows.of(&s), s.replay)
		}
	}
}
