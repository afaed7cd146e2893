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
	const variants = 9
	before, after := "", ""
	switch variant % variants {
	case 0: // A number.
	case 1:
		before, after = "[", "]"
	case 2:
		before, after = `"`, `"`
	case 3:
		before, after = `{"msgid":"`, `","target_type":"single"}`
	case 4:
		before, after = `{"msg_ctime":`, `,"target_type":"group"}`
	case 5: // More than 64 bits.
		before, after = `{"msgid":`, `99999999999,"target_type":"single"}`
	case 6:
		before, after = `{"msgid":`, `.5,"target_type":"chatroom"}`
	case 7:
		before, after = `{"msgid":null,"from_id":"`, `"}`
	case 8:
		before, after = `{"msgid":{"id":`, `},"target_type":"single"}`
	}
	return append(strconv.AppendInt(append(dst, before...), id, 10), after...)
}

// oddTargetOf draws a target_type in JSON, empty where the row has none, and what the truth says it is.
func oddTargetOf(variant uint64) (value, truth string) {
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
	if o == oddTarget {
		if value, _ := oddTargetOf(variant); value != "" {
			return append(append(dst, `,"target_type":`...), value...)
		}
		return dst
	}
	return append(append(append(dst, `,"target_type":"`...), m.kind.String()...), '"')
}

// targetIn is the target_type as the truth has it; empty where there is none that is a string.
func targetIn(m *meta, o odd, variant uint64) string {
	if o == oddTarget {
		_, truth := oddTargetOf(variant)
		return truth
	}
	return m.kind.String()
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
