package sim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jmpub/jmpub/internal/sim"
)

// now is the simulator's clock in these tests.
var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

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
	Cursor   string            `json:"cursor"`
	Count    int               `json:"count"`
	Messages []json.RawMessage `json:"messages"`
	Error    struct {
		Code int `json:"code"`
	} `json:"error"`
}

func ask(tb testing.TB, s *sim.Server, target string, login ...string) (int, reply) {
	tb.Helper()
	if login == nil {
		login = []string{s.AppKey, s.MasterSecret}
	}
	req := httptest.NewRequestWithContext(tb.Context(), http.MethodGet, target, http.NoBody)
	if len(login) == 2 {
		req.SetBasicAuth(login[0], login[1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	var r reply
	_ = json.Unmarshal(w.Body.Bytes(), &r) // Not every reply is meant to be JSON.
	return w.Code, r
}

func window(s *sim.Server, begin, end time.Time, count int) string {
	local := func(t time.Time) string { return strings.ReplaceAll(t.In(s.Zone).Format(time.DateTime), " ", "%20") }
	return fmt.Sprintf("count=%d&begin_time=%s&end_time=%s", count, local(begin), local(end))
}

func TestRefusals(t *testing.T) {
	s := newSim(t, nil)
	ok := window(s, now.Add(-time.Hour), now.Add(-time.Minute), 10)
	for _, c := range []struct {
		name, target string
		login        []string
		status, code int
	}{
		{"right", "/v2/messages?" + ok, nil, 200, 0},
		{"no authentication", "/v2/messages?" + ok, []string{""}, 401, 899007},
		{"wrong secret", "/v2/messages?" + ok, []string{s.AppKey, "x"}, 401, 899008},
		{"unknown app", "/v2/messages?" + ok, []string{"x", s.MasterSecret}, 401, 899009},
		{"unknown path", "/v2/message?" + ok, nil, 404, 899003},
		{"without users", "/v2/user_0001/messages?" + ok, nil, 404, 899003},
		{"unknown user", "/v2/users/nobody/messages?" + ok, nil, 400, 899002},
		{"unknown group", "/v2/groups/1/messages?" + ok, nil, 400, 899006},
		{"unknown room", "/v2/chatrooms/1/messages?" + ok, nil, 400, 899081},
		{"no count", "/v2/messages?" + strings.TrimPrefix(ok, "count=10&"), nil, 400, 899003},
		{"count 0", "/v2/messages?" + strings.Replace(ok, "count=10", "count=0", 1), nil, 400, 899003},
		{"count 1001", "/v2/messages?" + strings.Replace(ok, "count=10", "count=1001", 1), nil, 400, 899003},
		{"twice", "/v2/messages?count=1&" + ok, nil, 400, 899003},
		{"another parameter", "/v2/messages?x=1&" + ok, nil, 400, 899003},
		{"a plus for the space", "/v2/messages?" + strings.ReplaceAll(ok, "%20", "+"), nil, 400, 899003},
		{"no time", "/v2/messages?count=1&begin_time=today&end_time=now", nil, 400, 899003},
		{"end first", "/v2/messages?" + window(s, now, now.Add(-time.Hour), 1), nil, 400, 899003},
		{"seven days", "/v2/messages?" + window(s, now.Add(-7*24*time.Hour), now, 1), nil, 200, 0},
		{"more than seven days", "/v2/messages?" + window(s, now.Add(-7*24*time.Hour-time.Second), now, 1), nil, 400, 899003},
		{"made-up cursor", "/v2/messages?cursor=AABB", nil, 400, 899003},
		{"cursor and more", "/v2/messages?cursor=AABB&count=1", nil, 400, 899003},
	} {
		if status, r := ask(t, s, c.target, c.login...); status != c.status || r.Error.Code != c.code {
			t.Errorf("%s: %d, code %d; want %d, code %d", c.name, status, r.Error.Code, c.status, c.code)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	o := sim.Defaults()
	o.Rate, o.Truncated, o.Clock, o.Late, o.Users = -1, 2, "sundial", 0.5, 0
	_, err := sim.New(o)
	for _, want := range []string{"Rate", "truncated", "sundial", "Late", "Users"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
}

// pages follows a window's cursors to their end.
func pages(tb testing.TB, s *sim.Server, path string, begin, end time.Time, count int) (total int64, rows []string) {
	tb.Helper()
	status, r := ask(tb, s, path+"?"+window(s, begin, end, count))
	for {
		if status != http.StatusOK {
			tb.Fatalf("%s: %d, code %d", path, status, r.Error.Code)
		}
		for _, m := range r.Messages {
			rows = append(rows, string(m))
		}
		if r.Cursor == "" || len(r.Messages) == 0 {
			return r.Total, rows
		}
		status, r = ask(tb, s, path+"?cursor="+url.QueryEscape(r.Cursor))
	}
}

func truth(s *sim.Server, begin, end time.Time, stream string) []string {
	var rows []string
	for r := range s.Truth(sim.Range{Begin: begin, End: end, Stream: stream}) {
		rows = append(rows, string(r.Raw))
	}
	return rows
}

// TestAnyPagingYieldsTheTruth pages random windows with random page sizes, of every stream and by either clock.
func TestAnyPagingYieldsTheTruth(t *testing.T) {
	for _, clock := range []sim.Clock{sim.ServerClock, sim.SenderClock} {
		s := newSim(t, func(o *sim.Options) {
			o.Clock, o.OddRows, o.Burst, o.BurstAt = clock, 0.05, 300, now.Add(-30*time.Minute)
		})
		rapid.Check(t, func(rt *rapid.T) {
			begin := now.Add(-time.Duration(rapid.IntRange(600, 3600).Draw(rt, "begin")) * time.Second)
			end := begin.Add(time.Duration(rapid.IntRange(0, 500).Draw(rt, "length")) * time.Second)
			stream := rapid.SampledFrom([]string{
				"messages", "users/" + sim.Username(0), "users/" + sim.Username(11), "users/" + sim.Username(17),
				"groups/" + sim.GroupID(0), "chatrooms/" + sim.RoomID(1),
			}).Draw(rt, "stream")
			path := "/v2/messages"
			if kind, name, ok := strings.Cut(stream, "/"); ok {
				path = "/v2/" + kind + "/" + url.PathEscape(name) + "/messages"
			}
			total, rows := pages(t, s, path, begin, end, rapid.IntRange(1, 200).Draw(rt, "count"))
			if total != int64(len(rows)) {
				rt.Fatalf("total %d, %d rows", total, len(rows))
			}
			if clock == sim.ServerClock && !slices.Equal(rows, truth(s, begin, end.Add(999*time.Millisecond), stream)) {
				rt.Fatalf("%s: %d rows differ from the truth", stream, len(rows))
			}
		})
	}
}

func TestSameSeedSameHistory(t *testing.T) {
	a, b := newSim(t, nil), newSim(t, nil)
	other := newSim(t, func(o *sim.Options) { o.Seed = 2 })
	begin, end := now.Add(-time.Hour), now
	if !slices.Equal(truth(a, begin, end, ""), truth(b, begin, end, "")) {
		t.Error("the same seed gave two histories")
	}
	if slices.Equal(truth(a, begin, end, ""), truth(other, begin, end, "")) {
		t.Error("two seeds gave the same history")
	}
	ids := make(map[int64]bool)
	rising := true
	last := int64(0)
	for r := range a.Truth(sim.Range{Begin: now.Add(-24 * time.Hour), End: now}) {
		if ids[r.MsgID] || r.MsgID <= 1<<32 {
			t.Fatalf("msgid %d is used twice or small", r.MsgID)
		}
		ids[r.MsgID] = true
		rising = rising && r.MsgID > last
		last = r.MsgID
	}
	if rising {
		t.Error("msgids rise with time")
	}
}

func TestCursorExpires(t *testing.T) {
	at := now
	s := newSim(t, func(o *sim.Options) { o.Now = func() time.Time { return at }; o.ExpiredStatus, o.ExpiredCode = 410, 1 })
	_, first := ask(t, s, "/v2/messages?"+window(s, now.Add(-time.Hour), now, 10))
	for range 2 { // Asked again within its life, it gives the same page.
		if status, r := ask(t, s, "/v2/messages?cursor="+url.QueryEscape(first.Cursor)); status != 200 || len(r.Messages) != 10 {
			t.Errorf("%d with %d messages", status, len(r.Messages))
		}
	}
	if status, _ := ask(t, s, "/v2/groups/"+sim.GroupID(0)+"/messages?cursor="+url.QueryEscape(first.Cursor)); status != 410 {
		t.Errorf("on another path: %d, want it refused", status)
	}
	at = now.Add(121 * time.Second)
	if status, r := ask(t, s, "/v2/messages?cursor="+url.QueryEscape(first.Cursor)); status != 410 || r.Error.Code != 1 {
		t.Errorf("after 121 s: %d, code %d", status, r.Error.Code)
	}
}

func TestBounds(t *testing.T) {
	at := now.Add(-10 * time.Minute)
	for _, c := range []struct {
		name   string
		change func(*sim.Options)
		first  time.Time // of what must come
		last   time.Time
	}{
		{"inclusive", func(*sim.Options) {}, at, at.Add(10*time.Second + 999*time.Millisecond)},
		{"begin strict", func(o *sim.Options) { o.BeginStrict = true }, at.Add(time.Second), at.Add(10*time.Second + 999*time.Millisecond)},
		{"end strict", func(o *sim.Options) { o.EndStrict = true }, at, at.Add(9*time.Second + 999*time.Millisecond)},
		{"end in milliseconds", func(o *sim.Options) { o.EndMillis = true }, at, at.Add(10 * time.Second)},
	} {
		s := newSim(t, func(o *sim.Options) { o.Rate = 20; c.change(o) })
		_, rows := pages(t, s, "/v2/messages", at, at.Add(10*time.Second), 1000)
		if want := truth(s, c.first, c.last, ""); !slices.Equal(rows, want) {
			t.Errorf("%s: %d rows, want %d", c.name, len(rows), len(want))
		}
	}
}

func TestLateRowsAppear(t *testing.T) {
	at := now
	s := newSim(t, func(o *sim.Options) {
		o.Now = func() time.Time { return at }
		o.Rate, o.Late, o.LateBy = 20, 0.2, time.Minute
	})
	begin, end := now.Add(-10*time.Second), now
	before, _ := pages(t, s, "/v2/messages", begin, end, 1000)
	at = now.Add(2 * time.Minute)
	after, rows := pages(t, s, "/v2/messages", begin, end, 1000)
	if before >= after || len(rows) != len(truth(s, begin, end.Add(999*time.Millisecond), "")) {
		t.Errorf("%d rows at once, %d later", before, after)
	}
}

func TestRateLimit(t *testing.T) {
	s := newSim(t, func(o *sim.Options) { o.PerMinute, o.QuotaHeader = 3, true })
	target := "/v2/messages?" + window(s, now.Add(-time.Hour), now, 1)
	for i := range 5 {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
		req.SetBasicAuth(s.AppKey, s.MasterSecret)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		if limited := w.Code == http.StatusTooManyRequests; limited != (i >= 3) {
			t.Errorf("request %d: %d", i, w.Code)
		}
		if got, want := w.Header().Get("X-Rate-Limit-Remaining"), strconv.Itoa(max(0, 2-i)); got != want || w.Header().Get("X-Rate-Limit-Quota") != "3" {
			t.Errorf("request %d: remaining %q, want %q", i, got, want)
		}
	}
}

// TestFaults draws each fault with certainty and expects it to show.
func TestFaults(t *testing.T) {
	for fault, want := range map[sim.Fault]func(status int, body string, r reply) bool{
		sim.RateLimited:     func(status int, _ string, r reply) bool { return status == 429 && r.Error.Code == 2002 },
		sim.RateLimitedBare: func(status int, _ string, _ reply) bool { return status == 429 },
		sim.ServerError: func(status int, _ string, r reply) bool {
			return status == 500 && r.Error.Code == 899000 || status == 503 && r.Error.Code == 899030
		},
		sim.HTMLError:  func(status int, body string, _ reply) bool { return status == 502 && strings.HasPrefix(body, "<html>") },
		sim.HTMLPage:   func(status int, body string, _ reply) bool { return status == 200 && strings.HasPrefix(body, "<html>") },
		sim.Truncated:  func(_ int, body string, _ reply) bool { return !json.Valid([]byte(body)) },
		sim.Malformed:  func(_ int, body string, _ reply) bool { return !json.Valid([]byte(body)) },
		sim.Repeated:   func(_ int, _ string, r reply) bool { return len(r.Messages) == 11 && r.Count == 11 },
		sim.Displaced:  func(_ int, _ string, r reply) bool { return len(r.Messages) == 10 && distinct(r.Messages) == 9 },
		sim.WrongTotal: func(_ int, _ string, r reply) bool { return r.Total != totalOf(t) },
		"": func(status int, _ string, r reply) bool {
			return status == 200 && r.Total == totalOf(t) && distinct(r.Messages) == 10
		},
	} {
		s := newSim(t, func(o *sim.Options) { o.Intercept = func(int64, *http.Request) sim.Fault { return fault } })
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/messages?"+window(s, now.Add(-time.Hour), now.Add(-time.Minute), 10), http.NoBody)
		req.SetBasicAuth(s.AppKey, s.MasterSecret)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		var r reply
		_ = json.Unmarshal(w.Body.Bytes(), &r) // Not every reply is meant to be JSON.
		if !want(w.Code, w.Body.String(), r) {
			t.Errorf("%q does not show: %d, %.100s", fault, w.Code, w.Body.String())
		}
		if fault != "" && s.Stats().Faults[fault] != 1 {
			t.Errorf("%q is counted %d times", fault, s.Stats().Faults[fault])
		}
	}
}

func distinct(messages []json.RawMessage) int {
	seen := make(map[string]bool)
	for _, m := range messages {
		seen[string(m)] = true
	}
	return len(seen)
}

func totalOf(t *testing.T) int64 {
	t.Helper()
	_, r := ask(t, newSim(t, nil), "/v2/messages?"+window(newSim(t, nil), now.Add(-time.Hour), now.Add(-time.Minute), 10))
	return r.Total
}

// TestHistoryNeedsNoMemory counts millions of rows in sixty days.
func TestHistoryNeedsNoMemory(t *testing.T) {
	s := newSim(t, func(o *sim.Options) { o.Rate = 1 })
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	total := int64(0)
	for day := 59; day > 0; day -= 7 {
		begin := now.Add(-time.Duration(day) * 24 * time.Hour)
		_, r := ask(t, s, "/v2/messages?"+window(s, begin, begin.Add(7*24*time.Hour-time.Second), 1000))
		total += r.Total
	}
	runtime.ReadMemStats(&after)
	if total < 5_000_000 {
		t.Errorf("%d rows, want more than five million", total)
	}
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 16<<20 {
		t.Errorf("%d bytes of memory stayed in use", grown)
	}
}
