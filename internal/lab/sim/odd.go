package sim

import "strconv"

// odd is how a row is hard to make an event of.
type odd uint8

const (
	oddNone   odd = iota
	oddNull       // a bare null
	oddNoID       // cannot become an event: no object, or no msgid that is one
	oddTarget     // a target_type that nobody knows, or none
	oddFields     // numeric ids, unknown fields, a clock missing
)

// oddness draws whether a row is odd, and a number by which its kind of oddness varies.
func (h *history) oddness(m *meta) (odd, uint64) {
	if h.NullRows > 0 && unit(mix(m.hash^saltNull)) < h.NullRows {
		return oddNull, 0
	}
	if h.OddRows <= 0 {
		return oddNone, 0
	}
	d := dice(m.hash ^ saltOdd)
	if unit(d.roll()) >= h.OddRows {
		return oddNone, 0
	}
	return oddNoID + odd(d.below(3)), d.roll()
}

// hasMsgID tells that a row has a msgid that can be used.
func (o odd) hasMsgID() bool { return o != oddNull && o != oddNoID }

// appendNoID writes what is no event. Each holds its id somewhere, so that it is unlike any other.
func appendNoID(dst []byte, id int64, variant uint64) []byte {
	around := [...][2]string{
		{}, // A number.
		{"[", "]"},
		{`"`, `"`},
		{`{"msgid":"`, `","target_type":"single"}`},
		{`{"msg_ctime":`, `,"target_type":"group"}`},
		{`{"msgid":`, `99999999999,"target_type":"single"}`}, // More than 64 bits.
		{`{"msgid":`, `.5,"target_type":"chatroom"}`},
		{`{"msgid":null,"from_id":"`, `"}`},
		{`{"msgid":{"id":`, `},"target_type":"single"}`},
	}
	text := around[variant%uint64(len(around))]
	return append(strconv.AppendInt(append(dst, text[0]...), id, 10), text[1]...)
}

// targetIn is the target_type in JSON, empty where the row has none, and as the truth has it: empty where it is no string.
func targetIn(m *meta, o odd, variant uint64) (value, truth string) {
	if o != oddTarget {
		return `"` + m.kind.String() + `"`, m.kind.String()
	}
	switch variant % 4 {
	case 0:
		return "", ""
	case 1:
		return `"broadcast"`, "broadcast"
	case 2:
		return `"Single"`, "Single"
	default:
		return "3", ""
	}
}

// appendTargetType writes target_type, if the row has one. A comma goes before.
func appendTargetType(dst []byte, m *meta, o odd, variant uint64) []byte {
	if value, _ := targetIn(m, o, variant); value != "" {
		dst = append(append(dst, `,"target_type":`...), value...)
	}
	return dst
}

// String is the target_type.
func (k kind) String() string {
	switch k {
	case kindSingle:
		return "single"
	case kindGroup:
		return "group"
	default:
		return "chatroom"
	}
}
