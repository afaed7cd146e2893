package sim

import (
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// query is what a request asks for: a window of a stream, from a place in it.
type query struct {
	stream     stream
	begin, end int64 // unix seconds
	count      int
	total      int64
	// sec and idx are where the page begins: the idx-th row (of those that match) of the second sec.
	sec    int64
	idx    int
	issued int64 // unix milliseconds at which the cursor was given; 0 in a first request
}

// apiError is an error reply.
type apiError struct {
	status, code int
	message      string
}

// The codes of the API's documents.
const (
	codeInternal   = 899000
	codeNoUser     = 899002
	codeParameter  = 899003
	codeNoGroup    = 899006
	codeNoAuth     = 899007
	codeWrongAuth  = 899008
	codeNoAppKey   = 899009
	codeNoRoom     = 899081
	codeTooManyReq = 2002
)

func parameter(message string) *apiError {
	return &apiError{http.StatusBadRequest, codeParameter, message}
}

const timeForm = "2006-01-02 15:04:05"

// parse reads the request's path and query.
func (s *Server) parse(r *http.Request) (query, *apiError) {
	which, apiErr := s.parsePath(r.URL.EscapedPath())
	if apiErr != nil {
		return query{}, apiErr
	}
	values, apiErr := s.parseQuery(r.URL.RawQuery)
	if apiErr != nil {
		return query{}, apiErr
	}
	if cursor, ok := values["cursor"]; ok {
		if len(values) > 1 {
			return query{}, parameter("cursor goes alone")
		}
		return s.openCursor(cursor, which)
	}
	q := query{stream: which}
	for _, name := range []string{"count", "begin_time", "end_time"} {
		if _, ok := values[name]; !ok {
			return q, parameter(name + " is missing")
		}
	}
	if len(values) > 3 {
		return q, parameter("there are unknown parameters")
	}
	var err error
	if q.count, err = strconv.Atoi(values["count"]); err != nil || q.count < 1 || q.count > 1000 {
		return q, parameter("count is not between 1 and 1000")
	}
	begin, beginErr := time.ParseInLocation(timeForm, values["begin_time"], s.Zone)
	end, endErr := time.ParseInLocation(timeForm, values["end_time"], s.Zone)
	if beginErr != nil || endErr != nil || len(values["begin_time"]) != len(timeForm) || len(values["end_time"]) != len(timeForm) {
		return q, parameter("a time is not yyyy-MM-dd HH:mm:ss")
	}
	if begin.After(end) {
		return q, parameter("begin_time is after end_time")
	}
	if end.Sub(begin) > 7*24*time.Hour {
		return q, parameter("the range exceeds 7 days")
	}
	oldest := s.Now().Add(-s.History)
	if begin.Before(oldest) {
		if s.OldIsError {
			return q, parameter("begin_time is before the history")
		}
		begin = time.Unix(oldest.Unix()+1, 0)
	}
	q.begin, q.end = begin.Unix(), end.Unix()
	q.sec = q.begin
	return q, nil
}

// parsePath reads /v2/messages and /v2/{users|groups|chatrooms}/{name}/messages.
func (s *Server) parsePath(escaped string) (stream, *apiError) {
	notFound := &apiError{http.StatusNotFound, codeParameter, "no such path"}
	rest, ok := strings.CutPrefix(escaped, "/v2/")
	if !ok || strings.IndexFunc(escaped, func(r rune) bool { return r > 0x7e || r <= ' ' }) >= 0 {
		return stream{}, notFound
	}
	parts := strings.Split(rest, "/")
	switch {
	case len(parts) == 1 && parts[0] == "messages":
		return stream{kind: "messages"}, nil
	case len(parts) != 3 || parts[2] != "messages":
		return stream{}, notFound
	}
	name, err := url.PathUnescape(parts[1])
	if err != nil {
		return stream{}, notFound
	}
	which, known := s.history.parseStream(parts[0] + "/" + name)
	if known {
		return which, nil
	}
	switch parts[0] {
	case "users":
		return stream{}, &apiError{http.StatusBadRequest, codeNoUser, "no such user"}
	case "groups":
		return stream{}, &apiError{http.StatusBadRequest, codeNoGroup, "no such group"}
	case "chatrooms":
		return stream{}, &apiError{http.StatusBadRequest, codeNoRoom, "no such chatroom"}
	default:
		return stream{}, notFound
	}
}

// parseStream reads jmpub's notation of a stream and tells whether the population has it.
func (h *history) parseStream(name string) (stream, bool) {
	kind, raw, _ := strings.Cut(name, "/")
	number := func(first, n int) (int, bool) {
		i, err := strconv.Atoi(raw)
		return i - first, err == nil && i >= first && i < first+n
	}
	switch kind {
	case "", "messages":
		return stream{kind: "messages"}, raw == ""
	case "users":
		i, ok := h.nameSet[raw]
		return stream{kind, i}, ok
	case "groups":
		i, ok := number(10_000_000, h.Groups)
		return stream{kind, i}, ok
	case "chatrooms":
		i, ok := number(20_000_000, h.Rooms)
		return stream{kind, i}, ok
	default:
		return stream{}, false
	}
}

// parseQuery is strict: each name once, everything escaped that must be, %20 for a space.
func (s *Server) parseQuery(raw string) (map[string]string, *apiError) {
	values := make(map[string]string)
	for pair := range strings.SplitSeq(raw, "&") {
		name, escaped, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, parameter("the query is not a list of name=value")
		}
		if strings.IndexFunc(escaped, func(r rune) bool { return r > 0x7e || r <= ' ' }) >= 0 {
			return nil, parameter(name + " is not escaped")
		}
		if strings.Contains(escaped, "+") {
			if !s.PlusIsSpace {
				return nil, parameter(name + " holds a +; a space is escaped as %20")
			}
			escaped = strings.ReplaceAll(escaped, "+", "%20")
		}
		value, err := url.PathUnescape(escaped)
		if err != nil || !slices.Contains([]string{"count", "begin_time", "end_time", "cursor"}, name) {
			return nil, parameter(name + " is unknown or not escaped")
		}
		if _, twice := values[name]; twice {
			return nil, parameter(name + " is given twice")
		}
		values[name] = value
	}
	return values, nil
}

