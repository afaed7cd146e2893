package web_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/web"
	"github.com/jmpub/jmpub/pipeline"
)

// serve has a status with something to hide answer on an address, until the test ends.
func serve(t *testing.T, listener net.Listener, hosts ...string) {
	t.Helper()
	p := status.NewProcess(status.ProcessOptions{Version: "v1.2.3"})
	s := p.Add(status.Options{
		AppKey: "the-app-key", Delivery: "exactly once",
		Streams: []pipeline.Stream{{Kind: pipeline.StreamUsers, Name: "somebody"}},
	})
	s.Observer().Tell(pipeline.RetryScheduled{Op: "get page", Err: errors.New("foreign error text"), Wait: time.Second})
	serveProcess(t, web.Options{Status: p, Hosts: hosts}, listener)
}

// serveProcess has a server answer on an address, until the test ends.
func serveProcess(t *testing.T, o web.Options, listener net.Listener) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- web.New(o).Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func listenAt(t *testing.T, address string) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// dial connects to the port of a listener on this machine.
func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil { // So that a mistake ends the test.
		t.Fatal(err)
	}
	return c
}

// reply is an answer.
type reply struct {
	code   int
	header http.Header
	body   string
}

// send sends a request as it stands.
func send(t *testing.T, l net.Listener, request string) reply {
	t.Helper()
	c := dial(t, l)
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%.40q: %v", request, err)
	}
	defer res.Body.Close() //nolint:errcheck // A test.
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(body)}
}

func asked(path, host string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"
}

// TestHosts answers those who ask for this server, and no web page that has its own name lead here.
func TestHosts(t *testing.T) {
	local, wide := listenAt(t, "127.0.0.1:0"), listenAt(t, "0.0.0.0:0")
	serve(t, local, "status.example", ".svc")
	serve(t, wide, "status.example", ".svc")
	const both, neither, onlyWide = "both", "neither", "wide"
	for host, want := range map[string]string{
		"localhost": both, "LOCALHOST:9464": both, "localhost.:1": both, "127.0.0.1:9464": both, "127.8.8.8": both, "[::1]:9464": both,
		"status.example": both, "Status.Example.:80": both, "jmpub.monitoring.svc:9464": both,
		"10.1.2.3:9464": onlyWide, "[fd00::7]:9464": onlyWide, "0.0.0.0:9464": onlyWide, "jmpub:9464": onlyWide,
		"evil.example": neither, "127.0.0.1.evil.example:9464": neither, "localhost.evil.example": neither, "evil.status.example": neither,
		"evilsvc.example": neither, "localhost@evil.example": neither,
	} {
		for name, l := range map[string]net.Listener{"local": local, "wide": wide} {
			allowed := want == both || want == onlyWide && name == "wide"
			for _, path := range []string{"/healthz", "/metrics", "/none"} {
				res := send(t, l, asked(path, host))
				refused := res.code == http.StatusMisdirectedRequest || res.code == http.StatusBadRequest
				if refused == allowed || refused && (strings.Contains(res.body, "jmpub_") || strings.Contains(res.body, "evil")) {
					t.Errorf("%s, %s, Host %s: %d, want allowed %t: %.100s", name, path, host, res.code, allowed, res.body)
				}
			}
		}
	}
	if res := send(t, local, "GET http://evil.example/readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"); res.code != http.StatusMisdirectedRequest {
		t.Errorf("a whole address in the request: %d", res.code)
	}
	if res := send(t, local, "GET /healthz HTTP/1.0\r\n\r\n"); res.code != http.StatusOK {
		t.Errorf("without a Host, as a balancer's probe: %d", res.code)
	}
	open := listenAt(t, "127.0.0.1:0")
	serve(t, open, "*")
	if res := send(t, open, asked("/healthz", "evil.example")); res.code != http.StatusOK {
		t.Errorf("where the operator allows any: %d", res.code)
	}
}

// TestStrangersLearnHealthAlone asks for everything but the metrics where others can ask too.
func TestStrangersLearnHealthAlone(t *testing.T) {
	local, wide := listenAt(t, "127.0.0.1:0"), listenAt(t, "0.0.0.0:0")
	serve(t, local)
	serve(t, wide)
	secrets := []string{"the-app-key", "somebody", "foreign error text", "v1.2.3"}
	for _, path := range []string{"/", "/healthz", "/readyz", "/none", "/metrics/../readyz", "/debug/pprof/"} {
		body := send(t, wide, asked(path, "localhost")).body
		for _, hidden := range secrets {
			if strings.Contains(body, hidden) {
				t.Errorf("%s tells strangers %q: %s", path, hidden, body)
			}
		}
	}
	if res := send(t, wide, asked("/readyz", "localhost")); res.code != http.StatusServiceUnavailable || !strings.Contains(res.body, `"why"`) {
		t.Errorf("/readyz: %d, %s", res.code, res.body)
	}
	body := send(t, local, asked("/readyz", "localhost")).body
	for _, shown := range secrets {
		if !strings.Contains(body, shown) {
			t.Errorf("/readyz does not tell the operator %q: %s", shown, body)
		}
	}
}

