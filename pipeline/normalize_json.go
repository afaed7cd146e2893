package pipeline

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

var errUTF8 = errors.New("not valid UTF-8")

// compactJSON appends a JSON value (RFC 8259, UTF-8, at most 10,000 levels deep) without its insignificant whitespace.
// Everything else stays as it is written: numbers, escapes, the order of members, and duplicate names, which are the
// sender's business. An escaped lone surrogate (`\ud83d`) stays too: it is what a sender makes who cuts a text within an
// emoji, and for that a message must not be kept from its topic.
func compactJSON(dst, value []byte) ([]byte, error) {
	if !utf8.Valid(value) {
		return dst, errUTF8
	}
	// AllowInvalidUTF8 is about escaped lone surrogates alone: the bytes were checked.
	return jsontext.AppendFormat(dst, value,
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true), jsontext.PreserveRawStrings(true))
}

// What follows walks over the JSON that compactJSON made, so it looks for ends and checks nothing. It copies nothing but
// names with escapes.

// members walks over the members of an object.
type members struct {
	json []byte
	at   int
	// member is the one that next found; its field is not set.
	member member
}

// membersOf starts at the first member of an object.
func membersOf(object []byte) members { return members{json: object, at: 1} }

// next moves to the next member and tells whether there was one.
func (m *members) next() bool {
	if m.json[m.at] == '}' {
		return false
	}
	if m.json[m.at] == ',' {
		m.at++
	}
	colon := stringEnd(m.json, m.at)
	m.member.quoted = m.json[m.at:colon]
	m.member.name = unquoteName(m.member.quoted)
	end := valueEnd(m.json, colon+1)
	m.member.value = m.json[colon+1 : end]
	m.at = end
	return true
}

// valueEnd returns the index after the value that begins at i, inside an object or array.
func valueEnd(json []byte, i int) int {
	switch json[i] {
	case '"':
		return stringEnd(json, i)
	case '{', '[':
		end, _ := compositeEnd(json, i)
		return end
	default:
		for json[i] != ',' && json[i] != '}' && json[i] != ']' {
			i++
		}
		return i
	}
}

// compositeEnd returns the index after the object or array that begins at i, and how deep it nests, itself included. It
// does not recurse, so no depth exhausts the stack.
func compositeEnd(json []byte, i int) (end, deepest int) {
	for depth := 0; ; {
		switch json[i] {
		case '"':
			i = stringEnd(json, i)
			continue
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
		i++
		if depth == 0 {
			return i, deepest
		}
	}
}

// stringEnd returns the index after the string that begins at i.
func stringEnd(json []byte, i int) int {
	for {
		i += 1 + bytes.IndexByte(json[i+1:], '"')
		escapes := i
		for json[escapes-1] == '\\' {
			escapes--
		}
		if (i-escapes)%2 == 0 { // An even number of backslashes are escaped themselves.
			return i + 1
		}
	}
}

func isString(v []byte) bool { return len(v) > 0 && v[0] == '"' }
func isObject(v []byte) bool { return len(v) > 0 && v[0] == '{' }
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

// unquote decodes a JSON string; one without escapes is a part of it. It returns nil for a string with an escaped lone
// surrogate, which is no text.
func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	text, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return nil
	}
	return text
}

// unquoteName decodes a member's name. One that is no text is equal only to the same name: the byte before it stands in no
// text.
func unquoteName(quoted []byte) []byte {
	if name := unquote(quoted); name != nil {
		return name
	}
	return append([]byte{0xff}, quoted...)
}
