// Package words puts numbers and texts of others into the sentences that people read.
package words

import "strconv"

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
