package source

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/pipeline"
)

// Config is what the operator sets (the fields up to ListsURL), and what the client works with.
type Config struct {
	// AppKey and MasterSecret authenticate every request, by HTTP Basic.
	AppKey       string
	MasterSecret secret.Secret
	// Redactor masks what else must not be shown of what others answer: credentials that go elsewhere.
	Redactor secret.Redactor
	// BaseURL is the API's address with its version, https://report.im.jpush.cn/v2.
	BaseURL string
	// TimeZone is the zone of the API's local times; its offset must not change.
	TimeZone *time.Location
	// ProveZone holds the zone against messages before the first window is planned.
	ProveZone bool
	// Zones are proved zones that this client shares with others; nil where it proves its own alone.
	Zones *Zones
	// Rate is the most requests sent in a time, for all streams together.
	Rate Rate
	// Reserve is the fraction of the API's quota (0 to 1) that is left to others with the same app: by its rate headers, no more
	// is asked for once less remains. 0 reserves nothing.
	Reserve float64
	// PageSize is the rows asked for in a page; 1000 is the most.
	PageSize int
	// Poll is the least time between two windows of a stream at the head, PollIdle that of a stream that has brought no row for long: it
	// grows with the silence. 0 is the same as Poll.
	Poll, PollIdle time.Duration
	// GiveUp is for how long a request is tried again to which somebody other than the API answers, once the API has answered; 0
	// gives up at once.
	GiveUp time.Duration
	// Settle is how far behind the server's clock a window ends at least.
	Settle time.Duration
	// Overlap is how far a window reaches back before its position, in whole seconds.
	Overlap time.Duration
	// ListsURL is the address of the IM REST API with its version, https://api.im.jpush.cn/v1, which lists users, groups and
	// chatrooms.
	ListsURL string
	// GapAfter is for how long the clocks have to have been steady before time is planned to be a gap; 0 is 5 minutes.
	GapAfter time.Duration
	// Now is the local clock, against which the API's is held; time.Now where nil.
	Now pipeline.Clock
	// Retry is the policy for requests that may succeed later.
	Retry pipeline.Retry
	// Observer gets each request, except one that was cut off by its own context; may be nil.
	Observer pipeline.Observer
	// Warn reports, once each, what is unusual about the API or the settings but stops nothing: a constant message, and what
	// it is about. It may be nil.
	Warn func(message string, attrs ...slog.Attr)
	// Transport sends the requests; nil makes one for this client alone. Neither it nor the client may follow redirects.
	Transport http.RoundTripper
}

// The bounds of Config, and what is no setting.
const (
	exampleBaseURL  = "https://report.im.jpush.cn/v2"
	exampleListsURL = "https://api.im.jpush.cn/v1"
	maxPageSize     = 1000 // API document, request params.
	minPoll         = 100 * time.Millisecond
	minOverlap      = time.Second
	longestPollIdle = 2 * time.Minute // Of messages, nothing read for 5 minutes is taken for a fault.
	longestSetting  = time.Hour       // For times that are seconds in practice; more is a slip of the unit.
	longestGiveUp   = 30 * 24 * time.Hour
	// requestTimeout bounds one request with its whole reply.
	requestTimeout = 60 * time.Second
	// maxBody bounds a reply in bytes, decompressed: 4 KiB for each of the most rows that may be asked for. What takes more is asked
	// for again, fewer rows at a time.
	maxBody = maxPageSize * 4 << 10
	// pageBytes is how large a page should be at most: fewer rows are asked for where they would take more. Two pages of each window that is
	// fetched are in memory.
	pageBytes = maxBody / 2
)

// Validate reports every mistake at once, by the names of the settings. The texts hold neither the secret nor credentials
// in the address.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	within := func(name string, d, lowest time.Duration) {
		check(lowest <= d && d <= longestSetting, "%s: %s is not between %s and %s", name, d, lowest, longestSetting)
	}
	check(c.AppKey != "" && !strings.ContainsFunc(c.AppKey, notInKey),
		"JMPUB_APP_KEY: %q is no app key: it must not be empty and holds no space, control character or any of : / ! ~", c.AppKey)
	check(!c.MasterSecret.IsEmpty(), "JMPUB_MASTER_SECRET: it is empty")
	check(!strings.ContainsFunc(c.MasterSecret.Reveal(), notInSecret),
		"JMPUB_MASTER_SECRET: it holds a space or a control character")
	check(isBaseURL(c.BaseURL), "JMPUB_API_URL: want an address such as %s, with no query and no credentials in it",
		exampleBaseURL)
	check(isBaseURL(c.ListsURL), "JMPUB_IM_URL: want an address such as %s, with no query and no credentials in it",
		exampleListsURL)
	check(c.Rate.Requests >= 1 && c.Rate.Requests <= maxRequests && c.Rate.Per > 0,
		"JMPUB_API_RATE: %s is not a rate such as 600/m", c.Rate)
	check(c.PageSize >= 1 && c.PageSize <= maxPageSize,
		"JMPUB_API_PAGE_SIZE: %d is not between 1 and %d", c.PageSize, maxPageSize)
	within("JMPUB_POLL", c.Poll, minPoll)
	check(c.PollIdle == 0 || c.PollIdle >= c.Poll, "JMPUB_POLL_IDLE: %s is less than JMPUB_POLL, which is %s; set it to %s to ask all streams "+
		"as often", c.PollIdle, c.Poll, c.Poll)
	check(c.PollIdle <= max(longestPollIdle, c.Poll), "JMPUB_POLL_IDLE: %s is more than %s", c.PollIdle, longestPollIdle)
	check(c.GiveUp >= 0 && c.GiveUp <= longestGiveUp, "JMPUB_API_GIVE_UP: %s is not between 0s and %s", c.GiveUp, longestGiveUp)
	within("JMPUB_SETTLE", c.Settle, 0)
	check(c.Overlap >= minOverlap && c.Overlap <= longestSetting && c.Overlap%time.Second == 0,
		"JMPUB_OVERLAP: %s is not a number of whole seconds from %s to %s: the API's bounds have whole seconds, so less "+
			"than one could lose rows where two windows meet", c.Overlap, minOverlap, longestSetting)
	check(c.TimeZone != nil, "JMPUB_API_TIME_ZONE: it is not set")
	now := time.Now()
	at, changes := offsetChange(cmp.Or(c.TimeZone, time.UTC), now.Add(-pipeline.History), now.AddDate(1, 0, 0))
	check(!changes, "JMPUB_API_TIME_ZONE: the clocks of %s change on %s: the API's local times would be ambiguous then; "+
		"use a zone without daylight saving time, such as Asia/Shanghai or UTC", c.TimeZone, at.Format(time.DateOnly))
	return errors.Join(errs...)
}

// notInKey reports whether an app key cannot hold a character: HTTP Basic ends it at a colon (RFC 7617 §2), and the others divide
// the names that jmpub makes of it, its transactional id and the keys of its records.
func notInKey(r rune) bool { return strings.ContainsRune(":/!~", r) || notInSecret(r) }

func notInSecret(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

func isBaseURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil &&
		u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && !strings.HasSuffix(text, "#")
}

// offsetChange finds the first time after from and before to at which a zone's offset from UTC changes.
func offsetChange(zone *time.Location, from, to time.Time) (time.Time, bool) {
	for t := from.In(zone); ; {
		_, next := t.ZoneBounds()
		if next.IsZero() || !next.Before(to) {
			return time.Time{}, false
		}
		_, before := t.Zone()
		if _, after := next.Zone(); after != before {
			return next, true
		}
		t = next // Only the zone's name changed.
	}
}
