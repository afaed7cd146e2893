package verify

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// scanner walks over JSON. It finds where things end and checks no more than it needs for that.
type scanner struct {
	json []byte
	at   int
	// broken tells that something did not end, or began with what it cannot begin with.
	broken bool
}

// space moves over whitespace.
func (s *scanner) space() {
	for s.at < len(s.json) {
		switch s.json[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// next is the first byte of what comes next, 0 at the end.
func (s *scanner) next() byte {
	s.space()
	if s.at >= len(s.json) || s.broken {
		return 0
	}
	return s.json[s.at]
}

// expect moves over a byte that has to come next.
func (s *scanner) expect(c byte) {
	if s.next() != c || c == 0 {
		s.broken = true
		return
	}
	s.at++
}

// enter moves into an object or array and tells whether it has an element.
func (s *scanner) enter(begin, end byte) bool {
	s.expect(begin)
	if s.next() != end {
		return !s.broken
	}
	s.at++
	return false
}

// more moves to the next element, or out of the object or array if there is none.
func (s *scanner) more(end byte) bool {
	if s.next() == ',' {
		s.at++
		return true
	}
	s.expect(end)
	return false
}

// text moves over a string and returns what is between its quotes.
func (s *scanner) text() []byte {
	s.expect('"')
	start := s.at
	for !s.broken {
		end := bytes.IndexByte(s.json[s.at:], '"')
		if end < 0 {
			break
		}
		s.at += end + 1
		escapes := s.at - 1
		for escapes > start && s.json[escapes-1] == '\\' {
			escapes--
		}
		if (s.at-1-escapes)%2 == 0 { // An even number of backslashes are escaped themselves.
			return s.json[start : s.at-1]
		}
	}
	s.broken = true
	return nil
}

// scalar moves over a number or a literal and returns it.
func (s *scanner) scalar() []byte {
	start := s.at
	for s.at < len(s.json) {
		switch s.json[s.at] {
		case ' ', '\t', '\n', '\r', ',', ':', '"', '[', ']', '{', '}':
			s.broken = s.broken || s.at == start
			return s.json[start:s.at]
		}
		s.at++
	}
	s.broken = s.broken || s.at == start
	return s.json[start:s.at]
}

// skip moves over a value.
func (s *scanner) skip() {
	switch s.next() {
	case '{':
		for ok := s.enter('{', '}'); ok; ok = s.more('}') {
			s.text()
			s.expect(':')
			s.skip()
		}
	case '[':
		for ok := s.enter('[', ']'); ok; ok = s.more(']') {
			s.skip()
		}
	case '"':
		s.text()
	default:
		s.scalar()
	}
}

// unescaped is the text of a JSON string, given without its quotes; nil if it is no text.
func unescaped(escaped []byte) []byte {
	if bytes.IndexByte(escaped, '\\') < 0 {
		return escaped
	}
	text, err := jsontext.AppendUnquote(nil, slices.Concat([]byte{'"'}, escaped, []byte{'"'}))
	if err != nil {
		return nil
	}
	return text
}
