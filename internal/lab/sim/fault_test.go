package sim_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// failing makes a simulator whose n-th request goes wrong, and no other.
func failing(tb testing.TB, n int64, fault sim.Fault) *sim.Server {
	tb.Helper()
	return newSim(tb, func(o *sim.Options) {
		o.SlowBy = time.Second
		o.Intercept = func(at int64, _ *http.Request) sim.Fault {
			if at == n {
				return fault
			}
			return ""
		}
	})
}

// TestFaultsInReplies fails the second of three requests, a page in the middle, and expects the fault to show in it alone.
func TestFaultsInReplies(t *testing.T) {
	t.Parallel()
	html := func(w *httptest.ResponseRecorder) bool {
		return w.Header().Get("Content-Type") == "text/html" && strings.HasPrefix(w.Body.String(), "<html>")
	}
	broken := func(w *httptest.ResponseRecorder) bool {
		return w.Code == 200 && !json.Valid(w.Body.Bytes()) && w.Header().Get("Content-Type") == "application/json; charset=utf-8"
	}
	limited := func(w *httptest.ResponseRecorder) string { return w.Header().Get("X-Rate-Limit-Remaining") }
	for _, c := range []struct {
		fault sim.Fault
		shows func(w *httptest.ResponseRecorder, got, want reply) bool
	}{
		{sim.RateLimited, func(w *httptest.ResponseRecorder, got, _ reply) bool {
			return w.Code == 429 && got.Error.Code == 2002 && limited(w) == "0"
		}},
		{sim.RateLimitedBare, func(w *httptest.ResponseRecorder, got, _ reply) bool {
			return w.Code == 429 && got.Error.Code == 2002 && limited(w) == ""
		}},
		{sim.ServerError, func(w *httptest.ResponseRecorder, got, _ reply) bool {
			return w.Code == 500 && got.Error.Code == 899000 || w.Code == 503 && got.Error.Code == 899030
		}},
		{sim.HTMLError, func(w *httptest.ResponseRecorder, _, _ reply) bool { return w.Code == 502 && html(w) }},
		{sim.HTMLPage, func(w *httptest.ResponseRecorder, _, _ reply) bool { return w.Code == 200 && html(w) }},
		{sim.Truncated, func(w *httptest.ResponseRecorder, _, _ reply) bool { return broken(w) }},
		{sim.Malformed, func(w *httptest.ResponseRecorder, _, _ reply) bool { return broken(w) }},
		{sim.Repeated, func(_ *httptest.ResponseRecorder, got, want reply) bool {
			return got.Count == 11 && len(got.Messages) == 11 && got.Total == want.Total && same(got.rows(), want.rows(), 0)
		}},
		{sim.Displaced, func(_ *httptest.ResponseRecorder, got, want reply) bool {
			return got.Count == 10 && len(got.Messages) == 10 && got.Total == want.Total && same(got.rows(), want.rows(), 1)
		}},
		{sim.Shuffled, func(_ *httptest.ResponseRecorder, got, want reply) bool {
			return len(got.Messages) == 10 && same(got.rows(), want.rows(), 0) && got.rows()[0] != want.rows()[0]
		}},
		{sim.WrongTotal, func(_ *httptest.ResponseRecorder, got, want reply) bool {
			return got.Total != want.Total && max(got.Total-want.Total, want.Total-got.Total) <= 3 && same(got.rows(), want.rows(), 0)
		}},
		{sim.ExpiredEarly, func(w *httptest.ResponseRecorder, got, _ reply) bool {
			return w.Code == 400 && got.Error.Code == 899003
		}},
		{"", func(_ *httptest.ResponseRecorder, got, want reply) bool { return same(got.rows(), want.rows(), 0) }},
	} {
		s := failing(t, 2, c.fault)
		_, first := ask(t, s, "/v2/messages?"+window(s, now.Add(-time.Hour), now, 10))
		w, got := send(s, request(t, s, "/v2/messages?"+first.next()))
		_, want := ask(t, s, "/v2/messages?"+first.next())
		if want.Count != 10 || distinct(want.rows()) != 10 || want.Total != first.Total {
			t.Fatalf("%q: the request after it has %d rows of %d", c.fault, want.Count, want.Total)
		}
		if !c.shows(w, got, want) {
			t.Errorf("%q does not show: %d, %v, %.200s", c.fault, w.Code, w.Header(), w.Body)
		}
		if counted := s.Stats().Faults; c.fault != "" && counted[c.fault] != 1 || len(counted) > 1 || c.fault == "" && len(counted) > 0 {
			t.Errorf("%q is counted %v", c.fault, counted)
		}
	}
}

