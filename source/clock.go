package source

import (
	"net/http"
	"sync"
	"time"
)

// clock follows the server's clock by the Date headers of its replies.
//
// A Date has whole seconds, so each reply gives a lower bound: the server's time was not before it. The latest of the
// bounds that recent replies gave is used; with replies at all phases of a second it comes close to the truth, and never
// passes it by more than the clocks drift within the samples' life. Safe for concurrent use.
type clock struct {
	mu sync.Mutex
	// samples are a ring of (Date - local time) at the moments of receipt.
	samples [32]time.Duration
	count   int
	// local tells that the API sends no usable Date, and the local clock stands in.
	local bool
}

// see takes in a reply's header, received at the given local time. It returns false once, when the local clock begins to
// stand in because the header has no usable Date.
func (c *clock) see(h http.Header, received time.Time) bool {
	date, err := http.ParseTime(h.Get("Date"))
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if c.count > 0 || c.local {
			return true
		}
		c.local = true
		return false
	}
	c.local = false
	c.samples[c.count%len(c.samples)] = date.Sub(received)
	c.count++
	return true
}

// now is the server's time at the given local time, and whether it is known.
func (c *clock) now(local time.Time) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == 0 {
		return local.UTC(), c.local
	}
	n := min(c.count, len(c.samples))
	offset := c.samples[0]
	for _, s := range c.samples[1:n] {
		offset = max(offset, s)
	}
	// A step back of the server's clock, by more than samples differ by their rounding, is followed at once.
	if last := c.samples[(c.count-1)%len(c.samples)]; offset-last > 2*time.Second {
		offset = last
	}
	return local.Add(offset).UTC(), true
}
