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
	targetPages = 4
	// firstSpan is the length of a stream's first window, before anything is known of its density.
	firstSpan = 24 * time.Hour
	minSpan   = time.Second
	// thinnest is how many overlaps a window is long that is short only because it is dense: every row within an overlap is
	// read twice. Where the cursors do not live long enough for such a window, it gets shorter still, and grows back by a
	// quarter with each window: in one that is a fifth of the overlap, every row is read six times.
	thinnest = 8
	// retentionMargin keeps a window's begin inside the history until its request has arrived.
	retentionMargin = time.Minute
	// slackAtStart is how much of the time after a stream's start may be skipped without being a gap. A start of "60 days
	// ago" is meant as "the oldest there is"; by the time it is asked for it is older than that, and the margin skips
	// another minute. A position up to which a stream was read is exact: there every second counts.
	slackAtStart = retentionMargin + time.Minute
)

// targetRows is the number of rows that a window should have whose pages have so many: full pages, less the part of one that keeps most windows
// which have a few more by chance from needing another page, almost empty.
func targetRows(pageSize int) int64 { return int64(max(1, targetPages*pageSize-pageSize/8)) }

// plan lays out the window that follows pos at the server's time now. Time after pos that the API no longer holds is
// skipped; it is a gap if it is more than slack. A wait above zero is how long it takes until the window is long enough
// to be asked for.
func (p planner) plan(pos pipeline.Position, now time.Time, slack time.Duration) (plan pipeline.Plan, wait time.Duration) {
	from := pos.End.UTC().Truncate(time.Second)
	plan.Window.Begin = later(from.Add(-p.overlap), earlier(from, ceil(pos.From.UTC())))
	if oldest := ceil(now.Add(retentionMargin - p.retention)); plan.Window.Begin.Before(oldest) {
		plan.Window.Begin = oldest
		if oldest.Sub(from) > slack {
			plan.Gap = &pipeline.Window{Begin: from, End: oldest}
		}
		from = later(from, oldest)
	}
	shortest := later(from, ceil(pos.End.UTC())).Add(minSpan)
	plan.Window.End = from.Add(p.span(pos))
	if !pos.Until.IsZero() && plan.Window.End.After(pos.Until) {
		plan.Window.End = pos.Until
	}
	plan.Window.End = later(plan.Window.End, shortest)
	if head := now.Add(-p.settle).Truncate(time.Second); !plan.Window.End.Before(head) {
		plan.Window.End, plan.Head = head, true
	}
	if plan.Window.End.Before(shortest) {
		return plan, shortest.Add(p.settle).Sub(now)
	}
	return plan, 0
}

// span is the length that a window after pos has where the head does not limit it.
func (p planner) span(pos pipeline.Position) time.Duration {
	if pos.Span <= 0 {
		return firstSpan
	}
	return p.clamp(pos.Span)
}

func (p planner) clamp(span time.Duration) time.Duration {
	return min(max(span.Truncate(time.Second), minSpan), (pipeline.LongestWindow - p.overlap).Truncate(time.Second))
}

// current is what a window covers, the overlap not counted.
func (p planner) current(w pipeline.Window) time.Duration {
	return max(w.End.Sub(w.Begin)-p.overlap, minSpan)
}

// suggest is the length of the window after w, which holds total rows: towards the target, at most twice as long.
// planned is the length that w would have had if the head had not limited it, zero where that is unknown; a short
// window at the head is no reason to plan shorter ones.
func (p planner) suggest(w pipeline.Window, total int64, planned time.Duration) time.Duration {
	longest := max(2*p.current(w), planned)
	if total <= 0 {
		return p.clamp(longest)
	}
	// A window is closed, so it covers its last second too.
	whole := float64(w.End.Sub(w.Begin)+time.Second) * float64(p.target) / float64(total)
	suits := time.Duration(min(whole, float64(pipeline.LongestWindow))) - p.overlap
	grown := p.current(w) + max(minSpan, p.current(w)/4)
	return p.clamp(min(longest, max(suits, min(thinnest*p.overlap, grown))))
}

// tooDense reports whether a window holds so much more than the target that a shorter one should take its place.
func (p planner) tooDense(w pipeline.Window, total int64) bool {
	return total > 2*p.target && p.current(w) > max(minSpan, thinnest*p.overlap)
}

// half is the length of a window of which only rows of total rows could be read: what was read, and at most half. Zero if
// it cannot be shorter, or if nothing was missing.
func (p planner) half(w pipeline.Window, rows, total int64) time.Duration {
	current := p.current(w)
	if rows >= total || current <= minSpan {
		return 0
	}
	read := time.Duration(float64(current) * float64(rows) / float64(total))
	return p.clamp(min(read, current/2))
}

// ceil is the first whole second not before t.
func ceil(t time.Time) time.Time { return t.Add(time.Second - 1).Truncate(time.Second) }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
