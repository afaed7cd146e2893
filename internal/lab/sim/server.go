package sim

import (
	"compress/gzip"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Server is a simulated Report API. Safe for concurrent use; its options are not to be changed any more.
type Server struct {
	Options
	history  *history
	quota    quota
	counters *counters
	scrolls  scrolls
	scratch  sync.Pool // of *scratch
	zippers  sync.Pool // of *gzip.Writer
}

var _ http.Handler = (*Server)(nil)

// New checks the options, every mistake at once, and makes a server.
func New(o Options) (*Server, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("simulated API: %w", err)
	}
	s := &Server{Options: o, counters: newCounters()}
	if s.Now == nil {
		s.Now = time.Now
	}
	s.history = newHistory(&s.Options)
	s.quota.limits = &s.Limits
	s.scratch.New = func() any { return new(scratch) }
	s.zippers.New = func() any {
		z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // The level is a valid one.
		return z
	}
	return s, nil
}

// exchange is a request that was let in, and its reply.
type exchange struct {
	w http.ResponseWriter
	r *http.Request
	// fault is what is to go wrong, and hash decides how.
	fault Fault
	hash  uint64
}

// ServeHTTP answers /v2/... as the API does, /v1/... as the lists of the IM REST API, and for tests, without authentication,
// /sim/truth?begin=&end=[&stream=] with what the history holds as JSON lines, and /sim/stats with the [Stats] as JSON. A
// dropped connection is a panic with [http.ErrAbortHandler], as net/http wants it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", s.Now().UTC().Format(http.TimeFormat))
	switch r.URL.Path {
	case "/sim/stats":
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_ = json.NewEncoder(w).Encode(s.Stats()) //nolint:errchkjson // A client that went away is no news.
	case "/sim/truth":
		s.serveTruth(w, r)
	default:
		s.serveAPI(w, r)
	}
}

func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	var n int64
	s.counters.count(func(t *Stats) {
		t.Requests++
		n = t.Requests
	})
	if unit(mix(s.Seed^mix(uint64(n)^saltDate))) < s.WrongDate {
		w.Header().Set("Date", s.Now().Add(s.WrongDateBy).UTC().Format(http.TimeFormat))
	}
	if apiErr := s.admit(r); apiErr != nil {
		s.refuse(w, apiErr)
		return
	}
	if !s.quota.take(w, s.Now()) {
		s.counters.count(func(t *Stats) { t.Limited++ })
		tooMany().write(w)
		return
	}
	x := &exchange{w: w, r: r, fault: s.draw(n, r), hash: mix(s.Seed ^ mix(uint64(n)))}
	if !s.wait(x) || s.instead(x) {
		return
	}
	answer, apiErr := s.route(r.URL)
	if apiErr == nil {
		apiErr = answer(x)
	}
	if apiErr != nil {
		s.refuse(w, apiErr)
	}
}

func (s *Server) refuse(w http.ResponseWriter, e *apiError) {
	s.counters.count(func(t *Stats) {
		t.Refused++
		t.Codes[e.code]++
	})
	e.write(w)
}

// admit checks authentication and method.
func (s *Server) admit(r *http.Request) *apiError {
	key, password, ok := r.BasicAuth()
	switch {
	case !ok:
		return &apiError{http.StatusUnauthorized, codeNoAuth, "Basic authentication required"}
	case key != s.AppKey:
		return &apiError{http.StatusUnauthorized, codeNoAppKey, "no such appkey"}
	case subtle.ConstantTimeCompare([]byte(password), []byte(s.MasterSecret)) == 0:
		return &apiError{http.StatusUnauthorized, codeWrongAuth, "Basic authentication failed"}
	case r.Method != http.MethodGet:
		return &apiError{http.StatusMethodNotAllowed, codeParameter, "only GET"}
	default:
		return nil
	}
}

// wait takes the time that the reply takes; it tells whether the client is there still.
func (s *Server) wait(x *exchange) bool {
	wait := s.Latency + time.Duration(unit(mix(x.hash))*float64(s.LatencyJitter))
	if x.fault == Slow {
		s.counters.fault(Slow)
		wait += s.SlowBy
	}
	if wait <= 0 {
		return true
	}
	select {
	case <-time.After(wait):
		return true
	case <-x.r.Context().Done():
		return false
	}
}
