package sim_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := newSim(t, func(o *sim.Options) { o.Now = func() time.Time { return now.In(o.Zone) } })
	for _, target := range []string{"/v2/messages?" + window(s, now.Add(-time.Hour), now, 10), "/v2/x", "/sim/stats"} {
		w, _ := send(s, request(t, s, target))
		if got := w.Header().Get("Date"); got != "Fri, 20 Nov 2026 12:00:00 GMT" {
			t.Errorf("%s: Date %q is not the simulated clock's", target, got)
		}
		if got := w.Header().Get("Content-Type"); got != "application/json; charset=utf-8" {
			t.Errorf("%s: Content-Type %q", target, got)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %s", target, w.Body)
		}
	}
}

func TestGzip(t *testing.T) {
	t.Parallel()
	s := newSim(t, func(o *sim.Options) { o.Gzip = true })
	for _, c := range []struct {
		accept string
		count  int
		zipped bool
	}{
		{"gzip", 100, true},
		{"deflate, gzip;q=0.5", 100, true},
		{"*", 100, true},
		{"gzip;q=0", 100, false},
		{"identity", 100, false},
		{"", 100, false},
		{"gzip", 1, false}, // Not worth it.
	} {
		target := "/v2/messages?" + window(s, now.Add(-time.Hour), now, c.count)
		plain, _ := send(s, request(t, s, target))
		r := request(t, s, target)
		r.Header.Set("Accept-Encoding", c.accept)
		w, _ := send(s, r)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != c.zipped {
			t.Errorf("%q, %d rows: gzip %t", c.accept, c.count, got)
		}
		if got := w.Header().Get("Content-Length"); got != strconv.Itoa(w.Body.Len()) {
			t.Errorf("%q: Content-Length %s, %d bytes", c.accept, got, w.Body.Len())
		}
		if !c.zipped {
			continue
		}
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		var a, b reply
		if err != nil || json.Unmarshal(text, &a) != nil || json.Unmarshal(plain.Body.Bytes(), &b) != nil || same(a.rows(), b.rows(), 1) || !same(a.rows(), b.rows(), 0) {
			t.Errorf("%q: %v, %d rows", c.accept, err, a.Count)
		}
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*sim.Options)
		header string // with the quota
		retry  string // Retry-After
	}{
		{"limit", func(*sim.Options) {}, "X-Rate-Limit-Limit", ""},
		{"quota", func(o *sim.Options) { o.QuotaHeader, o.RetryAfter = true, true }, "X-Rate-Limit-Quota", "40"},
		{"none", func(o *sim.Options) { o.NoRateHeaders = true }, "", ""},
	} {
		s, at := settable(t, func(o *sim.Options) { o.PerMinute = 3; c.change(o) })
		target := "/v2/messages?" + window(s, now.Add(-time.Hour), now, 1)
		*at = now.Add(20 * time.Second)
		unknown := request(t, s, target)
		unknown.SetBasicAuth("x", "y")
		send(s, unknown) // Not the app's request.
		for i := range 5 {
			w, got := send(s, request(t, s, target))
			retry := ""
			want := http.StatusOK
			if i >= 3 {
				want, retry = http.StatusTooManyRequests, c.retry
			}
			if w.Code != want || (want != 200) != (got.Error.Code == 2002) || w.Header().Get("Retry-After") != retry {
				t.Errorf("%s, request %d: %d, code %d, Retry-After %q", c.name, i, w.Code, got.Error.Code, w.Header().Get("Retry-After"))
			}
			for name, value := range map[string]string{c.header: "3", "X-Rate-Limit-Remaining": strconv.Itoa(max(0, 2-i)), "X-Rate-Limit-Reset": "40"} {
				if got := w.Header().Get(name); c.header != "" && got != value || c.header == "" && got != "" {
					t.Errorf("%s, request %d: %s is %q, want %q", c.name, i, name, got, value)
				}
			}
		}
		*at = now.Add(time.Minute)
		if status, _ := ask(t, s, target); status != 200 {
			t.Errorf("%s, a new minute: %d", c.name, status)
		}
		if stats := s.Stats(); stats.Limited != 2 || stats.Pages != 4 || stats.Refused != 1 {
			t.Errorf("%s: counted %+v", c.name, stats)
		}
	}
}

func TestTruthEndpoint(t *testing.T) {
	t.Parallel()
	s := newSim(t, func(o *sim.Options) { o.IrregularRows, o.NullRows, o.Late, o.LateBy = 0.1, 0.02, 0.2, time.Minute })
	begin, end := now.Add(-time.Hour), now
	for _, stream := range append(someStreams(), "") {
		target := "/sim/truth?" + url.Values{
			"begin": {begin.Format(time.RFC3339)}, "end": {end.Format(time.RFC3339)}, "stream": {stream},
		}.Encode()
		w, _ := send(s, request(t, s, target))
		lines := bufio.NewScanner(w.Body)
		lines.Buffer(nil, 1<<20)
		for row := range s.Truth(sim.Range{Begin: begin, End: end, Stream: stream}) {
			if !lines.Scan() {
				t.Fatalf("%s ends early", stream)
			}
			var line struct {
				MsgID   *int64          `json:"msgid"`
				Target  string          `json:"target_type"`
				Time    time.Time       `json:"time"`
				Appears time.Time       `json:"appears"`
				Row     json.RawMessage `json:"row"`
			}
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatalf("%s: %v", lines.Text(), err)
			}
			if row.HasMsgID != (line.MsgID != nil) || row.HasMsgID && *line.MsgID != row.MsgID || line.Target != row.Target ||
				!line.Time.Equal(row.Time) || !line.Appears.Equal(row.Appears) || string(line.Row) != string(row.Raw) {
				t.Fatalf("%s: %s is not %+v", stream, lines.Text(), row)
			}
		}
		if lines.Scan() {
			t.Errorf("%s has more: %s", stream, lines.Text())
		}
	}
	for target, status := range map[string]int{
		"/sim/truth": 400, "/sim/truth?begin=2026-11-20&end=2026-11-21": 400,
		"/sim/truth?begin=2026-11-20T10:00:00Z&end=2026-11-20T11:00:00Z&stream=users/nobody": 404,
	} {
		if w, _ := send(s, request(t, s, target)); w.Code != status {
			t.Errorf("%s: %d, want %d", target, w.Code, status)
		}
	}
}

func TestStatsEndpoint(t *testing.T) {
	t.Parallel()
	s := failing(t, 2, sim.WrongTotal)
	target := "/v2/messages?" + window(s, now.Add(-time.Hour), now, 10)
	ask(t, s, target)
	ask(t, s, target)
	ask(t, s, "/v2/nothing")
	w, _ := send(s, request(t, s, "/sim/stats"))
	want := `{"requests":3,"pages":2,"rows":20,"statistics":0,"lists":0,"refused":1,"codes":{"899003":1},"limited":0,"expired_cursors":0,"faults":{"wrong_total":1}}`
	if got := strings.TrimSpace(w.Body.String()); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
