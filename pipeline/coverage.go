package pipeline

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline/event"
)

// Coverage is what is known of one day of a stream, in UTC: which of it was read to its end, and what was published of each hour.
// It commits with each window that changes it, so a consumer needs one record and not the ledger.
type Coverage struct {
	AppKey string
	Stream Stream
	// Day is the first instant of the day.
	Day time.Time
	// Read are the ranges of the day that were read to their end, whole seconds, in the order of time; they do not touch. Time that
	// left the API's history unread is none of them: it is in Gaps, which have the same form.
	Read []Window
	Gaps []Window
	// Hours are those of which something is known, in the order of time.
	Hours []HourCounts
	// Offsets are, by topic and partition, the last offset at which events of the day stand. Who has read so far has all that is
	// counted here.
	Offsets []LastOffset
}

// HourCounts are sums over the windows that read an hour. What was read again, because a position was set back, counts again.
type HourCounts struct {
	// Hour is 0 to 23.
	Hour int `json:"hour"`
	// Rows became events (Published) or were rejected. Late ones are among both: they appeared after their window was read.
	Rows      int64 `json:"rows"`
	Published int64 `json:"published"`
	Rejected  int64 `json:"rejected"`
	Late      int64 `json:"late,omitempty"`
	// GapSeconds is how much of the hour left the API's history before it was read.
	GapSeconds int64 `json:"gap_seconds,omitempty"`
}

// LastOffset is an offset of a partition.
type LastOffset struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Last      int64  `json:"last"`
}

// CoverageReader reads coverage back. All errors are *[Fault] or the context's; transient faults are retried inside.
type CoverageReader interface {
	// Coverage is the committed coverage of a day of a stream; nil if there is none.
	Coverage(ctx context.Context, s Stream, day time.Time) (*Coverage, error)
}

const (
	day = 24 * time.Hour
	// clockSlack is how far from its window's time an event's clock may be that says to which hour it belongs; one that is
	// further off is counted where the window ends.
	clockSlack = time.Hour
)

// DayOf is the day in which a time lies.
func DayOf(t time.Time) time.Time { return t.UTC().Truncate(day) }

// Whole tells that all of a range was read.
func (c *Coverage) Whole(w Window) bool { return covers(c.Read, w) }

// HourWhole tells that all of an hour was read.
func (c *Coverage) HourWhole(hour int) bool {
	begin := c.Day.Add(time.Duration(hour) * time.Hour)
	return c.Whole(Window{begin, begin.Add(time.Hour)})
}

// covers tells that one of some ranges has all of w.
func covers(ranges []Window, w Window) bool {
	return slices.ContainsFunc(ranges, func(r Window) bool { return !r.Begin.After(w.Begin) && !r.End.Before(w.End) })
}

// join adds a range to others, which it leaves as they are: the result is in the order of time, and its ranges do not touch.
func join(ranges []Window, w Window) []Window {
	all := append(slices.Clone(ranges), w)
	slices.SortFunc(all, func(a, b Window) int { return a.Begin.Compare(b.Begin) })
	joined := all[:1]
	for _, next := range all[1:] {
		last := &joined[len(joined)-1]
		switch {
		case next.Begin.After(last.End):
			joined = append(joined, next)
		case next.End.After(last.End):
			last.End = next.End
		}
	}
	return joined
}

// hour is the sums of an hour.
func (c *Coverage) hour(hour int) *HourCounts {
	i, found := slices.BinarySearchFunc(c.Hours, hour, func(h HourCounts, hour int) int { return cmp.Compare(h.Hour, hour) })
	if !found {
		c.Hours = slices.Insert(c.Hours, i, HourCounts{Hour: hour})
	}
	return &c.Hours[i]
}

// stand takes in where events of the day stand.
func (c *Coverage) stand(ranges []OffsetRange) {
	for _, r := range ranges {
		i, found := slices.BinarySearchFunc(c.Offsets, r, func(o LastOffset, r OffsetRange) int {
			return cmp.Or(strings.Compare(o.Topic, r.Topic), cmp.Compare(o.Partition, r.Partition))
		})
		if !found {
			c.Offsets = slices.Insert(c.Offsets, i, LastOffset{r.Topic, r.Partition, r.Last})
		}
		c.Offsets[i].Last = max(c.Offsets[i].Last, r.Last)
	}
}

// hourly counts rows by the hour, as seconds since 1970, to which they belong.
type hourly map[int64]*HourCounts

// at is the sums of the hour of a clock in milliseconds; of the window's last hour, where the clock cannot be right. A window that
// ends with an hour is of that one, not of the next.
func (h hourly) at(w Window, clock int64) *HourCounts {
	t := time.UnixMilli(clock)
	if clock <= 0 || t.Before(w.Begin.Add(-clockSlack)) || t.After(w.End.Add(clockSlack)) {
		t = w.End.Add(-time.Nanosecond)
	}
	hour := t.Truncate(time.Hour).Unix()
	if h[hour] == nil {
		h[hour] = &HourCounts{Hour: t.UTC().Hour()}
	}
	return h[hour]
}

