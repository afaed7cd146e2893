package sim

import (
	"iter"
	"math/bits"
	"time"
)

// history is what happened, as a function of the options, and some results of that function. Safe for concurrent use.
type history struct {
	*Options
	phrases phrases
	begin   int64 // unix seconds; rows before it and from end on do not exist
	end     int64
	burst   int64 // the unix second of the burst; -1 is none
	// shape has a factor for each hour of the day, and shift leads from unix seconds to the day's.
	shape []float64
	shift int64
	churn churn

	hours     *memo[streamHour, int64] // totals
	stretches *memo[stretch, statistics]
}

func newHistory(o *Options) *history {
	h := &history{
		Options: o, phrases: newPhrases(o.RichBodies), end: 1 << 40, burst: -1, churn: newChurn(o),
		hours: newMemo[streamHour, int64](maxHours), stretches: newMemo[stretch, statistics](maxStretches),
	}
	if !o.Begin.IsZero() {
		h.begin = o.Begin.Unix()
	}
	if !o.End.IsZero() {
		h.end = o.End.Unix()
	}
	if o.Burst > 0 {
		h.burst = o.BurstAt.Unix()
	}
	if o.Daily {
		h.shape = dailyShape()
		_, offset := time.Unix(0, 0).In(o.Zone).Zone()
		h.shift = int64(offset)
	}
	return h
}

// dailyShape is how busy the hours of a day are; their mean is 1.
func dailyShape() []float64 {
	return []float64{
		0.5, 0.3, 0.2, 0.1, 0.1, 0.2, 0.4, 0.7, 1.0, 1.2, 1.3, 1.4,
		1.5, 1.3, 1.2, 1.2, 1.2, 1.3, 1.4, 1.6, 1.8, 1.7, 1.4, 1.0,
	}
}

// mix is a strong 64-bit mixer (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unit maps a hash to [0, 1).
func unit(h uint64) float64 { return float64(h>>11) / (1 << 53) }

// What is drawn for one row comes from hashes that are independent of each other: each use has a constant of its own.
const (
	saltRow       = 0xd1342543de82ef95
	saltClock     = 0x3c6ef372fe94f82b
	saltLate      = 0xa54ff53a5f1d36f1
	saltIrregular = 0x510e527fade682d1
	saltNull      = 0x9b05688c2b3e6c1f
	saltFields    = 0x1f83d9abfb41bd6b
	saltFault     = 0x5be0cd19137e2179
	saltDate      = 0xcbbb9d5dc1059ed8
	saltID        = 0x6a09e667f3bcc909
)

// count is the number of rows of a second.
func (h *history) count(sec int64) int {
	if sec < h.begin || sec >= h.end {
		return 0
	}
	hash := mix(h.Seed ^ uint64(sec)*0x9e3779b97f4a7c15)
	x := h.Rate * (0.5 + float64(hash&0xffffff)/(1<<24))
	if h.shape != nil {
		x *= h.shape[uint64(sec+h.shift)/3600%24]
	}
	n := int(x)
	if float64(hash>>24)/(1<<40) < x-float64(n) {
		n++
	}
	if sec == h.burst {
		n += h.Burst
	}
	return n
}

// kind is what a row is about.
type kind uint8

const (
	kindSingle kind = iota
	kindGroup
	kindRoom
)

// meta is the outline of a row: what can be known of it without writing it.
type meta struct {
	sec  int64
	hash uint64
	// millis is msg_ctime.
	millis int64
	// sender is what create_time shows, in milliseconds; set where the history is sorted by it.
	sender   int64
	i, of    int // its index within its second, and how many rows that has
	from, to int // indices of the population
	kind     kind
}

// rows lists who sent what to whom in a closed range of seconds, in the first one from an index on; date sets their clocks.
// What it yields is overwritten by the next.
func (h *history) rows(first int64, index int, last int64) iter.Seq[*meta] {
	return func(yield func(*meta) bool) {
		var m meta
		begin := index
		for sec := first; sec <= last; sec++ {
			second, n := mix(h.Seed^mix(uint64(sec))), h.count(sec)
			for i := begin; i < n; i++ {
				m = meta{sec: sec, i: i, of: n, hash: mix(second + uint64(i)*saltRow)}
				h.cast(&m)
				if !yield(&m) {
					return
				}
			}
			begin = 0
		}
	}
}

