package pipeline

import (
	"slices"
	"time"
)

// know is the position once somebody else than its reader has published rows of a window that was read: windows that are still to be read
// can reach back to where these stand, and leave them out then.
func (c *Checkpoint) know(w Window, b *Batch) Checkpoint {
	next := *c
	ids, hashes := rowsFrom(b, w.End, c.OverlapFrom)
	next.OverlapIDs, next.OverlapHashes = union(c.OverlapIDs, ids), union(c.OverlapHashes, hashes)
	next.Backlog = slices.Clone(c.Backlog)
	for i := range next.Backlog {
		r := &next.Backlog[i]
		if isNear(r.Until, w.Begin) {
			ids, hashes = rowsFrom(b, w.End, r.OverlapFrom)
			r.LiveIDs, r.LiveHashes = union(r.LiveIDs, ids), union(r.LiveHashes, hashes)
		}
	}
	return next
}

// rowsFrom are the rows of a batch, of a window that ends at end, that a window can bring which begins at from or later; all of them where that
// is not known.
func rowsFrom(b *Batch, end, from time.Time) (ids, hashes []int64) {
	var rows RowSet
	reaches := func(clocks ...int64) bool { return nearEnd(from, 0, laterClock(end, clocks...)) }
	for i := range b.Events {
		if e := &b.Events[i]; reaches(e.ServerTime, e.ClientTime) {
			rows.Add(eventKey(e))
			rows.Add(contentKey(e))
		}
	}
	for i := range b.Rejected {
		if reaches(0) { // Its clocks may be what is wrong with it.
			rows.Add(rejectedKey(&b.Rejected[i]))
		}
	}
	return rows.Sorted()
}