// same tells whether got has the rows of want, but for as many as are missing.
func same(got, want []string, missing int) bool {
	there := make(map[string]bool)
	for _, row := range got {
		there[row] = true
	}
	for _, row := range want {
		if !there[row] {
			missing--
		}
		delete(there, row)
	}
	return missing == 0 && len(there) == 0
}

// TestFaultsWithoutEffect are not counted: there was nothing that could go wrong so.
func TestFaultsWithoutEffect(t *testing.T) {
	t.Parallel()
	for _, fault := range []sim.Fault{sim.Repeated, sim.Displaced, sim.Shuffled, sim.ExpiredEarly} {
		s := failing(t, 1, fault)
		status, r := ask(t, s, "/v2/users/"+sim.Username(499)+"/messages?"+window(s, now, now, 10))
		if status != 200 || r.Count != 0 || len(s.Stats().Faults) != 0 {
			t.Errorf("%s: %d, %d rows, counted %v", fault, status, r.Count, s.Stats().Faults)
		}
	}
}

// TestDroppedConnections looks at connections from the other end.
func TestDroppedConnections(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault   sim.Fault
		headers bool
		body    bool
	}{
		{sim.Dropped, false, false},
		{sim.DroppedHeaders, true, false},
		{sim.DroppedMidway, true, true},
	} {
		for _, count := range []int{1, 1000} { // Less than net/http's buffer, and more.
			for _, zip := range []bool{false, true} {
				s := newSim(t, func(o *sim.Options) {
					o.Gzip = zip
					o.Intercept = func(int64, *http.Request) sim.Fault { return c.fault }
				})
				server := httptest.NewServer(s)
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
					server.URL+"/v2/messages?"+window(s, now.Add(-time.Hour), now, count), http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				r.SetBasicAuth(s.AppKey, s.MasterSecret)
				r.Header.Set("Accept-Encoding", "gzip")
				res, err := server.Client().Do(r)
				if (err == nil) != c.headers {
					t.Fatalf("%s: %v", c.fault, err)
				}
				if err == nil {
					body, readErr := io.ReadAll(res.Body)
					_ = res.Body.Close()
					if !errors.Is(readErr, io.ErrUnexpectedEOF) || (len(body) > 0) != c.body || res.StatusCode != http.StatusOK {
						t.Errorf("%s of %d rows, gzip %t: %d, %d bytes, %v", c.fault, count, zip, res.StatusCode, len(body), readErr)
					}
				}
				server.Close()
				if s.Stats().Faults[c.fault] == 0 {
					t.Errorf("%s is not counted", c.fault)
				}
			}
		}
	}
}

// TestSlowReplies takes exactly the time that was set, by a clock that nobody waits for.
func TestSlowReplies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, func(o *sim.Options) {
			o.Latency, o.LatencyJitter, o.SlowBy = 3*time.Second, 2*time.Second, time.Minute
			o.Intercept = func(n int64, _ *http.Request) sim.Fault {
				if n > 20 {
					return sim.Slow
				}
				return ""
			}
		})
		target := "/v2/messages?" + window(s, now.Add(-time.Hour), now, 1)
		took := make(map[time.Duration]bool)
		for i := range 40 {
			start := time.Now()
			status, _ := ask(t, s, target)
			wait := time.Since(start)
			if i >= 20 {
				wait -= s.SlowBy
			}
			if status != 200 || wait < s.Latency || wait > s.Latency+s.LatencyJitter {
				t.Errorf("request %d: %d after %v", i, status, wait)
			}
			took[wait] = true
		}
		if len(took) < 20 || s.Stats().Faults[sim.Slow] != 20 {
			t.Errorf("%d different waits, counted %v", len(took), s.Stats().Faults)
		}
	})
}

// TestClientGoesAway ends a slow request with its client.
func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, func(o *sim.Options) { o.Latency = time.Hour })
		r := request(t, s, "/v2/messages?"+window(s, now.Add(-time.Hour), now, 1))
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		start := time.Now()
		w, _ := send(s, r.WithContext(ctx))
		if time.Since(start) != time.Second || w.Body.Len() > 0 || s.Stats().Pages != 0 {
			t.Errorf("after %v: %d bytes", time.Since(start), w.Body.Len())
		}
	})
}

