package world

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/tests/world/kafkamodel"
	"github.com/jmpub/jmpub/pipeline"
)

// ledgerRecord is what is held against the log of a record of the ledger.
type ledgerRecord struct {
	// written is when its record was.
	written time.Time

	Stream    string    `json:"stream"`
	Begin     time.Time `json:"begin_time"`
	End       time.Time `json:"end_time"`
	Sequence  int64     `json:"sequence"`
	Published int64     `json:"published"`
	Rejected  int64     `json:"rejected"`
	Mismatch  bool      `json:"mismatch"`
	Replay    string    `json:"replay"`
	Late      bool      `json:"late"`
	Offsets   []struct {
		Topic     string `json:"topic"`
		Partition int    `json:"partition"`
		First     int64  `json:"first"`
		Last      int64  `json:"last"`
	} `json:"offsets"`
}

func (l *ledgerRecord) ofStatistics() bool { return strings.HasPrefix(l.Stream, "statistics/") }

// offset is where a record stands.
type offset struct {
	topic     string
	partition int
	at        int64
}

// reports are what jmpub says of itself in Kafka.
type reports struct {
	*app

	prefix string
	ledger []ledgerRecord
	// rows are the records of rows, and where each stands.
	rows map[offset]*kafkamodel.Record
}

// checkReports expects what jmpub says of itself to agree with what is published, record for record.
func (a *app) checkReports(prefix string, published map[seen]int, stopped time.Time) {
	r := &reports{app: a, prefix: prefix, rows: make(map[offset]*kafkamodel.Record)}
	for _, topic := range verify.Topics(prefix) {
		for record := range a.records(topic) {
			r.rows[offset{topic, record.Partition, record.Offset}] = record
		}
	}
	if !r.decode("windows", func(record *kafkamodel.Record) error {
		l := ledgerRecord{written: record.Time}
		err := json.Unmarshal(record.Value, &l)
		r.ledger = append(r.ledger, l)
		return err
	}) {
		return
	}
	if !a.plan.Files { // Without transactions, rows can be published whose window is not recorded.
		r.checkLedger(published)
	}
	r.checkNotices()
	if prefix != elsewhere {
		r.checkNumbers()
		r.checkCoverage(stopped)
		r.checkPositions(stopped)
		r.checkStatistics(stopped)
		r.checkPauses()
	}
}

// decode calls fn with each record of one of jmpub's own topics that has a value, partition by partition.
func (r *reports) decode(topic string, fn func(*kafkamodel.Record) error) bool {
	for record := range r.records(r.prefix + "." + topic) {
		if record.Value == nil {
			continue
		}
		if err := fn(record); err != nil {
			r.found("the record %s of %s cannot be read: %v", record.Value, topic, err)
			return false
		}
	}
	return true
}

// checkLedger expects each row to stand where one record of the ledger says, and to be counted there.
func (r *reports) checkLedger(published map[seen]int) {
	records, counted := 0, int64(0)
	for _, n := range published {
		records += n
	}
	named := make(map[offset]bool)
	for i := range r.ledger {
		l := &r.ledger[i]
		if l.ofStatistics() {
			continue
		}
		counted += l.Published + l.Rejected
		stand := int64(0)
		for _, o := range l.Offsets {
			for at := o.First; at <= o.Last; at++ {
				where := offset{o.Topic, o.Partition, at}
				record, there := r.rows[where]
				if !there || named[where] || replayOf(record) != l.Replay {
					r.found("the ledger of %s to %s names %+v (a row: %t, of another record too: %t)", l.Begin, l.End, where, there, named[where])
					return
				}
				named[where] = true
				stand++
			}
		}
		if stand != l.Published+l.Rejected {
			r.found("the ledger of %s to %s counts %d rows and names the offsets of %d", l.Begin, l.End, l.Published+l.Rejected, stand)
		}
	}
	if counted != int64(records) {
		r.found("the ledger of %s counts %d rows, %d are published", r.prefix, counted, records)
	}
}

// checkNumbers expects each stream's records to be numbered without a gap.
func (r *reports) checkNumbers() {
	last := make(map[string]int64)
	for i := range r.ledger {
		l := &r.ledger[i]
		if l.Replay != "" || l.ofStatistics() {
			continue
		}
		if l.Late && l.Sequence == 0 && r.has(Delete) { // They may have been published while the stream had no position.
			continue
		}
		if r.plan.Files && l.Sequence <= last[l.Stream] { // What was committed last and not saved is committed again, or has been by somebody else.
			continue
		}
		if last[l.Stream]++; l.Sequence != last[l.Stream] {
			r.found("record %d of the ledger of %s has the number %d", last[l.Stream], l.Stream, l.Sequence)
			return
		}
	}
}

