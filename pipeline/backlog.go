package pipeline

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Where the head is followed at once (live first), or where an operator had a range uncovered, a stream is read at several
// places: live from its position onwards, and ranges of the backlog behind it, one after another from the oldest on. Windows of
// both can bring the rows that stand near a range's end. The live ones publish whatever they bring, and the checkpoint keeps
// what of it a window of the backlog, which ends there, could bring too; the backlog leaves that out. So that it knows all of it, a
// range is begun when the live position has left its neighbourhood.

const (
	// leastBacklog is how far a position has to be behind for the head to be followed before the time in between is read.
	leastBacklog = 10 * time.Minute
	// mostBacklogs is how many ranges a checkpoint holds before history is read in order again.
	mostBacklogs = 16
	// splitBack is how far before the server's clock a position is split: far enough that the first live window, which ends
	// when rows have settled, leaves the neighbourhood.
	splitBack = time.Minute
)

// Backlog is a range of history behind the live position that is not published yet.
type Backlog struct {
	// End is the end_time up to which the range is published, and Until its own end; both in whole seconds, UTC.
	End, Until time.Time
	// Span, OverlapIDs, OverlapHashes and OverlapFrom are those of a [Checkpoint], at End.
	Span                      time.Duration
	OverlapIDs, OverlapHashes []int64
	OverlapFrom               time.Time
	// EarlyIDs and EarlyHashes are those of a [Checkpoint], of rows behind End.
	EarlyIDs, EarlyHashes []int64
	// LiveIDs and LiveHashes are the msgids and hashes, ascending, of what others than the range's windows published, and these can bring too:
	// live windows near Until, and whoever published what was late.
	LiveIDs, LiveHashes []int64
}

// Unread is the oldest second that is not published yet.
func (c *Checkpoint) Unread() time.Time {
	if len(c.Backlog) > 0 {
		return c.Backlog[0].End
	}
	return c.End
}

// split puts what lies behind a position into its backlog, if it is long. Where the position stands at the end of its backlog,
// because it was set back into it or nothing live was published yet, it is read in order from there: two ranges would touch.
func (c *Checkpoint) split(now time.Time) {
	n := len(c.Backlog)
	if now.Sub(c.End) < leastBacklog || n >= mostBacklogs || n > 0 && !c.Backlog[n-1].Until.Before(c.End) {
		return
	}
	at := now.Add(-splitBack).Truncate(time.Second).UTC()
	c.Backlog = append(slices.Clip(c.Backlog), Backlog{
		End: c.End, Until: at, Span: c.Span, OverlapIDs: c.OverlapIDs, OverlapHashes: c.OverlapHashes, OverlapFrom: c.OverlapFrom,
		EarlyIDs: c.EarlyIDs, EarlyHashes: c.EarlyHashes,
	})
	c.End, c.OverlapIDs, c.OverlapHashes, c.OverlapFrom, c.EarlyIDs, c.EarlyHashes = at, nil, nil, time.Time{}, nil, nil
}

// ResetTo is the position once an operator has set it to a time; before are the rows that stand just before that, as
// [RowReader.RowsBefore] gives them with an overlap. Backlog that ends before the time stays. Of a range that the time lies in, what is before it stays, and what is
// behind it is read by the position itself, as are ranges behind the time. What was published early is published again, unless the position
// is not set back.
func (c *Checkpoint) ResetTo(to time.Time, before RowSet, overlap time.Duration) Checkpoint {
	next := *c
	next.End, next.Backlog, next.OverlapFrom = to, nil, to.Add(-overlap)
	if to.Before(c.End) {
		next.EarlyIDs, next.EarlyHashes = nil, nil
	}
	published := before
	for i := range c.Backlog {
		b := c.Backlog[i]
		switch {
		case !to.After(b.End):
			continue
		case to.Before(b.Until):
			b.Until = to
			// Of what stands just before the time, only this is published.
			published = b.published()
			maps.DeleteFunc(published.keys, func(key RowKey, _ struct{}) bool { return !before.Has(key) })
			next.OverlapFrom = later(next.OverlapFrom, b.OverlapFrom)
		}
		next.Backlog = append(next.Backlog, b)
	}
	next.OverlapIDs, next.OverlapHashes = published.Sorted()
	return next
}

