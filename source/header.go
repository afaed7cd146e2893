package source

import (
	"cmp"
	"math"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxPause bounds what a header can ask for.
	maxPause = time.Hour
	// barePause is the pause after a 429 that does not say how long it lasts.
	barePause = time.Second
)

// quotaOf is what a reply's rate headers say of the app's quota: X-Rate-Limit-Remaining, and -Limit (in a sibling product -Quota), which is 0
// where it is missing. Not ok where nothing is said of what is left.
func quotaOf(h http.Header) (limit, remaining int, ok bool) {
	remaining, err := strconv.Atoi(h.Get("X-Rate-Limit-Remaining"))
	if err != nil {
		return 0, 0, false
	}
	limit, err = strconv.Atoi(cmp.Or(h.Get("X-Rate-Limit-Limit"), h.Get("X-Rate-Limit-Quota")))
	if err != nil {
		limit = 0
	}
	return limit, remaining, true
}

// exhausted is the pause that a reply's rate headers ask for: until X-Rate-Limit-Reset once nothing is left, or no more than the part of the
// limit that is reserved for others.
func exhausted(h http.Header, reserve float64, serverNow time.Time) time.Duration {
	limit, remaining, ok := quotaOf(h)
	if !ok || remaining > 0 && float64(remaining) > reserve*float64(limit) {
		return 0
	}
	return untilReset(h, serverNow)
}

// retryAfter is the wait that a 429 or 503 asks for: the longer of X-Rate-Limit-Reset and Retry-After (RFC 9110 §10.2.3), at most
// maxPause; zero where there is neither.
func retryAfter(h http.Header, serverNow time.Time) time.Duration {
	after, _ := waitUntil(h.Get("Retry-After"), serverNow)
	return max(untilReset(h, serverNow), min(after, maxPause))
}

// untilReset is how long X-Rate-Limit-Reset says that the quota lasts. The API counts by the minute, so what is hours as seconds is
// milliseconds, and a time that is hours off is that of another clock: it says nothing.
func untilReset(h http.Header, serverNow time.Time) time.Duration {
	wait, isTime := waitUntil(h.Get("X-Rate-Limit-Reset"), serverNow)
	if wait > maxPause && !isTime {
		wait /= 1000
	}
	if wait > maxPause {
		return 0
	}
	return wait
}

const (
	// earliestUnix is the least number that is a time and no wait, longestUnix the greatest one that has seconds and not a fraction
	// of them: the years 1973 and 5138.
	earliestUnix = 1e8
	longestUnix  = 1e11
	// longestWait is as many seconds as a time.Duration surely holds, 158 years.
	longestWait = 5e9
)

// waitUntil reads how long to wait: a number of seconds, or a time, which is held against the server's clock: an HTTP date, RFC 3339,
// or since 1970 in seconds or thousandths, millionths, billionths of them. It is never negative; 0 where the text is none of it.
func waitUntil(text string, serverNow time.Time) (wait time.Duration, isTime bool) {
	at, err := http.ParseTime(text)
	if err != nil {
		at, err = time.Parse(time.RFC3339, text)
	}
	if err == nil {
		return max(0, at.Sub(serverNow)), true
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0) || math.IsInf(n, 1) { // The comparison is false for NaN.
		return 0, false
	}
	for n >= longestUnix {
		n /= 1000
	}
	if isTime = n >= earliestUnix; isTime {
		n = max(0, n-float64(serverNow.UnixMilli())/1000)
	}
	return time.Duration(math.Round(min(n, longestWait)*1000)) * time.Millisecond, isTime
}
