package sim

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What a first request may ask for (API page, request params).
const (
	maxCount = 1000
	maxRange = 7 * 24 * time.Hour
)

// parseMessages reads the query of a message history: count, begin_time and end_time, or cursor alone.
func (s *Server) parseMessages(x *exchange, which stream) (cursor, *apiError) {
	values, apiErr := s.parseQuery(x.r.URL.RawQuery, "count", "begin_time", "end_time", "cursor")
	if apiErr != nil {
		return cursor{}, apiErr
	}
	if text, ok := values["cursor"]; ok && (s.Strict || text != "") {
		if s.Strict {
			if len(values) > 1 {
				return cursor{}, parameter("cursor goes alone")
			}
			return s.open(text, which)
		}
		return s.open(strings.ReplaceAll(text, " ", "+"), which) // A client that does not escape it sends its pluses as they are.
	}
	for _, name := range []string{"count", "begin_time", "end_time"} {
		if values[name] == "" {
			return cursor{}, parameter(name + " is missing")
		}
	}
	count, err := parseCount(values["count"])
	if err != nil || count < 1 || count > maxCount {
		return cursor{}, parameter("count is not between 1 and 1000")
	}
	now := s.Now()
	w := window{stream: which, seen: now.UnixMilli()}
	if w.lo, w.hi, apiErr = s.parseTimes(values, now); apiErr != nil {
		return cursor{}, apiErr
	}
	if x.fault == Stale {
		s.counters.fault(x.fault)
		w.seen -= s.StaleBy.Milliseconds()
	}
	return cursor{window: w, count: count, total: s.history.total(&w), after: position{clock: w.lo - 1, sec: w.lo / 1000, i: -1}}, nil
}

// parseTimes reads the bounds of a window.
func (s *Server) parseTimes(values map[string]string, now time.Time) (lo, hi int64, apiErr *apiError) {
	begin, beginErr := s.parseTime(time.DateTime, values["begin_time"])
	end, endErr := s.parseTime(time.DateTime, values["end_time"])
	switch {
	case beginErr != nil || endErr != nil:
		return 0, 0, parameter("a time is not yyyy-MM-dd HH:mm:ss")
	case begin.After(end):
		return 0, 0, parameter("begin_time is after end_time")
	case end.Sub(begin) > maxRange:
		return 0, 0, parameter("the range exceeds 7 days")
	}
	lo, hi = s.bounds(begin.Unix(), end.Unix())
	if oldest := now.Add(-s.History); begin.Before(oldest) {
		if s.OldIsError {
			return 0, 0, parameter("begin_time is before the history")
		}
		lo = max(lo, oldest.UnixMilli())
	}
	return max(lo, 0), hi, nil // Nothing happened before 1970.
}

// parseTime reads a local time that is written exactly in a form.
func (s *Server) parseTime(form, text string) (time.Time, error) {
	t, err := time.ParseInLocation(form, text, s.Zone)
	if err == nil && t.Format(form) != text { // Parse takes fractions of a second, too.
		err = strconv.ErrSyntax
	}
	return t, err
}

// parseQuery reads a query, in which each name is given once. If it is strict, names are known, everything is escaped that must be, and
// a space is %20; otherwise + is a space too, as in a form.
func (s *Server) parseQuery(raw string, known ...string) (map[string]string, *apiError) {
	values := make(map[string]string, len(known))
	for pair := range strings.SplitSeq(raw, "&") {
		name, escaped, ok := strings.Cut(pair, "=")
		switch {
		case raw == "":
			return values, nil
		case !ok || name == "":
			return nil, parameter("the query is not a list of name=value")
		case !slices.Contains(known, name):
			if s.Strict {
				return nil, parameter("there is an unknown parameter")
			}
			continue
		}
		if _, twice := values[name]; twice {
			return nil, parameter(name + " is given twice")
		}
		if s.Strict && strings.Contains(escaped, "+") {
			return nil, parameter(name + " holds a +; a space is escaped as %20, a plus as %2B")
		}
		value, err := url.QueryUnescape(escaped)
		if err != nil || s.Strict && !isEscaped(escaped, "/?") {
			return nil, parameter(name + " is not escaped")
		}
		values[name] = value
	}
	return values, nil
}

// isEscaped tells that text has only what may stand in a path's segment (RFC 3986 §3.3), and what is allowed besides. It
// does not look at what follows a percent sign.
func isEscaped(text, besides string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~%!$&'()*+,;=:@", c) >= 0:
		case strings.IndexByte(besides, c) >= 0:
		default:
			return false
		}
	}
	return true
}
