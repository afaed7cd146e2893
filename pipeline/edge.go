package pipeline

import (
	"maps"
	"slices"
	"time"
)

// edgeMargin is how much further than the overlap the ids near a window's end are kept: one second because the API's
// bounds have whole seconds and may or may not include the second's milliseconds, one because they may be strict.
const edgeMargin = 2 * time.Second

// edge knows the ids of rows that a window beginning before the current end can bring again.
//
// Why this suffices, whichever clock C the API filters by and however it rounds: a row of an earlier window comes
// again only if C is not before End - overlap. C is one of the row's two clocks, so the later of them is not before that
// either, and the row is in the edge. Ids are kept until that no longer holds, also when a window in between did not
// bring them again.
type edge struct {
	overlap time.Duration
	// ids maps msgids, hashes maps content hashes of rejected rows without one, to the later of the row's clocks in
	// milliseconds, never more than a second past the end of the window that brought it.
	ids, hashes map[int64]int64
	// joint and jointRejected are ids and hashes that the live position published; only a past has them.
	joint, jointRejected map[int64]struct{}
}

// has tells whether an earlier window, or the live position, published the row with this msgid.
func (e *edge) has(id int64) bool {
	_, earlier := e.ids[id]
	_, live := e.joint[id]
	return earlier || live
}

// hasRejected is the same for the hash of a rejected row without a msgid.
func (e *edge) hasRejected(hash int64) bool {
	_, earlier := e.hashes[hash]
	_, live := e.jointRejected[hash]
	return earlier || live
}

// newEdge starts from a checkpoint, which has no clocks: its rows are taken to stand at its end.
func newEdge(overlap time.Duration, cp Checkpoint) *edge {
	e := &edge{overlap: overlap, ids: make(map[int64]int64, len(cp.Seen)), hashes: make(map[int64]int64)}
	clock := cp.End.UnixMilli() + time.Second.Milliseconds()
	for _, id := range cp.Seen {
		e.ids[id] = clock
	}
	for _, h := range cp.SeenRejected {
		e.hashes[h] = clock
	}
	return e
}

// nearEnd tells whether a row whose later clock is given can come again after a window that ends at end.
func nearEnd(end time.Time, overlap time.Duration, clock int64) bool {
	return clock >= end.Add(-overlap-edgeMargin).UnixMilli()
}

// clockOf is the later clock of an event, as far as a row of a window that ends at end can have one: a sender's clock may
// be in the future, the clock that the API filtered by cannot. A row that lacks one of the two counts as standing at the
// end: the missing one may be the one that the API filtered by.
func clockOf(end time.Time, clocks ...int64) int64 {
	latest := end.UnixMilli() + time.Second.Milliseconds()
	if slices.Min(clocks) <= 0 {
		return latest
	}
	return min(slices.Max(clocks), latest)
}

// advance is the edge after a window that ends at end and brought the rows in fresh (id or hash to clock).
func (e *edge) advance(end time.Time, ids, hashes map[int64]int64) *edge {
	next := &edge{overlap: e.overlap, joint: e.joint, jointRejected: e.jointRejected}
	merge := func(old, fresh map[int64]int64) map[int64]int64 {
		merged := maps.Clone(fresh)
		for id, clock := range old {
			if _, ok := merged[id]; !ok && nearEnd(end, e.overlap, clock) {
				merged[id] = clock
			}
		}
		return merged
	}
	next.ids, next.hashes = merge(e.ids, ids), merge(e.hashes, hashes)
	return next
}

// sorted lists the keys in ascending order, as checkpoints have them.
func sorted(m map[int64]int64) []int64 { return slices.Sorted(maps.Keys(m)) }
