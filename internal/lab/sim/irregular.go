package sim

import "strconv"

// irregular is how a row is hard to make an event of.
type irregular uint8

const (
	irregularNone   irregular = iota
	irregularNull             // a bare null
	irregularNoID             // cannot become an event: no object, or no msgid that is one
	irregularTarget           // a target_type that nobody knows, or none
	irregularFields           // numeric ids, unknown fields, a clock missing
)

// irregularity draws how a row is irregular, if it is, and a number by which that varies.
func (h *history) irregularity(m *meta) (irregular, uint64) {
	if h.NullRows > 0 && unit(mix(m.hash^saltNull)) < h.NullRows {
		return irregularNull, 0
	}
	if h.IrregularRows <= 0 {
		return irregularNone, 0
	}
	d := dice(m.hash ^ saltIrregular)
	if unit(d.roll()) >= h.IrregularRows {
		return irregularNone, 0
	}
	return irregularNoID + irregular(d.below(3)), d.roll()
}

// hasMsgID tells that a row has a msgid that can be used.
func (o irregular) hasMsgID() bool { return o != irregularNull && o != irregularNoID }

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
func targetIn(m *meta, o irregular, variant uint64) (value, truth string) {
	if o != irregularTarget {
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
func appendTargetType(dst []byte, m *meta, o irregular, variant uint64) []byte {
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