// date gives a row its clocks. The millis of a second's rows ascend with their index.
func (h *history) date(m *meta) {
	m.millis = m.sec*1000 + spread(mix(m.hash), m.i, m.of)
	if h.Clock == SenderClock {
		m.sender, _ = m.senderClock()
	}
}

// cast draws who sent a row to whom.
func (h *history) cast(m *meta) {
	gone := h.churn.gone(m.sec)
	m.from = pick(m.hash>>8, h.Users)
	switch w := m.hash & 0xff; {
	case w < 130:
		m.kind, m.to = kindSingle, pick(m.hash>>32, h.Users)
		if m.to == m.from {
			m.to = (m.to + 1) % h.Users
		}
	case w < 220:
		m.kind, m.to = kindGroup, pick(m.hash>>32, h.Groups)
	default:
		m.kind, m.to = kindRoom, pick(m.hash>>32, h.Rooms)
	}
	m.from += gone
	m.to += gone
}

// byAdmin tells that a row was sent by an administrator through the REST API, so by no user.
func (m *meta) byAdmin() bool { return m.hash>>56&0x3f == 9 }

// spread places the i-th of n rows within its second. The first and the last row often stand at its very ends, where
// bounds decide.
func spread(hash uint64, i, n int) int64 {
	switch {
	case i == 0 && hash>>62 == 0:
		return 0
	case i == n-1 && hash>>60&3 == 0:
		return 999
	default:
		hi, _ := bits.Mul64(hash<<4, 1000)
		return (int64(i)*1000 + int64(hi)) / int64(n)
	}
}

// The sender's clock is at most so far from the server's, in seconds, its truncation to seconds included.
const (
	senderBehind = 41
	senderAhead  = 6
)

// SenderAhead is how far a sender's clock may be ahead of the server's: with [SenderClock], a row can be read so much later
// than its msg_ctime. SenderBehind is how far behind it may be: a row of the history's begin can lie so much before it.
const (
	SenderAhead  = senderAhead * time.Second
	SenderBehind = senderBehind * time.Second
)

// senderClock is what create_time shows, in milliseconds, and whether its platform gives milliseconds (REPORT_API: seconds
// from Android, REST and old iOS, milliseconds from web and newer iOS). Most clocks are nearly right; some are up to 40 s
// behind or 5 s ahead.
func (m *meta) senderClock() (clock int64, milli bool) {
	r := mix(m.hash ^ saltClock)
	skew := int64(r&0x3ff) - 400
	if r>>10&0xf == 0 {
		skew = int64(r>>16&0xffff)*45_001>>16 - 40_000
	}
	clock, milli = m.millis+skew, r>>14&1 == 1
	if !milli || m.byAdmin() {
		return clock - clock%1000, false
	}
	return clock, true
}

// msgid is unique to second and index, above 32 bits, and not monotonic in time: a bijection of 52 bits, moved up. One in
// 64 is moved so far that no float64 holds it.
func (h *history) msgid(sec int64, i int) int64 {
	const size = 52
	const mask = 1<<size - 1
	x := (uint64(sec)<<indexBits | uint64(i)) ^ mix(h.Seed^saltID)
	x = x & mask * 0x9e3779b97f4a7c15 & mask
	x ^= x >> 26
	x = x * 0xbf58476d1ce4e5b9 & mask
	x ^= x >> 26
	if x&0x3f == 7 {
		x += 1 << 60
	}
	return int64(x) + 1<<32
}

// latest is how much later than its msg_ctime a row can appear, in milliseconds.
func (h *history) latest() int64 {
	if h.Late <= 0 {
		return 0
	}
	return h.LateBy.Milliseconds()
}

// appears is when a row can be read, in unix milliseconds.
func (h *history) appears(m *meta) int64 {
	if h.Late <= 0 {
		return m.millis
	}
	late := mix(m.hash ^ saltLate)
	if unit(late) >= h.Late {
		return m.millis
	}
	from, by := h.LateFrom.Milliseconds(), h.LateBy.Milliseconds()
	return m.millis + max(1, from+int64(unit(mix(late))*float64(by-from+1)))
}
