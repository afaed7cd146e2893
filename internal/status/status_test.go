package status_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

func messages() pipeline.Stream { return pipeline.Stream{Kind: pipeline.StreamMessages} }

// page is that of a process with one app.
type page struct {
	*status.Process
	*status.Status
}

func show(p status.ProcessOptions, o status.Options) page {
	process := status.NewProcess(p)
	return page{process, process.Add(o)}
}

func newStatus() page {
	return show(status.ProcessOptions{Version: "v1"}, status.Options{
		AppKey: "app", Delivery: "exactly once", Streams: []pipeline.Stream{messages()},
	})
}

// window is a committed one that ends at a time, where its stream's position is then.
func window(s pipeline.Stream, end time.Time, rows int64) pipeline.WindowCommitted {
	return pipeline.WindowCommitted{
		Ledger: &pipeline.Ledger{
			Stream: s, Window: pipeline.Window{Begin: end.Add(-time.Minute), End: end},
			Rows: rows, Published: rows - 3, Skipped: 1, Repeated: 1, Rejected: 1,
		},
		Checkpoint: &pipeline.Checkpoint{Stream: s, End: end},
	}
}

// get is what a process answers at /readyz, or at /metrics.
func get(t *testing.T, p *status.Process, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	if path == "/metrics" {
		p.Metrics().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		return w.Code, w.Body.String()
	}
	body, ready := p.Ready()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	code := http.StatusOK
	if !ready {
		code = http.StatusServiceUnavailable
	}
	return code, string(text)
}

