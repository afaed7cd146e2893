package audit

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// EachWithin calls fn with the ledger records of the windows that have time in common with a range, as they come from the
// archive. No streams are all.
func EachWithin(ctx context.Context, archive Archive, streams []pipeline.Stream, w pipeline.Window, fn func(*pipeline.Ledger) error) error {
	_, err := archive.Ledger(ctx, Query{Streams: streams, Since: w.Begin}, func(l *pipeline.Ledger, _ Place) error {
		if !overlap(l.Window, w) {
			return nil
		}
		return fn(l)
	})
	return err
}

// overlap tells whether a window has time in common with a range.
func overlap(l, w pipeline.Window) bool { return l.End.After(w.Begin) && l.Begin.Before(w.End) }

// Coverage is the time of each stream that was read. A window that moved a position has read the time from its begin to its
// end; its begin may lie behind the position that it moved, where the API had forgotten what is in between. The zero value is
// ready.
type Coverage struct {
	streams map[pipeline.Stream]spans
}

// Add takes in a ledger record. Late and early rows, statistics and replays have read nothing of a stream's time.
func (c *Coverage) Add(l *pipeline.Ledger) {
	if l.Late || l.Early || l.Replay != "" || l.Stream.Kind == pipeline.StreamStatistics {
		return
	}
	if c.streams == nil {
		c.streams = make(map[pipeline.Stream]spans)
	}
	c.streams[l.Stream] = c.streams[l.Stream].add(span{secondsOf(l.Begin), secondsOf(l.End)})
}

// Hole is time of a stream in which nothing was read.
type Hole struct {
	Stream string `json:"stream"`
	pipeline.Window
	// Hole is true; it tells a hole from other objects that are printed with it.
	Hole bool `json:"hole"`
}

// Holes lists, by stream and time, what of a range was not read of the streams that were added, and of those that are named:
// all of it, where such a one has no window.
func (c *Coverage) Holes(named []pipeline.Stream, within pipeline.Window) []Hole {
	streams := slices.Clone(named)
	for s := range c.streams {
		if !slices.Contains(named, s) {
			streams = append(streams, s)
		}
	}
	slices.SortFunc(streams, func(a, b pipeline.Stream) int { return strings.Compare(a.String(), b.String()) })
	var holes []Hole
	for _, s := range slices.Compact(streams) {
		if s.Kind == pipeline.StreamStatistics {
			continue
		}
		for _, gap := range c.streams[s].gaps(span{secondsOf(within.Begin), secondsOf(within.End)}) {
			holes = append(holes, Hole{s.String(), pipeline.Window{Begin: timeOf(gap.begin), End: timeOf(gap.end)}, true})
		}
	}
	return holes
}

// Settled is a range without the time that may be being read just now. Where nothing comes, a window stays open for 5 minutes.
func Settled(w pipeline.Window, now time.Time) pipeline.Window {
	const reading = 7 * time.Minute
	if young := now.Add(-reading).Truncate(time.Second).UTC(); w.End.After(young) {
		w.End = young
	}
	return w
}

// Sum is what was published of an hour or a day, or altogether. A window counts where it ends.
type Sum struct {
	Stream    string    `json:"stream"`
	Begin     time.Time `json:"begin_time"`
	Windows   int64     `json:"windows"`
	Rows      int64     `json:"rows"`
	Published int64     `json:"published"`
	Skipped   int64     `json:"skipped"`
	Rejected  int64     `json:"rejected"`
	Late      int64     `json:"late"`
	Replayed  int64     `json:"replayed"`
	Requests  int64     `json:"requests"`
	Restarts  int64     `json:"restarts"`
	// Complete tells that all of the hour or day was read to its end, by the coverage of the stream.
	Complete bool `json:"complete"`
}

// add takes in a window. What a replay published is counted apart; it is none of the stream's rows.
func (s *Sum) add(l *pipeline.Ledger) {
	s.Windows++
	s.Requests += int64(l.Requests)
	s.Restarts += int64(l.Restarts)
	if l.Replay != "" {
		s.Replayed += l.Published
		return
	}
	s.Rows += l.Rows
	s.Published += l.Published
	s.Skipped += l.Skipped
	s.Rejected += l.Rejected
	if l.Late {
		s.Late += l.Published
	}
}

// Sums are what was published by hour or day of a time zone.
type Sums struct {
	every time.Duration
	zone  *time.Location
	all   map[slot]*Sum
	total Sum
}

type slot struct {
	stream pipeline.Stream
	begin  int64
}

// NewSums adds up by a duration that divides a day, in a zone.
func NewSums(every time.Duration, zone *time.Location) *Sums {
	return &Sums{every: every, zone: zone, all: make(map[slot]*Sum)}
}

// Add takes in a window.
func (s *Sums) Add(l *pipeline.Ledger) {
	begin := s.slotOf(l.End)
	k := slot{l.Stream, begin.Unix()}
	sum := s.all[k]
	if sum == nil {
		sum = &Sum{Stream: l.Stream.String(), Begin: begin}
		s.all[k] = sum
	}
	sum.add(l)
	s.total.add(l)
}

// slotOf is the begin of the hour or day of the zone in which a window ends.
func (s *Sums) slotOf(end time.Time) time.Time {
	local := end.Add(-time.Nanosecond).In(s.zone)
	_, offset := local.Zone()
	shift := time.Duration(offset) * time.Second
	return local.Add(shift).UTC().Truncate(s.every).Add(-shift)
}

// All lists the sums by stream and time.
func (s *Sums) All() []*Sum {
	list := make([]*Sum, 0, len(s.all))
	for _, sum := range s.all {
		list = append(list, sum)
	}
	slices.SortFunc(list, func(a, b *Sum) int {
		return cmp.Or(strings.Compare(a.Stream, b.Stream), a.Begin.Compare(b.Begin))
	})
	return list
}

// Complete marks the sums whose time was read to its end. What was published counts by the ledger still: it alone knows windows,
// skipped rows, replays and requests.
func (s *Sums) Complete(ctx context.Context, coverage pipeline.CoverageReader) error {
	days := make(map[slot]*pipeline.Coverage)
	for at, sum := range s.all {
		if at.stream.Kind == pipeline.StreamStatistics {
			continue
		}
		sum.Complete = true
		// An hour or a day of the zone may be of two days in UTC.
		for begin, end := sum.Begin, sum.Begin.Add(s.every); sum.Complete && begin.Before(end); {
			day := pipeline.DayOf(begin)
			known, asked := days[slot{at.stream, day.Unix()}]
			if !asked {
				var err error
				if known, err = coverage.Coverage(ctx, at.stream, day); err != nil {
					return err
				}
				days[slot{at.stream, day.Unix()}] = known
			}
			part := pipeline.Window{Begin: begin, End: earlier(end, day.Add(24*time.Hour))}
			sum.Complete = known != nil && known.Whole(part)
			begin = part.End
		}
	}
	return nil
}

// Total is what was published altogether.
func (s *Sums) Total() Sum { return s.total }
