package pipeline

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Where the head is followed at once, a stream is read at two places: live from a joint onwards, and the past before it up to
// the joint. Windows of either can bring rows near the joint. The live ones publish whatever they bring, and the checkpoint
// keeps what of it a window of the past, which ends at the joint, could bring too; the past leaves that out. So that it
// knows all of it, the past is begun when the live position has left the joint's neighbourhood.

const (
	// leastPast is how far a position has to be behind for the head to be followed before the time in between is read.
	leastPast = 10 * time.Minute
	// jointBack is how far before the server's clock the joint is put: far enough that the first live window, which ends
	// when rows have settled, leaves its neighbourhood.
	jointBack = time.Minute
)

// Past is the history that is still being published behind a live position.
type Past struct {
	// End is the end_time up to which the past is published, and Until the joint, where the live position began; both in
	// whole seconds, UTC.
	End, Until time.Time
	// Span, Seen and SeenRejected are those of a [Checkpoint], at End.
	Span               time.Duration
	Seen, SeenRejected []int64
	// Joint and JointRejected are the msgids and hashes, ascending, of what live windows published and a window that ends
	// at Until can bring too.
	Joint, JointRejected []int64
}

// Unread is the oldest second that is not published yet.
func (c *Checkpoint) Unread() time.Time {
	if c.Past != nil {
		return c.Past.End
	}
	return c.End
}

// split puts what lies behind a position aside, as its past, if it is long.
func (c *Checkpoint) split(now time.Time) {
	if c.Past != nil || now.Sub(c.End) < leastPast {
		return
	}
	joint := now.Add(-jointBack).Truncate(time.Second).UTC()
	c.Past = &Past{End: c.End, Until: joint, Span: c.Span, Seen: c.Seen, SeenRejected: c.SeenRejected}
	c.End, c.Seen, c.SeenRejected = joint, nil, nil
}

// ResetTo is the position once an operator has set it to a time; ids and hashes are of the rows that stand just before that, as
// [IDsBefore] gives them. What lies behind a position and is not published yet stays to be published: whole, if the time is
// behind the joint; up to the time, if it is within the past; and from the time on by the position itself, if it is before it.
func (c *Checkpoint) ResetTo(to time.Time, ids, hashes []int64) Checkpoint {
	next := *c
	next.End, next.Seen, next.SeenRejected = to, ids, hashes
	switch past := c.Past; {
	case past == nil:
	case !to.After(past.End):
		next.Past = nil
	case to.Before(past.Until):
		cut := *past
		cut.Until = to
		next.Past = &cut
		// Of what stands just before the time, only this is published.
		next.Seen = inBoth(ids, slices.Concat(past.Seen, past.Joint))
		next.SeenRejected = inBoth(hashes, slices.Concat(past.SeenRejected, past.JointRejected))
	}
	return next
}

// inBoth keeps the order of the first list.
func inBoth(a, b []int64) []int64 {
	other := setOf(b)
	return slices.DeleteFunc(slices.Clone(a), func(id int64) bool {
		_, is := other[id]
		return !is
	})
}

// leftJoint tells that no further live window can bring what the past has to leave out.
func (c *Checkpoint) leftJoint(overlap time.Duration) bool {
	return !nearJoint(c.Past.Until, c.End.Add(-overlap))
}

// nearJoint tells whether a live window that begins there can bring a row that a window ending at the joint brings.
func nearJoint(joint, begin time.Time) bool { return !begin.After(joint.Add(edgeMargin)) }

// atJoint tells whether a live row can come in a window that ends at the joint: one of its clocks is the one that the API
// filters by, and a row that lacks one may have any.
func atJoint(joint time.Time, clocks ...int64) bool {
	return slices.Min(clocks) <= joint.Add(edgeMargin).UnixMilli()
}

// advanced is the checkpoint after a window of the past, which has made of its own what fresh says.
func (c *Checkpoint) advanced(fresh *Checkpoint) Checkpoint {
	next, past := *c, *c.Past
	next.SavedAt, next.Removed = fresh.SavedAt, false
	past.End, past.Span, past.Seen, past.SeenRejected = fresh.End, fresh.Span, fresh.Seen, fresh.SeenRejected
	if next.Past = &past; !past.End.Before(past.Until) {
		next.Past = nil
	}
	return next
}

// joined is the past after a live window that brought these rows near the joint.
func (p *Past) joined(ids, hashes []int64) *Past {
	if p == nil || len(ids)+len(hashes) == 0 {
		return p
	}
	union := func(a, b []int64) []int64 {
		all := make(map[int64]struct{}, len(a)+len(b))
		for _, id := range slices.Concat(a, b) {
			all[id] = struct{}{}
		}
		return slices.Sorted(maps.Keys(all))
	}
	next := *p
	next.Joint, next.JointRejected = union(p.Joint, ids), union(p.JointRejected, hashes)
	return &next
}

// joints know where live positions meet their pasts. Safe for concurrent use; the zero value is ready.
type joints struct {
	mu  sync.Mutex
	all map[Stream]*joint
}

// joint is where one stream's past ends. joined, until it was used, takes the first checkpoint that has left it.
type joint struct {
	at     time.Time
	joined chan<- Checkpoint
}

// open begins to wait for a stream's live position to leave the joint.
func (j *joints) open(s Stream, at time.Time) <-chan Checkpoint {
	joined := make(chan Checkpoint, 1)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.all == nil {
		j.all = make(map[Stream]*joint)
	}
	j.all[s] = &joint{at: at, joined: joined}
	return joined
}

// join lets a stream's past begin once its live position has left the joint.
func (j *joints) join(cp *Checkpoint, overlap time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	own := j.all[cp.Stream]
	if own != nil && own.joined != nil && cp.Past != nil && cp.leftJoint(overlap) {
		own.joined <- *cp // It has room for one.
		own.joined = nil
	}
}

// of is where a stream's past ended when the session found it.
func (j *joints) of(s Stream) (at time.Time, joins bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	own := j.all[s]
	if own == nil {
		return time.Time{}, false
	}
	return own.at, true
}

// followPast waits until the live position has left the joint, and reads the history before it up to there.
func (s *session) followPast(ctx context.Context, stream Stream, joined <-chan Checkpoint) error {
	select {
	case cp := <-joined:
		return newPastReader(s, stream, cp).run(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newPastReader reads the past of a position.
func newPastReader(s *session, stream Stream, cp Checkpoint) *reader {
	behind := Checkpoint{End: cp.Past.End, Span: cp.Past.Span, Seen: cp.Past.Seen, SeenRejected: cp.Past.SeenRejected}
	r := newReader(s, stream, behind)
	r.past, r.until = true, cp.Past.Until
	r.edge.joint, r.edge.jointRejected = setOf(cp.Past.Joint), setOf(cp.Past.JointRejected)
	return r
}

func setOf(ids []int64) map[int64]struct{} {
	set := make(map[int64]struct{}, len(ids))
	for _, id := range ids {
		set[id] = struct{}{}
	}
	return set
}
