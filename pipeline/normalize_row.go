package pipeline

import (
	"bytes"
	"slices"
	"strconv"
)

// field is a top-level field of a row that has a place of its own in the event.
type field uint8

const (
	// fieldOther is every field that has none.
	fieldOther field = iota
	fieldMsgID
	fieldTargetType
	fieldMsgType
	fieldMsgCtime
	fieldCreateTime
	fieldFromID
	fieldFromName
	fieldFromType
	fieldFromPlatform
	fieldFromAppKey
	fieldTargetID
	fieldTargetName
	fieldTargetAppKey
	fieldMsgLevel
	fieldMsgBody
	fieldCount
)

// fieldOf finds the field by its name in the row.
func fieldOf(name []byte) field {
	switch string(name) {
	case "msgid":
		return fieldMsgID
	case "target_type":
		return fieldTargetType
	case "msg_type":
		return fieldMsgType
	case "msg_ctime":
		return fieldMsgCtime
	case "create_time":
		return fieldCreateTime
	case "from_id":
		return fieldFromID
	case "from_name":
		return fieldFromName
	case "from_type":
		return fieldFromType
	case "from_platform":
		return fieldFromPlatform
	case "from_appkey":
		return fieldFromAppKey
	case "target_id":
		return fieldTargetID
	case "target_name":
		return fieldTargetName
	case "target_appkey":
		return fieldTargetAppKey
	case "msg_level":
		return fieldMsgLevel
	case "msg_body":
		return fieldMsgBody
	default:
		return fieldOther
	}
}

// row is a row split into its fields. Everything points into the row's compact JSON.
type row struct {
	// members are all fields, in the row's order.
	members []member
	// values are the fields that have a place, as JSON; nil where absent.
	values [fieldCount][]byte
	// placed has a bit for each field that can be rebuilt from its place in the event. The others go to attributes.
	placed uint32
}

// member is a member of a JSON object.
type member struct {
	// name is decoded, quoted is the name as JSON.
	name, quoted, value []byte
	field               field
}

// split takes the row apart; compact is an object.
func (r *row) split(compact []byte) (reason Reason, detail string) {
	r.members = r.members[:0]
	r.values = [fieldCount][]byte{}
	r.placed = 0
	others := 0
	members := membersOf(compact)
	for members.next() {
		m := members.member
		if m.field = fieldOf(m.name); m.field == fieldOther {
			others++
		} else {
			if r.values[m.field] != nil {
				return ReasonDuplicateField, describeDuplicate(m.name)
			}
			r.values[m.field] = m.value
		}
		if m.field != fieldMsgBody && nestsTooDeep(m.value) {
			return ReasonInvalidJSON, describeDepth(m.name)
		}
		r.members = append(r.members, m)
	}
	if others > 1 {
		if name := r.duplicate(); name != nil {
			return ReasonDuplicateField, describeDuplicate(name)
		}
	}
	return "", ""
}

// nestsTooDeep tells whether a value could not stand in attributes, where it is one level deeper than in the row: jsontext
// reads at most 10,000 levels, and so must the event be read.
func nestsTooDeep(value []byte) bool {
	const most = 10_000 - len("{") - len("{") // The event, attributes.
	if len(value) < 2*most || isString(value) {
		return false
	}
	_, depth := compositeEnd(value, 0)
	return depth > most
}

// duplicate returns a name without a place that stands twice, or nil. Rows have a handful of such names, for which
// comparing each with each is fastest; a row made of very many must not cost their square.
func (r *row) duplicate() []byte {
	const few = 32
	if len(r.members) > few {
		return duplicateOfMany(r.members)
	}
	for i, m := range r.members {
		if m.field != fieldOther {
			continue
		}
		for j := range i {
			if bytes.Equal(m.name, r.members[j].name) {
				return m.name
			}
		}
	}
	return nil
}

func duplicateOfMany(members []member) []byte {
	names := make([][]byte, 0, len(members))
	for i := range members {
		names = append(names, members[i].name)
	}
	slices.SortFunc(names, bytes.Compare)
	for i := range names[1:] {
		if bytes.Equal(names[i], names[i+1]) {
			return names[i]
		}
	}
	return nil
}

// text is the decoded value of a field that is a string; nil where it is absent, of another type, or no text.
func (r *row) text(f field) []byte {
	if isString(r.values[f]) {
		return unquote(r.values[f])
	}
	return nil
}

// id is the decoded value of a field that identifies somebody: a string, or a number of digits alone, which some
// senders put for a group. It is nil where the field is absent or of another form.
func (r *row) id(f field) []byte {
	if v := r.values[f]; isDigits(v) {
		return v
	}
	return r.text(f)
}

// place notes that a field can be rebuilt from the event.
func (r *row) place(f field) { r.placed |= 1 << f }

// isPlaced tells whether place was called for a field.
func (r *row) isPlaced(f field) bool { return r.placed&(1<<f) != 0 }

// integer is the value of a JSON number that is written as an integer of 64 bits: no fraction, no exponent, no -0. Such
// a number can be rebuilt from its value.
func integer(v []byte) (int64, bool) {
	if !isNumber(v) || string(v) == "-0" {
		return 0, false
	}
	i, err := strconv.ParseInt(string(v), 10, 64)
	return i, err == nil
}