// about is what a notice of a kind is about.
type about struct {
	kind       pipeline.NoticeKind
	stream     string
	begin, end int64
	replay     string
}

// checkNotices expects a notice of all that a consumer must know, and of nothing else.
func (r *reports) checkNotices() {
	// told and want are the rows that notices name, or else how many notices there are.
	told, want := make(map[about]int64), make(map[about]int64)
	gaps := 0
	r.decode("notices", func(record *kafkamodel.Record) error {
		var n struct {
			Kind   pipeline.NoticeKind `json:"kind"`
			Stream string              `json:"stream"`
			Replay string              `json:"replay"`
			Begin  time.Time           `json:"begin_time"`
			End    time.Time           `json:"end_time"`
			Rows   int64               `json:"rows"`
		}
		err := json.Unmarshal(record.Value, &n)
		which := about{n.Kind, n.Stream, n.Begin.Unix(), n.End.Unix(), n.Replay}
		switch n.Kind {
		case pipeline.NoticeLateRows:
			told[which] += n.Rows
		case pipeline.NoticeAdmin: // They are those of pauses.
		case pipeline.NoticeGap:
			gaps++
			if !r.mayBeGap(n.Begin, n.End) {
				r.found("the notice of a gap from %s to %s is of time that the API had", n.Begin, n.End)
			}
		default:
			told[which]++
		}
		return err
	})
	replays := make(map[about]int64)
	for which, n := range told {
		if which.kind == pipeline.NoticeReplayStarted || which.kind == pipeline.NoticeReplayFinished {
			replays[about{kind: which.kind, stream: which.stream, replay: which.replay}] += n
			delete(told, which)
		}
	}
	for i := range r.ledger {
		l := &r.ledger[i]
		which := about{"", l.Stream, l.Begin.Unix(), l.End.Unix(), l.Replay}
		if which.kind = pipeline.NoticeLateRows; l.Late {
			want[which] += l.Published + l.Rejected
		}
		if which.kind = pipeline.NoticeMismatch; l.Mismatch {
			want[which]++
		}
		if l.Mismatch && r.plan.Once {
			r.found("the window %s to %s of %s does not add up, although it would have at the next try", l.Begin, l.End, l.Stream)
		}
	}
	if !maps.Equal(told, want) {
		r.found("the notices of %s tell %v, the ledger %v", r.prefix, told, want)
	}
	r.checkReplayNotices(replays)
	if _, forgotten := r.forgotten(-margin); forgotten && gaps == 0 && r.prefix != elsewhere {
		r.found("no notice tells of what the API had forgotten")
	}
}

// checkReplayNotices expects the begin and the end of each replay to be told once, and both of those that are complete.
func (r *reports) checkReplayNotices(told map[about]int64) {
	for which, n := range told {
		if n > 1 && !r.plan.Files {
			r.found("the notice %v is there %d times", which, n)
		}
	}
	for _, l := range r.licences {
		if l.replay == "" || l.prefix != r.prefix || !l.sure {
			continue
		}
		for _, s := range r.streams() {
			for _, kind := range []pipeline.NoticeKind{pipeline.NoticeReplayStarted, pipeline.NoticeReplayFinished} {
				if which := (about{kind: kind, stream: s.String(), replay: l.replay}); told[which] < 1 {
					r.found("the notice %v is not there, although the replay is complete", which)
				}
			}
		}
	}
}

// has tells whether the plan has an event of a kind.
func (a *app) has(kinds ...Kind) bool {
	return slices.ContainsFunc(a.plan.Events, func(e Event) bool { return slices.Contains(kinds, e.Kind) })
}

// span is a range of time.
type span struct {
	Begin time.Time `json:"begin_time"`
	End   time.Time `json:"end_time"`
}

// day is what a record of the coverage says.
type day struct {
	Day   string `json:"day"`
	Read  []span `json:"read"`
	Gaps  []span `json:"gaps"`
	Hours []struct {
		Hour      int   `json:"hour"`
		Rows      int64 `json:"rows"`
		Published int64 `json:"published"`
		Rejected  int64 `json:"rejected"`
		Late      int64 `json:"late"`
	} `json:"hours"`
	Offsets []struct {
		Topic     string `json:"topic"`
		Partition int    `json:"partition"`
		Last      int64  `json:"last"`
	} `json:"offsets"`
}

