package pipeline

import (
	"errors"
	"time"
)

// Checkpoint is the committed position of one stream.
type Checkpoint struct {
	AppKey string
	Stream Stream
	// End is the end_time up to which every row is published (but for those of Backlog), in whole seconds, UTC.
	End time.Time
	// Span is the window length that suited the density last seen.
	Span time.Duration
	// OverlapIDs are the msgids of published rows that a window beginning before End could bring again, ascending.
	OverlapIDs []int64
	// OverlapHashes are content hashes of the same rows, and of rejected ones without a msgid, ascending.
	OverlapHashes []int64
	// OverlapFrom is the time from which on the two have all of such rows, so no window begins before it: it lies before End by the overlap
	// that was configured then. Zero is the overlap that is configured now.
	OverlapFrom time.Time
	// EarlyIDs and EarlyHashes are of rows, in the same form, that were published before their window has settled: they stand behind End, by
	// [mostEarly] at most, and the windows that bring them leave them out.
	EarlyIDs    []int64
	EarlyHashes []int64
	// Backlog is the history before End that is not published yet: ranges in the order of time that neither overlap nor touch.
	Backlog []Backlog
	// Marks, of statistics alone, tell what was last published of each period, ascending.
	Marks []int64
	// Sequence is the number of the stream's newest ledger record; 0 where it has none.
	Sequence int64
	// Counts are sums over the life of the stream.
	Counts Counts
	// Coverage is that of the days in which the positions of the stream are. Covered are all the days, joined to ranges, whose
	// coverage this position began: that of another day is an earlier position's.
	Coverage []Coverage
	Covered  []Window
	// SavedAt is when the checkpoint was made, by the local clock.
	SavedAt time.Time
	// Rechecked tells up to where windows were asked for late rows.
	Rechecked []Rechecked
	// Replay is the id of the replay whose position this is; empty for the live position.
	Replay string
	// Removed tells that the stream's user, group or room was found to be deleted, and that a notice was published.
	Removed bool
	// Forgotten tells that an operator has forgotten the position: the stream begins anew, and only Sequence goes on. Without
	// that, a position that is not there would look like one that was lost.
	Forgotten bool
	// Damage, where it is not nil, is why the position that stands there cannot be read: an error of class [Drop] around
	// [ErrUnreadable]. Nothing but the stream and the replay is known then.
	Damage error
}

// ErrUnreadable is the cause of a fault of a position that cannot be read. To begin its stream anew would publish again, so the stream
// is left alone until an operator has replaced the position.
var ErrUnreadable = errors.New("the position cannot be read")

// Rechecked is the end_time up to which windows were asked for late rows, so long after they were closed.
type Rechecked struct {
	After time.Duration
	End   time.Time
}

// Counts are sums over committed windows.
type Counts struct {
	Windows    int64 `json:"windows"`
	Rows       int64 `json:"rows"`
	Published  int64 `json:"published"`
	Skipped    int64 `json:"skipped"`
	Rejected   int64 `json:"rejected"`
	Mismatches int64 `json:"mismatches"`
	GapSeconds int64 `json:"gap_seconds"`
}

// add takes in a committed window.
func (c *Counts) add(l *Ledger) {
	c.Windows++
	c.Rows += l.Rows
	c.Published += l.Published
	c.Skipped += l.Skipped
	c.Rejected += l.Rejected
	if l.Mismatch {
		c.Mismatches++
	}
}
