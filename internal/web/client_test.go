package web

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/usage"
)

// addressed is a connection between two addresses.
type addressed struct {
	net.Conn

	local, remote net.Addr
	closed        bool
}

func (a *addressed) LocalAddr() net.Addr  { return a.local }
func (a *addressed) RemoteAddr() net.Addr { return a.remote }

func (a *addressed) Close() error {
	a.closed = true
	return nil
}

// TestTokenStaysHere: a connection over which a token would go as it is has to end at this machine, whatever name led to it.
func TestTokenStaysHere(t *testing.T) {
	for ends, here := range map[[2]string]bool{
		{"127.0.0.1:40000", "127.0.0.1:9464"}: true, {"[::1]:40000", "[::1]:9464"}: true, {"10.0.0.7:40000", "10.0.0.7:9464"}: true,
		{"127.0.0.1:40000", "[::ffff:127.0.0.1]:9464"}: true, {"10.0.0.7:40000", "10.0.0.8:9464"}: false, {"[fe80::1%eth0]:1", "[fe80::2%eth0]:1"}: false,
		{"127.0.0.1:40000", "10.0.0.8:9464"}: false,
	} {
		conn := &addressed{
			local:  net.TCPAddrFromAddrPort(netip.MustParseAddrPort(ends[0])),
			remote: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(ends[1])),
		}
		got, err := onlyHere(func(context.Context, string, string) (net.Conn, error) { return conn, nil })(t.Context(), "tcp", "name:9464")
		if here && (err != nil || got != conn || conn.closed) {
			t.Errorf("%v: %v", ends, err)
		}
		if !here && (got != nil || !conn.closed || !errors.As(err, &usage.Error{})) {
			t.Errorf("%v: it is made, %v", ends, err)
		}
	}
}

// TestAnswersThatAreNone: what answers in jmpub's place is told of, whatever it answers.
func TestAnswersThatAreNone(t *testing.T) {
	body := ""
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	defer there.Close()
	c, err := NewClient(ClientOptions{URL: there.URL + "/"})
	if err != nil {
		t.Fatal(err)
	}
	for _, body = range []string{"", "null", "{}", "[]", "<html>", `{"verdict": 5}`, `{"members": [], "apps_left_out": 3}`, strings.Repeat(" ", maxAnswer+1)} {
		_, overview := c.Overview(t.Context())
		_, apps := c.Apps(t.Context())
		for _, err = range []error{overview, apps} {
			if err == nil || !strings.HasPrefix(err.Error(), there.URL+": the answer ") {
				t.Errorf("%.20q: %v", body, err)
			}
		}
	}
}

// TestTokenGoesToOtherMachinesOverTLS, and over http only if that is asked for; without a token there is nothing to keep.
func TestTokenGoesToOtherMachinesOverTLS(t *testing.T) {
	token := secret.New("0123456789abcdef")
	for name, test := range map[string]struct {
		opts ClientOptions
		goes bool
	}{
		"http": {ClientOptions{URL: "http://jmpub.example", Token: token}, false}, "plain": {ClientOptions{URL: "http://jmpub.example", Token: token, Plain: true}, true},
		"https": {ClientOptions{URL: "https://jmpub.example", Token: token}, true}, "no token": {ClientOptions{URL: "http://jmpub.example"}, true},
	} {
		conn, other := net.Pipe()
		_ = other.Close() // Whatever is sent fails.
		c, err := newClient(test.opts, func(context.Context, string, string) (net.Conn, error) {
			return &addressed{
				Conn: conn, local: net.TCPAddrFromAddrPort(netip.MustParseAddrPort("10.0.0.7:1")), remote: net.TCPAddrFromAddrPort(netip.MustParseAddrPort("10.0.0.8:1")),
			}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.Overview(t.Context()); err == nil || errors.Is(err, errPlain) == test.goes || errors.Is(err, ErrUnreachable) != test.goes {
			t.Errorf("%s: %v", name, err)
		}
	}
}
