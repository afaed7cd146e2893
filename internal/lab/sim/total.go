package sim

import "sync"

const (
	hourSeconds = 3600
	hourMillis  = hourSeconds * 1000
	// maxHours bounds the cache, to some 5 MB: it is emptied when it is full. 60 days have 1440 hours a stream.
	maxHours = 1 << 16
)

// totals counts rows, and remembers the counts of hours that cannot change any more. Safe for concurrent use.
type totals struct {
	history *history

	mu    sync.Mutex
	hours map[streamHour]int64
}

type streamHour struct {
	stream stream
	hour   int64 // since 1970
}

func newTotals(h *history) *totals {
	return &totals{history: h, hours: make(map[streamHour]int64)}
}

// of counts the rows of a window.
func (t *totals) of(w *window) int64 {
	total := int64(0)
	part := *w
	for lo := w.lo; lo <= w.hi && lo/1000 <= w.seen/1000+senderAhead; lo = part.hi + 1 {
		hour := lo / hourMillis
		part.lo, part.hi = lo, min(w.hi, (hour+1)*hourMillis-1)
		if t.history.settled(w, hour) {
			total += t.hour(w.stream, hour)
		} else {
			total += t.history.countWindow(&part)
		}
	}
	return total
}

// hour counts the rows of a settled hour.
func (t *totals) hour(which stream, hour int64) int64 {
	key := streamHour{which, hour}
	t.mu.Lock()
	n, ok := t.hours[key]
	t.mu.Unlock()
	if ok {
		return n
	}
	// Two may count the same hour at once; they come to the same result.
	n = t.history.countHour(which, hour)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.hours) >= maxHours {
		clear(t.hours)
	}
	t.hours[key] = n
	return n
}

// empty tells that a window has no rows in the hour that begins with a second. Hours that are not wholly in the window are
// not looked at: to count them would cost more than to go through what the window has of them.
func (t *totals) empty(w *window, sec int64) bool {
	hour := sec / hourSeconds
	return sec%hourSeconds == 0 && t.history.settled(w, hour) && t.hour(w.stream, hour) == 0
}

// countHour counts all rows of a stream whose clock lies in an hour.
func (h *history) countHour(which stream, hour int64) int64 {
	all := window{stream: which, lo: hour * hourMillis, hi: (hour+1)*hourMillis - 1, seen: 1 << 60}
	if h.Clock == SenderClock {
		return h.countWindow(&all)
	}
	first, last := h.reach(&all)
	total := int64(0)
	for sec := first; sec <= last; sec++ {
		n := h.count(sec)
		if n == 0 || h.all(which) {
			total += int64(n)
			continue
		}
		// Who sent a row to whom is enough to know its stream.
		second := h.second(sec)
		for i := range n {
			m := meta{sec: sec, i: i}
			h.cast(&m, second)
			if h.holds(which, &m) {
				total++
			}
		}
	}
	return total
}

// countWindow counts the rows of a window one by one, except in seconds of which it is known that each row counts.
func (h *history) countWindow(w *window) int64 {
	total := int64(0)
	simple := h.Clock == ServerClock && h.Late <= 0 && h.all(w.stream)
	first, last := h.reach(w)
	for sec := first; sec <= last; sec++ {
		n := h.count(sec)
		if n == 0 || simple && sec*1000 >= w.lo && sec*1000+999 <= min(w.hi, w.seen) {
			total += int64(n)
			continue
		}
		second := h.second(sec)
		for i := range n {
			if _, ok := h.among(w, second, sec, i, n); ok {
				total++
			}
		}
	}
	return total
}
