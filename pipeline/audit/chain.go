package audit

import (
	"iter"

	"github.com/jmpub/jmpub/pipeline"
)

// Chain is what windows of one stream have read of a stretch of time, one after another and without a gap: each begins within
// the one before it or right behind it, and knew what that had published.
type Chain struct {
	Stream pipeline.Stream

	history *history
	head    uint32
	n       int
}

// Len is how many windows it has.
func (c *Chain) Len() int { return c.n }

// Window is the time that it has read.
func (c *Chain) Window() pipeline.Window {
	w := c.first().window()
	for r := range c.records() {
		w.End = timeOf(r.end)
	}
	return w
}

// Rows is how many different rows it knows: what its first window had in common with the one before it, what each published or
// rejected, and what was late in them.
func (c *Chain) Rows() int64 {
	rows := int64(c.first().skipped)
	for r := range c.records() {
		rows += int64(r.own)
	}
	return rows
}

func (c *Chain) first() *record { return c.history.records.at(int(c.head)) }

// records are its windows, in the order of time.
func (c *Chain) records() iter.Seq[*record] {
	return func(yield func(*record) bool) {
		for _, r := range c.history.from(c.head, c.n) {
			if !yield(r) {
				return
			}
		}
	}
}

// halves cuts it into two. It has two windows at least.
func (c *Chain) halves() [2]Chain {
	first, second := *c, *c
	first.n = c.n / 2
	second.n = c.n - first.n
	for i := range c.history.from(c.head, first.n+1) {
		second.head = i // The last one is the second half's first.
	}
	return [2]Chain{first, second}
}

// steps cuts it into parts that are no longer than a number of seconds, or a single window.
func (c *Chain) steps(seconds uint32) iter.Seq[Chain] {
	return func(yield func(Chain) bool) {
		part := *c
		part.n = 0
		begin := uint32(0)
		for i, r := range c.history.from(c.head, c.n) {
			if part.n > 0 && r.end-begin > seconds {
				if !yield(part) {
					return
				}
				part.n = 0
			}
			if part.n == 0 {
				part.head, begin = i, r.begin
			}
			part.n++
		}
		if part.n > 0 {
			yield(part)
		}
	}
}

// trim is the chain without the windows at its ends that are not wanted. There may be none left.
func (c *Chain) trim(wanted func(pipeline.Window) bool) Chain {
	return c.cut(func(r *record) bool { return wanted(r.window()) })
}

func (c *Chain) cut(wanted func(*record) bool) Chain {
	part, at, ends := *c, 0, 0
	begun := false
	for i, r := range c.history.from(c.head, c.n) {
		if wanted(r) {
			if !begun {
				part.head, at, begun = i, 0, true
			}
			ends = at + 1
		}
		at++
	}
	part.n = ends
	return part
}

// overlapping are the places of all of the stream's records that have published anything and whose windows have a second in common
// with a window: those that count, those that were replaced, and those of late rows.
func (h *history) overlapping(w pipeline.Window) []Place {
	var places []Place
	begin, end := secondsOf(w.Begin), secondsOf(w.End)
	for i := range h.records.n {
		r := h.records.at(i)
		published := !r.moves() || r.own > 0 // Late rows are counted by the window that they belong to.
		if published && r.begin <= end && r.end >= begin {
			places = append(places, r.place.place())
		}
	}
	return places
}

// publishedIn are the places of the records of what a single window has published: its own, and those of its late rows.
func (c *Chain) publishedIn() []Place {
	own := c.first()
	places := []Place{own.place.place()}
	for i := int(c.head) + 1; i < c.history.records.n; i++ {
		r := c.history.records.at(i)
		switch {
		case r.begin != own.begin || r.end != own.end:
		case r.moves(): // From here on, late rows are of that window.
			return places
		default:
			places = append(places, r.place.place())
		}
	}
	return places
}
