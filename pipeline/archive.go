package pipeline

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline/event"
)

// Archive reads back what was committed. It is used by one goroutine at a time. All errors are *[Fault] or the context's;
// transient faults are retried inside.
type Archive interface {
	// Windows calls fn with the app's ledger records that were written since a time, in no order, with the time at which
	// each was written. What fn is given is its own.
	Windows(ctx context.Context, since time.Time, fn func(*Ledger) error) error
	// Records calls fn with the records in the ranges, as far as they are still there; key is nil where a record has none.
	// What fn is given is valid during the call.
	Records(ctx context.Context, ranges []OffsetRange, fn func(topic string, key, value []byte) error) error
}

// Totals asks how many rows the API says a window holds, in one request. The window is at most [LongestTotal] long.
type Totals interface {
	Total(ctx context.Context, s Stream, w Window) (int64, error)
}

// LongestTotal is the longest window that can be asked for (API page, request params: 7 days).
const LongestTotal = LongestWindow - time.Second

// Chain is what windows of one stream have read of a stretch of time without a hole, one after another.
type Chain struct {
	Stream Stream
	// Windows are those that a position moved over, in the order of time: each begins in or right behind the one before it,
	// and knows what that one published.
	Windows []Ledger
	// Late are records of rows that were published afterwards, of any of the stream's windows.
	Late []Ledger
	// records are all of the stream's, also those of windows that were read again since.
	records []Ledger
}

// Window is what the chain covers.
func (c *Chain) Window() Window {
	return Window{Begin: c.Windows[0].Begin, End: c.Windows[len(c.Windows)-1].End}
}

// Rows is how many different rows the chain knows: what its first window had in common with the one before it, and what
// each published or rejected.
func (c *Chain) Rows() int64 {
	rows := c.Windows[0].Skipped
	for i := range c.Windows {
		rows += c.Windows[i].Published + c.Windows[i].Rejected
	}
	for i := range c.Late {
		rows += c.Late[i].Published + c.Late[i].Rejected
	}
	return rows
}

// part is the chain's windows from i up to j, with the late rows of these.
func (c *Chain) part(i, j int) Chain {
	p := Chain{Stream: c.Stream, Windows: c.Windows[i:j], records: c.records}
	for k := range c.Late {
		if _, has := find(p.Windows, &c.Late[k]); has {
			p.Late = append(p.Late, c.Late[k])
		}
	}
	return p
}

// Trim is the chain without the windows at its ends that are not wanted. There may be none left.
func (c *Chain) Trim(wanted func(*Ledger) bool) Chain {
	i, j := 0, len(c.Windows)
	for i < j && !wanted(&c.Windows[i]) {
		i++
	}
	for i < j && !wanted(&c.Windows[j-1]) {
		j--
	}
	return c.part(i, j)
}

// find looks for the window of a record with late rows, among windows in the order of their begin. One that was read again
// after the late rows were found has them itself.
func find(windows []Ledger, late *Ledger) (int, bool) {
	i, _ := slices.BinarySearchFunc(windows, late.Begin, func(w Ledger, at time.Time) int { return w.Begin.Compare(at) })
	ok := i < len(windows) && windows[i].Window == late.Window && !windows[i].Committed.After(late.Committed)
	return i, ok
}

// course is the way that a stream's positions took: a live one, and a past behind it. Windows that were read again, because
// the position was set back, give way to those that were read last.
type course struct {
	records, late []Ledger
	// windows are the records that count, in the order of their begin; before has, for each, the one that its position moved
	// over before.
	windows []*Ledger
	before  map[*Ledger]*Ledger
	// last is the record of each position's last window; a live one has the key zero, a past the time where it ends.
	last map[int64]*Ledger
}

// oldJoint is how far before the end of a past windows may begin that were read before the past was: a position is split
// only if it is further behind.
const oldJoint = jointBack

// sameCommit is how far apart the records of one transaction are at most, in several partitions that put their own time on
// what they take.
const sameCommit = 200 * time.Millisecond

// inOrder puts a stream's windows into the order in which they were committed. A position moves forward within a transaction.
func inOrder(windows []*Ledger) {
	slices.SortStableFunc(windows, func(a, b *Ledger) int {
		return cmp.Or(a.Committed.Compare(b.Committed), a.Begin.Compare(b.Begin))
	})
	for i := range windows {
		for j := i; j > 0; j-- {
			w, before := windows[j], windows[j-1]
			if !w.Begin.Before(before.Begin) || !w.PastUntil.Equal(before.PastUntil) || w.Committed.Sub(before.Committed) > sameCommit {
				break
			}
			windows[j], windows[j-1] = before, w
		}
	}
}

