package sim

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

// maxStretches bounds the remembered statistics; 60 days of days and hours are 1500.
const maxStretches = 1 << 14

// statisticsOf counts the rows of a stretch that have appeared by seen, in unix milliseconds; of the last second, whole ones
// only. The days and hours that cannot change any more are remembered.
func (h *history) statisticsOf(part stretch, seen int64) statistics {
	f, ok := h.stretches.get(part)
	if !ok {
		f = h.countStretch(part, seen)
		if part.end*1000+h.latest() <= seen {
			h.stretches.put(part, f)
		}
	}
	return f
}

// countStretch goes through the rows of a stretch. A rate of 100 rows a second takes about half a second a day.
func (h *history) countStretch(part stretch, seen int64) statistics {
	var f statistics
	senders, groups := make(map[int]bool), make(map[int]bool)
	for m := range h.rows(max(part.begin, h.begin), 0, min(part.end, h.end, seen/1000)-1) {
		if m.kind == kindRoom || h.Late > 0 && !h.appeared(m, seen) {
			continue
		}
		f.sent[m.kind][h.typeOf(m)]++
		if !m.byAdmin() {
			senders[m.from] = true
		}
		if m.kind == kindGroup {
			groups[m.to] = true
		}
	}
	f.senders, f.groups = int64(len(senders)), int64(len(groups))
	return f
}

func (h *history) appeared(m *meta, seen int64) bool {
	h.date(m)
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
