package pipeline

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Archive reads back what was committed. It is used by one goroutine at a time. All errors are *[Fault] or the context's;
// transient faults are retried inside.
type Archive interface {
	// Windows calls fn with the app's ledger records that were written since a time, in no order. What fn is given is
	// its own.
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
const LongestTotal = 7*24*time.Hour - time.Second

// Chain is what windows of one stream have read of a stretch of time without a hole.
type Chain struct {
	Stream Stream
	// Windows are those that the position moved over, in the order of time: each begins in or right behind the one before it.
	Windows []Ledger
	// Late are records of rows that were published afterwards.
	Late []Ledger

	// nearby are records of the same stretch that are not looked at themselves, but have rows that lie in Windows too.
	nearby []Ledger
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

// Requests is how many the chain took.
func (c *Chain) Requests() int {
	n := 0
	for i := range c.Windows {
		n += c.Windows[i].Requests
	}
	return n
}

// part is the chain's windows from i up to j. Late rows belong to the part whose time holds their window's begin.
func (c *Chain) part(i, j int) Chain {
	p := Chain{Stream: c.Stream, Windows: c.Windows[i:j]}
	begin, end := p.Windows[0].Begin, p.Windows[len(p.Windows)-1].End
	for k := range c.Late {
		if at := c.Late[k].Begin; !at.Before(begin) && at.Before(end) {
			p.Late = append(p.Late, c.Late[k])
		}
	}
	return p
}

// From is the chain without the windows that begin before a time. What those have published near the rest is not forgotten:
// windows overlap.
func (c *Chain) From(begin time.Time) Chain {
	i := 0
	for i < len(c.Windows) && c.Windows[i].Begin.Before(begin) {
		i++
	}
	if i == 0 || i == len(c.Windows) {
		return Chain{Stream: c.Stream, Windows: c.Windows[i:], Late: c.Late}
	}
	rest := c.part(i, len(c.Windows))
	rest.nearby = slices.Concat(c.Windows[:i], c.Late)
	return rest
}

// Chains arranges a live run's ledger records. Where the position was set back, the windows that were read last count.
// Between two chains of one stream nothing was read.
func Chains(records []Ledger) []Chain {
	byStream := make(map[Stream]*Chain)
	// Windows are begun side by side, and begun again after a fault, but closed in the order in which they are published.
	slices.SortStableFunc(records, func(a, b Ledger) int {
		return cmp.Or(a.Started.Add(a.Duration).Compare(b.Started.Add(b.Duration)), a.Begin.Compare(b.Begin))
	})
	for i := range records {
		record := &records[i]
		if record.Replay != "" {
			continue
		}
		c := byStream[record.Stream]
		if c == nil {
			c = &Chain{Stream: record.Stream}
			byStream[record.Stream] = c
		}
		if record.Late {
			c.Late = append(c.Late, *record)
			continue
		}
		if n := len(c.Windows); n > 0 && record.Begin.Before(c.Windows[n-1].Begin) { // The position was set back.
			c.Windows = slices.DeleteFunc(c.Windows, func(w Ledger) bool { return !w.Begin.Before(record.Begin) })
		}
		c.Windows = append(c.Windows, *record)
	}
	var chains []Chain
	for _, all := range byStream {
		slices.SortStableFunc(all.Windows, func(a, b Ledger) int { return cmp.Or(a.Begin.Compare(b.Begin), a.End.Compare(b.End)) })
		begin := 0
		for i := range all.Windows {
			if i+1 == len(all.Windows) || all.Windows[i+1].Begin.After(all.Windows[i].End) {
				chains = append(chains, all.part(begin, i+1))
				begin = i + 1
			}
		}
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

// publishedBy reads back what the chain's windows near a window have published.
func publishedBy(ctx context.Context, archive Archive, c *Chain, w Window) (*known, error) {
	k := &known{ids: make(map[int64]struct{}), hashes: make(map[int64]struct{})}
	var ranges []OffsetRange
	for _, records := range [][]Ledger{c.nearby, c.Windows, c.Late} {
		for i := range records {
			if r := &records[i]; !r.Begin.After(w.End) && !r.End.Before(w.Begin) {
				ranges = append(ranges, r.Offsets...)
			}
		}
	}
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
func (k *known) has(event *Event, rejection *Rejection) bool {
	if rejection == nil {
		_, ok := k.ids[event.MsgID]
		return ok
	}
	_, ok := k.hashes[contentHash(rejection.Row)]
	return ok
}
