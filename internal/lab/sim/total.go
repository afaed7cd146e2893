package sim

const (
	hourSeconds = 3600
	hourMillis  = hourSeconds * 1000
	// maxHours bounds the remembered totals, to some 5 MB. 60 days have 1440 hours a stream.
	maxHours = 1 << 16
)

type streamHour struct {
	stream stream
	hour   int64 // since 1970
}

// total counts the rows of a window.
func (h *history) total(w *window) int64 {
	total := int64(0)
	part := *w
	for lo := w.lo; lo <= w.hi && lo/1000 <= w.seen/1000+senderAhead; lo = part.hi + 1 {
		hour := lo / hourMillis
		part.lo, part.hi = lo, min(w.hi, (hour+1)*hourMillis-1)
		if h.settled(w, hour) {
			total += h.hour(w.stream, hour)
		} else {
			total += h.countWindow(&part)
		}
	}
	return total
}

// hour counts all rows of a stream whose clock lies in a settled hour.
func (h *history) hour(which stream, hour int64) int64 {
	key := streamHour{which, hour}
	n, ok := h.hours.get(key)
	if !ok {
		n = h.countWindow(&window{stream: which, lo: hour * hourMillis, hi: (hour+1)*hourMillis - 1, seen: 1 << 60})
		h.hours.put(key, n)
	}
	return n
}

// empty tells that a window has no rows in the hour that begins with a second. Hours that are not wholly in the window are
// not looked at: to count them would cost more than to go through what the window has of them.
func (h *history) empty(w *window, sec int64) bool {
	hour := sec / hourSeconds
	return sec%hourSeconds == 0 && h.settled(w, hour) && h.hour(w.stream, hour) == 0
}

// countWindow counts the rows of a window one by one, except in seconds of which it is known that each row counts.
func (h *history) countWindow(w *window) int64 {
	total := int64(0)
	simple := h.Clock == ServerClock && h.all(w.stream)
	first, last := h.reach(w)
	for sec := first; sec <= last; sec++ {
		if simple && sec*1000 >= w.lo && sec*1000+999 <= min(w.hi, w.seen-h.latest()) {
			total += int64(h.count(sec))
			continue
		}
		for m := range h.rows(sec, 0, sec) {
			if h.shows(w, m) {
				total++
			}
		}
	}
	return total
}
