package sim_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// settable is a simulator whose clock is set by the test.
func settable(tb testing.TB, change func(*sim.Options)) (*sim.Server, *time.Time) {
	tb.Helper()
	at := now
	return newSim(tb, func(o *sim.Options) {
		o.Now = func() time.Time { return at }
		if change != nil {
			change(o)
		}
	}), &at
}

func TestCursorExpires(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ status, code int }{{400, 899003}, {404, 0}, {410, 899003}, {500, 899000}} {
		s, at := settable(t, func(o *sim.Options) { o.ExpiredStatus, o.ExpiredCode = c.status, c.code })
		_, first := ask(t, s, "/v2/messages?"+window(s, now.Add(-time.Hour), now, 10))
		*at = now.Add(s.CursorTTL)
		status, second := ask(t, s, "/v2/messages?"+first.next())
		if status != http.StatusOK {
			t.Errorf("at the end of its life: %d", status)
		}
		*at = at.Add(time.Millisecond)
		if status, r := ask(t, s, "/v2/messages?"+first.next()); status != c.status || r.Error.Code != c.code {
			t.Errorf("expired: %d, code %d; want %d, code %d", status, r.Error.Code, c.status, c.code)
		}
		// Each reply's cursor has a life of its own.
		*at = now.Add(2 * s.CursorTTL)
		if status, _ := ask(t, s, "/v2/messages?"+second.next()); status != http.StatusOK {
			t.Errorf("the next cursor, within its life: %d", status)
		}
		if got := s.Stats(); got.Expired != 1 || got.Codes[c.code] != 1 {
			t.Errorf("counted %+v", got)
		}
	}
}

// TestCursorAskedAgain gives the same page although rows appeared in the meantime: a lost reply is asked for again.
func TestCursorAskedAgain(t *testing.T) {
	t.Parallel()
	s, at := settable(t, func(o *sim.Options) { o.Rate, o.Late, o.LateBy = 20, 0.3, 100*time.Second })
	_, first := ask(t, s, "/v2/messages?"+window(s, now.Add(-time.Minute), now, 100))
	_, second := ask(t, s, "/v2/messages?"+first.next())
	*at = now.Add(100 * time.Second)
	status, again := ask(t, s, "/v2/messages?"+first.next())
	if status != 200 || !slices.Equal(second.rows(), again.rows()) || again.Total != second.Total {
		t.Errorf("asked again: %d, %d rows of %d", status, again.Count, again.Total)
	}
	rows := append(first.rows(), second.rows()...)
	for next := again.next(); next != ""; {
		_, r := ask(t, s, "/v2/messages?"+next)
		rows, next = append(rows, r.rows()...), r.next()
	}
	if int64(len(rows)) != first.Total || distinct(rows) != len(rows) {
		t.Errorf("%d rows, %d of them different; want %d", len(rows), distinct(rows), first.Total)
	}
}

func TestCursorIsBound(t *testing.T) {
	t.Parallel()
	s := newSim(t, nil)
	_, first := ask(t, s, "/v2/messages?"+window(s, now.Add(-time.Hour), now, 10))
	_, ofGroup := ask(t, s, path("groups/"+sim.GroupID(0))+"?"+window(s, now.Add(-6*time.Hour), now, 1))
	escaped := first.next()
	text, err := url.QueryUnescape(strings.TrimPrefix(escaped, "cursor="))
	if err != nil {
		t.Fatal(err)
	}
	altered := []byte(text)
	altered[len(altered)/2] ^= 1
	stranger := newSim(t, func(o *sim.Options) { o.MasterSecret = "another" })
	for _, c := range []struct {
		name, target string
		api          *sim.Server
	}{
		{"messages on a group", path("groups/"+sim.GroupID(0)) + "?" + escaped, s},
		{"a group on messages", "/v2/messages?" + ofGroup.next(), s},
		{"a group on another", path("groups/"+sim.GroupID(1)) + "?" + ofGroup.next(), s},
		{"a group on a room", path("chatrooms/"+sim.RoomID(0)) + "?" + ofGroup.next(), s},
		{"altered", "/v2/messages?cursor=" + url.QueryEscape(string(altered)), s},
		{"cut", "/v2/messages?" + escaped[:len(escaped)-8], s},
		{"of another app", "/v2/messages?" + escaped, stranger},
	} {
		if status, r := ask(t, c.api, c.target); status != 400 || r.Error.Code != 899003 {
			t.Errorf("%s: %d, code %d; want it refused", c.name, status, r.Error.Code)
		}
	}
	// The server keeps nothing: another with the same options goes on.
	if status, r := ask(t, newSim(t, nil), "/v2/messages?"+escaped); status != 200 || r.Count != 10 {
		t.Errorf("after a restart: %d with %d rows", status, r.Count)
	}
}

// TestCursorNeedsEscaping shows that who puts cursors into a query as they are is found out.
func TestCursorNeedsEscaping(t *testing.T) {
	t.Parallel()
	s := newSim(t, nil)
	refused := 0
	for i := range 20 {
		_, r := ask(t, s, "/v2/messages?"+window(s, now.Add(-time.Hour-time.Duration(i)*time.Second), now, 10))
		if status, _ := ask(t, s, "/v2/messages?cursor="+*r.Cursor); status == 400 {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no cursor needed escaping")
	}
}

func TestCursorAtEnd(t *testing.T) {
	t.Parallel()
	s := newSim(t, func(o *sim.Options) { o.CursorAtEnd = true })
	for _, length := range []time.Duration{0, time.Minute} {
		begin := now.Add(-time.Hour)
		query, rows := window(s, begin, begin.Add(length), 50), 0
		for {
			status, r := ask(t, s, "/v2/messages?"+query)
			if status != 200 || (r.next() == "") != (r.Count == 0) {
				t.Fatalf("status %d, cursor %q with %d rows", status, r.next(), r.Count)
			}
			rows += r.Count
			if query = r.next(); query == "" {
				if r.Total != int64(rows) {
					t.Errorf("the empty page has total %d after %d rows", r.Total, rows)
				}
				break
			}
		}
	}
	empty := newSim(t, func(o *sim.Options) { o.CursorAtEnd, o.Rate = true, 0 })
	if _, r := ask(t, empty, "/v2/messages?"+window(s, now.Add(-time.Hour), now, 1)); r.Cursor != nil {
		t.Error("a window without rows has a cursor")
	}
}

func TestEmptyCursor(t *testing.T) {
	t.Parallel()
	for _, empty := range []bool{false, true} {
		s := newSim(t, func(o *sim.Options) { o.EmptyCursor = empty })
		_, r := ask(t, s, "/v2/messages?"+window(s, now.Add(-time.Minute), now.Add(-time.Minute), 1000))
		if (r.Cursor != nil) != empty || r.next() != "" {
			t.Errorf("empty cursor %t: got %v", empty, r.Cursor)
		}
	}
}