// TestBrowsersMakeNothingOfAnswers expects of every answer, a refusal too, the headers that have a browser leave it alone, and no change
// by any method.
func TestBrowsersMakeNothingOfAnswers(t *testing.T) {
	l := listenAt(t, "127.0.0.1:0")
	serve(t, l)
	for request, code := range map[string]int{
		asked("/", "localhost"): 200, asked("/healthz", "localhost"): 200, asked("/readyz", "localhost"): 503, asked("/metrics", "localhost"): 200,
		asked("/none", "localhost"): 404, asked("/", "evil.example"): 421,
		"POST /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000\r\n\r\n{}":      405,
		"POST /none HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n": 405,
		"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n":                                             405,
		"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n":                                            405,
		"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n":                                              405,
	} {
		res := send(t, l, request)
		if res.code != code {
			t.Errorf("%.40q: %d, want %d", request, res.code, code)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := res.header.Get(name); got != want {
				t.Errorf("%.40q: %s is %q, want %q", request, name, got, want)
			}
		}
	}
}

// TestLongHeadersAreRefused sends headers without end.
func TestLongHeadersAreRefused(t *testing.T) {
	l := listenAt(t, "127.0.0.1:0")
	serve(t, l)
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n",
		"GET /" + strings.Repeat("x", 64<<10) + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X: x\r\n", 10<<10) + "\r\n",
	} {
		c := dial(t, l)
		_, _ = io.WriteString(c, request) // It may be refused before it is sent.
		head := make([]byte, len("HTTP/1.1 431"))
		if n, err := io.ReadFull(c, head); err == nil && string(head[:n]) != "HTTP/1.1 431" {
			t.Errorf("%.20q…: %s", request, head)
		}
	}
}

// TestManyConnectionsKeepNobodyOut opens far more connections than there may be, silent ones and such that began a request, and is
// answered nevertheless; most of them are closed meanwhile.
func TestManyConnectionsKeepNobodyOut(t *testing.T) {
	l := listenAt(t, "127.0.0.1:0")
	serve(t, l)
	var held []net.Conn
	for i := range 300 {
		c := dial(t, l)
		if i%2 == 0 {
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: local"); err != nil {
				t.Fatal(err)
			}
		}
		held = append(held, c)
	}
	began := time.Now()
	if res := send(t, l, asked("/healthz", "localhost")); res.code != http.StatusOK || time.Since(began) > 2*time.Second {
		t.Errorf("%d after %s", res.code, time.Since(began))
	}
	for i, c := range held[:200] {
		if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("connection %d, one of the oldest, is open still: %v", i, err)
		}
	}
}

// TestSlowClientsAreLeft dribbles a request, sends none, reads no answer and keeps a connection for ever: each is over in time.
func TestSlowClientsAreLeft(t *testing.T) {
	for name, c := range map[string]struct {
		most time.Duration
		act  func(conn net.Conn)
	}{
		"silent": {6 * time.Second, func(net.Conn) {}},
		"slow header": {6 * time.Second, func(conn net.Conn) {
			for range 1000 {
				if _, err := conn.Write([]byte("G")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}},
		"slow body": {11 * time.Second, func(conn net.Conn) {
			_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
			for range 1000 {
				if _, err := conn.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}},
		"idle": {61 * time.Second, func(conn net.Conn) {
			_, _ = io.WriteString(conn, strings.Replace(asked("/healthz", "localhost"), "close", "keep-alive", 1))
		}},
		"reads nothing": {31 * time.Second, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
				serve(t, l)
				conn := l.connect()
				began := time.Now()
				var acting sync.WaitGroup
				if c.act == nil { // net.Pipe has no buffer, so the answer waits to be read.
					_, _ = io.WriteString(conn, asked("/metrics", "localhost"))
					time.Sleep(c.most)
				} else {
					acting.Go(func() { c.act(conn) })
				}
				n, err := io.Copy(io.Discard, conn)
				if err != nil || c.act == nil && n > 0 {
					t.Errorf("%d bytes, %v", n, err)
				}
				if took := time.Since(began); took > c.most {
					t.Errorf("it took %s", took)
				}
				_ = conn.Close()
				acting.Wait()
			})
		})
	}
}

// TestSlowListenersAreLeft: one who listens and reads is told for longer than any other answer may take; one who does not is left.
func TestSlowListenersAreLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		serve(t, l)
		reads, sleeps := l.connect(), l.connect()
		for _, conn := range []net.Conn{reads, sleeps} {
			_, _ = io.WriteString(conn, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}
		var told time.Duration
		began := time.Now()
		lines := bufio.NewScanner(reads)
		lines.Buffer(nil, 1<<20)
		for time.Since(began) < 2*time.Minute && lines.Scan() {
			if lines.Text() == "event: overview" {
				told = time.Since(began)
			}
		}
		if told < 2*time.Minute-5*time.Second {
			t.Errorf("it was told for %s: %v", told, lines.Err())
		}
		_ = reads.Close()
		if n, err := sleeps.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) { // net.Pipe has no buffer: nothing was sent before.
			t.Errorf("who does not read is not left: %v", err)
		}
		_ = sleeps.Close()
	})
}

// pipeListener gives out connections in memory, on a loopback address.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) connect() net.Conn {
	near, far := net.Pipe()
	l.conns <- far
	return near
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

func (*pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
