package sim

import (
	"fmt"
	"iter"
	"math/bits"
	"strconv"
	"time"
)

// history is what happened, as a function of the options.
type history struct {
	*Options
	names    []string
	nameSet  map[string]int
	begin    int64 // unix seconds; rows before it and from end on do not exist
	end      int64
	burstSec int64
}

func newHistory(o *Options) *history {
	h := &history{Options: o, nameSet: make(map[string]int, o.Users), end: 1 << 40, burstSec: -1}
	for i := range o.Users {
		name := Username(i)
		h.names = append(h.names, name)
		h.nameSet[name] = i
	}
	if !o.Begin.IsZero() {
		h.begin = o.Begin.Unix()
	}
	if !o.End.IsZero() {
		h.end = o.End.Unix()
	}
	if o.Burst > 0 {
		h.burstSec = o.BurstAt.Unix()
	}
	return h
}

// Username is the name of the i-th user. Some are awkward, so that whoever escapes carelessly is found out.
func Username(i int) string {
	switch i % 29 {
	case 3:
		return fmt.Sprintf("用户%04d", i)
	case 11:
		return fmt.Sprintf("user %04d/%%2F", i)
	case 17:
		return fmt.Sprintf("a+b&c=%04d?#", i)
	default:
		return fmt.Sprintf("user_%04d", i)
	}
}

// GroupID is the id of the i-th group.
func GroupID(i int) string { return strconv.Itoa(10_000_000 + i) }

// RoomID is the id of the i-th chatroom.
func RoomID(i int) string { return strconv.Itoa(20_000_000 + i) }

// mix is a strong 64-bit mixer (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unit maps a hash to [0, 1).
func unit(h uint64) float64 { return float64(h>>11) / (1 << 53) }

// count is the number of rows of a second.
func (h *history) count(sec int64) int {
	if sec < h.begin || sec >= h.end {
		return 0
	}
	hash := mix(h.Seed ^ uint64(sec)*0x9e3779b97f4a7c15)
	x := h.Rate * (0.5 + unit(hash))
	n := int(x)
	if unit(mix(hash)) < x-float64(n) {
		n++
	}
	if sec == h.burstSec {
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

// meta is what can be known of a row without writing it.
type meta struct {
	sec, millis int64 // millis is msg_ctime
	hash        uint64
	kind        kind
	from, to    int // indices of the population
	sender      int64
	senderMilli bool
}

// meta makes the i-th of n rows of a second.
func (h *history) meta(sec int64, i, n int) meta {
	hash := mix(mix(h.Seed^uint64(sec)) + uint64(i)*0xd1342543de82ef95)
	m := meta{sec: sec, hash: hash, millis: sec*1000 + int64(i)*1000/int64(n)}
	switch w := hash & 0xff; {
	case w < 130:
		m.kind = kindSingle
	case w < 220:
		m.kind = kindGroup
	default:
		m.kind = kindRoom
	}
	m.from = pick(hash>>8, h.Users)
	switch m.kind {
	case kindSingle:
		m.to = pick(hash>>24, h.Users)
		if m.to == m.from {
			m.to = (m.to + 1) % h.Users
		}
	case kindGroup:
		m.to = pick(hash>>24, h.Groups)
	case kindRoom:
		m.to = pick(hash>>24, h.Rooms)
	}
	// The sender's clock is up to 40 s behind and 5 s ahead; most are nearly right.
	skew := int64(hash>>40&0x3ff) - 400
	if hash>>50&0xf == 0 {
		skew = int64(hash>>54)*45_000/1024 - 40_000
	}
	m.sender = m.millis + skew
	m.senderMilli = hash>>52&1 == 1
	if !m.senderMilli {
		m.sender -= m.sender % 1000
	}
	return m
}

// pick draws from n with a bias to the first, as real populations have it.
func pick(hash uint64, n int) int {
	u := hash & 0xffff
	hi, _ := bits.Mul64(u*u<<32, uint64(n))
	return int(hi)
}

// msgid is unique to second and index, above 32 bits, and not monotonic in time: a bijection of 52 bits, moved up.
func msgid(sec int64, i int) int64 {
	const mask = 1<<52 - 1
	x := uint64(sec)<<20&mask | uint64(i)
	x = x * 0x9e3779b97f4a7c15 & mask
	x ^= x >> 26
	x = x * 0xbf58476d1ce4e5b9 & mask
	x ^= x >> 26
	return int64(x) + 1<<32
}

// appears is when a row can be read, in milliseconds.
func (h *history) appears(m *meta) int64 {
	if h.Late <= 0 {
		return m.millis
	}
	late := mix(m.hash ^ 0x1a7e)
	if unit(late) >= h.Late {
		return m.millis
	}
	return m.millis + 1 + int64(unit(mix(late))*float64(h.LateBy.Milliseconds()))
}

// stream selects rows.
type stream struct {
	kind string // messages, users, groups, chatrooms
	idx  int
}

func (h *history) holds(s stream, m *meta) bool {
	switch s.kind {
	case "users":
		return m.from == s.idx || m.kind == kindSingle && m.to == s.idx
	case "groups":
		return m.kind == kindGroup && m.to == s.idx
	case "chatrooms":
		return m.kind == kindRoom && m.to == s.idx
	default:
		return m.kind != kindRoom || h.RoomsInMessages
	}
}

// all tells that a stream has every row, so that counting needs no look at them.
func (h *history) all(s stream) bool { return s.kind == "messages" && h.RoomsInMessages }

// Row is a row of the truth.
type Row struct {
	// MsgID is the row's msgid, if it has one that can be used (HasMsgID).
	MsgID    int64
	HasMsgID bool
	// Target is the row's target_type: single, group, chatroom, or what an odd row has.
	Target string
	// Raw is the row as the API returns it.
	Raw []byte
	// Time is msg_ctime, Appears when the row can first be read; both to the millisecond.
	Time, Appears time.Time
}

// Range selects from the truth: rows whose msg_ctime lies in the closed interval [Begin, End], of a stream in jmpub's
// notation; empty is messages.
type Range struct {
	Begin, End time.Time
	Stream     string
}

// Truth lists what the history holds, in the order of msg_ctime, whatever the bounds, clocks, faults and late rows that
// the API would show. An unknown stream holds nothing.
func (s *Server) Truth(r Range) iter.Seq[Row] {
	h := s.history
	which, ok := h.parseStream(r.Stream)
	return func(yield func(Row) bool) {
		if !ok {
			return
		}
		for sec := max(r.Begin.Unix(), h.begin); sec <= r.End.Unix() && sec < h.end; sec++ {
			n := h.count(sec)
			for i := range n {
				m := h.meta(sec, i, n)
				if m.millis < r.Begin.UnixMilli() || m.millis > r.End.UnixMilli() || !h.holds(which, &m) {
					continue
				}
				if !yield(h.row(&m, i)) {
					return
				}
			}
		}
	}
}

func (h *history) row(m *meta, i int) Row {
	raw, odd := h.append(nil, m, i)
	return Row{
		MsgID: msgid(m.sec, i), HasMsgID: odd != oddNoID, Target: targetIn(m, odd), Raw: raw,
		Time: time.UnixMilli(m.millis).UTC(), Appears: time.UnixMilli(h.appears(m)).UTC(),
	}
}