func TestEachFactMovesItsFigure(t *testing.T) {
	s := newStatus()
	now := time.Now()
	committed := window(messages(), now.Add(-10*time.Second), 100)
	committed.Events = [event.TargetCount]int{60, 30, 7, 0}
	gap := pipeline.Window{Begin: now.Add(-time.Hour), End: now}
	for _, fact := range []pipeline.Observation{
		pipeline.RequestAnswered{Stream: messages(), Class: "ok", Took: 20 * time.Millisecond},
		pipeline.RequestAnswered{Stream: messages(), Class: "rate_limited", Took: time.Millisecond},
		pipeline.RetryScheduled{
			Op: "produce to a, b", Err: &pipeline.Fault{Class: pipeline.Transient, Op: "boom", Kind: "not_enough_replicas"}, Wait: time.Second,
		},
		pipeline.TransactionEnded{Result: pipeline.Committed, Took: 20 * time.Millisecond, Bytes: 1000},
		pipeline.TransactionEnded{Result: pipeline.Aborted, Took: 2 * time.Second, Bytes: 500},
		pipeline.QuotaTold{Limit: 600, Remaining: 17},
		pipeline.WindowRestarted{Stream: messages(), Err: &pipeline.Fault{Class: pipeline.Restart}},
		pipeline.HeadRead{Stream: messages(), End: now.Add(-5 * time.Second)},
		committed,
		pipeline.RowRejected{Stream: messages(), Rejection: event.Rejection{Reason: event.ReasonMsgIDAbsent}},
		pipeline.NoticePublished{Notice: pipeline.Notice{Kind: pipeline.NoticeGap, Stream: messages(), Window: gap}},
		pipeline.NoticePublished{Notice: pipeline.Notice{Kind: pipeline.NoticeMismatch, Stream: messages()}},
		pipeline.SessionStarted{},
		pipeline.MemoryHeld{Bytes: 4096},
	} {
		s.Observer().Tell(fact)
	}
	_, text := get(t, s.Process, "/metrics")
	for _, want := range []string{
		`jmpub_rows_total{app="app",stream="messages"} 100`, `jmpub_notices_total{app="app",kind="gap",stream="messages"} 1`,
		`jmpub_skipped_total{app="app",stream="messages"} 1`, `jmpub_repeated_total{app="app",stream="messages"} 1`,
		`jmpub_events_total{app="app",stream="messages",target="single"} 60`, `jmpub_events_total{app="app",stream="messages",target="chatroom"} 7`,
		`jmpub_rejected_total{app="app",reason="msgid_absent"} 1`, `jmpub_window_restarts_total{app="app",class="restart",stream="messages"} 1`,
		`jmpub_gap_seconds_total{app="app",stream="messages"} 3600`, `jmpub_notices_total{app="app",kind="mismatch",stream="messages"} 1`,
		`jmpub_retries_total{app="app",kind="not_enough_replicas",operation="produce"} 1`, `jmpub_sessions_total{app="app"} 1`,
		`jmpub_errors_total{app="app",class="abort"} 0`, `jmpub_kafka_sent_bytes_total{app="app"} 1500`,
		`jmpub_transaction_duration_seconds_count{app="app",result="committed"} 1`, `jmpub_transaction_duration_seconds_sum{app="app",result="aborted"} 2`,
		`jmpub_window_memory_bytes{app="app"} 4096`, `jmpub_quota_limit_requests{app="app"} 600`, `jmpub_quota_remaining_requests{app="app"} 17`,
		`jmpub_request_duration_seconds_count{app="app",class="ok"} 1`, `jmpub_request_duration_seconds_bucket{app="app",class="ok",le="0.01"} 0`,
		`jmpub_request_duration_seconds_bucket{app="app",class="ok",le="0.025"} 1`, `jmpub_lag_seconds{app="app",stream="messages"} 10.`,
		`jmpub_read_lag_seconds{app="app",stream="messages"} 5.`,
		`jmpub_retention_left_seconds{app="app",stream="messages"} 5.18`, `jmpub_end_time_timestamp_seconds{app="app",stream="messages"} `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	for line := range strings.Lines(text) {
		ofProcess := strings.HasPrefix(line, "jmpub_build_info{") || strings.HasPrefix(line, "jmpub_apps{")
		if strings.HasPrefix(line, "jmpub_") && !ofProcess && !strings.Contains(line, `app="app"`) {
			t.Errorf("a metric that does not tell its app: %s", line)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "jmpub_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	snap := s.Snapshot()
	if snap.Rows != 100 || snap.Events["group"] != 30 || snap.Problem != "boom" || snap.Last == nil || snap.Last.Rows != 100 {
		t.Errorf("snapshot %+v does not tell the same", snap)
	}
}

// TestRetentionClock counts from the oldest second that is not read, the backlog behind a live position before everything else.
func TestRetentionClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStatus()
		o := s.Observer()
		const day = 24 * time.Hour
		now := time.Now()
		shows := func(unread, left time.Duration, warned bool) {
			t.Helper()
			_, text := get(t, s.Process, "/metrics")
			for name, want := range map[string]time.Duration{"jmpub_unread_age_seconds": unread, "jmpub_retention_left_seconds": left} {
				if line := fmt.Sprintf("%s{app=%q,stream=%q} %v\n", name, "app", "messages", want.Seconds()); !strings.Contains(text, line) {
					t.Errorf("the metrics lack %s", line)
				}
			}
			_, body := get(t, s.Process, "/readyz")
			if said := strings.Contains(body, "begins to leave the API's history"); said != warned || (len(s.Status.Leaving()) > 0) != warned {
				t.Errorf("warned %t, want %t: %s", said, warned, body)
			}
		}
		if len(s.Status.Leaving()) > 0 {
			t.Error("a warning, and nothing is known yet")
		}
		started := func(end time.Time, backlog ...pipeline.Backlog) pipeline.StreamStarted {
			return pipeline.StreamStarted{Checkpoint: &pipeline.Checkpoint{Stream: messages(), End: end, Backlog: backlog}}
		}
		o.Tell(started(now.Add(-day)))
		shows(day, 59*day, false)
		o.Tell(started(now.Add(-54 * day)))
		shows(54*day, 6*day, true)
		o.Tell(started(now.Add(-time.Minute), pipeline.Backlog{End: now.Add(-55 * day), Until: now.Add(-time.Hour)}))
		shows(55*day, 5*day, true)
		later := window(messages(), now.Add(-time.Minute), 10)
		later.Checkpoint.Backlog = []pipeline.Backlog{{End: now.Add(-50 * day), Until: now.Add(-time.Hour)}}
		o.Tell(later)
		shows(50*day, 10*day, false)
		o.Tell(window(messages(), now.Add(-time.Minute), 10))
		shows(time.Minute, 60*day-time.Minute, false)
		o.Tell(pipeline.HeadRead{Stream: messages(), End: now})
		shows(0, 60*day, false)
	})
}

func TestReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStatus()
		h := s.Process
		ready := func(want bool) {
			t.Helper()
			code, body := get(t, h, "/readyz")
			var answer struct {
				Ready bool   `json:"ready"`
				Why   string `json:"why"`
			}
			if err := json.Unmarshal([]byte(body), &answer); err != nil {
				t.Fatal(err)
			}
			if answer.Ready != want || (code == http.StatusOK) != want || (answer.Why == "") != want {
				t.Errorf("%d %s, want ready %t", code, body, want)
			}
		}
		ready(false)
		s.Observer().Tell(pipeline.HeadRead{Stream: messages(), End: time.Now()})
		ready(true)
		time.Sleep(4 * time.Minute)
		ready(true)
		time.Sleep(2 * time.Minute)
		ready(false)
		s.Observer().Tell(window(messages(), time.Now(), 10))
		ready(true)
	})
}

