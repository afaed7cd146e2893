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
type field struct {
	// value is JSON; nil where absent.
	value []byte
	// placed is set when the field can be rebuilt from its place in the event. One that cannot goes to attributes.
	placed bool
}

// fields are all that have a place.
type fields struct {
	msgID, targetType, msgType, msgCtime, createTime      field
	fromID, fromName, fromType, fromPlatform, fromAppKey  field
	targetID, targetName, targetAppKey, msgLevel, msgBody field
}

// named finds the field by its name; nil where it has no place.
func (f *fields) named(name []byte) *field {
	switch string(name) {
	case "msgid":
		return &f.msgID
	case "target_type":
		return &f.targetType
	case "msg_type":
		return &f.msgType
	case "msg_ctime":
		return &f.msgCtime
	case "create_time":
		return &f.createTime
	case "from_id":
		return &f.fromID
	case "from_name":
		return &f.fromName
	case "from_type":
		return &f.fromType
	case "from_platform":
		return &f.fromPlatform
	case "from_appkey":
		return &f.fromAppKey
	case "target_id":
		return &f.targetID
	case "target_name":
		return &f.targetName
	case "target_appkey":
		return &f.targetAppKey
	case "msg_level":
		return &f.msgLevel
	case "msg_body":
		return &f.msgBody
	default:
		return nil
	}
}

// row is a row split into its fields. Everything points into the row itself, or into compact.
type row struct {
	fields

	reader *rawjson.Reader
	// members are all fields, in the row's order.
	members []member
	// compact holds the values that had whitespace in them.
	compact []byte
}

// mostFields bounds a row: each of its fields takes many times the memory that it takes in JSON.
const mostFields = 100_000

// split reads a row; reason is empty when it could. What is wrong with the JSON comes before what is wrong with a field.
func (r *row) split(json []byte) (reason Reason, detail string) {
	if !utf8.Valid(json) {
		return ReasonInvalidJSON, errUTF8.Error()
	}
	others := 0
	openObject(r.reader, json)
	for m := (member{}); nextMember(r.reader, &m); {
		if len(r.members) == mostFields {
			return ReasonTooLarge, "the row has more than " + strconv.Itoa(mostFields) + " fields"
		}
		m.field = r.named(rawjson.Unquote(m.quoted))
		if hasSpace(m.value) {
			m.value = r.compacted(m.value)
		}
		switch {
		case m.field == nil:
			others++
		case m.field.value == nil:
			m.field.value = m.value
		case reason == "":
			reason, detail = ReasonDuplicateField, describeDuplicate(&m)
		}
		if reason == "" && m.field != &r.msgBody && nestsTooDeep(m.value) {
			reason, detail = ReasonInvalidJSON, "the field "+quote(m.name())+" nests too deep"
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
	r.fields = fields{}
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
		if m.field != nil {
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
func (f *field) text() []byte { return rawjson.Unquote(f.value) }

// id is the decoded value of a field that identifies somebody: a string, or a number of digits alone, which some
// senders put for a group. It is nil where the field is absent or of another form.
func (f *field) id() []byte {
	if isDigits(f.value) {
		return f.value
	}
	return f.text()
}

// integer is the value of a JSON number that is written as an integer of 64 bits: no fraction, no exponent, no -0. Such
// a number can be rebuilt from its value.
func integer(v []byte) (int64, bool) {
	if !isNumber(v) || string(v) == "-0" {
		return 0, false
	}
	i, err := strconv.ParseInt(string(v), 10, 64)
	return i, err == nil
}
