// Package canonical compares JSON by what it means.
package canonical

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/internal/rawjson"
)

// Equal tells whether two rows mean the same: the same members in any order, numbers by their text, strings decoded.
func Equal(a, b []byte) bool { return bytes.Equal(JSON(a), JSON(b)) }

// JSON writes a JSON value so that values of the same meaning, in the sense of [Equal], have the same bytes: no
// whitespace, members sorted by name (those of one name in their order), strings in their shortest form, numbers as they
// are. It returns a copy of what is not one JSON value.
//
// It is not RFC 8785, which rewrites numbers as doubles: msgids have 64 bits.
func JSON(value []byte) []byte {
	r := rawjson.Lenient()
	compact, err := r.AppendCompact(nil, value)
	if err != nil || !utf8.Valid(value) {
		return bytes.Clone(value)
	}
	r.Open(compact)
	return appendValue(make([]byte, 0, len(compact)), r)
}

// appendValue writes the reader's next value. The JSON was checked, so there are no errors.
func appendValue(b []byte, r *rawjson.Reader) []byte {
	switch r.Kind() {
	case '{':
		return appendObject(b, r)
	case '[':
		b = append(b, '[')
		r.Enter('[')
		for first := true; r.Element(); first = false {
			if !first {
				b = append(b, ',')
			}
			b = appendValue(b, r)
		}
		return append(b, ']')
	default:
		return appendScalar(b, r.Value())
	}
}

func appendObject(b []byte, r *rawjson.Reader) []byte {
	type member struct{ name, text []byte }
	var members []member
	for r.Enter('{'); r.Member(); {
		text := appendScalar(nil, r.QuotedName())
		length := len(text)
		text = appendValue(append(text, ':'), r)
		members = append(members, member{text[:length], text})
	}
	slices.SortStableFunc(members, func(x, y member) int { return bytes.Compare(x.name, y.name) })
	b = append(b, '{')
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, m.text...)
	}
	return append(b, '}')
}

// appendScalar writes a string in its shortest form, and anything else as it is. A string that is no text is
// equal only to itself.
func appendScalar(b, value []byte) []byte {
	text := rawjson.Unquote(value)
	if text == nil {
		return append(b, value...)
	}
	b, _ = jsontext.AppendQuote(b, text)
	return b
}
