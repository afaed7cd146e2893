package pipeline

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
	return appendCanonical(make([]byte, 0, len(compact)), compact)
}

func appendCanonical(b, value []byte) []byte {
	switch value[0] {
	case '{':
		return appendCanonicalObject(b, value)
	case '[':
		b = append(b, '[')
		for i := 1; value[i] != ']'; {
			if value[i] == ',' {
				b = append(b, ',')
				i++
			}
			end := valueEnd(value, i)
			b = appendCanonical(b, value[i:end])
			i = end
		}
		return append(b, ']')
	case '"':
		return appendCanonicalString(b, value)
	default:
		return append(b, value...)
	}
}

func appendCanonicalObject(b, object []byte) []byte {
	var found []member
	for members := membersOf(object); members.next(); {
		found = append(found, members.member)
	}
	slices.SortStableFunc(found, func(x, y member) int { return bytes.Compare(x.name, y.name) })
	b = append(b, '{')
	for i, m := range found {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendCanonicalString(b, m.quoted)
		b = append(b, ':')
		b = appendCanonical(b, m.value)
	}
	return append(b, '}')
}

// appendCanonicalString writes a string in its shortest form. One that is no text is equal only to itself.
func appendCanonicalString(b, quoted []byte) []byte {
	text := unquote(quoted)
	if text == nil {
		return append(b, quoted...)
	}
	b, _ = jsontext.AppendQuote(b, text) // The text was checked.
	return b
}
