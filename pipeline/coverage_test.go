package pipeline_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// coverageModel says in the simplest way what is covered: second by second, and row by row.
type coverageModel struct {
	begin time.Time
	// read and lost are by the second.
	read, lost []bool
	hours      map[time.Time]pipeline.HourCounts
	// last are the last offsets of the days.
	last map[time.Time]int64
}

func newCoverageModel(begin time.Time, days int) *coverageModel {
	return &coverageModel{
		begin: begin, read: make([]bool, days*24*3600), lost: make([]bool, days*24*3600),
		hours: make(map[time.Time]pipeline.HourCounts), last: make(map[time.Time]int64),
	}
}

// moved takes in that a window moved a position.
func (m *coverageModel) moved(l *pipeline.Ledger) {
	for at := l.MovedFrom; at.Before(l.MovedTo); at = at.Add(time.Second) {
		if at.Before(l.Begin) {
			m.count(at, func(h *pipeline.HourCounts) { h.GapSeconds++ })
			m.lost[int(at.Sub(m.begin)/time.Second)] = true
			continue
		}
		m.read[int(at.Sub(m.begin)/time.Second)] = true
	}
}

func (m *coverageModel) count(at time.Time, add func(*pipeline.HourCounts)) {
	hour := at.Truncate(time.Hour)
	counts := m.hours[hour]
	counts.Hour = hour.Hour()
	add(&counts)
	m.hours[hour] = counts
}

// ranges are those of a day whose seconds are marked.
func (m *coverageModel) ranges(marked []bool, day time.Time) []pipeline.Window {
	var ranges []pipeline.Window
	for second := range 24 * 3600 {
		at := day.Add(time.Duration(second) * time.Second)
		if !marked[int(at.Sub(m.begin)/time.Second)] {
			continue
		}
		if n := len(ranges); n > 0 && ranges[n-1].End.Equal(at) {
			ranges[n-1].End = at.Add(time.Second)
		} else {
			ranges = append(ranges, pipeline.Window{Begin: at, End: at.Add(time.Second)})
		}
	}
	return ranges
}

// compare holds the committed coverage of a stream against the model.
func (m *coverageModel) compare(t *testing.T, kafka *fakes.Kafka, s pipeline.Stream) {
	t.Helper()
	for day := m.begin; day.Before(m.begin.Add(time.Duration(len(m.read)) * time.Second)); day = day.Add(24 * time.Hour) {
		want := pipeline.Coverage{Read: m.ranges(m.read, day), Gaps: m.ranges(m.lost, day)}
		for hour := range 24 {
			if counts, known := m.hours[day.Add(time.Duration(hour)*time.Hour)]; known {
				want.Hours = append(want.Hours, counts)
			}
		}
		if last, known := m.last[day]; known {
			want.Offsets = []pipeline.LastOffset{{Topic: "group", Last: last}}
		}
		got := kafka.Days[fakes.DayKey{Stream: s, Day: day}]
		if !slices.Equal(got.Read, want.Read) {
			t.Errorf("%s: read are %v, want %v", day.Format(time.DateOnly), got.Read, want.Read)
		}
		if !slices.Equal(got.Gaps, want.Gaps) {
			t.Errorf("%s: gaps are %v, want %v", day.Format(time.DateOnly), got.Gaps, want.Gaps)
		}
		if !slices.Equal(got.Hours, want.Hours) {
			t.Errorf("%s: the hours are\n%+v, want\n%+v", day.Format(time.DateOnly), got.Hours, want.Hours)
		}
		got.Offsets = slices.DeleteFunc(slices.Clone(got.Offsets), func(o pipeline.LastOffset) bool { return o.Topic == fakes.TopicRejected })
		if !slices.Equal(got.Offsets, want.Offsets) {
			t.Errorf("%s: the offsets are %+v, want %+v", day.Format(time.DateOnly), got.Offsets, want.Offsets)
		}
	}
}

// refusing is a Kafka that cannot take some events.
type refusing struct{ *fakes.Kafka }

func (k refusing) Begin(ctx context.Context) (pipeline.Transaction, error) {
	tx, err := k.Kafka.Begin(ctx)
	return refusingTransaction{tx}, err
}

