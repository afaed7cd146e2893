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

// The fields. Any other name is fieldOther.
const (
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

// fieldNamed finds a field by its name in its quotes, of which none has an escape as most senders write it; escaped tells that one may have.
func fieldNamed(quoted []byte, escaped bool) field {
	f := fieldWritten(quoted[1 : len(quoted)-1])
	if f == fieldOther && escaped {
		f = fieldWritten(rawjson.Unquote(quoted))
	}
	return f
}

func fieldWritten(name []byte) field {
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

// row is a row split into its fields. It knows where they stand by numbers and not by slices, of which the garbage collector would have to
// be told each.
type row struct {
	reader *rawjson.Reader
	// json is the row, and behind it the values that had white space in them, without it.
	json []byte
	// members are all fields, in the row's order.
	members []rowMember
	// fields are where the values of those with a place stand; nowhere for those that are absent.
	fields [fieldCount]part
	// placed tells which of them can be rebuilt from their places in the event. Others go to attributes.
	placed [fieldCount]bool
	// escaped tells that there is a backslash in it: texts stand for themselves otherwise.
	escaped bool
}

// part is where something stands in a row's json. Nothing that stands there is empty.
type part struct{ from, to uint32 }

// rowMember is a member of a row: where its name stands, in its quotes, and its value.
type rowMember struct {
	name, value part
	field       field
}

// at is what stands in a part; nil where that is nowhere.
func (r *row) at(p part) []byte {
	if p.to == 0 {
		return nil
	}
	return r.json[p.from:p.to:p.to]
}

// value is the JSON of a field; nil where it is absent.
func (r *row) value(f field) []byte { return r.at(r.fields[f]) }

// name is the decoded name of a member. One that is no text is equal only to the same name.
func (r *row) name(m *rowMember) []byte {
	quoted := r.at(m.name)
	if !r.escaped {
		return quoted[1 : len(quoted)-1]
	}
	return decodedName(quoted)
}

// mostFields bounds a row: each of its fields takes many times the memory that it takes in JSON.
const mostFields = 100_000

// split reads a row; reason is empty when it could. What is wrong with the JSON comes before what is wrong with a field.
func (r *row) split(json []byte) (reason Reason, detail string) {
	if !utf8.Valid(json) {
		return ReasonInvalidJSON, errUTF8.Error()
	}
	r.json, r.escaped = json, bytes.IndexByte(json, '\\') >= 0
	others := 0
	openObject(r.reader, json)
	for {
		value, ok := nextValue(r.reader)
		if !ok {
			break
		}
		if len(r.members) == mostFields {
			return ReasonTooLarge, "the row has more than " + strconv.Itoa(mostFields) + " fields"
		}
		quoted := r.reader.QuotedName()
		m := rowMember{
			field: fieldNamed(quoted, r.escaped), value: endingAt(r.reader.Offset(), value), name: endingAt(r.reader.NameOffset(), quoted),
		}
		if isNested(value) && !r.reader.IsCompact() {
			m.value = r.compacted(value)
		}
		switch {
		case m.field == fieldOther:
			others++
		case r.fields[m.field] == part{}:
			r.fields[m.field] = m.value
		case reason == "":
			reason, detail = ReasonDuplicateField, r.describeDuplicate(&m)
		}
		if reason == "" && m.field != fieldMsgBody && nestsTooDeep(value) {
			reason, detail = ReasonInvalidJSON, "the field "+quote(r.name(&m))+" nests too deep"
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
			return ReasonDuplicateField, r.describeDuplicate(m)
		}
	}
	return "", ""
}

// endingAt is where something stands that was read and ends there.
func endingAt(end int, read []byte) part {
	return part{uint32(end - len(read)), uint32(end)} //nolint:gosec // Rows are far smaller than 4 GiB.
}

// compacted puts a value without its white space behind the row.
func (r *row) compacted(value []byte) part {
	from := len(r.json)
	json, err := r.reader.AppendCompact(slices.Clip(r.json), value)
	if err != nil {
		json = append(slices.Clip(r.json), value...) // Cannot be: the value was read.
	}
	r.json = json
	return endingAt(len(json), json[from:])
}

// release forgets the row, so that its page is not kept alive. Memory for more than the usual row is not kept either:
// every stream has a normalizer.
func (r *row) release() {
	const usualMembers = 64
	r.reader.Release()
	r.json, r.members = nil, r.members[:0]
	r.fields, r.placed = [fieldCount]part{}, [fieldCount]bool{}
	if cap(r.members) > usualMembers {
		r.members = nil
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
func (r *row) duplicate() *rowMember {
	const few = 32
	if len(r.members) > few {
		return r.duplicateOfMany()
	}
	for i := range r.members {
		m := &r.members[i]
		if m.field != fieldOther {
			continue
		}
		name := r.name(m)
		for j := range i {
			if other := &r.members[j]; other.field == fieldOther && bytes.Equal(name, r.name(other)) {
				return m
			}
		}
	}
	return nil
}

func (r *row) duplicateOfMany() *rowMember {
	seen := make(map[string]struct{}, len(r.members))
	for i := range r.members {
		name := r.name(&r.members[i])
		if _, twice := seen[string(name)]; twice {
			return &r.members[i]
		}
		seen[string(name)] = struct{}{}
	}
	return nil
}

// describeDuplicate says which field stands twice.
func (r *row) describeDuplicate(m *rowMember) string {
	return "the field " + quote(r.name(m)) + " stands twice"
}

// text is the decoded value of a field that is a string; nil where it is absent, of another type, or no text.
func (r *row) text(f field) []byte {
	value := r.value(f)
	if !r.escaped && len(value) > 0 && value[0] == '"' {
		return value[1 : len(value)-1]
	}
	return rawjson.Unquote(value)
}

// id is the decoded value of a field that identifies somebody: a string, or a number of digits alone, which some
// senders put for a group. It is nil where the field is absent or of another form.
func (r *row) id(f field) []byte {
	if value := r.value(f); isDigits(value) {
		return value
	}
	return r.text(f)
}

// integer is the value of a JSON number that is written as an integer of 64 bits: no fraction, no exponent, no -0. Such
// a number can be rebuilt from its value.
func integer(v []byte) (int64, bool) {
	const surely = 18 // So many digits fit.
	if isDigits(v) && len(v) <= surely {
		var n int64
		for _, digit := range v {
			n = 10*n + int64(digit-'0')
		}
		return n, true
	}
	if !isNumber(v) || string(v) == "-0" {
		return 0, false
	}
	i, err := strconv.ParseInt(string(v), 10, 64)
	return i, err == nil
}
