// Package words puts numbers and texts of others into the sentences that people read.
package words

import (
	"strconv"
	"unicode/utf8"
)

// Count is a number of things: 1 row, 2 rows.
func Count[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(int64(n), 10) + " " + many
}

// Rows counts rows.
func Rows[N int | int64](n N) string { return Count(n, "row", "rows") }

// Requests counts requests.
func Requests[N int | int64](n N) string { return Count(n, "request", "requests") }

// Windows counts windows.
func Windows[N int | int64](n N) string { return Count(n, "window", "windows") }

// Shorten leaves at most so many bytes of a text, without half a character.
func Shorten(text string, most int) string {
	const ellipsis = "…"
	if len(text) <= most {
		return text
	}
	end := most - len(ellipsis)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}
