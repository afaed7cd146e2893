package pipeline

import (
	"fmt"
	"time"
)

const (
	// mismatchAttempts is how often a window whose rows do not add up to its total is read before shorter ones are asked for, down
	// to a second, and before that second is closed all the same, with a notice. Each attempt must have brought the same rows.
	mismatchAttempts = 3
	// uselessTotals is after how many such seconds in a row, besides those of an overlap, the API's totals are taken to be of no use:
	// until a window adds up, shorter ones are not asked for.
	uselessTotals = 4
	// mismatchParts is into how many a window is divided then.
	mismatchParts = 8
)

// checkTotal holds the window against the reply's total.
func (f *windowFetch) checkTotal(c *windowContent) error {
	ledger := &c.rows.ledger
	rows := c.rows.different()
	if ledger.Total < 0 { // Nothing is announced: the window has what came.
		ledger.Total = rows
	}
	if rows == ledger.Total && !c.rows.unsteady {
		f.mismatchedSeconds.Store(0)
		return nil
	}
	// Only a difference that stays is the API's: rows that are missing by accident are others each time.
	if c.rows.checksum != f.lastChecksum {
		f.mismatches = 0
	}
	f.mismatches++
	f.lastChecksum, f.mismatched = c.rows.checksum, true
	shorter := f.narrower(c.plan.Window)
	switch {
	case f.mismatches < mismatchAttempts && (!f.narrowed || shorter == 0):
		shorter = 0 // The same once more.
	case shorter == 0:
		f.mismatchedSeconds.Add(1)
		ledger.Mismatch = true
		return nil
	default:
		f.mismatches, f.narrowed = 0, true
	}
	return &Fault{
		Class: Restart, Op: fmt.Sprintf("read %s %s", f.stream, c.plan.Window), Span: shorter,
		Err: mismatchError(rows, ledger.Total, c.rows.unsteady),
	}
}

// narrower is the length of the window that is asked for next where one does not add up; zero where there is none.
func (f *windowFetch) narrower(w Window) time.Duration {
	length := w.End.Sub(later(f.from.End, w.Begin))         // It begins behind the position where that has left the history.
	useless := uselessTotals + int32(f.overlap/time.Second) //nolint:gosec // Seconds.
	if length <= time.Second || f.mismatchedSeconds.Load() >= useless {
		return 0
	}
	return max(time.Second, (length / mismatchParts).Truncate(time.Second))
}
