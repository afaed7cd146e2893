package pipeline_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
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
