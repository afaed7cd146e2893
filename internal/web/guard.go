package web

import (
	"bytes"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// The bounds of what one who is no friend can take. What is asked for is small, and answered at once.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = time.Minute
	maxHeader      = 16 << 10
	maxConnections = 100
)

// hosts says by which names the server may be asked. A web page that has its own name lead to this machine (DNS rebinding) sends that
// name, and would otherwise be let read what the server answers.
type hosts struct {
	// local is whether only this machine can reach the server.
	local bool
	// more are names that the operator allows: host.example, .example for all that end so, or * for any.
	more []string
}

// allow tells whether a request's Host may be meant for this server.
func (h hosts) allow(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	ip, err := netip.ParseAddr(host)
	own, _ := os.Hostname() // Without one there is only less to allow.
	switch {
	case host == "" || host == "localhost": // No browser leaves it out.
		return true
	case err == nil && (ip.IsLoopback() || !h.local): // An address is nobody's name.
		return true
	case err != nil && !h.local && (!strings.Contains(host, ".") || host == strings.ToLower(own)): // What has no dot is no name of the Internet.
		return true
	default:
		return slices.ContainsFunc(h.more, func(name string) bool {
			return name == "*" || name == host || strings.HasPrefix(name, ".") && strings.HasSuffix(host, name)
		})
	}
}

// guard refuses what the server is not for, and tells browsers to make nothing of its answers.
func (h hosts) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			w.Header().Set(name, value)
		}
		switch {
		case !h.allow(r.Host):
			http.Error(w, "jmpub is not asked by this host name; JMPUB_LISTEN_HOSTS allows more", http.StatusMisdirectedRequest)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// onlyReading refuses what could change something.
func onlyReading(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			w.Header().Set("Connection", "close") // What it sends is not read.
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// inTurn has one answer made at a time, and none wait for whoever reads one slowly: however many ask, the memory and the processor are
// those of one answer that is made, and of the bytes of those that are sent.
func inTurn(next http.Handler) http.Handler {
	turn := make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		made := &heldAnswer{header: w.Header(), code: http.StatusOK}
		select {
		case turn <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		func() {
			defer func() { <-turn }()
			next.ServeHTTP(made, r)
		}()
		w.WriteHeader(made.code)
		_, _ = made.body.WriteTo(w) // A client that went away is no news.
	})
}

// heldAnswer is a whole answer that is not sent yet.
type heldAnswer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

// Header implements [http.ResponseWriter].
func (a *heldAnswer) Header() http.Header { return a.header }

// WriteHeader implements [http.ResponseWriter].
func (a *heldAnswer) WriteHeader(code int) { a.code = code }

// Write implements [http.ResponseWriter].
func (a *heldAnswer) Write(p []byte) (int, error) { return a.body.Write(p) }

// IsLocal tells whether an address is reached by this machine alone.
func IsLocal(addr net.Addr) bool {
	host, _, err := net.SplitHostPort(addr.String())
	ip, ipErr := netip.ParseAddr(host)
	return err == nil && ipErr == nil && ip.IsLoopback()
}

// boundedListener has so many connections open at a time. One more closes the oldest, which has been served or only holds on: those who
// hold connections keep nobody out.
type boundedListener struct {
	net.Listener

	mu   sync.Mutex // Guards open.
	open []*boundedConn
}

// Accept waits for a connection.
func (l *boundedListener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &boundedConn{Conn: inner, from: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) == maxConnections {
		_ = l.open[0].Conn.Close() // Its server finds it closed.
		l.open = slices.Delete(l.open, 0, 1)
	}
	l.open = append(l.open, c)
	return c, nil
}

type boundedConn struct {
	net.Conn

	from *boundedListener
}

// Close makes room.
func (c *boundedConn) Close() error {
	l := c.from
	l.mu.Lock()
	if i := slices.Index(l.open, c); i >= 0 {
		l.open = slices.Delete(l.open, i, i+1)
	}
	l.mu.Unlock()
	return c.Conn.Close()
}
