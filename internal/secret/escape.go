package secret

import (
	"html"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf16"
)

// deepest is how many escapes of escapes are undone: a URL in JSON in a quoted Go string is three.
const deepest = 3

// escapes undo the escape that a text begins with: they give what it stands for, and how long it is; 0 is none.
func escapes() []func(text string) (plain string, length int) {
	return []func(string) (string, int){ofJSON, ofURL, ofHTML}
}

// passage is a text that was made of a part of another one by undoing its escapes.
type passage struct {
	text string
	// begins says where in the other text each byte begins, and where the last one ends.
	begins []int
}

func whole(text string) passage {
	p := passage{text: text, begins: make([]int, len(text)+1)}
	for i := range p.begins {
		p.begins[i] = i
	}
	return p
}

// undo undoes all escapes of one kind. It reports whether there was one.
func (p passage) undo(escape func(string) (string, int)) (undone passage, found bool) {
	var b strings.Builder
	for i := 0; i < len(p.text); {
		plain, length := escape(p.text[i:])
		if length == 0 {
			plain, length = p.text[i:i+1], 1
		} else {
			found = true
		}
		b.WriteString(plain)
		for range len(plain) {
			undone.begins = append(undone.begins, p.begins[i])
		}
		i += length
	}
	undone.text, undone.begins = b.String(), append(undone.begins, p.begins[len(p.text)])
	return undone, found
}

// ofJSON undoes what follows a backslash, in JSON and in Go.
func ofJSON(text string) (plain string, length int) {
	if len(text) < len(`\n`) || text[0] != '\\' {
		return "", 0
	}
	if strings.IndexByte(`"'/\`, text[1]) >= 0 { // Not all of them are escaped in Go.
		return text[1:2], len(`\/`)
	}
	first, high := unit(text)
	if second, low := unit(text[high:]); utf16.IsSurrogate(first) && low > 0 {
		return string(utf16.DecodeRune(first, second)), high + low
	}
	r, multibyte, rest, err := strconv.UnquoteChar(text, 0)
	switch {
	case err != nil:
		return "", 0
	case !multibyte: // \xff is a byte.
		return string([]byte{byte(r)}), len(text) - len(rest) //nolint:gosec // It is one.
	default:
		return string(r), len(text) - len(rest)
	}
}

// unit reads \ud83d, half of a character.
func unit(text string) (half rune, length int) {
	const form = `\ud83d`
	if len(text) < len(form) || text[:2] != `\u` {
		return 0, 0
	}
	n, err := strconv.ParseUint(text[2:len(form)], 16, 16)
	if err != nil {
		return 0, 0
	}
	return rune(n), len(form)
}

func ofURL(text string) (plain string, length int) {
	const form = "%20"
	if len(text) < len(form) || text[0] != '%' {
		return "", 0
	}
	plain, err := url.PathUnescape(text[:len(form)])
	if err != nil {
		return "", 0
	}
	return plain, len(form)
}

func ofHTML(text string) (plain string, length int) {
	const longest = len("&#x0010ffff;")
	if text[0] != '&' {
		return "", 0
	}
	end := strings.IndexByte(text[:min(len(text), longest)], ';') + 1
	if plain = html.UnescapeString(text[:end]); plain == text[:end] {
		return "", 0
	}
	return plain, end
}
