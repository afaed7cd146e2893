package source

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// Config is what the operator sets, and what tests replace.
type Config struct {
	// AppKey and MasterSecret authenticate every request. The secret is held only here and in the header that is sent.
	AppKey       string
	MasterSecret Secret
	// BaseURL is the API's address with its version, without a slash at the end.
	BaseURL string
	// TimeZone is the zone of the API's local times.
	TimeZone *time.Location
	// Rate is the most requests sent in a time, for all streams together.
	Rate Rate
	// PageSize is the rows asked for in a page, at most 1000.
	PageSize int
	// Poll is the time between two windows of a stream at the head.
	Poll time.Duration
	// Settle is how far behind the server's clock a window may end.
	Settle time.Duration
	// Overlap is how far a window reaches back before its position.
	Overlap time.Duration
	// Retry is the policy for requests that may succeed later.
	Retry pipeline.Retry
	// Observer is told of each request; may be nil.
	Observer *pipeline.Observer
	// Warn is told, once each, what is odd about the API but does no harm; may be nil.
	Warn func(message string)
	// Transport sends the requests; the package's own where nil.
	Transport http.RoundTripper
	// RequestTimeout bounds one request with its reply; default 60 s.
	RequestTimeout time.Duration
	// MaxBody bounds a reply, decompressed; default 64 MiB.
	MaxBody int64
	// CursorTTL is how long a cursor lives; default 120 s (API document, request parameters).
	CursorTTL time.Duration
	// Retention is how far back the API's history reaches; default 60 days (API document, introduction).
	Retention time.Duration
}

// Secret is a text that prints as a mask.
type Secret string

// String hides the secret.
func (Secret) String() string { return "********" }

// GoString hides the secret.
func (Secret) GoString() string { return "********" }

// MarshalText hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte("********"), nil }

// Rate is a number of requests in a time.
type Rate struct {
	Requests int
	Per      time.Duration
}

// ParseRate reads a rate such as 600/m, 10/s or 36000/h.
func ParseRate(text string) (Rate, error) {
	count, unit, ok := strings.Cut(text, "/")
	units := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}
	n, err := strconv.Atoi(count)
	if !ok || err != nil || n < 1 || units[unit] == 0 {
		return Rate{}, fmt.Errorf("%q is not a rate such as 600/m or 10/s", text)
	}
	return Rate{Requests: n, Per: units[unit]}, nil
}

// String is the form that ParseRate reads.
func (r Rate) String() string {
	switch r.Per {
	case time.Second:
		return fmt.Sprintf("%d/s", r.Requests)
	case time.Hour:
		return fmt.Sprintf("%d/h", r.Requests)
	default:
		return fmt.Sprintf("%d/m", r.Requests)
	}
}

// The bounds and defaults of the API.
const (
	maxPageSize    = 1000
	maxWindow      = 7 * 24 * time.Hour
	minOverlap     = time.Second
	defaultTTL     = 120 * time.Second
	defaultHistory = 60 * 24 * time.Hour
	defaultTimeout = 60 * time.Second
	defaultMaxBody = 64 << 20
)

// complete fills in the defaults and reports every mistake at once.
func (c *Config) complete(now time.Time) error {
	if c.RequestTimeout <= 0 {
		c.RequestTimeout = defaultTimeout
	}
	if c.MaxBody <= 0 {
		c.MaxBody = defaultMaxBody
	}
	if c.CursorTTL <= 0 {
		c.CursorTTL = defaultTTL
	}
	if c.Retention <= 0 {
		c.Retention = defaultHistory
	}
	if c.Warn == nil {
		c.Warn = func(string) {}
	}
	c.Observer = c.Observer.Complete()
	c.BaseURL = strings.TrimRight(c.BaseURL, "/")
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.AppKey == "" || strings.ContainsAny(c.AppKey, ": \t\r\n") {
		add("JMPUB_APP_KEY: %q is no app key: it must not be empty and holds no colon or space", c.AppKey)
	}
	if c.MasterSecret == "" {
		add("JMPUB_MASTER_SECRET is empty")
	}
	if c.BaseURL == "" {
		add("JMPUB_API_URL is empty")
	}
	if c.Rate.Requests < 1 || c.Rate.Per <= 0 {
		add("JMPUB_API_RATE: want a rate such as 600/m")
	}
	if c.PageSize < 1 || c.PageSize > maxPageSize {
		add("JMPUB_API_PAGE_SIZE: %d is not between 1 and %d", c.PageSize, maxPageSize)
	}
	if c.Overlap < minOverlap || c.Overlap > time.Hour || c.Overlap%time.Second != 0 {
		add("JMPUB_OVERLAP: %s is not a number of whole seconds from 1s to 1h: the API's bounds have whole seconds, so "+
			"less than one could lose rows at a window's edge", c.Overlap)
	}
	if c.Settle < 0 || c.Settle > time.Hour {
		add("JMPUB_SETTLE: %s is not between 0 and 1h", c.Settle)
	}
	if c.Poll < 100*time.Millisecond || c.Poll > time.Hour {
		add("JMPUB_POLL: %s is not between 100ms and 1h", c.Poll)
	}
	if c.TimeZone == nil {
		add("JMPUB_API_TIME_ZONE is not set")
	} else if at, ok := offsetChange(c.TimeZone, now.Add(-c.Retention), now.AddDate(1, 0, 0)); ok {
		add("JMPUB_API_TIME_ZONE: the clocks of %s change on %s; the API's local times would be ambiguous then. "+
			"Use a zone without daylight saving time, such as Asia/Shanghai or UTC", c.TimeZone, at.Format(time.DateOnly))
	}
	return errors.Join(errs...)
}

// offsetChange finds a day on which a zone's offset from UTC changes.
func offsetChange(zone *time.Location, from, to time.Time) (time.Time, bool) {
	_, first := from.In(zone).Zone()
	for t := from; t.Before(to); t = t.Add(12 * time.Hour) {
		if _, offset := t.In(zone).Zone(); offset != first {
			return t.In(zone), true
		}
	}
	return time.Time{}, false
}