// checkCoverage expects the newest record of each day to say that all of it was read, and to count what is published.
func (r *reports) checkCoverage(stopped time.Time) {
	days := make(map[string]map[string]day) // By stream and day.
	r.decode("coverage", func(record *kafkamodel.Record) error {
		var c struct {
			day

			Stream string `json:"stream"`
		}
		err := json.Unmarshal(record.Value, &c)
		if days[c.Stream] == nil {
			days[c.Stream] = make(map[string]day)
		}
		days[c.Stream][c.Day] = c.day
		return err
	})
	for _, s := range r.streams() {
		own := days[s.String()]
		if read := r.readTo(s, own); read.Before(stopped.Add(-open)) || read.After(stopped) {
			r.found("by the coverage, %s was read to %s only; the processes stopped at %s", s, read, stopped)
		}
		if !r.plan.Files && !r.has(Delete) { // Of time that an earlier position has read, a new one knows nothing.
			r.checkCounts(s, own)
		}
	}
}

// margin is how much sooner or later than by the world's clock the API may seem to forget, and the last position before that may stand.
const margin = 5 * time.Minute

// forgotten is what the API had forgotten before anybody could read it, where there is such time, longer by slack at both ends.
func (a *app) forgotten(slack time.Duration) (w pipeline.Window, is bool) {
	left, back := a.absence()
	w = pipeline.Window{Begin: left.Add(-slack), End: back.Add(slack - a.api.History)}
	return w, !left.IsZero() && w.Begin.Before(w.End)
}

// mayBeForgotten tells whether all of a range may be time that the API had forgotten.
func (a *app) mayBeForgotten(begin, end time.Time) bool {
	const slow = 30 * time.Minute // So much later it may be asked.
	w, is := a.forgotten(slow)
	return is && !begin.Before(w.Begin) && !end.After(w.End)
}

// mayBeGap tells whether a range may be told of as lost. A position that begins anew knows nothing of what the one before it has read.
func (r *reports) mayBeGap(begin, end time.Time) bool {
	if left, _ := r.absence(); r.has(Delete) && begin.Before(left) {
		begin = left
	}
	return r.mayBeForgotten(begin, end)
}

// readTo is up to where a stream was read without a gap, from the first row on. Of a position that was set ahead after the one before it was
// forgotten, nothing before that is known, and where a reset has set one ahead, which is a little behind the head, nobody has asked for what lies between.
func (r *reports) readTo(s pipeline.Stream, days map[string]day) time.Time {
	read, ahead := r.first, r.has(Delete) && r.has(Reset)
	for _, name := range slices.Sorted(maps.Keys(days)) {
		for _, w := range days[name].Gaps {
			if !r.mayBeGap(w.Begin, w.End) {
				r.found("the coverage of %s %s has a gap from %s to %s, which the API has not", s, name, w.Begin, w.End)
			}
		}
		known := append(slices.Clone(days[name].Read), days[name].Gaps...)
		slices.SortFunc(known, func(a, b span) int { return a.Begin.Compare(b.Begin) })
		for _, w := range known {
			if (ahead || !w.Begin.After(read) || r.setTo(s, w.Begin)) && w.End.After(read) {
				read = w.End
			}
		}
		for _, w := range days[name].Read {
			if lost, is := r.forgotten(-margin); is && w.Begin.Before(lost.End) && w.End.After(lost.Begin) {
				r.found("by the coverage of %s, %s to %s was read, which the API had forgotten", s, w.Begin, w.End)
			}
		}
	}
	return read
}

// setTo tells whether a reset has set a stream's position to a time, in whole seconds: a window that begins there may reach back by its overlap.
// Where rows are published before they have settled, it may set it ahead, although younger rows were published: an operator is told that, and says
// yes.
func (a *app) setTo(stream pipeline.Stream, at time.Time) bool {
	return slices.ContainsFunc(a.licences, func(l *licence) bool {
		return l.sets && l.stream == stream && at.Sub(l.from) <= time.Second && l.from.Sub(at) <= longestOverlap+time.Second
	})
}

// counts are what is known of a stream's rows: how many there are in all and in each hour, and where the last ones stand.
type counts struct {
	published, rejected, late int64
	hours                     map[string]int64
	last                      map[offset]int64
}

func newCounts() *counts {
	return &counts{hours: make(map[string]int64), last: make(map[offset]int64)}
}

// stand takes in that a row stands at an offset.
func (c *counts) stand(topic string, partition int, at int64) {
	where := offset{topic, partition, 0}
	c.last[where] = max(c.last[where], at)
}

