package sim

import (
	"bytes"
	"compress/gzip"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a simulated Report API. Safe for concurrent use.
type Server struct {
	Options
	history  *history
	counters counters
	buffers  sync.Pool

	mu struct {
		sync.Mutex
		// minute and used count the requests of the rate limit's window.
		minute int64
		used   int
		faults map[Fault]int64
	}
}

type counters struct {
	requests, pages, rows, refused, expired atomic.Int64
}

// Stats are counts since the start.
type Stats struct {
	Requests int64 `json:"requests"`
	Pages    int64 `json:"pages"`
	Rows     int64 `json:"rows"`
	// Refused requests were wrong: authentication, parameters, path.
	Refused int64           `json:"refused"`
	Expired int64           `json:"expired_cursors"`
	Faults  map[Fault]int64 `json:"faults"`
}

// New checks the options, every mistake at once, and makes a server.
func New(o Options) (*Server, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("simulated API: %w", err)
	}
	s := &Server{Options: o}
	if s.Now == nil {
		s.Now = time.Now
	}
	s.history = newHistory(&s.Options)
	s.mu.faults = make(map[Fault]int64)
	s.buffers.New = func() any { return new([]byte) }
	return s, nil
}

// Stats returns the counts so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	faults := make(map[Fault]int64, len(s.mu.faults))
	maps.Copy(faults, s.mu.faults)
	return Stats{
		Requests: s.counters.requests.Load(), Pages: s.counters.pages.Load(), Rows: s.counters.rows.Load(),
		Refused: s.counters.refused.Load(), Expired: s.counters.expired.Load(), Faults: faults,
	}
}

// ServeHTTP answers /v2/... as the API does, and /sim/truth and /sim/stats for tests.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", s.Now().UTC().Format(http.TimeFormat))
	switch r.URL.Path {
	case "/sim/stats":
		_ = json.NewEncoder(w).Encode(s.Stats()) //nolint:errchkjson // A client that went away is no news.
		return
	case "/sim/truth":
		s.serveTruth(w, r)
		return
	}
	n := s.counters.requests.Add(1)
	if apiErr := s.admit(w, r); apiErr != nil {
		s.counters.refused.Add(1)
		fail(w, *apiErr)
		return
	}
	fault := s.draw(n, r)
	if fault != "" {
		s.mu.Lock()
		s.mu.faults[fault]++
		s.mu.Unlock()
	}
	wait := s.Latency
	if fault == Slow {
		wait += s.SlowBy
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return
		}
	}
	if !s.before(w, fault) {
		s.servePage(w, r, fault, mix(uint64(n)))
	}
}

// admit checks authentication, method and rate.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) *apiError {
	key, password, ok := r.BasicAuth()
	switch {
	case !ok:
		return &apiError{http.StatusUnauthorized, codeNoAuth, "no authentication"}
	case key != s.AppKey:
		return &apiError{http.StatusUnauthorized, codeNoAppKey, "no such appkey"}
	case subtle.ConstantTimeCompare([]byte(password), []byte(s.MasterSecret)) == 0:
		return &apiError{http.StatusUnauthorized, codeWrongAuth, "Basic authentication failed"}
	case r.Method != http.MethodGet:
		return &apiError{http.StatusMethodNotAllowed, codeParameter, "only GET"}
	}
	return s.limit(w)
}

func (s *Server) limitHeader() string {
	if s.QuotaHeader {
		return "X-Rate-Limit-Quota"
	}
	return "X-Rate-Limit-Limit"
}

// limit counts the request against the minute's quota.
func (s *Server) limit(w http.ResponseWriter) *apiError {
	if s.PerMinute <= 0 {
		return nil
	}
	now := s.Now().Unix()
	s.mu.Lock()
	if minute := now / 60; minute != s.mu.minute {
		s.mu.minute, s.mu.used = minute, 0
	}
	s.mu.used++
	used := s.mu.used
	s.mu.Unlock()
	if !s.NoRateHeaders {
		w.Header().Set(s.limitHeader(), strconv.Itoa(s.PerMinute))
		w.Header().Set("X-Rate-Limit-Remaining", strconv.Itoa(max(0, s.PerMinute-used)))
		w.Header().Set("X-Rate-Limit-Reset", strconv.FormatInt(60-now%60, 10))
	}
	if used > s.PerMinute {
		return &apiError{http.StatusTooManyRequests, codeTooManyReq, "Request times of the app_key exceed the limit"}
	}
	return nil
}

func (s *Server) servePage(w http.ResponseWriter, r *http.Request, fault Fault, hash uint64) {
	q, apiErr := s.parse(r)
	if apiErr == nil && fault == ExpiredEarly && q.issued > 0 {
		apiErr = &apiError{s.ExpiredStatus, s.ExpiredCode, "cursor is invalid or expired"}
	}
	if apiErr != nil {
		s.counters.refused.Add(1)
		fail(w, *apiErr)
		return
	}
	now := s.Now().UnixMilli()
	if q.issued == 0 {
		q.total = s.totalOf(&q, now)
	}
	rows, next, more := s.page(q, now)
	cursor := ""
	if more || s.CursorAtEnd && len(rows) > 0 {
		next.issued = now
		cursor = s.cursor(next)
	}
	s.counters.pages.Add(1)
	s.counters.rows.Add(int64(len(rows)))
	buffer, _ := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buffer)
	body := s.reply((*buffer)[:0], &q, rows, cursor, fault, hash)
	*buffer = body
	body = spoil(w, body, fault)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if s.Gzip && len(body) > 1024 && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body = compress(body)
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // A client that went away is no news.
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		panic("gzip: " + err.Error()) // The level is a constant.
	}
	_, _ = z.Write(body) // To memory.
	_ = z.Close()
	return b.Bytes()
}

// truthRow is a line of /sim/truth.
type truthRow struct {
	MsgID   int64           `json:"msgid,omitempty"`
	Target  string          `json:"target_type"`
	Time    time.Time       `json:"time"`
	Appears time.Time       `json:"appears"`
	Row     json.RawMessage `json:"row"`
}

// serveTruth lists the truth of ?begin=&end=[&stream=] (RFC 3339) as JSON lines.
func (s *Server) serveTruth(w http.ResponseWriter, r *http.Request) {
	begin, beginErr := time.Parse(time.RFC3339, r.URL.Query().Get("begin"))
	end, endErr := time.Parse(time.RFC3339, r.URL.Query().Get("end"))
	if err := errors.Join(beginErr, endErr); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	for row := range s.Truth(Range{Begin: begin, End: end, Stream: r.URL.Query().Get("stream")}) {
		line := truthRow{Target: row.Target, Time: row.Time, Appears: row.Appears, Row: row.Raw}
		if row.HasMsgID {
			line.MsgID = row.MsgID
		}
		if out.Encode(line) != nil { //nolint:errchkjson // What it writes was made here; only the client can go away.
			return // The client went away.
		}
	}
}
