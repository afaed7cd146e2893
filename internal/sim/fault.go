package sim

import (
	"fmt"
	"net/http"
	"strconv"
)

// Fault is something that goes wrong with one request.
type Fault string

// The faults; the empty one is none.
const (
	RateLimited     Fault = "rate_limited"
	RateLimitedBare Fault = "rate_limited_bare"
	ServerError     Fault = "server_error"
	HTMLError       Fault = "html_error"
	HTMLPage        Fault = "html_page"
	Truncated       Fault = "truncated"
	Malformed       Fault = "malformed"
	Dropped         Fault = "dropped"
	DroppedMidway   Fault = "dropped_midway"
	Repeated        Fault = "repeated"
	Displaced       Fault = "displaced"
	WrongTotal      Fault = "wrong_total"
	Slow            Fault = "slow"
	ExpiredEarly    Fault = "expired_early"
)

// draw chooses the fault of the n-th request.
func (s *Server) draw(n int64, r *http.Request) Fault {
	if s.Intercept != nil {
		return s.Intercept(n, r)
	}
	u := unit(mix(s.Seed ^ mix(uint64(n))))
	for _, f := range []struct {
		fault Fault
		part  float64
	}{
		{RateLimited, s.RateLimited},
		{RateLimitedBare, s.RateLimitedBare},
		{ServerError, s.ServerError},
		{HTMLError, s.HTMLError},
		{HTMLPage, s.HTMLPage},
		{Truncated, s.Truncated},
		{Malformed, s.Malformed},
		{Dropped, s.Dropped},
		{DroppedMidway, s.DroppedMidway},
		{Repeated, s.Repeated},
		{Displaced, s.Displaced},
		{WrongTotal, s.WrongTotal},
		{Slow, s.Slow},
		{ExpiredEarly, s.ExpiredEarly},
	} {
		if u < f.part {
			return f.fault
		}
		u -= f.part
	}
	return ""
}

// before does what a fault does in the place of a reply, and tells whether it did.
func (s *Server) before(w http.ResponseWriter, fault Fault) bool {
	switch fault {
	case RateLimited, RateLimitedBare:
		if fault == RateLimited {
			w.Header().Set(s.limitHeader(), "600")
			w.Header().Set("X-Rate-Limit-Remaining", "0")
			w.Header().Set("X-Rate-Limit-Reset", "1")
		}
		fail(w, apiError{http.StatusTooManyRequests, codeTooManyReq, "Request times of the app_key exceed the limit"})
	case ServerError:
		fail(w, apiError{http.StatusInternalServerError, codeInternal, "internal error"})
	case HTMLError, HTMLPage:
		w.Header().Set("Content-Type", "text/html")
		if fault == HTMLError {
			w.WriteHeader(http.StatusBadGateway)
		}
		fmt.Fprint(w, "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>")
	case Dropped:
		panic(http.ErrAbortHandler) // net/http closes the connection without a reply.
	default:
		return false
	}
	return true
}

// spoil does what a fault does to a finished body.
func spoil(w http.ResponseWriter, body []byte, fault Fault) []byte {
	switch fault {
	case Truncated:
		return body[:len(body)/2]
	case Malformed:
		body[len(body)/3] = '\x01'
	case DroppedMidway:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	default:
	}
	return body
}

// fail writes an error reply.
func fail(w http.ResponseWriter, e apiError) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(e.status)
	fmt.Fprintf(w, `{"error":{"code":%d,"message":%q}}`, e.code, e.message)
}