// move takes in the next window that was committed.
func (c *course) move(w *Ledger) {
	position := int64(0)
	if !w.PastUntil.IsZero() {
		position = w.PastUntil.Unix()
	}
	if last := c.last[position]; last != nil && !w.Begin.Before(last.Begin) {
		c.before[w] = last
	}
	c.last[position] = w
	begins := func(at time.Time) int {
		i, _ := slices.BinarySearchFunc(c.windows, at, func(w *Ledger, at time.Time) int { return w.Begin.Compare(at) })
		return i
	}
	end := w.End
	if joint := w.PastUntil.Add(-oldJoint); !w.PastUntil.IsZero() && joint.Before(end) {
		end = joint // What begins there is the live position's, and newer.
	}
	from := begins(w.Begin)
	c.windows = slices.Replace(c.windows, from, max(from, begins(end)), w)
}

// chains cuts the windows where one does not know the one before it, or where there is a hole.
func (c *course) chains(s Stream) []Chain {
	windows := make([]Ledger, len(c.windows))
	for i, w := range c.windows {
		windows[i] = *w
	}
	all := Chain{Stream: s, Windows: windows, Late: c.late, records: c.records}
	var chains []Chain
	begin := 0
	for i := range windows {
		if next := i + 1; next == len(windows) || c.before[c.windows[next]] != c.windows[i] || windows[next].Begin.After(windows[i].End) {
			chains = append(chains, all.part(begin, next))
			begin = next
		}
	}
	return chains
}

// Chains arranges a live run's ledger records, by stream and time. Between two chains of a stream, nothing was read if the
// second one begins after the first one ends; otherwise the position was set back to a time within the first one, or a past
// met the live position.
func Chains(records []Ledger) []Chain {
	byStream := make(map[Stream]*course)
	moves := make(map[Stream][]*Ledger)
	for i := range records {
		record := &records[i]
		if record.Replay != "" {
			continue
		}
		c := byStream[record.Stream]
		if c == nil {
			c = &course{before: make(map[*Ledger]*Ledger), last: make(map[int64]*Ledger)}
			byStream[record.Stream] = c
		}
		c.records = append(c.records, *record)
		if record.Late {
			c.late = append(c.late, *record)
		} else {
			moves[record.Stream] = append(moves[record.Stream], record)
		}
	}
	var chains []Chain
	for stream, c := range byStream {
		inOrder(moves[stream])
		for _, w := range moves[stream] {
			c.move(w)
		}
		chains = append(chains, c.chains(stream)...)
	}
	slices.SortFunc(chains, func(a, b Chain) int {
		return cmp.Or(strings.Compare(a.Stream.String(), b.Stream.String()), a.Windows[0].Begin.Compare(b.Windows[0].Begin))
	})
	return chains
}

// known are the rows that ledger records say are published: ids, and hashes of rejected rows that have none.
type known struct {
	ids, hashes map[int64]struct{}
}

// publishedBy reads back what was published of a window, by it, by its neighbours and by those that were read before it.
func publishedBy(ctx context.Context, archive Archive, c *Chain, w Window) (*known, error) {
	var ranges []OffsetRange
	for i := range c.records {
		if r := &c.records[i]; !r.Begin.After(w.End) && !r.End.Before(w.Begin) {
			ranges = append(ranges, r.Offsets...)
		}
	}
	return knownIn(ctx, archive, ranges)
}

// knownIn reads back the rows in ranges of offsets.
func knownIn(ctx context.Context, archive Archive, ranges []OffsetRange) (*known, error) {
	k := &known{ids: make(map[int64]struct{}), hashes: make(map[int64]struct{})}
	err := archive.Records(ctx, ranges, func(_ string, key, value []byte) error {
		if key != nil { // Of an event the key tells all, whatever its form and its topic's name; a rejected row has none.
			id, err := strconv.ParseInt(string(key), 10, 64)
			if err == nil {
				k.ids[id] = struct{}{}
			}
			return nil
		}
		k.hashes[contentHash(value)] = struct{}{}
		return nil
	})
	return k, err
}

// has tells whether a row is known, as event or as rejected row.
func (k *known) has(e *event.Event, rejection *event.Rejection) bool {
	if rejection == nil {
		_, ok := k.ids[e.MsgID]
		return ok
	}
	_, ok := k.hashes[contentHash(rejection.Row)]
	return ok
}
