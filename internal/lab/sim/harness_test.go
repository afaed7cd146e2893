package sim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// now is the simulator's clock in these tests.
var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// newSim makes a simulator with two rows a second whose clock stands at now.
func newSim(tb testing.TB, change func(*sim.Options)) *sim.Server {
	tb.Helper()
	o := sim.Defaults()
	o.Now = func() time.Time { return now }
	o.Rate = 2
	if change != nil {
		change(&o)
	}
	s, err := sim.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// reply is what the API sends.
type reply struct {
	Total    int64             `json:"total"`
	Cursor   *string           `json:"cursor"`
	Count    int               `json:"count"`
	Messages []json.RawMessage `json:"messages"`
	Error    struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// next is the query of the next page; empty at the end.
func (r *reply) next() string {
	if r.Cursor == nil || *r.Cursor == "" {
		return ""
	}
	return "cursor=" + url.QueryEscape(*r.Cursor)
}

func (r *reply) rows() []string {
	var rows []string
	for _, m := range r.Messages {
		rows = append(rows, string(m))
	}
	return rows
}

func request(tb testing.TB, s *sim.Server, target string) *http.Request {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodGet, target, http.NoBody)
	r.SetBasicAuth(s.AppKey, s.MasterSecret)
	return r
}

// send answers a request, and reads the reply as far as it is JSON.
func send(s http.Handler, r *http.Request) (*httptest.ResponseRecorder, reply) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var got reply
	_ = json.Unmarshal(w.Body.Bytes(), &got) // Not every reply is meant to be JSON.
	return w, got
}

func ask(tb testing.TB, s *sim.Server, target string) (int, reply) {
	tb.Helper()
	w, got := send(s, request(tb, s, target))
	return w.Code, got
}

func times(s *sim.Server, begin, end time.Time) string {
	local := func(t time.Time) string { return strings.ReplaceAll(t.In(s.Zone).Format(time.DateTime), " ", "%20") }
	return "&begin_time=" + local(begin) + "&end_time=" + local(end)
}

// window is the query of a first request.
func window(s *sim.Server, begin, end time.Time, count int) string {
	return fmt.Sprintf("count=%d", count) + times(s, begin, end)
}

// path is where a stream in jmpub's notation is asked for.
func path(stream string) string {
	kind, name, ok := strings.Cut(stream, "/")
	if !ok {
		return "/v2/" + kind
	}
	return "/v2/" + kind + "/" + url.PathEscape(name) + "/messages"
}

// pages follows a window's cursors to their end, and returns the last total and all rows.
func pages(tb testing.TB, s *sim.Server, path string, begin, end time.Time, count int) (total int64, rows []string) {
	tb.Helper()
	query := window(s, begin, end, count)
	for {
		status, r := ask(tb, s, path+"?"+query)
		if status != http.StatusOK || r.Count != len(r.Messages) || r.Count > count {
			tb.Fatalf("%s: status %d, code %d, count %d of %d rows", path, status, r.Error.Code, r.Count, len(r.Messages))
		}
		rows = append(rows, r.rows()...)
		if query = r.next(); query == "" {
			return r.Total, rows
		}
		if len(r.Messages) == 0 {
			tb.Fatalf("%s: an empty page with a cursor", path)
		}
	}
}

func truth(s *sim.Server, begin, end time.Time, stream string) []string {
	var rows []string
	for r := range s.Truth(sim.Range{Begin: begin, End: end, Stream: stream}) {
		rows = append(rows, string(r.Raw))
	}
	return rows
}

// someStreams has one of each kind, and every awkward name.
func someStreams() []string {
	streams := []string{
		"messages", "groups/" + sim.GroupID(0), "groups/" + sim.GroupID(7), "chatrooms/" + sim.RoomID(1),
	}
	for _, i := range []int{0, 3, 5, 11, 17, 23} {
		streams = append(streams, "users/"+sim.Username(i))
	}
	return streams
}

func distinct(rows []string) int { return len(slices.Compact(slices.Sorted(slices.Values(rows)))) }