// checkCounts holds the sums of a stream's days against the ledger, and those of each hour against the rows.
func (r *reports) checkCounts(s pipeline.Stream, days map[string]day) {
	told, want := newCounts(), r.countLedger(s)
	for name := range days {
		d := days[name]
		for _, h := range d.Hours {
			told.published += h.Published
			told.rejected += h.Rejected
			told.late += h.Late
			if h.Rows > 0 {
				told.hours[fmt.Sprintf("%s %02d", name, h.Hour)] = h.Rows
			}
		}
		for _, o := range d.Offsets {
			told.stand(o.Topic, o.Partition, o.Last)
		}
	}
	byHour := r.plan.API.IrregularRows == 0 && r.slack() == 0
	switch {
	case told.published != want.published, told.rejected != want.rejected, told.late != want.late, !maps.Equal(told.last, want.last),
		byHour && !maps.Equal(told.hours, want.hours):
		r.found("the coverage of %s counts %+v, the ledger %+v", s, told, want)
	}
}

// countLedger counts what the ledger says of a stream, and by the hour the rows that stand where it says.
func (r *reports) countLedger(s pipeline.Stream) *counts {
	c, rows := newCounts(), r.when()
	for i := range r.ledger {
		l := &r.ledger[i]
		if l.Replay != "" || l.Stream != s.String() {
			continue
		}
		c.published += l.Published
		c.rejected += l.Rejected
		if l.Late {
			c.late += l.Published + l.Rejected
		}
		for _, o := range l.Offsets {
			c.stand(o.Topic, o.Partition, o.Last)
			for at := o.First; at <= o.Last; at++ {
				record := r.rows[offset{o.Topic, o.Partition, at}]
				if record == nil {
					continue
				}
				if of := rows[string(record.Key)]; len(of) > 0 {
					c.hours[of[0].at.UTC().Format(time.DateOnly+" 15")]++
				}
			}
		}
	}
	return c
}

// checkPositions expects positions to move forward, unless an operator has set them back, and to have come near to where the processes
// stopped.
func (r *reports) checkPositions(stopped time.Time) {
	if r.plan.Files {
		return
	}
	ends := make(map[string]time.Time)
	r.decode("checkpoints", func(record *kafkamodel.Record) error {
		var p struct {
			Stream string    `json:"stream"`
			Replay string    `json:"replay"`
			End    time.Time `json:"end_time"`
		}
		if err := json.Unmarshal(record.Value, &p); err != nil || p.Stream == "" || p.Replay != "" {
			return err
		}
		if p.End.Before(ends[p.Stream]) && !r.has(Reset, Delete) {
			r.found("the position of %s went back from %s to %s", p.Stream, ends[p.Stream], p.End)
		}
		ends[p.Stream] = p.End
		return nil
	})
	for _, s := range r.streams() {
		if end := ends[s.String()]; end.Before(stopped.Add(-open)) || end.After(stopped) {
			r.found("the position of %s is at %s; the processes stopped at %s", s, end, stopped)
		}
	}
}

// checkStatistics expects the newest statistics of each hour that is long over to be those of the rows.
func (r *reports) checkStatistics(stopped time.Time) {
	if !r.plan.Statistics || r.plan.API.Late > 0 || r.plan.API.IrregularRows > 0 {
		return
	}
	type sent struct {
		Group  int64 `json:"group_send_msg"`
		Single int64 `json:"single_send_msg"`
	}
	told, last := make(map[string]sent), make(map[string]string)
	for record := range r.records(r.prefix + ".statistics.messages") {
		var event struct {
			Data sent `json:"data"`
		}
		if err := json.Unmarshal(record.Value, &event); err != nil {
			r.found("the statistics %s cannot be read: %v", record.Value, err)
			return
		}
		told[string(record.Key)] = event.Data
		if last[string(record.Key)] == string(record.Value) && !r.plan.Files {
			r.found("the statistics %s are published again, although they have not changed", record.Value)
			return
		}
		last[string(record.Key)] = string(record.Value)
	}
	for p := pipeline.PeriodOf(pipeline.Hour, r.began.In(r.api.Zone)); p.End().Before(stopped.Add(-time.Hour)); p = p.Add(1) {
		var want sent
		for row := range r.api.Truth(sim.Range{Begin: p.Begin, End: p.End().Add(-time.Millisecond)}) {
			switch row.Target {
			case "group":
				want.Group++
			case "single":
				want.Single++
			default:
			}
		}
		if got, there := told[r.api.AppKey+"/"+p.String()]; got != want || !there {
			r.found("the statistics of %s are %+v (there: %t), want %+v", p, got, there, want)
		}
	}
}
