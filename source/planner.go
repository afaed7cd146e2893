package source

import (
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// planner lays out windows. It is pure: the time is given to it.
type planner struct {
	overlap, settle, retention time.Duration
	// target is the number of rows that a window should have.
	target int64
}

const (
	// targetPages is the size of a window that is worth the request by which it is opened, and cheap to read again.
	targetPages = 10
	// firstSpan is the length of a stream's first window, before anything is known of its density.
	firstSpan = 24 * time.Hour
	minSpan   = time.Second
	// retentionMargin keeps a window's begin inside the history while its pages are being read.
	retentionMargin = time.Minute
)

// plan lays out the window that follows p. It tells false where the clock has not moved far enough for one.
func (p planner) plan(pos pipeline.Position, now time.Time) (pipeline.Plan, bool) {
	end := pos.End.UTC().Truncate(time.Second)
	var plan pipeline.Plan
	// A position that was asked for as "60 days ago" is older than that by the time it is read; a minute is no gap.
	if oldest := now.Add(-p.retention); end.Before(oldest) {
		kept := oldest.Add(retentionMargin).Truncate(time.Second)
		if oldest.Sub(end) > retentionMargin {
			plan.Gap = &pipeline.Window{Begin: end, End: kept}
		}
		end = kept
	}
	span := pos.Span
	if span <= 0 {
		span = firstSpan
	}
	span = min(max(span.Truncate(time.Second), minSpan), maxWindow-p.overlap)
	plan.Window.Begin = end.Add(-p.overlap)
	if oldest := now.Add(-p.retention + retentionMargin).Truncate(time.Second); plan.Window.Begin.Before(oldest) {
		plan.Window.Begin = oldest
	}
	plan.Window.End = end.Add(span)
	if head := now.Add(-p.settle).Truncate(time.Second); !plan.Window.End.Before(head) {
		plan.Window.End, plan.Head = head, true
	}
	return plan, plan.Window.End.After(end)
}

// suggest is the length of the next window after one of the given length that held total rows: towards the target, at
// most twice as long.
func (p planner) suggest(w pipeline.Window, total int64) time.Duration {
	length := max(w.End.Sub(w.Begin)-p.overlap, minSpan)
	longest := maxWindow - p.overlap
	if total <= 0 {
		return min(2*length, longest)
	}
	fitting := time.Duration(float64(length) * float64(p.target) / float64(total))
	return min(max(min(fitting, 2*length), minSpan).Truncate(time.Second), longest)
}

// tooDense tells that a window holds so much that reading it would make a large, long-lived transaction; one request is
// lost by asking for a shorter one.
func (p planner) tooDense(w pipeline.Window, total int64) bool {
	return total > 2*p.target && w.End.Sub(w.Begin)-p.overlap > minSpan
}
