package source

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// clock knows the time from three sources, none of which decides alone: the server, the local clock, and rows.
//
// The server's clock is followed by the Date headers of its replies (RFC 9110 §6.6.1). A Date has whole seconds, so a reply
// sent, stamped and received at local times s <= t <= r shows that the server's clock is ahead of the local one by at least
// Date - r and by less than Date + 1 s - s. The greatest of the lower bounds that recent replies gave is used: with replies
// at all phases of a second it comes close to the truth, and it never passes it. A clock that steps back contradicts it: then
// everything older is forgotten. What merely drifts is forgotten as new replies come. These times are taken by the monotonic
// clock, so a step of the local one does not matter.
//
// The local clock is held against it as the host has it at that moment. A row proves that its time has come: the truth is
// never before the newest row that was seen, and goes on from there by the monotonic clock.
//
// The zero value is not ready; see newClock. Safe for concurrent use.
type clock struct {
	// base is when the clock was made, local; offsets are from it.
	base time.Time
	// wall is the local clock.
	wall pipeline.Clock

	mu sync.Mutex
	// heard is when the last reply came.
	heard time.Time
	// lower is a ring of the lower bounds.
	lower [clockSamples]time.Duration
	count int
	// local is set when a reply came without a usable Date before any came with one: the local clock stands in.
	local bool
	// before is the offset that the server's clock had when it jumped ahead, at jumped; zero where it did not lately.
	before time.Duration
	jumped time.Time
	// rows is how much the truth is ahead of the local clock at least, by the newest row; it counts once proven is set.
	rows   time.Duration
	proven bool
	// difference is by how much the server's clock was ahead of the local one when the two began to be steady.
	difference time.Duration
	steady     time.Time
	// looked is when rows that prove the server right were last looked for.
	looked time.Time
	// apart is since when the clocks differ, near since when they do not; zero while it is the other way round. told is set
	// while the operator was told that they differ.
	apart, near time.Time
	told        bool
}

const (
	clockSamples = 16
	// dateResolution is by how much a Date may be behind the clock that made it.
	dateResolution = time.Second
	// ClockSlack is by how much the API's clock and the local one may differ and still agree.
	ClockSlack = 5 * time.Second
	clockSlack = ClockSlack
	// alarmingDifference is told at once, a smaller one when it lasts for lastingDifference. That it is over is told when that
	// has lasted as long: of several nodes, one alone may have a wrong clock.
	alarmingDifference = 30 * time.Second
	lastingDifference  = time.Minute
	// lookEvery is how often rows that prove the server right are looked for.
	lookEvery = 2 * time.Minute
	// farthest bounds by how much a clock can be off, so that no sum of durations overflows.
	farthest = 100 * 365 * 24 * time.Hour
)

// newClock makes a clock beside a local one; time.Now where that is nil.
func newClock(local pipeline.Clock) *clock {
	if local == nil {
		local = time.Now
	}
	now := time.Now()
	return &clock{base: now, wall: local, steady: now}
}

// observe takes in the Date of a reply and returns it. A Date that is missing or no date is false.
func (c *clock) observe(h http.Header, sent, received time.Time) (time.Time, bool) {
	date, err := http.ParseTime(h.Get("Date"))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = received
	if err != nil {
		c.local = c.count == 0
		return time.Time{}, false
	}
	date = date.UTC()
	first := c.count == 0
	ahead := c.fromBase(date)
	lower := ahead - received.Sub(c.base)
	switch {
	case first:
	case ahead+dateResolution-sent.Sub(c.base) <= c.offset():
		c.count = 0
		if lower <= c.before+clockSlack {
			c.jumped = time.Time{}
		}
	case lower > c.offset()+clockSlack && !c.leaps(received):
		c.before, c.jumped = c.offset(), received
	}
	c.lower[c.count%clockSamples] = lower
	c.count++
	r := c.reading(received)
	if difference := r.difference(); first || (difference-c.difference).Abs() > clockSlack {
		c.difference, c.steady = difference, received
	}
	return date, true
}

// fromBase is how long after the clock was made a time is, as the local clock said it then.
func (c *clock) fromBase(t time.Time) time.Duration {
	d := t.Sub(c.base.Round(0)) // Round drops the monotonic reading: this is between wall clocks.
	return max(-farthest, min(d, farthest))
}

// offset is how much the server's clock is ahead of the local one at least; some reply has to have come.
func (c *clock) offset() time.Duration {
	return slices.Max(c.lower[:min(c.count, clockSamples)])
}

