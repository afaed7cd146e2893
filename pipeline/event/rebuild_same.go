package event

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
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
	decoder := jsontext.NewDecoder(bytes.NewBuffer(compact), asWritten()...)
	return appendCanonical(make([]byte, 0, len(compact)), decoder)
}

// appendCanonical writes the decoder's next value. The JSON was checked, so there are no errors.
func appendCanonical(b []byte, d *jsontext.Decoder) []byte {
	switch d.PeekKind() {
	case '{':
		return appendCanonicalObject(b, d)
	case '[':
		b = appendDelimiter(b, d)
		for first := true; d.PeekKind() != ']'; first = false {
			if !first {
				b = append(b, ',')
			}
			b = appendCanonical(b, d)
		}
		return appendDelimiter(b, d)
	default:
		value, _ := d.ReadValue()
		return appendCanonicalScalar(b, value)
	}
}

func appendCanonicalObject(b []byte, d *jsontext.Decoder) []byte {
	type canonicalMember struct{ name, text []byte }
	var members []canonicalMember
	b = appendDelimiter(b, d)
	for d.PeekKind() != '}' {
		name, _ := d.ReadValue()
		text := appendCanonicalScalar(nil, name)
		length := len(text)
		text = appendCanonical(append(text, ':'), d)
		members = append(members, canonicalMember{text[:length], text})
	}
	slices.SortStableFunc(members, func(x, y canonicalMember) int { return bytes.Compare(x.name, y.name) })
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, m.text...)
	}
	return appendDelimiter(b, d)
}

// appendDelimiter writes the bracket or brace that comes next.
func appendDelimiter(b []byte, d *jsontext.Decoder) []byte {
	token, _ := d.ReadToken()
	return append(b, byte(token.Kind()))
}

// appendCanonicalScalar writes a string in its shortest form, and anything else as it is. A string that is no text is
// equal only to itself.
func appendCanonicalScalar(b, value []byte) []byte {
	if !isString(value) {
		return append(b, value...)
	}
	text := unquote(value)
	if text == nil {
		return append(b, value...)
	}
	b, _ = jsontext.AppendQuote(b, text)
	return b
}
