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

// start is before all rows of a window.
func (w *window) start() position { return position{clock: w.lo - 1, sec: w.lo / 1000, i: -1} }

// collect appends the first rows of a window after a position to dst, in the order of the API, want of them at most.
func (t *totals) collect(dst []meta, w *window, after position, want int) []meta {
	if t.history.Clock == SenderClock {
		return t.collectBySender(dst, w, after, want)
	}
	return t.collectByServer(dst, w, after, want)
}

// collectByServer needs no sorting: the clock ascends with second and index.
func (t *totals) collectByServer(dst []meta, w *window, after position, want int) []meta {
	h := t.history
	_, last := h.reach(w)
	first := after.i + 1
	for sec := after.sec; sec <= last; sec++ {
		if t.empty(w, sec) {
			sec += hourSeconds - 1
			first = 0
			continue
		}
		n := h.count(sec)
		second := uint64(0)
		if n > 0 {
			second = h.second(sec)
		}
		for i := first; i < n; i++ {
			if len(dst) >= want {
				return dst
			}
			if m, ok := h.among(w, second, sec, i, n); ok {
				dst = append(dst, m)
			}
		}
		first = 0
		if len(dst) >= want {
			return dst
		}
	}
	return dst
}

// collectBySender goes through the sender's clock second by second, and gathers each from all seconds in which the server
// may have got its rows.
func (t *totals) collectBySender(dst []meta, w *window, after position, want int) []meta {
	last := min(w.hi/1000, w.seen/1000+senderAhead)
	for sec := max(w.lo, after.clock) / 1000; sec <= last && len(dst) < want; sec++ {
		if t.empty(w, sec) {
			sec += hourSeconds - 1
			continue
		}
		part := *w
		part.lo, part.hi = max(w.lo, sec*1000), min(w.hi, sec*1000+999)
		dst = t.history.smallest(dst, &part, after, want)
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
	for sec := first; sec <= last; sec++ {
		n := h.count(sec)
		if n == 0 {
			continue
		}
		second := h.second(sec)
		for i := range n {
			m, ok := h.among(w, second, sec, i, n)
			if !ok || m.position(h).compare(after) <= 0 {
				continue
			}
			if dst = append(dst, m); len(dst) >= 2*want+64 {
				cut()
			}
		}
	}
	cut()
	return dst
}
