package rawjson

import (
	"encoding/binary"
	"math/bits"
)

// walk goes through JSON as a lenient reader takes it, in two thirds of the time that jsontext takes, and knows only what is right: where
// one of its methods fails, it stands where it stood, and jsontext has to say what is there. That is every error, and what nests deeper
// than deepest.
type walk struct {
	input []byte
	// end is where the last value, name or bracket ends, and last is which of them that was.
	end  int
	last place
	// depth is how many brackets are open. Of each of them objects has a bit, which is set for '{'; the innermost is the lowest.
	depth   int
	objects uint64
	// spaced is set once white space was passed that means nothing.
	spaced bool
}

// place is where a walk stands, by what it has just passed.
type place uint8

const (
	atBegin    place = iota // the beginning of the input, or an opening bracket
	afterName               // the name of a member
	afterValue              // a value
)

// deepest is how deep a walk goes, and from there the values go that it passes over. Its bits in objects have no more room; jsontext reads
// 10,000 levels.
const deepest = 64

// inObject tells whether the innermost open bracket is that of an object.
func (w *walk) inObject() bool { return w.objects&1 != 0 }

// awaitsName tells that only a name can come next, or the bracket that closes the object.
func (w *walk) awaitsName() bool { return w.inObject() && w.last != afterName }

// next is where the next value, name or bracket begins, behind white space and the colon or comma that has to stand before it; the end of
// the input where there is none.
func (w *walk) next() int {
	i := w.skipSpace(w.end)
	if i == len(w.input) || w.depth == 0 || w.last == atBegin {
		return i
	}
	c := w.input[i]
	switch {
	case w.last == afterName && c == ':':
		return w.skipSpace(i + 1)
	case w.last == afterName:
	case c == ',':
		if i = w.skipSpace(i + 1); i < len(w.input) && !isClosing(w.input[i]) {
			return i
		}
	case isClosing(c):
		return i
	}
	return len(w.input)
}

// enter moves into the object or array that comes next, whose opening bracket is given.
func (w *walk) enter(bracket byte) bool {
	i := w.next()
	if i == len(w.input) || w.input[i] != bracket || w.awaitsName() || w.depth == deepest {
		return false
	}
	w.depth++
	w.objects <<= 1
	if bracket == '{' {
		w.objects |= 1
	}
	w.end, w.last = i+1, atBegin
	return true
}

// leave moves out of the innermost object or array, if that ends; more tells that something else comes next.
func (w *walk) leave() (more, ok bool) {
	i := w.next()
	switch {
	case i == len(w.input):
		return false, false
	case !isClosing(w.input[i]):
		return true, true
	case w.depth == 0 || w.last == afterName || w.inObject() != (w.input[i] == '}'):
		return false, false
	}
	w.depth--
	w.objects >>= 1
	w.end, w.last = i+1, afterValue
	return false, true
}

// value passes over the value or name that comes next, and returns where it begins.
func (w *walk) value() (begin int, ok bool) {
	begin = w.next()
	last := afterValue
	if w.awaitsName() {
		if begin == len(w.input) || w.input[begin] != '"' {
			return 0, false
		}
		last = afterName
	}
	w.spaced = false
	end := w.valueEnd(begin, deepest)
	if end < 0 {
		return 0, false
	}
	w.end, w.last = end, last
	return begin, true
}

// member passes over the member that comes next, name and value, where no white space stands around them, and returns where both begin and where
// the name ends. Most senders write so, and then it does what [walk.leave] and two [walk.value] do, in two thirds of the time.
func (w *walk) member() (name, nameEnd, value int, ok bool) {
	b, i := w.input, w.end
	if !w.inObject() || w.last == afterName {
		return 0, 0, 0, false
	}
	if w.last == afterValue {
		if i == len(b) || b[i] != ',' {
			return 0, 0, 0, false
		}
		i++
	}
	if i == len(b) || b[i] != '"' {
		return 0, 0, 0, false
	}
	nameEnd = stringEnd(b, i)
	if nameEnd < 0 || nameEnd == len(b) || b[nameEnd] != ':' {
		return 0, 0, 0, false
	}
	w.spaced = false
	end := w.valueEnd(nameEnd+1, deepest)
	if end < 0 {
		return 0, 0, 0, false
	}
	w.end, w.last = end, afterValue
	return i, nameEnd, nameEnd + 1, true
}

// valueEnd is where the value at i ends, in which so many brackets may stand around a value; negative where it is broken or nests deeper.
func (w *walk) valueEnd(i, depth int) int {
	b := w.input
	if i == len(b) || depth < 0 {
		return -1
	}
	switch b[i] {
	case '"':
		return stringEnd(b, i)
	case '{':
		return w.objectEnd(i, depth-1)
	case '[':
		return w.arrayEnd(i, depth-1)
	case 't':
		return literalEnd(b, i, "true")
	case 'f':
		return literalEnd(b, i, "false")
	case 'n':
		return literalEnd(b, i, "null")
	default:
		return numberEnd(b, i)
	}
}

