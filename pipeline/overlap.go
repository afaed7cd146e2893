package pipeline

import (
	"maps"
	"slices"
	"time"

	"github.com/jmpub/jmpub/pipeline/event"
)

// overlapMargin is how much further than the overlap the ids near a window's end are kept: one second because the API's
// bounds have whole seconds and may or may not include the second's milliseconds, one because they may be strict.
const overlapMargin = 2 * time.Second

// overlapIDs knows the rows that were published and that a window beginning before the current end can bring again. It is the
// one place that decides whether a row has been published.
//
// Why this suffices, whichever clock C the API filters by and however it rounds: a row of an earlier window comes
// again only if C is not before End - overlap. C is one of the row's two clocks, so the later of them is not before that
// either, and the row is known here. Ids are kept until that no longer holds, also when a window in between did not
// bring them again.
type overlapIDs struct {
	overlap time.Duration
	// from is the time from which on all of them are known, so no window may begin before it. Zero is no bound.
	from time.Time
	// rows maps each row to the later of its clocks in milliseconds, never more than a second after the end of the window that
	// brought it.
	rows map[RowKey]int64
	// early are rows that were published before their window has settled, and that no window has brought yet; each with the later of its clocks.
	// Only the live position has them.
	early map[RowKey]int64
	// live are rows that the live position published; only a backlog has them.
	live RowSet
	// latest is the latest clock of rows.
	latest int64
	// idsOnly tells that the content of some of the rows is not known, so that a msgid has to stand for its row.
	idsOnly bool
}

// newOverlapIDs starts from what a checkpoint has, which has no clocks: its rows are taken to stand at its end.
func newOverlapIDs(overlap time.Duration, end, from time.Time, ids, hashes []int64) *overlapIDs {
	clock := end.UnixMilli() + time.Second.Milliseconds()
	o := &overlapIDs{
		overlap: overlap, from: from, rows: make(map[RowKey]int64, len(ids)+len(hashes)), latest: clock, idsOnly: len(hashes) < len(ids),
	}
	rows := NewRowSet(ids, hashes)
	for key := range rows.All() {
		o.rows[key] = clock
	}
	return o
}

// has tells whether an earlier window, or the live position, published a row.
func (o *overlapIDs) has(key RowKey) bool {
	_, earlier := o.rows[key]
	return earlier || o.isEarly(key) || o.live.Has(key)
}

// isEarly tells whether a row was published early.
func (o *overlapIDs) isEarly(key RowKey) bool {
	_, early := o.early[key]
	return early
}

// mostEarly is how far behind its position a row may stand that is published early: nothing is asked for early while the position is further from
// the head, which a window that stays open may keep it for a while.
const mostEarly = longestMerge + time.Minute

// addEarly takes in what a checkpoint has of rows that were published early, which has no clocks: they are taken to stand as far behind its end
// as they may.
func (o *overlapIDs) addEarly(end time.Time, ids, hashes []int64) {
	if len(ids)+len(hashes) == 0 {
		return
	}
	o.early = make(map[RowKey]int64, len(ids)+len(hashes))
	rows := NewRowSet(ids, hashes)
	for key := range rows.All() {
		o.early[key] = end.Add(mostEarly).UnixMilli()
	}
	o.see(o.early)
}

// What overlapIDs knows of an event.
type known uint8

const (
	fresh     known = iota // nothing
	published              // its row was published, or rejected
	conflict               // another row with its msgid was
)

// compare tells what is known of an event.
func (o *overlapIDs) compare(e *event.Event) known {
	id := o.has(eventKey(e))
	switch {
	case !id && min(e.ServerTime, e.ClientTime) > o.latest:
		return fresh // It cannot have come before.
	case id && o.idsOnly || o.has(contentKey(e)):
		return published
	case id:
		return conflict
	default:
		return fresh
	}
}

// advance is what is known after a window that ends at end, brought these rows near that, and those of the early ones. The map is its own from then
// on.
func (o *overlapIDs) advance(end time.Time, brought map[RowKey]int64, wereEarly []RowKey) *overlapIDs {
	next := &overlapIDs{
		overlap: o.overlap, from: later(o.from, end.Add(-o.overlap)), live: o.live, rows: brought, early: maps.Clone(o.early),
	}
	for _, key := range wereEarly { // The window has counted them, and no later one may.
		delete(next.early, key)
	}
	maps.DeleteFunc(next.early, func(key RowKey, clock int64) bool {
		_, ok := brought[key]
		return ok || !nearEnd(end, o.overlap, clock)
	})
	for key, clock := range o.rows {
		if _, ok := brought[key]; !ok && nearEnd(end, o.overlap, clock) {
			next.rows[key] = clock
			next.idsOnly = o.idsOnly
		}
	}
	next.see(next.rows)
	next.see(next.early)
	return next
}

// see takes the rows' clocks in.
func (o *overlapIDs) see(rows map[RowKey]int64) {
	for _, clock := range rows {
		o.latest = max(o.latest, clock)
	}
}

// withEarly is what is known once these rows of a look at what has not settled are published too.
func (o *overlapIDs) withEarly(brought map[RowKey]int64) *overlapIDs {
	next := *o
	next.early = maps.Clone(o.early)
	if next.early == nil {
		next.early = make(map[RowKey]int64, len(brought))
	}
	for key, clock := range brought {
		if !o.has(key) {
			next.early[key] = clock
		}
	}
	next.see(next.early)
	return &next
}

// sorted are the msgids and hashes, each in ascending order, as checkpoints have them.
func (o *overlapIDs) sorted() (ids, hashes []int64) { return sortedKeys(o.rows) }

// sortedEarly are those of the rows that were published early.
func (o *overlapIDs) sortedEarly() (ids, hashes []int64) { return sortedKeys(o.early) }

// nearEnd tells whether a row whose later clock is given can come again after a window that ends at end.
func nearEnd(end time.Time, overlap time.Duration, clock int64) bool {
	return clock >= end.Add(-overlap-overlapMargin).UnixMilli()
}

// laterClock is the later clock of an event, as far as a row of a window that ends at end can have one: a sender's clock may
// be in the future, the clock that the API filtered by cannot. A row that lacks one of the two counts as standing at the
// end: the missing one may be the one that the API filtered by.
func laterClock(end time.Time, clocks ...int64) int64 {
	latest := end.UnixMilli() + time.Second.Milliseconds()
	if slices.Min(clocks) <= 0 {
		return latest
	}
	return min(slices.Max(clocks), latest)
}
