package event

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/jmpub/jmpub/internal/rawjson"
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

// fieldOf finds the field by its name in the row, in quotes.
func fieldOf(quoted []byte) field {
	switch string(rawjson.Unquote(quoted)) {
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

// row is a row split into its fields. Everything points into the row itself, or into compact.
type row struct {
	reader *rawjson.Reader
	// members are all fields, in the row's order.
	members []member
	// values are the fields that have a place, as JSON; nil where absent.
	values [fieldCount][]byte
	// placed has a bit for each field that can be rebuilt from its place in the event. The others go to attributes.
	placed uint32
	// compact holds the values that had whitespace in them.
	compact []byte
}

// split reads a row; reason is empty when it could. What is wrong with the JSON comes before what is wrong with a field.
func (r *row) split(json []byte) (reason Reason, detail string) {
	if !utf8.Valid(json) {
		return ReasonInvalidJSON, errUTF8.Error()
	}
	others := 0
	openObject(r.reader, json)
	for m := (member{}); nextMember(r.reader, &m); {
		m.field = fieldOf(m.quoted)
		if hasSpace(m.value) {
			m.value = r.compacted(m.value)
		}
		switch {
		case m.field == fieldOther:
			others++
		case r.values[m.field] == nil:
			r.values[m.field] = m.value
		case reason == "":
			reason, detail = ReasonDuplicateField, describeDuplicate(&m)
		}
		if reason == "" && m.field != fieldMsgBody && nestsTooDeep(m.value) {
			reason, detail = ReasonInvalidJSON, describeDepth(&m)
		}
		r.members = append(r.members, m)
	}
	switch err := r.reader.Err(); {
	case errors.Is(err, errObject):
		return ReasonNotObject, "the row is " + describe(json) + ", not an object"
	case err != nil:
		return ReasonInvalidJSON, describeSyntax(err)
	case reason != "":
		return reason, detail
	}
	if others > 1 {
		if m := r.duplicate(); m != nil {
			return ReasonDuplicateField, describeDuplicate(m)
		}
	}
	return "", ""
}

// compacted removes the whitespace from a value. What was compacted before stays where it is.
func (r *row) compacted(value []byte) []byte {
	start := len(r.compact)
	compact, err := r.reader.AppendCompact(r.compact, value)
	if err != nil {
		return value // Cannot be: the value was read.
	}
	r.compact = compact
	return slices.Clip(compact[start:])
}

// release forgets the row, so that its page is not kept alive. Memory for more than the usual row is not kept either:
// every stream has a normalizer.
func (r *row) release() {
	const (
		usualMembers = 64
		usualCompact = 16 << 10
	)
	r.reader.Release()
	clear(r.members)
	r.members = r.members[:0]
	r.values = [fieldCount][]byte{}
	r.placed = 0
	r.compact = r.compact[:0]
	if cap(r.members) > usualMembers {
		r.members = nil
	}
	if cap(r.compact) > usualCompact {
		r.compact = nil
	}
}

// nestsTooDeep tells whether a value could not stand in attributes, where it is one level deeper than in the row: jsontext
// reads at most 10,000 levels, and so must the event be read.
func nestsTooDeep(value []byte) bool {
	const most = 10_000 - len("{") - len("{") // The event, attributes.
	return len(value) > 2*most && !isString(value) && rawjson.Depth(value) > most
}

// duplicate returns a member without a place whose name stands twice, or nil. Rows have a handful of such names, for which
// comparing each with each is fastest; a row made of very many must not cost their square.
func (r *row) duplicate() *member {
	const few = 32
	if len(r.members) > few {
		return duplicateOfMany(r.members)
	}
	for i := range r.members {
		m := &r.members[i]
		if m.field != fieldOther {
			continue
		}
		name := m.name()
		for j := range i {
			if bytes.Equal(name, r.members[j].name()) {
				return m
			}
		}
	}
	return nil
}

func duplicateOfMany(members []member) *member {
	seen := make(map[string]struct{}, len(members))
	for i := range members {
		name := members[i].name()
		if _, twice := seen[string(name)]; twice {
			return &members[i]
		}
		seen[string(name)] = struct{}{}
	}
	return nil
}

// text is the decoded value of a field that is a string; nil where it is absent, of another type, or no text.
func (r *row) text(f field) []byte {
	if isString(r.values[f]) {
		return rawjson.Unquote(r.values[f])
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