// Uncover is the position once an operator has asked for a range of published time, in whole seconds, to be published again: the
// range joins the backlog, and the live position stays. Time behind the live position is left out. before are the rows that
// stand just before the range, upTo those that stand before the second after it, as [RowReader.RowsBefore] gives them with an overlap.
// Too many ranges are an error.
func (c *Checkpoint) Uncover(w Window, before, upTo RowSet, overlap time.Duration) (Checkpoint, error) {
	next := *c
	if w.End.After(c.End) {
		w.End = c.End
	}
	if !w.Begin.Before(w.End) {
		return next, nil
	}
	fresh := Backlog{End: w.Begin, Until: w.End, OverlapFrom: w.Begin.Add(-overlap)}
	fresh.OverlapIDs, fresh.OverlapHashes = before.Sorted()
	var live RowSet
	next.Backlog = nil
	var behind []Backlog
	for _, b := range c.Backlog {
		switch {
		case b.Until.Before(fresh.End):
			next.Backlog = append(next.Backlog, b)
			continue
		case b.End.After(fresh.Until):
			behind = append(behind, b)
			continue
		}
		// They overlap or touch, so they become one. What live windows published near the old end stays left out, but for what
		// the range asks for.
		if b.End.Before(fresh.End) {
			fresh.End, fresh.Span, fresh.OverlapIDs, fresh.OverlapHashes, fresh.OverlapFrom = b.End, b.Span, b.OverlapIDs, b.OverlapHashes, b.OverlapFrom
		}
		fresh.EarlyIDs, fresh.EarlyHashes = union(fresh.EarlyIDs, b.EarlyIDs), union(fresh.EarlyHashes, b.EarlyHashes)
		longer := !b.Until.Before(fresh.Until)
		if longer {
			fresh.Until = b.Until
		}
		own := NewRowSet(b.LiveIDs, b.LiveHashes)
		for key := range own.All() {
			if before.Has(key) || longer && !upTo.Has(key) {
				live.Add(key)
			}
		}
	}
	fresh.LiveIDs, fresh.LiveHashes = live.Sorted()
	next.Backlog = append(append(next.Backlog, fresh), behind...)
	if len(next.Backlog) > mostBacklogs {
		return *c, fmt.Errorf("%s has %d ranges of history to publish already; wait until some are published", c.Stream, len(c.Backlog))
	}
	return next, nil
}

// published are the rows near the range that are published: by its windows, or by live ones.
func (b *Backlog) published() RowSet {
	rows := NewRowSet(b.OverlapIDs, b.OverlapHashes)
	rows.addAll(b.LiveIDs, b.LiveHashes)
	return rows
}

// isNear tells whether a window that begins there can bring a row that a window ending at until brings.
func isNear(until, begin time.Time) bool { return !begin.After(until.Add(overlapMargin)) }

// canReach tells whether a row can come in a window that ends at until: one of its clocks is the one that the API filters by,
// and a row that lacks one may have any.
func canReach(until time.Time, clocks ...int64) bool {
	return slices.Min(clocks) <= until.Add(overlapMargin).UnixMilli()
}

// hasLeft tells that no further live window can bring what the oldest range of the backlog has to leave out.
func (c *Checkpoint) hasLeft(overlap time.Duration) bool {
	return len(c.Backlog) > 0 && !isNear(c.Backlog[0].Until, c.End.Add(-overlap))
}

// afterBacklog is the position after a window of the oldest range of the backlog, which leaves that range as it is given here.
func (c *Checkpoint) afterBacklog(read Backlog, overlap time.Duration) Checkpoint {
	next := *c
	next.Removed = false
	if read.End.Before(read.Until) {
		read.LiveIDs, read.LiveHashes = c.Backlog[0].LiveIDs, c.Backlog[0].LiveHashes
		next.Backlog = slices.Concat([]Backlog{read}, c.Backlog[1:])
		return next
	}
	next.Backlog = slices.Clone(c.Backlog[1:])
	if len(next.Backlog) == 0 {
		next.Backlog = nil
		return next
	}
	// The range behind it may begin so near that its first window brings what this one has published at its end.
	if following := &next.Backlog[0]; isNear(read.Until, following.End.Add(-overlap)) {
		following.OverlapIDs = union(following.OverlapIDs, read.OverlapIDs)
		following.OverlapHashes = union(following.OverlapHashes, read.OverlapHashes)
	}
	return next
}

// withLive is the backlog after a live window that published these rows near the ends of its ranges.
func withLive(backlog []Backlog, near map[time.Time]*RowSet) []Backlog {
	if len(near) == 0 {
		return backlog
	}
	next := slices.Clone(backlog)
	for i := range next {
		if rows, ok := near[next[i].Until]; ok {
			ids, hashes := rows.Sorted()
			next[i].LiveIDs, next[i].LiveHashes = union(next[i].LiveIDs, ids), union(next[i].LiveHashes, hashes)
		}
	}
	return next
}

// union is what stands in either list, ascending.
func union(a, b []int64) []int64 {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