type refusingTransaction struct{ pipeline.Transaction }

func (t refusingTransaction) Publish(ctx context.Context, b *pipeline.Batch) (pipeline.Published, error) {
	fits := *b
	fits.Events = nil
	var refused []event.Rejection
	for _, e := range b.Events {
		if e.MsgID%10 == 7 {
			refused = append(refused, event.Rejection{MsgID: e.MsgID, HasMsgID: true, Reason: event.ReasonTooLarge})
		} else {
			fits.Events = append(fits.Events, e)
		}
	}
	published, err := t.Transaction.Publish(ctx, &fits)
	published.Rejected = refused
	return published, err
}

// coverageWalk makes windows at random, each from the committed position, as commands and runs do.
type coverageWalk struct {
	dice   *rand.Rand
	kafka  *fakes.Kafka
	model  *coverageModel
	stream pipeline.Stream
	// oldest is how far back positions are set.
	oldest time.Time
	nextID int64
	// published counts the events, whose offsets begin at 0.
	published int64
}

// rows are of a window's time, or near it, or have a clock that cannot be right, or none.
func (c *coverageWalk) rows(w pipeline.Window, late bool) *pipeline.Batch {
	b := &pipeline.Batch{AppKey: fakes.AppKey, Stream: c.stream, Window: w}
	atEnd := w.End.Add(-time.Nanosecond)
	for range c.dice.IntN(5) {
		c.nextID++
		e := event.Event{MsgID: c.nextID}
		at := w.Begin.Add(time.Duration(c.dice.Int64N(int64(w.End.Sub(w.Begin))/1e6+1)) * time.Millisecond)
		switch c.dice.IntN(8) {
		case 0:
			e.ClientTime = at.UnixMilli()
		case 1:
			at = atEnd
		case 2:
			at = w.Begin.Add(-30 * time.Minute)
			e.ServerTime, e.ClientTime = at.UnixMilli(), w.End.UnixMilli()
		case 3:
			e.ServerTime = w.End.Add(25 * time.Hour).UnixMilli()
			at = atEnd
		default:
			e.ServerTime, e.ClientTime = at.UnixMilli(), w.Begin.UnixMilli()
		}
		b.Events = append(b.Events, e)
		c.model.count(at.UTC(), func(h *pipeline.HourCounts) {
			h.Rows++
			if e.MsgID%10 == 7 {
				h.Rejected++
			} else {
				h.Published++
			}
			if late {
				h.Late++
			}
		})
	}
	for range c.dice.IntN(2) {
		b.Rejected = append(b.Rejected, event.Rejection{Reason: event.ReasonNotObject})
		c.model.count(atEnd.UTC(), func(h *pipeline.HourCounts) {
			h.Rows++
			h.Rejected++
			if late {
				h.Late++
			}
		})
	}
	return b
}

// stand notes where a window's events are: for each day of which it brought something.
func (c *coverageWalk) stand(before map[time.Time]pipeline.HourCounts, offsets []pipeline.OffsetRange) {
	for hour, counts := range c.model.hours {
		if counts.Rows != before[hour].Rows && len(offsets) > 0 {
			c.model.last[pipeline.DayOf(hour)] = offsets[len(offsets)-1].Last
		}
	}
}

