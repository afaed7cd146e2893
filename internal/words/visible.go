package words

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Visible writes as escapes what a terminal would obey or not show, whoever wrote it: control characters, what turns the direction
// of text or has no width, and bytes that are no UTF-8. Line breaks and tabs stay. The escapes are those of JSON, so that JSON stays
// the JSON that it is.
func Visible(text string) string {
	return escape(text, func(r rune) bool { return r != '\n' && r != '\t' && isHidden(r) })
}

// Line is [Visible] with line breaks and tabs escaped too: one cell of a table, one line of a log.
func Line(text string) string { return escape(text, isHidden) }

// Writer passes on what is written, made [Visible]. No character may be cut between two writes.
type Writer struct{ Out io.Writer }

// Write implements [io.Writer].
func (w *Writer) Write(text []byte) (int, error) {
	if _, err := w.Out.Write([]byte(Visible(string(text)))); err != nil {
		return 0, err
	}
	return len(text), nil
}

// isHidden tells of a character that says nothing by itself, and changes how others are shown.
func isHidden(r rune) bool {
	return r < ' ' || r > '~' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point)
}

func escape(text string, hidden func(rune) bool) string {
	if utf8.ValidString(text) && strings.IndexFunc(text, hidden) < 0 {
		return text
	}
	var b strings.Builder
	for rest := text; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		case !hidden(r):
			b.WriteString(rest[:size])
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		}
		rest = rest[size:]
	}
	return b.String()
}