// cursor writes a query as a cursor. It holds all that is needed, so the server keeps nothing; a checksum keyed with the
// secret refuses what it did not give out itself.
func (s *Server) cursor(q query) string {
	b := make([]byte, 0, 64)
	b = append(b, q.stream.kind[0], byte(q.count>>8), byte(q.count))
	for _, v := range []int64{int64(q.stream.idx), q.begin, q.end, q.total, q.sec, int64(q.idx), q.issued} {
		b = binary.AppendVarint(b, v)
	}
	return strings.ToUpper(hex.EncodeToString(s.sign(b)))
}

func (s *Server) sign(b []byte) []byte {
	sum := fnv.New64a()
	sum.Write([]byte(s.MasterSecret))
	sum.Write(b)
	return sum.Sum(b)
}

// openCursor reads a cursor; one of another path, an expired or a made-up one is refused as an expired one is.
func (s *Server) openCursor(cursor string, which stream) (query, *apiError) {
	expired := &apiError{s.ExpiredStatus, s.ExpiredCode, "cursor is invalid or expired"}
	b, err := hex.DecodeString(cursor)
	const sumSize = 8
	if err != nil || len(b) < 3+sumSize || strings.ToUpper(cursor) != cursor {
		return query{}, expired
	}
	body := b[:len(b)-sumSize]
	if !slices.Equal(s.sign(slices.Clone(body)), b) {
		return query{}, expired
	}
	var v [7]int64
	rest := body[3:]
	for i := range v {
		n, size := binary.Varint(rest)
		if size <= 0 {
			return query{}, expired
		}
		v[i], rest = n, rest[size:]
	}
	q := query{
		stream: which, count: int(body[1])<<8 | int(body[2]),
		begin: v[1], end: v[2], total: v[3], sec: v[4], idx: int(v[5]), issued: v[6],
	}
	if body[0] != which.kind[0] || int(v[0]) != which.idx {
		return query{}, expired
	}
	if s.Now().UnixMilli()-q.issued > s.CursorTTL.Milliseconds() {
		s.counters.expired.Add(1)
		return query{}, expired
	}
	return q, nil
}