// TestUnreadablePosition is not ready while a stream stands still because of its position, and is again once that was replaced.
func TestUnreadablePosition(t *testing.T) {
	users := pipeline.Stream{Kind: pipeline.StreamUsers, Name: "user_0001"}
	for _, o := range []status.Options{
		{Streams: []pipeline.Stream{messages(), users}},
		{Streams: []pipeline.Stream{messages()}, Discover: []pipeline.StreamKind{pipeline.StreamUsers}},
	} {
		s := show(status.ProcessOptions{}, o)
		ready := func(want int, says string) {
			t.Helper()
			if code, body := get(t, s.Process, "/readyz"); code != want || !strings.Contains(body, says) {
				t.Errorf("%d, want %d and %q: %s", code, want, says, body)
			}
		}
		for _, stream := range []pipeline.Stream{messages(), users, {Kind: pipeline.StreamUsers, Name: "user_0002"}} {
			s.Observer().Tell(pipeline.HeadRead{Stream: stream, End: time.Now()})
		}
		ready(http.StatusOK, "")
		s.Observer().Tell(pipeline.StreamDropped{Stream: users, Err: fmt.Errorf("read it: %w", pipeline.ErrUnreadable)})
		ready(http.StatusServiceUnavailable, "jmpub checkpoint list")
		s.Observer().Tell(pipeline.StreamStarted{Checkpoint: &pipeline.Checkpoint{Stream: users, End: time.Now()}})
		ready(http.StatusOK, "")
	}
}

// TestClocksThatDisagreeAreShown reads a stream further than the clock goes: its lag is shown as it is, it is not ready, and the clocks
// that disagree are told.
func TestClocksThatDisagreeAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStatus()
		now := time.Now()
		see := func(end time.Time, code int, says ...string) {
			t.Helper()
			s.Observer().Tell(pipeline.HeadRead{Stream: messages(), End: end})
			got, body := get(t, s.Process, "/readyz")
			_, text := get(t, s.Process, "/metrics")
			for _, want := range says {
				if got != code || !strings.Contains(body+text, want) {
					t.Errorf("/readyz answers %d, want %d; they lack %s:\n%s\n%s", got, code, want, body, text)
				}
			}
		}
		lag, difference := `jmpub_read_lag_seconds{app="app",stream="messages"} `, `jmpub_clock_difference_seconds{app="app"} `
		see(now.Add(3*time.Second), http.StatusOK, lag+"-3\n", difference+"0\n")
		see(now.Add(866_270*time.Second), http.StatusServiceUnavailable, lag+"-866270\n", `"lag_seconds":-866270`, "has not come yet by the local clock",
			`jmpub_unread_age_seconds{app="app",stream="messages"} -866270`)
		s.Observer().Tell(pipeline.ClocksCompared{Server: now.Add(time.Hour), Local: now, Disagree: true, Changed: true})
		see(now, http.StatusOK, lag+"0\n", difference+"3600\n", `"clock_difference_seconds":3600`, "the API's clock and the local one disagree",
			now.Add(time.Hour).Format(time.RFC3339))
		s.Observer().Tell(pipeline.ClocksCompared{Server: now, Local: now})
		if _, body := get(t, s.Process, "/readyz"); strings.Contains(body, "disagree") {
			t.Errorf("clocks that agree again are told of: %s", body)
		}
	})
}

// TestAStandbyIsReadyAndShowsNoStream expects a process that published, and stands by now, to be as it should be without reading, and to tell
// nothing of streams that another one reads.
func TestAStandbyIsReadyAndShowsNoStream(t *testing.T) {
	s := newStatus()
	s.StandBy(false)
	s.Observer().Tell(window(messages(), time.Now().Add(-time.Hour), 10))
	if code, text := get(t, s.Process, "/metrics"); code != http.StatusOK || !strings.Contains(text, `jmpub_owner{app="app"} 1`) ||
		!strings.Contains(text, "jmpub_end_time_timestamp_seconds") {
		t.Errorf("as the owner: %s", text)
	}
	s.StandBy(true)
	if code, text := get(t, s.Process, "/readyz"); code != http.StatusOK || !strings.Contains(text, `"standby":true`) {
		t.Errorf("the standby answers %d: %s", code, text)
	}
	if _, text := get(t, s.Process, "/metrics"); !strings.Contains(text, `jmpub_owner{app="app"} 0`) ||
		strings.Contains(text, "jmpub_end_time_timestamp_seconds") || strings.Contains(text, "jmpub_lag_seconds") {
		t.Errorf("as a standby: %s", text)
	}
}
