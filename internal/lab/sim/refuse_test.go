package sim_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

func TestAuthentication(t *testing.T) {
	t.Parallel()
	s := newSim(t, nil)
	target := "/v2/messages?" + window(s, now.Add(-time.Hour), now, 10)
	for _, c := range []struct {
		name   string
		header func(r *http.Request)
		code   int
	}{
		{"none", func(r *http.Request) { r.Header.Del("Authorization") }, 899007},
		{"bearer", func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, 899007},
		{"no base64", func(r *http.Request) { r.Header.Set("Authorization", "Basic !") }, 899007},
		{"wrong secret", func(r *http.Request) { r.SetBasicAuth(s.AppKey, "x") }, 899008},
		{"empty secret", func(r *http.Request) { r.SetBasicAuth(s.AppKey, "") }, 899008},
		{"unknown app", func(r *http.Request) { r.SetBasicAuth("x", s.MasterSecret) }, 899009},
	} {
		r := request(t, s, target)
		c.header(r)
		if w, got := send(s, r); w.Code != http.StatusUnauthorized || got.Error.Code != c.code || got.Error.Message == "" {
			t.Errorf("%s: %d %s; want 401, code %d", c.name, w.Code, w.Body, c.code)
		}
	}
	r := request(t, s, target)
	r.Method = http.MethodPost
	if w, _ := send(s, r); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d, want 405", w.Code)
	}
	stats := s.Stats()
	if stats.Refused != 7 || stats.Codes[899007] != 3 || stats.Codes[899008] != 2 || stats.Codes[899009] != 1 || stats.Pages != 0 {
		t.Errorf("counted %+v", stats)
	}
}

func TestQueriesAreRefused(t *testing.T) {
	t.Parallel()
	s := newSim(t, nil)
	good := times(s, now.Add(-time.Hour), now)
	day := func(begin, end string) string { return "count=1&begin_time=" + begin + "&end_time=" + end }
	for _, c := range []struct{ name, query, because string }{
		{"nothing", "", "count is missing"},
		{"no count", good[1:], "count is missing"},
		{"no begin", "count=1&end_time=2026-11-20%2010:00:00", "begin_time is missing"},
		{"no end", "count=1&begin_time=2026-11-20%2010:00:00", "end_time is missing"},
		{"empty count", "count=" + good, "count is missing"},
		{"count 0", "count=0" + good, "count is not"},
		{"count -1", "count=-1" + good, "count is not"},
		{"count 1001", "count=1001" + good, "count is not"},
		{"count 01", "count=01" + good, "count is not"},
		{"count 1e2", "count=1e2" + good, "count is not"},
		{"words", day("today", "now"), "yyyy-MM-dd"},
		{"only days", day("2026-11-19", "2026-11-20"), "yyyy-MM-dd"},
		{"RFC 3339", day("2026-11-19T10:00:00Z", "2026-11-19T11:00:00Z"), "yyyy-MM-dd"},
		{"fraction", day("2026-11-19%2010:00:00.5", "2026-11-19%2011:00:00"), "yyyy-MM-dd"},
		{"one digit", day("2026-11-19%209:00:00", "2026-11-19%2011:00:00"), "yyyy-MM-dd"},
		{"month 13", day("2026-13-19%2010:00:00", "2026-11-19%2011:00:00"), "yyyy-MM-dd"},
		{"hour 24", day("2026-11-19%2010:00:00", "2026-11-19%2024:00:00"), "yyyy-MM-dd"},
		{"end first", window(s, now, now.Add(-time.Second), 1), "after end_time"},
		{"a second over seven days", window(s, now.Add(-7*24*time.Hour-time.Second), now, 1), "7 days"},
		{"unknown parameter", "count=1&page=2" + good, "unknown parameter"},
		{"upper case", "Count=1" + good, "unknown parameter"},
		{"escaped name", "%63ount=1" + good, "unknown parameter"},
		{"twice", "count=1&count=1" + good, "twice"},
		{"no value", "count&" + good[1:], "name=value"},
		{"empty pair", "count=1&" + good, "name=value"},
		{"plus", strings.ReplaceAll("count=1"+good, "%20", "+"), "%20"},
		{"double escaping", strings.ReplaceAll("count=1"+good, "%20", "%2520"), "yyyy-MM-dd"},
		{"bad escape", strings.ReplaceAll("count=1"+good, "%20", "%2"), ""},
		{"quotes", `count="1"` + good, "not escaped"},
		{"cursor and count", "cursor=AABB&count=1", "alone"},
		{"cursor and all", "cursor=AABB&count=1" + good, "alone"},
		{"cursor twice", "cursor=AABB&cursor=AABB", "twice"},
		{"made-up cursor", "cursor=AABBCCDDEEFFGGHHIIJJKKLL", "expired"},
		{"no base64", "cursor=-", "expired"},
		{"empty cursor", "cursor=", "expired"},
	} {
		r := request(t, s, "/v2/messages")
		r.URL.RawQuery = c.query
		w, got := send(s, r)
		if w.Code != http.StatusBadRequest || got.Error.Code != 899003 || !strings.Contains(got.Error.Message, c.because) {
			t.Errorf("%s: %d %s; want 400, code 899003 for %q", c.name, w.Code, w.Body, c.because)
		}
	}
	for _, raw := range []string{"count=1" + strings.ReplaceAll(good, "%20", " "), "count=1&begin_time=今天", "count=\x01" + good} {
		r := request(t, s, "/v2/messages")
		r.URL.RawQuery = raw
		if w, got := send(s, r); w.Code != http.StatusBadRequest || got.Error.Code != 899003 {
			t.Errorf("%q: %d %s", raw, w.Code, w.Body)
		}
	}
	for _, query := range []string{
		window(s, now.Add(-7*24*time.Hour), now, 1), window(s, now, now, 1000), "count=1" + strings.ReplaceAll(good, ":", "%3A"),
	} {
		if status, got := ask(t, s, "/v2/messages?"+query); status != http.StatusOK {
			t.Errorf("%s: %d, %s; want it answered", query, status, got.Error.Message)
		}
	}
}