// leaps tells that the server's clock has jumped ahead, too short a time ago to be believed: of several nodes, one may lie.
func (c *clock) leaps(moment time.Time) bool {
	return !c.jumped.IsZero() && moment.Sub(c.jumped) < lastingDifference
}

// observeRow takes in the newest row that a reply had.
func (c *clock) observeRow(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ahead := c.fromBase(at) - time.Since(c.base); !c.proven || ahead > c.rows {
		c.rows, c.proven = ahead, true
	}
}

// reading is what is known of the time at one moment, in UTC.
type reading struct {
	// server is zero where no reply had a Date.
	server, local time.Time
	// proven is the time that has surely come if the server's clock is not asked: the local one, or what rows prove.
	proven time.Time
	// rows is what rows prove alone; zero where none was seen.
	rows time.Time
	// before is what the server's clock would say if it had not jumped ahead; zero where it did not lately.
	before time.Time
	// steady is for how long the clocks have differed by the same.
	steady time.Duration
}

// reading is what is known at a moment. The caller holds the lock.
func (c *clock) reading(moment time.Time) reading {
	passed := c.base.Round(0).Add(moment.Sub(c.base)).UTC()
	r := reading{local: c.wall().Round(0).UTC(), steady: moment.Sub(c.steady)}
	if c.proven {
		r.rows = passed.Add(c.rows)
	}
	r.proven = later(r.local, r.rows)
	if c.count > 0 {
		r.server = passed.Add(c.offset())
	}
	if c.leaps(moment) {
		r.before = passed.Add(c.before)
	}
	if (r.difference() - c.difference).Abs() > clockSlack { // The local clock was set.
		r.steady = 0
	}
	return r
}

// difference is by how much the server's clock is ahead of the local one; zero where only one is known.
func (r *reading) difference() time.Duration {
	if r.server.IsZero() {
		return 0
	}
	return r.server.Sub(r.local)
}

// now is the time up to which everything may be planned: the server's while nothing speaks against it, and never later than that.
func (r *reading) now() time.Time {
	if r.server.IsZero() {
		return r.local
	}
	return r.trusted(r.server)
}

// trusted is what is believed of a time that the server says has come: where it is not proven, only what is.
func (r *reading) trusted(t time.Time) time.Time {
	if before := later(r.before, r.rows); !r.before.IsZero() && t.Sub(before) > clockSlack {
		t = before
	}
	if t.Sub(r.proven) > clockSlack {
		return r.proven
	}
	return t
}

// disputed tells that the server's clock is ahead of what is believed.
func (r *reading) disputed() bool { return r.server.Sub(r.now()) > clockSlack }

// latest is the later of the two clocks.
func (r *reading) latest() time.Time { return later(r.server, r.proven) }

// both says what the clocks say.
func (r *reading) both() string {
	local := "the local clock says " + r.local.Format(time.RFC3339)
	if r.server.IsZero() {
		return local
	}
	return "the API's clock says " + r.server.Format(time.RFC3339) + ", " + local
}

// read is what is known now.
func (c *clock) read() reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reading(time.Now())
}

// now is the time up to which everything may be planned, in UTC, and whether it is known.
func (c *clock) now() (time.Time, bool) {
	r := c.read()
	return r.now(), c.known()
}

// known tells that a reply has come.
func (c *clock) known() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count > 0 || c.local
}

// heardSince tells that a reply came after a moment.
func (c *clock) heardSince(moment time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard.After(moment)
}

// unproven is the time that only the server says has come, if rows are to be looked for in it now. It is returned to one caller in
// a while.
func (c *clock) unproven() (from, to time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	moment := time.Now()
	r := c.reading(moment)
	if r.server.Sub(r.proven) <= clockSlack || !c.looked.IsZero() && moment.Sub(c.looked) < lookEvery {
		return time.Time{}, time.Time{}, false
	}
	c.looked = moment
	return r.proven, r.server, true
}

// compare holds the server's clock against the local one. changed is set when the operator is to be told that they disagree, or
// that this is over.
func (c *clock) compare() (r reading, disagree, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	moment := time.Now()
	r = c.reading(moment)
	difference := r.difference().Abs()
	if difference > clockSlack {
		if c.near = (time.Time{}); c.apart.IsZero() {
			c.apart = moment
		}
	} else {
		if c.apart = (time.Time{}); c.near.IsZero() {
			c.near = moment
		}
	}
	lasts := func(since time.Time) bool { return !since.IsZero() && moment.Sub(since) >= lastingDifference }
	before := c.told
	switch {
	case difference > alarmingDifference || lasts(c.apart):
		c.told = true
	case lasts(c.near):
		c.told = false
	}
	return r, c.told, c.told != before
}
