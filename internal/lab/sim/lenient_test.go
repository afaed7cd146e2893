package sim_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

func lenient(o *sim.Options) { o.Strict = false }

// TestLenientTakesWhatClientsSend asks for the same thing in the ways that clients have. The strict form refuses them all.
func TestLenientTakesWhatClientsSend(t *testing.T) {
	t.Parallel()
	s, strict := newSim(t, lenient), newSim(t, nil)
	query := window(s, now.Add(-time.Hour), now, 10)
	cursor := ""
	for i := 1; !strings.Contains(cursor, "+"); i++ { // Most have one; it moves with what is asked for.
		_, first := ask(t, s, "/v2/messages?"+window(s, now.Add(-time.Hour), now.Add(-time.Duration(i)*time.Second), 10))
		cursor = *first.Cursor
	}
	escaped := "/v2/messages?" + (&reply{Cursor: &cursor}).next()
	user := strings.ReplaceAll(path("users/"+sim.Username(3)), "/v2", "")
	for _, c := range []struct{ name, good, sent string }{
		{"plus", "/v2/messages?" + query, "/v2/messages?" + strings.ReplaceAll(query, "%20", "+")},
		{"quotes that are not escaped", "/v2/messages?" + query, "/v2/messages?" + query + `&for="x"`},
		{"unknown parameter", "/v2/messages?" + query, "/v2/messages?" + query + "&page=2"},
		{"cursor not escaped", escaped, "/v2/messages?cursor=" + cursor},
		{"cursor and all", escaped, escaped + "&" + query},
		{"empty cursor", "/v2/messages?" + query, "/v2/messages?cursor=&" + query},
		{"name not escaped", "/v2" + user + "?" + query, "/v2/users/" + sim.Username(3) + "/messages?" + query},
		{"users without a slash", "/v1/users/?start=0&count=10", "/v1/users?start=0&count=10"},
		{"groups without a slash", "/v1/groups/?start=0&count=10", "/v1/groups?start=0&count=10"},
		{"chatrooms with a slash", "/v1/chatroom?start=0&count=10", "/v1/chatroom/?start=0&count=10"},
	} {
		want, _ := send(s, raw(t, s, c.good))
		got, _ := send(s, raw(t, s, c.sent))
		if want.Code != http.StatusOK || got.Body.String() != want.Body.String() {
			t.Errorf("%s: %d %.200s; want what %s gives, %d %.200s", c.name, got.Code, got.Body, c.good, want.Code, want.Body)
		}
		if got, _ := send(strict, raw(t, s, c.sent)); got.Code/100 != 4 {
			t.Errorf("strict, %s: %d; want it refused", c.name, got.Code)
		}
	}
}

// TestLenientRefusesWhatHasNoMeaning shows that lenience ends where what is meant can only be guessed.
func TestLenientRefusesWhatHasNoMeaning(t *testing.T) {
	t.Parallel()
	s := newSim(t, lenient)
	good := times(s, now.Add(-time.Hour), now)
	for _, query := range []string{
		"", "count=1", "count=1001" + good, "count=1&count=2" + good, "count=1" + strings.ReplaceAll(good, "%20", "%2"),
		"count=1" + strings.ReplaceAll(good, "%20", "T"), "cursor=AABBCCDDEEFFGGHHIIJJKKLL", "cursor=",
	} {
		if status, got := ask(t, s, "/v2/messages?"+query); status != http.StatusBadRequest || got.Error.Code != 899003 {
			t.Errorf("%s: %d, code %d; want it refused", query, status, got.Error.Code)
		}
	}
	for _, list := range []string{"/v1/users//", "/v1/user", "/v1", "/v1/"} {
		if status, _ := ask(t, s, list+"?start=0&count=1"); status != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", list, status)
		}
	}
}

// TestSpacesOnTheWire sends spaces in requests' lines, one request after another through one connection and in one write.
func TestSpacesOnTheWire(t *testing.T) {
	t.Parallel()
	s := newSim(t, lenient)
	server := httptest.NewUnstartedServer(s)
	server.Listener = sim.TakeSpaces(server.Listener)
	server.Start()
	defer server.Close()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // Nothing is in flight.
	replies := bufio.NewReader(conn)
	query := window(s, now.Add(-time.Hour), now, 10)
	r := request(t, s, "/v2/messages?"+query)
	want, _ := send(s, r)
	for range 50 {
		fmt.Fprintf(conn, "GET /v2/messages?%s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n\r\n",
			strings.ReplaceAll(query, "%20", " "), r.Header.Get("Authorization"))
		res, err := http.ReadResponse(replies, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close() // It was read.
		if err != nil || res.StatusCode != http.StatusOK || string(body) != want.Body.String() {
			t.Fatalf("%d %.200s, %v; want %.200s", res.StatusCode, body, err, want.Body)
		}
	}
}

// TestPlainBodies shows that without rich bodies no row has what the Java SDK cannot read, and that nothing else changes.
func TestPlainBodies(t *testing.T) {
	t.Parallel()
	plain := newSim(t, func(o *sim.Options) { o.RichBodies = false })
	rich := newSim(t, nil)
	const nested = `"nested":{"a"`
	holds := func(rows []string) bool {
		return slices.ContainsFunc(rows, func(row string) bool { return strings.Contains(row, nested) })
	}
	a := truth(plain, now.Add(-time.Hour), now, "")
	b := truth(rich, now.Add(-time.Hour), now, "")
	if holds(a) || !holds(b) || len(a) != len(b) {
		t.Errorf("plain: nested %t, %d rows; rich: nested %t, %d rows", holds(a), len(a), holds(b), len(b))
	}
}
