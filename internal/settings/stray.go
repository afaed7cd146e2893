package settings

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// byteOrderMark is how some editors begin a file.
const byteOrderMark = "\ufeff"

// invisible says which character of a value cannot be seen, and so was not meant to be there; empty where there is none. Of the value
// itself it says nothing: it may be a secret.
func invisible(value string) string {
	if !utf8.ValidString(value) {
		return "is not UTF-8 text; save the file that it comes from as UTF-8"
	}
	for _, c := range value {
		switch {
		case c == '\r':
			return "has a carriage return in it: the file that it comes from has the line ends of Windows; save it with those of Unix"
		case c == '\n':
			return "has more than one line"
		case string(c) == byteOrderMark:
			return "has a byte order mark in it; save the file that it comes from as UTF-8 without one"
		case unicode.IsControl(c), unicode.Is(unicode.Cf, c):
			return fmt.Sprintf("has a character in it that cannot be seen, %U; write it anew", c)
		}
	}
	return ""
}

// quotes are what a value may stand in where a shell, or an editor that knows better, has been.
const quotes = "\"'`“”‘’«»"

// surrounded says what stands around a value and was not meant to belong to it; empty where nothing does.
func surrounded(value string) string {
	first, _ := utf8.DecodeRuneInString(value)
	last, size := utf8.DecodeLastRuneInString(value)
	switch {
	case unicode.IsSpace(first) || unicode.IsSpace(last):
		return "begins or ends with a space; write it without"
	case len(value) > size && strings.ContainsRune(quotes, first) && strings.ContainsRune(quotes, last):
		return "stands in quotes, and they would belong to the value; write it without (only a shell takes them off, `docker --env-file` does not)"
	default:
		return ""
	}
}
