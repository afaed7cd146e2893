package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// DayCount is how many different messages were published of a day, by target.
type DayCount struct {
	Day    pipeline.Period
	Counts [event.TargetCount]int64
}

// Decode reads of an event, as it stands in its topic, which target it is of and when it was sent; zero where it has no usable
// clock.
type Decode func(value []byte) (target event.Target, sent time.Time, err error)

// DecodeJSON is the [Decode] of events in JSON.
func DecodeJSON(value []byte) (target event.Target, sent time.Time, err error) {
	var e struct {
		Target string    `json:"target_type"`
		Time   time.Time `json:"time"`
	}
	err = json.Unmarshal(value, &e)
	return event.TargetNamed(e.Target), e.Time, err
}

// DailyCounter counts what was published by days. It is used by one goroutine at a time.
type DailyCounter struct {
	Archive Archive
	// Topics are the targets whose events go to each topic, by the routing that is in force. Where a topic has one, a window
	// within a day is counted by its offsets; what stands in other topics is read back.
	Topics map[string][]event.Target
	// Rejected is the topic of rejected rows, which are no messages.
	Rejected string
	Decode   Decode
}

// Count counts what the windows of a stream that count have published of each of some days, which are in order. The ledger is
// read again for it.
func (c *DailyCounter) Count(ctx context.Context, l *Lineage, s pipeline.Stream, days []pipeline.Period) ([]DayCount, error) {
	counting := &dayCounting{DailyCounter: c, days: make([]DayCount, len(days)), seen: make(map[int64]struct{})}
	for i, day := range days {
		counting.days[i].Day = day
	}
	h := l.streams[s]
	if h == nil || len(days) == 0 {
		return counting.days, nil
	}
	counting.history = h
	for _, chain := range h.chains(s) {
		w := chain.Window()
		counting.read = append(counting.read, span{secondsOf(w.Begin), secondsOf(w.End)})
	}
	q := Query{Streams: []pipeline.Stream{s}, Since: days[0].Begin}
	_, err := c.Archive.Ledger(ctx, q, func(l *pipeline.Ledger, at Place) error { return counting.add(ctx, l, at) })
	return counting.days, err
}

// dayCounting is one counting.
type dayCounting struct {
	*DailyCounter

	days    []DayCount
	history *history
	// read are the times that chains have read.
	read []span
	// seen are the messages of windows whose time another chain has read too.
	seen map[int64]struct{}
}

func (c *dayCounting) add(ctx context.Context, l *pipeline.Ledger, at Place) error {
	r := c.history.find(at)
	if r == nil || r.next == replaced {
		return nil
	}
	first, last := c.dayOf(l.Begin), c.dayOf(l.End)
	if first == nil && last == nil && c.outside(l.Window) {
		return nil
	}
	shared := c.shared(r)
	var back []pipeline.OffsetRange
	for _, o := range l.Offsets {
		targets := c.Topics[o.Topic]
		switch {
		case o.Topic == c.Rejected:
		case first != nil && first == last && len(targets) == 1 && !shared && !l.Late:
			first.Counts[targets[0]] += o.Last - o.First + 1
		default:
			back = append(back, o)
		}
	}
	return c.Archive.Records(ctx, back, func(topic string, key, value []byte) error { return c.message(topic, key, value, shared) })
}

// shared tells whether another chain has read some of a window's time.
func (c *dayCounting) shared(r *record) bool {
	chains := 0
	for _, read := range c.read {
		if read.begin <= r.end && read.end >= r.begin {
			chains++
		}
	}
	return chains > 1
}

// dayOf is the count of the day in which a time lies; nil where it is none of them.
func (c *dayCounting) dayOf(when time.Time) *DayCount {
	for i := range c.days {
		if day := c.days[i].Day; !when.Before(day.Begin) && when.Before(day.End()) {
			return &c.days[i]
		}
	}
	return nil
}

// outside tells whether a window lies before or behind all of the days.
func (c *dayCounting) outside(w pipeline.Window) bool {
	return w.End.Before(c.days[0].Day.Begin) || !w.Begin.Before(c.days[len(c.days)-1].Day.End())
}

// message counts one message that was read back.
func (c *dayCounting) message(topic string, key, value []byte, shared bool) error {
	id, err := strconv.ParseInt(string(key), 10, 64)
	if err != nil {
		return fmt.Errorf("read a record of %s back: its key %q is no msgid", topic, key)
	}
	if shared {
		if _, again := c.seen[id]; again {
			return nil
		}
		c.seen[id] = struct{}{}
	}
	target, sent, err := c.Decode(value)
	if err != nil {
		return fmt.Errorf("read the event %d of %s back: %w", id, topic, err)
	}
	if targets := c.Topics[topic]; len(targets) == 1 {
		target = targets[0]
	}
	if day := c.dayOf(sent); day != nil {
		day.Counts[target]++
	}
	return nil
}
