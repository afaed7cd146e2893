package sim

// window is what a first request asks for, and what all of its pages share.
type window struct {
	stream stream
	// lo and hi bound the clock that filters: a closed interval in unix milliseconds.
	lo, hi int64
	// seen is when the first request came, in unix milliseconds: rows that appear later are not in the window, unless it
	// drifts.
	seen int64
}

// bounds turns the two times of a request, in unix seconds, into a closed interval of milliseconds.
func (u *Unknowns) bounds(begin, end int64) (lo, hi int64) {
	unit := int64(1000) // What is compared, in milliseconds.
	if u.EndMillis {
		unit = 1
	}
	lo, hi = begin*1000, end*1000-1
	if u.BeginStrict {
		lo += unit
	}
	if !u.EndStrict {
		hi += unit
	}
	return lo, hi
}

// clockOf is the clock that sorts and filters.
func (h *history) clockOf(m *meta) int64 {
	if h.Clock == SenderClock {
		return m.sender
	}
	return m.millis
}

// shows tells whether a row is of a window's stream, within its bounds, and visible to it. If so, the row has its clocks.
func (h *history) shows(w *window, m *meta) bool {
	if !h.holds(w.stream, m) {
		return false
	}
	h.date(m)
	clock := h.clockOf(m)
	return clock >= w.lo && clock <= w.hi && h.appears(m) <= w.seen
}

// reach is the range of seconds of msg_ctime in which a window's rows can be: closed, and empty where last < first.
func (h *history) reach(w *window) (first, last int64) {
	first, last = w.lo/1000, w.hi/1000
	if h.Clock == SenderClock {
		first, last = first-senderAhead, last+senderBehind
	}
	return max(first, h.begin), min(last, h.end-1, w.seen/1000)
}

// settled tells that all rows of an hour are visible to a window and within its bounds, so that the hour's total is what it
// always will be.
func (h *history) settled(w *window, hour int64) bool {
	begin, end := hour*hourMillis, (hour+1)*hourMillis
	wait := h.latest()
	if h.Clock == SenderClock {
		wait += senderBehind * 1000
	}
	return w.lo <= begin && w.hi >= end-1 && end+wait <= w.seen
}
