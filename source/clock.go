package source

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// clock follows the server's clock by the Date headers of its replies (RFC 9110 §6.6.1).
//
// A Date has whole seconds, so a reply sent, stamped and received at local times s <= t <= r shows that the server's clock
// is ahead of the local one by at least Date - r and by less than Date + 1 s - s. The greatest of the lower bounds that
// recent replies gave is used: with replies at all phases of a second it comes close to the truth, and it never passes it.
// A clock that steps back contradicts it: then everything older is forgotten. What merely drifts is forgotten as new
// replies come. Local times are taken by the monotonic clock, so a step of the local one does not matter.
//
// The zero value is not ready; see newClock. Safe for concurrent use.
type clock struct {
	// base is when the clock was made, local; offsets are from it.
	base time.Time

	mu sync.Mutex
	// lower is a ring of the lower bounds.
	lower [clockSamples]time.Duration
	count int
	// local is set when a reply came without a usable Date before any came with one: the local clock stands in.
	local bool
}

const (
	clockSamples = 16
	// dateResolution is by how much a Date may be behind the clock that made it.
	dateResolution = time.Second
)

func newClock() *clock { return &clock{base: time.Now()} }

// observe takes in the Date of a reply and returns it. A Date that is missing or no date is false.
func (c *clock) observe(h http.Header, sent, received time.Time) (time.Time, bool) {
	date, err := http.ParseTime(h.Get("Date"))
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.local = c.count == 0
		return time.Time{}, false
	}
	date = date.UTC()
	ahead := date.Sub(c.base.Round(0)) // Round drops the monotonic reading: this is between wall clocks.
	if c.count > 0 && ahead+dateResolution-sent.Sub(c.base) <= c.offset() {
		c.count = 0
	}
	c.lower[c.count%clockSamples] = ahead - received.Sub(c.base)
	c.count++
	return date, true
}

// offset is how much the server's clock is ahead of the local one at least; some reply has to have come.
func (c *clock) offset() time.Duration {
	return slices.Max(c.lower[:min(c.count, clockSamples)])
}

// now is the server's time, in UTC, and whether it is known.
func (c *clock) now() (time.Time, bool) {
	local := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == 0 {
		return local.Round(0).UTC(), c.local
	}
	return c.base.Round(0).Add(local.Sub(c.base) + c.offset()).UTC(), true
}