// window closes one window of the live position or of the backlog, or late rows of a window anywhere.
func (c *coverageWalk) window(ctx context.Context, d *pipeline.Draft) error {
	cp, known := d.Position(c.stream)
	if !known {
		cp = pipeline.Checkpoint{End: c.oldest.Add(time.Duration(72+c.dice.IntN(30)) * time.Hour)}
	}
	cp.AppKey, cp.Stream = fakes.AppKey, c.stream
	span := time.Duration(1+c.dice.IntN(4*3600)) * time.Second
	l := pipeline.Ledger{AppKey: fakes.AppKey, Stream: c.stream}
	next := cp
	switch {
	case known && c.dice.IntN(5) == 0:
		l.Late = true
		l.End = cp.End.Add(-time.Duration(c.dice.IntN(20)) * time.Hour)
		l.Begin = l.End.Add(-span)
	case len(cp.Backlog) > 0 && c.dice.IntN(2) == 0:
		oldest := cp.Backlog[0]
		l.Backlog, l.MovedFrom, l.MovedTo = true, oldest.End, oldest.End.Add(span)
		if !l.MovedTo.Before(oldest.Until) {
			l.MovedTo, next.Backlog = oldest.Until, slices.Clone(cp.Backlog[1:])
		} else {
			oldest.End = l.MovedTo
			next.Backlog = append([]pipeline.Backlog{oldest}, cp.Backlog[1:]...)
		}
	default:
		l.MovedFrom, l.MovedTo = cp.End, cp.End.Add(span)
		next.End = l.MovedTo
	}
	if !l.Late {
		l.Begin, l.End = l.MovedFrom.Add(-2*time.Second), l.MovedTo
		if c.dice.IntN(8) == 0 { // Some of it, or all, left the API's history.
			l.Begin = l.MovedFrom.Add(time.Duration(c.dice.Int64N(int64(span/time.Second)*5/4)) * time.Second)
			l.End = later(l.Begin.Add(time.Second), l.End)
			if !l.Backlog && l.End.After(l.MovedTo) {
				l.MovedTo, next.End = l.End, l.End
			}
		}
	}
	l.Begin, l.End = l.Begin.UTC(), l.End.UTC()
	before := maps.Clone(c.model.hours)
	b := c.rows(l.Window, l.Late)
	if err := d.Publish(ctx, b); err != nil {
		return err
	}
	c.model.moved(&l)
	if err := d.CloseWindow(ctx, l, next); err != nil {
		return err
	}
	events := 0
	for i := range b.Events {
		if b.Events[i].MsgID%10 != 7 {
			events++
		}
	}
	if events > 0 {
		c.published += int64(events)
		c.stand(before, []pipeline.OffsetRange{{Last: c.published - 1}})
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// TestCoverageModel reads at random over several days, in order, behind the position and again; with gaps, late rows, rows that Kafka
// cannot take and clocks that are wrong. Each commit begins at what the one before it committed, as after a restart. What is
// covered is what a model counts that knows nothing of positions.
func TestCoverageModel(t *testing.T) {
	for seed := range uint64(6) {
		dice := rand.New(rand.NewPCG(seed, 7))
		begin := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		kafka := fakes.NewKafka()
		walk := &coverageWalk{dice: dice, kafka: kafka, model: newCoverageModel(begin, 16), stream: user("ann"), oldest: begin.Add(48 * time.Hour)}
		write := &pipeline.Exclusive{
			Command: "test", Sink: refusing{kafka}, Checkpoints: &fakes.Store{Kafka: kafka}, Claims: kafka, Coverage: kafka,
		}
		for step := range 60 {
			err := write.Commit(t.Context(), func(ctx context.Context, d *pipeline.Draft) error {
				for range 1 + dice.IntN(3) {
					if err := walk.window(ctx, d); err != nil {
						return err
					}
				}
				cp, _ := d.Position(walk.stream)
				switch dice.IntN(12) {
				case 0: // It is set back, by more than what its checkpoint has the coverage of.
					cp = cp.ResetTo(later(walk.oldest, cp.End.Add(-time.Duration(dice.IntN(40*3600))*time.Second)), pipeline.RowSet{})
				case 1: // A range of it is read again.
					w := pipeline.Window{End: cp.End.Add(-time.Duration(dice.IntN(30*3600)) * time.Second)}
					w.Begin = later(walk.oldest, w.End.Add(-time.Duration(1+dice.IntN(30*3600))*time.Second))
					var err error
					if cp, err = cp.Uncover(w, pipeline.RowSet{}, pipeline.RowSet{}); err != nil {
						return err
					}
				case 2: // Some of the time is left out.
					if len(cp.Backlog) == 0 {
						cp = cp.ResetTo(cp.End.Add(time.Duration(dice.IntN(4*3600))*time.Second), pipeline.RowSet{})
					}
				default:
				}
				if cp.End.After(walk.oldest.Add(10 * 24 * time.Hour)) {
					cp = cp.ResetTo(walk.oldest, pipeline.RowSet{})
				}
				d.SetPosition(&cp)
				return nil
			})
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if step%10 == 9 {
				walk.model.compare(t, kafka, walk.stream)
			}
			for _, c := range kafka.Position(walk.stream).Coverage {
				if stored := kafka.Days[fakes.DayKey{Stream: walk.stream, Day: c.Day}]; !reflect.DeepEqual(c, stored) {
					t.Errorf("the checkpoint has %+v, the topic %+v", c, stored)
				}
			}
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		if kafka.DaysRead == 0 {
			t.Errorf("seed %d: no day came back", seed)
		}
	}
}

// TestCoverageOfARun reads some days of history, live first or in order, while commits fail and positions are set back. What is covered
// agrees with the ledger and with what stands in Kafka.
func TestCoverageOfARun(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now().UTC()
			begin := start.Add(-52 * time.Hour)
			rows := slices.DeleteFunc(fakes.RowsFrom(begin, 54*3600), func(r fakes.Row) bool { return r.At.Unix()%97 != 0 })
			for i := range rows {
				if i%13 == 3 {
					rows[i].Raw = `{"no_msgid":` + rows[i].At.Format("150405") + `1` + rows[i].At.Format("02") + `}`
				}
			}
			source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
			source.PageSize, source.Span = 500, 17*time.Minute
			source.Latency = time.Second
			kafka.Fail = nowAndThen(seed, kafka)
			cfg := fakes.ConfigFor(source, kafka, begin)
			cfg.LiveFirst, cfg.Parallel = seed%2 == 0, 1
			for _, back := range []time.Duration{30 * time.Hour, 20 * time.Minute, 49 * time.Hour} {
				if err := fakes.RunFor(t, cfg, 6*time.Minute); err != nil {
					t.Fatalf("seed %d: run: %v", seed, err)
				}
				kafka.Fail = nil
				setBack(t, source, kafka, start.Add(-back))
				kafka.Fail = nowAndThen(seed+10, kafka)
			}
			if err := fakes.RunFor(t, cfg, time.Hour); err != nil {
				t.Fatalf("seed %d: run: %v", seed, err)
			}
			model := newCoverageModel(pipeline.DayOf(begin), 4)
			stood := make(map[time.Time]int64)
			for i := range kafka.Ledger {
				l := &kafka.Ledger[i]
				model.moved(l)
				if l.Rejected > 0 {
					model.count(l.End.Add(-time.Nanosecond), func(h *pipeline.HourCounts) { h.Rows += l.Rejected; h.Rejected += l.Rejected })
				}
				for _, o := range l.Offsets {
					for at := o.First; at <= o.Last && o.Topic != fakes.TopicRejected; at++ {
						sent := time.UnixMilli(kafka.Committed[at].ServerTime).UTC()
						model.count(sent, func(h *pipeline.HourCounts) { h.Rows++; h.Published++ })
						stood[pipeline.DayOf(sent)] = max(stood[pipeline.DayOf(sent)], o.Last)
					}
				}
			}
			model.last = stood
			model.compare(t, kafka, fakes.Messages())
			whole := kafka.Days[fakes.DayKey{Stream: fakes.Messages(), Day: pipeline.DayOf(start.Add(-24 * time.Hour))}]
			if !whole.Whole(pipeline.Window{Begin: whole.Day, End: whole.Day.Add(24 * time.Hour)}) {
				t.Errorf("seed %d: of yesterday %v were read", seed, whole.Read)
			}
			if t.Failed() {
				t.FailNow()
			}
		})
	}
}