// objectEnd is where the object at i ends.
func (w *walk) objectEnd(i, depth int) int {
	b := w.input
	if i = w.skipSpace(i + 1); i < len(b) && b[i] == '}' {
		return i + 1
	}
	for i < len(b) && b[i] == '"' {
		if i = stringEnd(b, i); i < 0 {
			return -1
		}
		if i = w.skipSpace(i); i == len(b) || b[i] != ':' {
			return -1
		}
		if i = w.valueEnd(w.skipSpace(i+1), depth); i < 0 {
			return -1
		}
		if i = w.skipSpace(i); i == len(b) || b[i] != ',' {
			return closingEnd(b, i, '}')
		}
		i = w.skipSpace(i + 1)
	}
	return -1
}

// arrayEnd is where the array at i ends.
func (w *walk) arrayEnd(i, depth int) int {
	b := w.input
	if i = w.skipSpace(i + 1); i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i = w.valueEnd(i, depth); i < 0 {
			return -1
		}
		if i = w.skipSpace(i); i == len(b) || b[i] != ',' {
			return closingEnd(b, i, ']')
		}
		i = w.skipSpace(i + 1)
	}
}

// closingEnd is behind the bracket that has to stand at i.
func closingEnd(b []byte, i int, bracket byte) int {
	if i < len(b) && b[i] == bracket {
		return i + 1
	}
	return -1
}

func isClosing(c byte) bool { return c == '}' || c == ']' }

// isSpace compares first with what shows of most bytes that they are none.
func isSpace(c byte) bool { return c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t') }

// skipSpace is where the white space that may stand at i ends.
func (w *walk) skipSpace(i int) int {
	if i < len(w.input) && w.input[i] <= ' ' {
		return w.passSpace(i)
	}
	return i
}

func (w *walk) passSpace(i int) int {
	end := spaceEnd(w.input, i)
	w.spaced = w.spaced || end > i
	return end
}

// spaceEnd is where the white space at i ends.
func spaceEnd(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

// isValue tells whether b is one value, which white space may surround.
func isValue(b []byte) bool {
	w := walk{input: b}
	_, ok := w.value()
	return ok && spaceEnd(b, w.end) == len(b)
}

// appendCompact appends a value without its white space.
func appendCompact(dst, value []byte) []byte {
	copied := 0
	for i := 0; i < len(value); {
		switch c := value[i]; {
		case c == '"':
			i = stringEnd(value, i)
		case isSpace(c):
			dst = append(dst, value[copied:i]...)
			i = spaceEnd(value, i)
			copied = i
		default:
			i++
		}
	}
	return append(dst, value[copied:]...)
}

// literalEnd is where the literal at i ends; negative where it is another word.
func literalEnd(b []byte, i int, literal string) int {
	if end := i + len(literal); end <= len(b) && string(b[i:end]) == literal {
		return end
	}
	return -1
}

// numberEnd is where the number at i ends; negative where there is none. What follows it may be anything.
func numberEnd(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i = digitsEnd(b, i); i < 0 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i = digitsEnd(b, i+1); i < 0 {
			return -1
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		i = digitsEnd(b, i)
	}
	return i
}

// digitsEnd is where the digits at i end; negative where there are none.
func digitsEnd(b []byte, i int) int {
	from := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	if i == from {
		return -1
	}
	return i
}

// stringEnd is where the string at i ends; negative where it is broken. Bytes from 0x80 on pass, whatever they are.
func stringEnd(b []byte, i int) int {
	for i++; ; {
		// What stands for itself is passed eight bytes at a time. Of the marks of the others the lowest is right, and none is missing.
		const ones, highs = 0x0101010101010101, 0x8080808080808080
		for i+8 <= len(b) {
			eight := binary.LittleEndian.Uint64(b[i:])
			quote, backslash := eight^'"'*ones, eight^'\\'*ones
			marks := ((quote-ones)&^quote | (backslash-ones)&^backslash | (eight-' '*ones)&^eight) & highs
			if marks != 0 {
				i += bits.TrailingZeros64(marks) / 8
				break
			}
			i += 8
		}
		for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
			i++
		}
		switch {
		case i == len(b) || b[i] < ' ': // A control character.
			return -1
		case b[i] == '"':
			return i + 1
		}
		if i = escapeEnd(b, i); i < 0 {
			return -1
		}
	}
}

// escapeEnd is where the escape at i ends; negative where it is none. A lone surrogate is one too.
func escapeEnd(b []byte, i int) int {
	if i+1 == len(b) {
		return -1
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		for n := 2; n < 6; n++ {
			if i+n >= len(b) || !isHex(b[i+n]) {
				return -1
			}
		}
		return i + 6
	default:
		return -1
	}
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }
