package source

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/jmpub/jmpub/pipeline"
)

// limiter holds all requests of an app to its quota: a token bucket, and a pause where the API asks for one. Safe for
// concurrent use.
type limiter struct {
	bucket *rate.Limiter

	mu sync.Mutex
	// until is when a pause ends.
	until time.Time
}

func newLimiter(r Rate) *limiter {
	perSecond := float64(r.Requests) / r.Per.Seconds()
	// The bucket holds one second's worth: enough to use a busy minute fully, too little to exceed it noticeably.
	return &limiter{bucket: rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))}
}

// wait returns when a request may be sent.
func (l *limiter) wait(ctx context.Context) error {
	if err := l.bucket.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return context.DeadlineExceeded // The bucket knows that the deadline comes first.
	}
	for {
		l.mu.Lock()
		pause := time.Until(l.until)
		l.mu.Unlock()
		if pause <= 0 {
			return nil
		}
		if err := pipeline.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// maxPause bounds what a header can ask for: the API counts by the minute.
const maxPause = 10 * time.Minute

// pause holds all requests back for a time.
func (l *limiter) pause(d time.Duration) {
	until := time.Now().Add(min(d, maxPause))
	l.mu.Lock()
	defer l.mu.Unlock()
	if until.After(l.until) {
		l.until = until
	}
}

// obey reads the rate headers of a reply, in either spelling of the sibling products; none is fine.
func (l *limiter) obey(h http.Header) {
	if h.Get("X-Rate-Limit-Limit") == "" && h.Get("X-Rate-Limit-Quota") == "" {
		return
	}
	remaining, err := strconv.Atoi(h.Get("X-Rate-Limit-Remaining"))
	if err != nil || remaining > 0 {
		return
	}
	if reset, ok := seconds(h.Get("X-Rate-Limit-Reset")); ok {
		l.pause(reset)
	}
}

// retryAfter is the wait that a 429 or 503 asks for: X-Rate-Limit-Reset (seconds left) or Retry-After (RFC 9110 §10.2.3,
// seconds or a date, held against the reply's own Date); zero where there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if d, ok := seconds(h.Get("X-Rate-Limit-Reset")); ok {
		return d
	}
	value := h.Get("Retry-After")
	if d, ok := seconds(value); ok {
		return d
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(0, at.Sub(now)), maxPause)
}

func seconds(text string) (time.Duration, bool) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0) || n > 1e6 { // The comparison is false for NaN.
		return 0, false
	}
	return min(time.Duration(n*float64(time.Second)), maxPause), true
}
