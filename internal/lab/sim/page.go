package sim

import (
	"cmp"
	"slices"
)

// position is a place in the order of a window: the last row that was given. The next page begins after it.
type position struct {
	clock int64 // by which rows are sorted; unix milliseconds
	sec   int64
	i     int
}

func (m *meta) position(h *history) position { return position{h.clockOf(m), m.sec, m.i} }

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.clock, q.clock), cmp.Compare(p.sec, q.sec), cmp.Compare(p.i, q.i))
}

// collect appends the first rows of a window after a position to dst, in the order of the API, want of them at most.
func (h *history) collect(dst []meta, w *window, after position, want int) []meta {
	if h.Clock == SenderClock {
		return h.collectBySender(dst, w, after, want)
	}
	return h.collectByServer(dst, w, after, want)
}

// collectByServer needs no sorting: the clock ascends with second and index.
func (h *history) collectByServer(dst []meta, w *window, after position, want int) []meta {
	_, last := h.reach(w)
	var next int64
	index := after.i + 1
	for sec := after.sec; sec <= last && len(dst) < want; sec, index = next, 0 {
		next = (sec/hourSeconds + 1) * hourSeconds
		if h.empty(w, sec) {
			continue
		}
		for m := range h.rows(sec, index, min(last, next-1)) {
			if !h.shows(w, m) {
				continue
			}
			if dst = append(dst, *m); len(dst) >= want {
				return dst
			}
		}
	}
	return dst
}

// collectBySender goes through the sender's clock second by second, and gathers each from all seconds in which the server
// may have got its rows.
func (h *history) collectBySender(dst []meta, w *window, after position, want int) []meta {
	last := min(w.hi/1000, w.seen/1000+senderAhead)
	for sec := max(w.lo, after.clock) / 1000; sec <= last && len(dst) < want; sec++ {
		if h.empty(w, sec) {
			sec += hourSeconds - 1
			continue
		}
		part := *w
		part.lo, part.hi = max(w.lo, sec*1000), min(w.hi, sec*1000+999)
		dst = h.smallest(dst, &part, after, want)
	}
	return dst
}

// smallest appends the smallest rows of a window after a position to dst, sorted, so that it has want rows at most. It never
// holds more than about twice as many, however dense the window is.
func (h *history) smallest(dst []meta, w *window, after position, want int) []meta {
	given := len(dst)
	cut := func() {
		slices.SortFunc(dst[given:], func(a, b meta) int { return a.position(h).compare(b.position(h)) })
		dst = dst[:min(len(dst), want)]
	}
	first, last := h.reach(w)
	for m := range h.rows(first, 0, last) {
		if !h.shows(w, m) || m.position(h).compare(after) <= 0 {
			continue
		}
		if dst = append(dst, *m); len(dst) >= 2*want+64 {
			cut()
		}
	}
	cut()
	return dst
}