// TestCoverageOfAnEarlierPosition begins the coverage of a day anew with a new position, in whatever order its days come; late rows
// of a day that the position does not know go on with what an earlier one left.
func TestCoverageOfAnEarlierPosition(t *testing.T) {
	kafka := fakes.NewKafka()
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	s := user("ann")
	commit := func(fill pipeline.Fill) {
		t.Helper()
		write := &pipeline.Exclusive{Command: "test", Sink: kafka, Checkpoints: &fakes.Store{Kafka: kafka}, Claims: kafka, Coverage: kafka}
		if err := write.Commit(t.Context(), fill); err != nil {
			t.Fatal(err)
		}
	}
	// window reads an hour of a day, and publishes a row.
	window := func(day time.Time, hour int, backlog bool) {
		t.Helper()
		commit(func(ctx context.Context, d *pipeline.Draft) error {
			begin := day.Add(time.Duration(hour) * time.Hour)
			w := pipeline.Window{Begin: begin, End: begin.Add(time.Hour)}
			b := &pipeline.Batch{AppKey: fakes.AppKey, Stream: s, Window: w, Events: []event.Event{{MsgID: 1, ServerTime: begin.UnixMilli()}}}
			if err := d.Publish(ctx, b); err != nil {
				return err
			}
			next, _ := d.Position(s)
			if !backlog {
				next.End = w.End
			}
			l := pipeline.Ledger{AppKey: fakes.AppKey, Stream: s, Window: w, MovedFrom: w.Begin, MovedTo: w.End, Published: 1, Backlog: backlog}
			return d.CloseWindow(ctx, l, next)
		})
	}
	late := func(day time.Time) {
		t.Helper()
		commit(func(ctx context.Context, d *pipeline.Draft) error {
			w := pipeline.Window{Begin: day, End: day.Add(time.Hour)}
			b := &pipeline.Batch{AppKey: fakes.AppKey, Stream: s, Window: w, Events: []event.Event{{MsgID: 2, ServerTime: day.UnixMilli()}}}
			if err := d.Publish(ctx, b); err != nil {
				return err
			}
			l := pipeline.Ledger{AppKey: fakes.AppKey, Stream: s, Window: w, Published: 1, Late: true}
			return d.CloseLate(ctx, l, pipeline.Notice{Kind: pipeline.NoticeLateRows})
		})
	}
	sums := func(day time.Time) (published, late int64, ranges int) {
		c := kafka.Days[fakes.DayKey{Stream: s, Day: day}]
		for _, h := range c.Hours {
			published += h.Published
			late += h.Late
		}
		return published, late, len(c.Read)
	}
	want := func(what string, day time.Time, published, late int64, ranges int) {
		t.Helper()
		if p, l, r := sums(day); p != published || l != late || r != ranges {
			t.Errorf("%s: %d were published, %d of them late, %d ranges read; want %d, %d, %d", what, p, l, r, published, late, ranges)
		}
	}
	second, third := day.Add(24*time.Hour), day.Add(48*time.Hour)
	window(day, 0, false)
	window(second, 0, false)
	window(third, 0, false)
	commit(func(_ context.Context, d *pipeline.Draft) error { d.DeletePosition(s); return nil })
	late(day)
	late(day)
	want("late rows without a position", day, 3, 2, 1)
	if !kafka.Position(s).Forgotten {
		t.Error("late rows made a position")
	}
	window(third, 5, false)
	want("the day of the new position", third, 1, 0, 1)
	window(second, 5, true)
	window(second, 7, true)
	want("a day behind it", second, 2, 0, 2)
	late(day)
	want("late rows of a day that it does not know", day, 4, 3, 1)
}

// TestCoverageCannotBeRead has the whole window fail, and come once, with its sums, when it can be read again.
func TestCoverageCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now().UTC()
		begin := start.Add(-50 * time.Hour)
		rows := slices.DeleteFunc(fakes.RowsFrom(begin, 51*3600), func(r fakes.Row) bool { return r.At.Unix()%600 != 0 })
		source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
		source.Span = time.Hour
		cfg := fakes.ConfigFor(source, kafka, begin)
		fakes.Run(t, cfg, 10*time.Minute)
		setBack(t, source, kafka, begin.Add(time.Hour))
		failures := 0
		kafka.Fail = func(_ context.Context, op string) error {
			if op != "coverage" || failures == 3 {
				return nil
			}
			failures++
			return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("injected")}
		}
		fakes.Run(t, cfg, 20*time.Minute)
		published := int64(0)
		for _, c := range kafka.Days {
			for _, h := range c.Hours {
				published += h.Published
			}
		}
		if n := len(kafka.IDs()); failures != 3 || published != int64(n) || n < len(rows) {
			t.Errorf("after %d failures %d are counted, %d were published", failures, published, n)
		}
	})
}
