package sim

import (
	"math/bits"
	"sync"
)

// The types that statistics distinguish.
const (
	typeText = iota
	typeImage
	typeVoice
	typeOther
	typeCount
)

// statistics are those of a stretch of time. Chatroom rows are in none of them: the API has no field for them.
type statistics struct {
	// sent counts rows by kind and type, single and group.
	sent [2][typeCount]int64
	// senders and groups are how many different ones sent or got a row.
	senders, groups int64
}

func (f *statistics) add(other *statistics) {
	for kind := range f.sent {
		for t := range f.sent[kind] {
			f.sent[kind][t] += other.sent[kind][t]
		}
	}
}

// of sums up one kind's rows.
func (f *statistics) of(which kind) int64 {
	sum := int64(0)
	for _, n := range f.sent[which] {
		sum += n
	}
	return sum
}

// stretch is a time in seconds, its end excluded.
type stretch struct{ begin, end int64 }

// almanac remembers the statistics of stretches that cannot change any more: the days and hours that were asked for. Safe for
// concurrent use.
type almanac struct {
	history *history

	mu    sync.Mutex
	known map[stretch]statistics
}

// maxStretches bounds the memory; 60 days of days and hours are 1500.
const maxStretches = 1 << 14

func newAlmanac(h *history) *almanac {
	return &almanac{history: h, known: make(map[stretch]statistics)}
}

// of counts the rows of a stretch that have appeared by seen, in unix milliseconds; of the last second, whole ones only.
func (a *almanac) of(part stretch, seen int64) statistics {
	a.mu.Lock()
	f, ok := a.known[part]
	a.mu.Unlock()
	if ok {
		return f
	}
	f = a.history.statisticsOf(part, seen)
	late := int64(0)
	if a.history.Late > 0 {
		late = a.history.LateBy.Milliseconds()
	}
	if part.end*1000+late > seen {
		return f
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= maxStretches {
		clear(a.known)
	}
	a.known[part] = f
	return f
}

// statisticsOf goes through the rows of a stretch. A rate of 100 rows a second takes about half a second a day.
func (h *history) statisticsOf(part stretch, seen int64) statistics {
	var f statistics
	first, last := max(part.begin, h.begin), min(part.end, h.end, seen/1000)
	if first >= last {
		return f
	}
	gone := h.churn.gone(first)
	moved := h.churn.gone(last) - gone
	senders, groups := newSet(h.Users+moved), newSet(h.Groups+moved)
	for sec := first; sec < last; sec++ {
		n := h.count(sec)
		if n == 0 {
			continue
		}
		second := h.second(sec)
		for i := range n {
			m := meta{sec: sec, i: i}
			h.cast(&m, second)
			if m.kind == kindRoom || h.Late > 0 && !h.appeared(&m, n, seen) {
				continue
			}
			f.sent[m.kind][h.typeOf(&m)]++
			if !m.byAdmin() {
				senders.add(m.from - gone)
			}
			if m.kind == kindGroup {
				groups.add(m.to - gone)
			}
		}
	}
	f.senders, f.groups = senders.size(), groups.size()
	return f
}

func (h *history) appeared(m *meta, n int, seen int64) bool {
	h.date(m, n)
	return h.appears(m) <= seen
}

// typeOf is how statistics call a row's msg_type.
func (h *history) typeOf(m *meta) int {
	switch r := h.draft(m); r.msgType {
	case "text":
		return typeText
	case "image":
		return typeImage
	case "voice":
		return typeVoice
	default:
		return typeOther
	}
}

// set is a set of small numbers.
type set []uint64

func newSet(n int) set { return make(set, n/64+1) }

func (s set) add(i int) { s[i/64] |= 1 << (i % 64) }

func (s set) size() int64 {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return int64(n)
}
