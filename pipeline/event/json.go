package event

import (
	"errors"

	"github.com/jmpub/jmpub/internal/rawjson"
)

var (
	errUTF8   = errors.New("not valid UTF-8")
	errObject = errors.New("not an object")
)

// member is a member of an object, as written: its name in its quotes, and its value.
type member struct{ quoted, value []byte }

// decodedName is what a name in its quotes says. One that is no text is equal only to the same name.
func decodedName(quoted []byte) []byte {
	if name := rawjson.Unquote(quoted); name != nil {
		return name
	}
	return append([]byte(noText), quoted...)
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

// nextValue reads the value of the next member. It returns false at the object's end, behind which nothing may stand, and at an error.
func nextValue(r *rawjson.Reader) (value []byte, ok bool) {
	if value, ok = r.MemberValue(); !ok {
		r.End()
	}
	return value, ok
}

// nextMember reads a member, as [nextValue] does.
func nextMember(r *rawjson.Reader, m *member) bool {
	value, ok := nextValue(r)
	m.quoted, m.value = r.QuotedName(), value
	return ok
}

// isNested tells whether white space can stand in a value that means nothing.
func isNested(value []byte) bool { return isObject(value) || isArray(value) }

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
