package event

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/internal/rawjson"
)

// SameRow tells whether two rows mean the same: the same members in any order, numbers by their text, strings decoded.
func SameRow(a, b []byte) bool { return bytes.Equal(Canonical(a), Canonical(b)) }

// Canonical writes a JSON value so that values of the same meaning, in the sense of [SameRow], have the same bytes: no
// whitespace, members sorted by name (those of one name in their order), strings in their shortest form, numbers as they
// are. It returns a copy of what is not one JSON value.
//
// It is not RFC 8785, which rewrites numbers as doubles: msgids have 64 bits.
func Canonical(value []byte) []byte {
	compact, err := compactJSON(nil, value)
	if err != nil {
		return bytes.Clone(value)
	}
	r := rawjson.Lenient()
	r.Open(compact)
	return appendCanonical(make([]byte, 0, len(compact)), r)
}

// appendCanonical writes the reader's next value. The JSON was checked, so there are no errors.
func appendCanonical(b []byte, r *rawjson.Reader) []byte {
	switch r.Kind() {
	case '{':
		return appendCanonicalObject(b, r)
	case '[':
		b = append(b, '[')
		r.Enter('[')
		for first := true; r.Element(); first = false {
			if !first {
				b = append(b, ',')
			}
			b = appendCanonical(b, r)
		}
		return append(b, ']')
	default:
		return appendCanonicalScalar(b, r.Value())
	}
}

func appendCanonicalObject(b []byte, r *rawjson.Reader) []byte {
	type canonicalMember struct{ name, text []byte }
	var members []canonicalMember
	for r.Enter('{'); r.Member(); {
		text := appendCanonicalScalar(nil, r.QuotedName())
		length := len(text)
		text = appendCanonical(append(text, ':'), r)
		members = append(members, canonicalMember{text[:length], text})
	}
	slices.SortStableFunc(members, func(x, y canonicalMember) int { return bytes.Compare(x.name, y.name) })
	b = append(b, '{')
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, m.text...)
	}
	return append(b, '}')
}

// appendCanonicalScalar writes a string in its shortest form, and anything else as it is. A string that is no text is
// equal only to itself.
func appendCanonicalScalar(b, value []byte) []byte {
	if !isString(value) {
		return append(b, value...)
	}
	text := rawjson.Unquote(value)
	if text == nil {
		return append(b, value...)
	}
	b, _ = jsontext.AppendQuote(b, text)
	return b
}