func TestPathsAreRefused(t *testing.T) {
	t.Parallel()
	for _, group := range []int{899006, 899045} {
		s := newSim(t, func(o *sim.Options) { o.GroupCode = group })
		for _, c := range []struct {
			path         string
			status, code int
		}{
			{"/", 404, 899003},
			{"/messages", 404, 899003},
			{"/v1/messages", 404, 899003},
			{"/v2/", 404, 899003},
			{"/v2/message", 404, 899003},
			{"/v2/messages/", 404, 899003},
			{"/v2//messages", 404, 899003},
			{"/v2/messages/x/messages", 404, 899003},
			{"/v2/messages//messages", 404, 899003},
			{"/v2/user_0001/messages", 404, 899003},
			{"/v2/users/user_0001", 404, 899003},
			{"/v2/users/user_0001/messages/x", 404, 899003},
			{"/v2/users/user\"0011/messages", 400, 899003},
			{"/v2/users/用户0003/messages", 400, 899003},
			{"/v2/users/user%200011/%252F/messages", 404, 899003},         // A slash that is not escaped.
			{"/v2/users/user+0011%2F%252F/messages", 400, 899002},         // A plus is no space in a path.
			{"/v2/users/user%200011%2F%2F/messages", 400, 899002},         // The percent sign is not escaped.
			{"/v2/users/user%25200011%252F%25252F/messages", 400, 899002}, // Escaped twice.
			{"/v2/users/nobody/messages", 400, 899002},
			{"/v2/users/user_1/messages", 400, 899002},
			{"/v2/users/user_9999/messages", 400, 899002},
			{"/v2/users//messages", 400, 899002},
			{"/v2/groups/1/messages", 400, group},
			{"/v2/groups/" + sim.GroupID(s.Groups) + "/messages", 400, group},
			{"/v2/groups/0" + sim.GroupID(0) + "/messages", 400, group},
			{"/v2/groups/" + sim.RoomID(0) + "/messages", 400, group},
			{"/v2/chatrooms/x/messages", 400, 899081},
			{"/v2/chatrooms/" + sim.RoomID(s.Rooms) + "/messages", 400, 899081},
		} {
			w, got := send(s, raw(t, s, c.path+"?"+window(s, now.Add(-time.Hour), now, 1)))
			if w.Code != c.status || got.Error.Code != c.code {
				t.Errorf("%s: %d %s; want %d, code %d", c.path, w.Code, w.Body, c.status, c.code)
			}
		}
	}
}

// raw makes a request as a server reads it, also of what no client of Go's would send.
func raw(tb testing.TB, s *sim.Server, target string) *http.Request {
	tb.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")))
	if err != nil {
		tb.Fatalf("%q: %v", target, err)
	}
	r.SetBasicAuth(s.AppKey, s.MasterSecret)
	return r
}

// TestRawSpaceOnTheWire shows that a space in a request's line never gets through.
func TestRawSpaceOnTheWire(t *testing.T) {
	t.Parallel()
	s := newSim(t, nil)
	server := httptest.NewServer(s)
	defer server.Close()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // Only read from.
	fmt.Fprintf(conn, "GET /v2/messages?begin_time=2026-11-20 10:00:00 HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close() // Only the status counts.
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d, want 400", res.StatusCode)
	}
}

func TestOldTimes(t *testing.T) {
	t.Parallel()
	begin, end := now.Add(-61*24*time.Hour), now.Add(-60*24*time.Hour+time.Hour)
	strict := newSim(t, func(o *sim.Options) { o.OldIsError = true })
	if status, got := ask(t, strict, "/v2/messages?"+window(strict, begin, end, 1)); status != 400 || got.Error.Code != 899003 {
		t.Errorf("strict: %d, code %d", status, got.Error.Code)
	}
	s := newSim(t, nil)
	_, rows := pages(t, s, "/v2/messages", begin, end, 1000)
	if want := truth(s, now.Add(-s.History), end.Add(999*time.Millisecond), ""); len(rows) != len(want) || len(rows) == 0 {
		t.Errorf("clamped: %d rows, want the %d of the last 60 days", len(rows), len(want))
	}
	if total, rows := pages(t, s, "/v2/messages", begin, begin.Add(time.Hour), 1000); total != 0 || len(rows) != 0 {
		t.Errorf("all before the history: %d rows of %d, want none", len(rows), total)
	}
}