// addBatch counts what was published of a batch. An event that Kafka could not take is among the rejected.
func (h hourly) addBatch(b *Batch, tooLarge []event.Rejection) {
	for i := range b.Events {
		e := &b.Events[i]
		clock := e.ServerTime
		if clock <= 0 {
			clock = e.ClientTime
		}
		counts := h.at(b.Window, clock)
		counts.Rows++
		counts.Published++
		if len(tooLarge) > 0 && slices.ContainsFunc(tooLarge, func(r event.Rejection) bool { return r.HasMsgID && r.MsgID == e.MsgID }) {
			counts.Published--
			counts.Rejected++
		}
	}
	if n := int64(len(b.Rejected)); n > 0 { // They have no clock that could be trusted.
		counts := h.at(b.Window, 0)
		counts.Rows += n
		counts.Rejected += n
	}
}

// cover brings the coverage of a window's days up to date: what it read, and what was published of it. It returns what has to be
// kept with the stream's position: the coverage of the days in which its positions are.
func (d *Draft) cover(ctx context.Context, l *Ledger, next *Checkpoint, rows *publishedRows) error {
	days := make(map[time.Time]*Coverage)
	at := func(t time.Time) (*Coverage, error) {
		of := DayOf(t)
		if days[of] != nil {
			return days[of], nil
		}
		c, err := d.coverageOf(ctx, next, l, of)
		days[of] = c
		return c, err
	}
	for hour, counts := range rows.hours {
		c, err := at(time.Unix(hour, 0))
		if err != nil {
			return err
		}
		sum := c.hour(counts.Hour)
		sum.Rows += counts.Rows
		sum.Published += counts.Published
		sum.Rejected += counts.Rejected
		if l.Late {
			sum.Late += counts.Rows
		}
		c.stand(l.Offsets)
	}
	read := Window{later(l.MovedFrom, l.Begin), l.MovedTo}
	if !read.Begin.Before(read.End) { // Late rows have moved nothing.
		read.End = read.Begin
	}
	for part := range byDay(read) {
		c, err := at(part.Begin)
		if err != nil {
			return err
		}
		c.Read = join(c.Read, part)
	}
	for part := range byDay(Window{l.MovedFrom, earlier(l.Begin, l.MovedTo)}) { // The API had forgotten it.
		c, err := at(part.Begin)
		if err != nil {
			return err
		}
		c.Gaps = join(c.Gaps, part)
		for begin := part.Begin; begin.Before(part.End); {
			end := earlier(begin.Truncate(time.Hour).Add(time.Hour), part.End)
			c.hour(begin.Hour()).GapSeconds += int64(end.Sub(begin) / time.Second)
			begin = end
		}
	}
	d.keepCoverage(next, days)
	return nil
}

// coverageOf is the coverage of a day as it is before this window: kept with the position, new, or read back. Late rows have read
// nothing, so a day that the position does not know goes on as an earlier position left it.
func (d *Draft) coverageOf(ctx context.Context, cp *Checkpoint, l *Ledger, of time.Time) (*Coverage, error) {
	fresh := &Coverage{AppKey: l.AppKey, Stream: l.Stream, Day: of}
	for i := range d.commit.Coverage {
		if c := d.commit.Coverage[i]; c.Stream == l.Stream && c.Day.Equal(of) {
			return c, nil
		}
	}
	for i := range cp.Coverage {
		if c := &cp.Coverage[i]; c.Day.Equal(of) {
			return c.clone(), nil
		}
	}
	if d.coverage == nil || !l.Late && !covers(cp.Covered, Window{of, of.Add(day)}) {
		return fresh, nil
	}
	before, err := d.coverage.Coverage(ctx, l.Stream, of)
	if err != nil || before == nil {
		return fresh, err
	}
	return before, nil
}

// keepCoverage puts the days that changed into the commit, and those that the stream's positions are in into its checkpoint.
func (d *Draft) keepCoverage(next *Checkpoint, changed map[time.Time]*Coverage) {
	for _, c := range changed {
		if !slices.Contains(d.commit.Coverage, c) {
			d.commit.Coverage = append(d.commit.Coverage, c)
		}
		next.Covered = join(next.Covered, Window{c.Day, c.Day.Add(day)})
	}
	forgotten := DayOf(next.End.Add(-History)).Add(-day)
	next.Covered = slices.DeleteFunc(next.Covered, func(w Window) bool { return w.End.Before(forgotten) })
	current := []time.Time{DayOf(next.End), DayOf(next.End.Add(mostEarly))} // Rows may have been published early of the day that follows.
	for _, b := range next.Backlog {
		current = append(current, DayOf(b.End))
	}
	kept := slices.DeleteFunc(slices.Clone(next.Coverage), func(c Coverage) bool {
		return changed[c.Day] != nil || !slices.ContainsFunc(current, c.Day.Equal)
	})
	for of, c := range changed {
		if slices.ContainsFunc(current, of.Equal) {
			kept = append(kept, *c.clone())
		}
	}
	slices.SortFunc(kept, func(a, b Coverage) int { return a.Day.Compare(b.Day) })
	next.Coverage = kept
}

func (c *Coverage) clone() *Coverage {
	own := *c
	own.Read, own.Gaps = slices.Clone(c.Read), slices.Clone(c.Gaps)
	own.Hours, own.Offsets = slices.Clone(c.Hours), slices.Clone(c.Offsets)
	return &own
}

// byDay cuts a range at the days' ends.
func byDay(w Window) func(yield func(Window) bool) {
	return func(yield func(Window) bool) {
		for w.Begin.Before(w.End) {
			part := Window{w.Begin, earlier(DayOf(w.Begin).Add(day), w.End)}
			if !yield(part) {
				return
			}
			w.Begin = part.End
		}
	}
}