// TestFaultRates draws by rate: as often as set, the same for the same seed, another for another.
func TestFaultRates(t *testing.T) {
	t.Parallel()
	const requests = 2000
	run := func(seed uint64) map[sim.Fault]int64 {
		s := newSim(t, func(o *sim.Options) {
			o.Seed = seed
			o.Faults = sim.Faults{RateLimited: 0.1, ServerError: 0.2, HTMLPage: 0.05, Malformed: 0.15, WrongTotal: 0.1, Shuffled: 0.05}
		})
		target := "/v2/messages?" + window(s, now.Add(-time.Minute), now, 5)
		for range requests {
			ask(t, s, target)
		}
		return s.Stats().Faults
	}
	a, b, other := run(1), run(1), run(2)
	differs := false
	for fault, part := range map[sim.Fault]float64{
		sim.RateLimited: 0.1, sim.ServerError: 0.2, sim.HTMLPage: 0.05, sim.Malformed: 0.15, sim.WrongTotal: 0.1, sim.Shuffled: 0.05,
	} {
		if got := float64(a[fault]) / requests; got < part*0.7 || got > part*1.3 {
			t.Errorf("%s: %.3f of the requests, want about %.2f", fault, got, part)
		}
		if a[fault] != b[fault] {
			t.Errorf("%s: %d and %d times by the same seed", fault, a[fault], b[fault])
		}
		differs = differs || a[fault] != other[fault]
	}
	if !differs || len(a) != 6 {
		t.Errorf("faults %v; by another seed %v", a, other)
	}
}

// TestStale answers a window, and the pages that its cursor brings, as of a while ago.
func TestStale(t *testing.T) {
	t.Parallel()
	const behind = 10 * time.Second
	stale := newSim(t, func(o *sim.Options) {
		o.StaleBy = behind
		o.Intercept = func(n int64, _ *http.Request) sim.Fault {
			if n == 1 {
				return sim.Stale
			}
			return ""
		}
	})
	rows := func(s *sim.Server, end time.Time) (all []string) {
		_, page := ask(t, s, "/v2/messages?"+window(s, now.Add(-time.Minute), end, 10))
		for all = page.rows(); page.Cursor != nil; all = append(all, page.rows()...) {
			_, page = ask(t, s, "/v2/messages?"+page.next())
		}
		return all
	}
	got, want, after := rows(stale, now), rows(stale, now.Add(-behind-time.Millisecond)), rows(stale, now)
	if !slices.Equal(got, want) || len(after) <= len(got) || len(want) == 0 {
		t.Errorf("%d rows, want the %d of %s before, and %d afterwards", len(got), len(want), behind, len(after))
	}
	if n := stale.Stats().Faults[sim.Stale]; n != 1 {
		t.Errorf("it is counted %d times", n)
	}
}

// TestConcurrency asks from many sides at once; the race detector looks on.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	s := newSim(t, func(o *sim.Options) {
		o.Gzip, o.Faults = true, sim.Faults{ServerError: 0.1, Shuffled: 0.3}
		o.PerMinute = 1 << 30
	})
	var clients sync.WaitGroup
	const requests = 50
	streams := someStreams()
	for _, stream := range streams {
		clients.Go(func() {
			for i := range requests {
				r := request(t, s, path(stream)+"?"+window(s, now.Add(-time.Hour), now, 1+i))
				r.Header.Set("Accept-Encoding", "gzip")
				send(s, r)
			}
		})
	}
	clients.Wait()
	stats := s.Stats()
	if want := int64(len(streams) * requests); stats.Requests != want || stats.Pages+stats.Faults[sim.ServerError] != want {
		t.Errorf("%+v; want %d requests", stats, want)
	}
}

// TestWrongDates sends a part of the replies with a Date that is off, whatever else is in them.
func TestWrongDates(t *testing.T) {
	t.Parallel()
	s := newSim(t, func(o *sim.Options) { o.WrongDate, o.WrongDateBy = 0.3, 70*24*time.Hour })
	wrong := 0
	for range 1000 {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/messages", http.NoBody))
		date, err := http.ParseTime(w.Header().Get("Date"))
		if err != nil {
			t.Fatal(err)
		}
		if date.Sub(s.Now()) > 69*24*time.Hour {
			wrong++
		}
	}
	if wrong < 250 || wrong > 350 {
		t.Errorf("%d of 1000 dates are off, want about 300", wrong)
	}
}
