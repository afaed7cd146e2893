package sim

import (
	"net/http"
	"strconv"
)

// Fault is something that goes wrong with one request.
type Fault string

// The faults; the empty one is none. Those of rows and cursors take effect only where there are any.
const (
	// RateLimited is a 429 with headers, RateLimitedBare one without.
	RateLimited     Fault = "rate_limited"
	RateLimitedBare Fault = "rate_limited_bare"
	// ServerError is a 500 or 503 with JSON, HTMLError a 502 with HTML, HTMLPage a 200 with HTML.
	ServerError Fault = "server_error"
	HTMLError   Fault = "html_error"
	HTMLPage    Fault = "html_page"
	// Truncated is a page that ends in its middle, in a reply that is whole; Malformed a page that is no JSON.
	Truncated Fault = "truncated"
	Malformed Fault = "malformed"
	// Dropped closes the connection without a reply, DroppedHeaders after the headers, DroppedMidway within the body.
	Dropped        Fault = "dropped"
	DroppedHeaders Fault = "dropped_headers"
	DroppedMidway  Fault = "dropped_midway"
	// Repeated has a row twice, besides all others; Displaced in the place of the one after it.
	Repeated  Fault = "repeated"
	Displaced Fault = "displaced"
	// Shuffled has all rows of the page, in another order.
	Shuffled Fault = "shuffled"
	// WrongTotal is a total that is up to 3 more or less.
	WrongTotal Fault = "wrong_total"
	// Slow is answered SlowBy later.
	Slow Fault = "slow"
	// ExpiredEarly refuses a cursor that is good still.
	ExpiredEarly Fault = "expired_early"
	// Stale answers a window, with all of its pages, as of StaleBy ago, as a replica does that is behind.
	Stale Fault = "stale"
)

func (f *Faults) rates() []part {
	return []part{
		{string(RateLimited), f.RateLimited},
		{string(RateLimitedBare), f.RateLimitedBare},
		{string(ServerError), f.ServerError},
		{string(HTMLError), f.HTMLError},
		{string(HTMLPage), f.HTMLPage},
		{string(Truncated), f.Truncated},
		{string(Malformed), f.Malformed},
		{string(Dropped), f.Dropped},
		{string(DroppedHeaders), f.DroppedHeaders},
		{string(DroppedMidway), f.DroppedMidway},
		{string(Repeated), f.Repeated},
		{string(Displaced), f.Displaced},
		{string(Shuffled), f.Shuffled},
		{string(WrongTotal), f.WrongTotal},
		{string(Slow), f.Slow},
		{string(ExpiredEarly), f.ExpiredEarly},
		{string(Stale), f.Stale},
	}
}

// draw chooses the fault of a request, by its number and the seed.
func (s *Server) draw(n int64, r *http.Request) Fault {
	if s.Intercept != nil {
		return s.Intercept(n, r)
	}
	u := unit(mix(s.Seed ^ mix(uint64(n)^saltFault)))
	for _, f := range s.rates() {
		if u < f.value {
			return Fault(f.name)
		}
		u -= f.value
	}
	return ""
}

// instead answers with a fault in the place of a reply, and tells whether it did.
func (s *Server) instead(x *exchange) bool {
	switch x.fault {
	case RateLimited:
		const reset = 1
		s.quota.tell(x.w, 0, reset)
		if s.RetryAfter {
			x.w.Header().Set("Retry-After", strconv.Itoa(reset))
		}
		tooMany().write(x.w)
	case RateLimitedBare:
		for _, name := range []string{"Limit", "Quota", "Remaining", "Reset"} {
			x.w.Header().Del("X-Rate-Limit-" + name)
		}
		tooMany().write(x.w)
	case ServerError:
		e := apiError{http.StatusInternalServerError, codeInternal, "internal server error"}
		if x.hash&1 != 0 {
			e = apiError{http.StatusServiceUnavailable, codeTimeOut, "response time out"}
		}
		e.write(x.w)
	case HTMLError:
		x.html(http.StatusBadGateway)
	case HTMLPage:
		x.html(http.StatusOK)
	case Dropped:
		s.counters.fault(x.fault)
		panic(http.ErrAbortHandler) // net/http closes the connection without a reply.
	default:
		return false
	}
	s.counters.fault(x.fault)
	return true
}

func (x *exchange) html(status int) {
	const page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n" +
		"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
	x.w.Header().Set("Content-Type", "text/html")
	x.w.WriteHeader(status)
	_, _ = x.w.Write([]byte(page)) // A client that went away is no news.
}

// spoil does to the text of a reply what a fault does.
func (s *Server) spoil(x *exchange, body []byte) []byte {
	switch x.fault {
	case Truncated:
		body = body[:len(body)/2]
	case Malformed:
		body[x.hash>>1%uint64(len(body))] = '\x01' // In a string as well as outside, that is no JSON.
	default:
		return body
	}
	s.counters.fault(x.fault)
	return body
}

// hangUp closes the connection within the reply, if that is the fault.
func (s *Server) hangUp(x *exchange, body []byte) {
	sent := 0
	switch x.fault {
	case DroppedHeaders:
	case DroppedMidway:
		sent = max(1, len(body)/2)
	default:
		return
	}
	s.counters.fault(x.fault)
	x.w.WriteHeader(http.StatusOK)
	_, _ = x.w.Write(body[:sent]) // The connection is about to end anyway.
	// Without a flush, what is in net/http's buffer would be lost with the connection, the headers included.
	_ = http.NewResponseController(x.w).Flush() // A writer that cannot flush has no connection to lose it with.
	panic(http.ErrAbortHandler)
}
