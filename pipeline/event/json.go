package event

import (
	"bytes"
	"errors"

	"github.com/jmpub/jmpub/internal/rawjson"
)

var (
	errUTF8   = errors.New("not valid UTF-8")
	errObject = errors.New("not an object")
)

// member is a member of an object, as written.
type member struct {
	// quoted is the name in its quotes.
	quoted, value []byte
	// field is set by what reads a row; nil where the member has no place of its own in the event.
	field *field
}

// name is the decoded name. One that is no text is equal only to the same name.
func (m *member) name() []byte {
	if name := rawjson.Unquote(m.quoted); name != nil {
		return name
	}
	return append([]byte(noText), m.quoted...)
}

// noText begins a name that is no text, and stands in no text.
const noText = "\xff"

// openObject begins with an object, which nextMember reads up to its end. What is JSON but no object is errObject.
func openObject(r *rawjson.Reader, json []byte) {
	r.Open(json)
	if r.Kind() == '{' {
		r.Enter('{')
		return
	}
	r.Skip()
	r.End()
	r.Fail(errObject)
}

// nextMember reads a member. It returns false at the object's end, behind which nothing may stand, and at an error.
func nextMember(r *rawjson.Reader, m *member) bool {
	if !r.Member() {
		r.End()
		return false
	}
	m.quoted, m.value = r.QuotedName(), r.Value()
	return r.Err() == nil
}

// hasSpace tells whether a value may hold insignificant whitespace. A blank may also stand in one of its strings.
func hasSpace(value []byte) bool {
	return (isObject(value) || isArray(value)) &&
		(bytes.IndexByte(value, ' ') >= 0 || bytes.IndexByte(value, '\n') >= 0 ||
			bytes.IndexByte(value, '\r') >= 0 || bytes.IndexByte(value, '\t') >= 0)
}

func isString(v []byte) bool { return len(v) > 0 && v[0] == '"' }
func isObject(v []byte) bool { return len(v) > 0 && v[0] == '{' }
func isArray(v []byte) bool  { return len(v) > 0 && v[0] == '[' }
func isNumber(v []byte) bool { return len(v) > 0 && (v[0] == '-' || isDigit(v[0])) }
func isDigit(c byte) bool    { return '0' <= c && c <= '9' }

// isDigits tells whether a value is a number of digits alone.
func isDigits(v []byte) bool {
	for _, c := range v {
		if !isDigit(c) {
			return false
		}
	}
	return len(v) > 0
}
