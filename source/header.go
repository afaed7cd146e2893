package source

import (
	"cmp"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxPause bounds what a header can ask for: the API counts by the minute, and a greater value is in another unit.
	maxPause = time.Hour
	// barePause is the pause after a 429 that does not say how long it lasts.
	barePause = time.Second
)

// exhausted is the pause that a reply's rate headers ask for: X-Rate-Limit-Reset (seconds left) once
// X-Rate-Limit-Remaining is 0, or no more than the part of the limit (-Limit, in a sibling product -Quota) that is reserved
// for others.
func exhausted(h http.Header, reserve float64) time.Duration {
	remaining, err := strconv.Atoi(h.Get("X-Rate-Limit-Remaining"))
	if err != nil {
		return 0
	}
	limit, err := strconv.Atoi(cmp.Or(h.Get("X-Rate-Limit-Limit"), h.Get("X-Rate-Limit-Quota")))
	if err != nil {
		limit = 0
	}
	if remaining > 0 && float64(remaining) > reserve*float64(limit) {
		return 0
	}
	reset, _ := seconds(h.Get("X-Rate-Limit-Reset"))
	return reset
}

// retryAfter is the wait that a 429 or 503 asks for: the longer of X-Rate-Limit-Reset (seconds left) and Retry-After
// (RFC 9110 §10.2.3: seconds, or a date, which is held against the server's clock); zero where there is neither.
func retryAfter(h http.Header, serverNow time.Time) time.Duration {
	reset, _ := seconds(h.Get("X-Rate-Limit-Reset"))
	value := h.Get("Retry-After")
	after, ok := seconds(value)
	if at, err := http.ParseTime(value); !ok && err == nil {
		after = min(max(0, at.Sub(serverNow)), maxPause)
	}
	return max(reset, after)
}

// seconds reads a number of seconds, with or without a fraction, up to maxPause.
func seconds(text string) (time.Duration, bool) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0) { // The comparison is false for NaN.
		return 0, false
	}
	return time.Duration(min(n, maxPause.Seconds()) * float64(time.Second)), true
}
