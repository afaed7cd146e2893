package sim

import (
	"cmp"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// quota counts an app's requests in a fixed window of a minute. Safe for concurrent use.
type quota struct {
	limits *Limits

	mu     sync.Mutex
	minute int64 // since 1970
	used   int
}

// headerWithoutLimit is the quota that a made-up 429 names where there is none: the usual one of the IM REST API.
const headerWithoutLimit = 600

// take counts a request, writes the headers, and tells whether the request is within the quota.
func (q *quota) take(w http.ResponseWriter, now time.Time) bool {
	if q.limits.PerMinute == 0 {
		return true
	}
	sec := now.Unix()
	q.mu.Lock()
	if minute := sec / 60; minute != q.minute {
		q.minute, q.used = minute, 0
	}
	q.used++
	left := q.limits.PerMinute - q.used
	q.mu.Unlock()
	reset := 60 - sec%60
	if !q.limits.NoRateHeaders {
		q.tell(w, max(0, left), reset)
	}
	if left < 0 && q.limits.RetryAfter {
		w.Header().Set("Retry-After", strconv.FormatInt(reset, 10))
	}
	return left >= 0
}

// tell writes the headers: the quota, what is left of it, and the seconds until it is whole again (as in the sibling
// product; unknown for the report host).
func (q *quota) tell(w http.ResponseWriter, left int, reset int64) {
	name := "X-Rate-Limit-Limit"
	if q.limits.QuotaHeader {
		name = "X-Rate-Limit-Quota"
	}
	w.Header().Set(name, strconv.Itoa(cmp.Or(q.limits.PerMinute, headerWithoutLimit)))
	w.Header().Set("X-Rate-Limit-Remaining", strconv.Itoa(left))
	w.Header().Set("X-Rate-Limit-Reset", strconv.FormatInt(reset, 10))
}
