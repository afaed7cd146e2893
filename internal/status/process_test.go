package status_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// app is one of many apps, with one stream.
func app(key, prefix string) status.Options {
	return status.Options{AppKey: key, TopicPrefix: prefix, Delivery: "exactly once", Streams: []pipeline.Stream{messages()}}
}

// manyApps is a process that publishes so many apps, each of which has read and committed something.
func manyApps(n int) (*status.Process, []*status.Status) {
	p := status.NewProcess(status.ProcessOptions{Version: "v1", Many: true})
	all := make([]*status.Status, n)
	for i := range all {
		all[i] = p.Add(app(fmt.Sprintf("%024x", n-i), "jmessage"))
		all[i].StandBy(false)
		publishSome(all[i])
	}
	return p, all
}

// publishSome is what an app tells that is published.
func publishSome(s *status.Status) {
	end := time.Now().Add(-10 * time.Second)
	s.Observer().Tell(pipeline.SessionStarted{})
	s.Observer().Tell(pipeline.RequestAnswered{Stream: messages(), Class: "ok", Took: 20 * time.Millisecond})
	s.Observer().Tell(pipeline.HeadRead{Stream: messages(), End: end})
	s.Observer().Tell(window(messages(), end, 12_345_678))
}

// readyz is the answer of a process with many apps.
type readyz struct {
	Ready           bool     `json:"ready"`
	Why             string   `json:"why"`
	Warnings        []string `json:"warnings"`
	WarningsLeftOut int      `json:"warnings_left_out"`
	Version         string   `json:"version"`
	AppsTotal       int      `json:"apps_total"`
	AppsOwned       int      `json:"apps_owned"`
	AppsReady       int      `json:"apps_ready"`
	Apps            []struct {
		AppKey        string    `json:"app_key"`
		TopicPrefix   string    `json:"topic_prefix"`
		Ready         bool      `json:"ready"`
		Why           string    `json:"why"`
		Standby       bool      `json:"standby"`
		Streams       int       `json:"streams"`
		LagSeconds    float64   `json:"lag_seconds"`
		UnreadSeconds float64   `json:"unread_seconds"`
		RowsPerSecond float64   `json:"rows_per_second"`
		Published     int64     `json:"published"`
		Problem       string    `json:"problem"`
		ProblemAt     time.Time `json:"problem_at"`
	} `json:"apps"`
}

// getReady asks whether a process is ready. Its code says the same as its body, or the test fails.
func getReady(t *testing.T, p *status.Process) readyz {
	t.Helper()
	code, body := get(t, p, "/readyz")
	var r readyz
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if want := map[bool]int{true: http.StatusOK, false: http.StatusServiceUnavailable}[r.Ready]; code != want || r.Ready != (r.Why == "") {
		t.Errorf("%d: %.300s", code, body)
	}
	return r
}

// metrics asks for the metrics. That two of them have the same labels would be an error.
func metrics(t *testing.T, p *status.Process) string {
	t.Helper()
	code, text := get(t, p, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, text)
	}
	return text
}

// contains expects lines of metrics.
func contains(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

// TestAppsAreToldApartByKey shows two apps, and one a second time instead of the first, with other settings.
func TestAppsAreToldApartByKey(t *testing.T) {
	p := status.NewProcess(status.ProcessOptions{Version: "v1", Many: true})
	b, before := p.Add(app("b", "x")), p.Add(app("a", "x"))
	end := time.Now()
	before.Observer().Tell(window(messages(), end, 10))
	a := p.Add(app("a", "y"))
	for i, s := range []*status.Status{a, b} {
		s.Observer().Tell(window(messages(), end, int64(20+i)))
	}
	p.Remove(before) // It is shown no more.
	contains(t, metrics(t, p), `jmpub_end_time_timestamp_seconds{app="a"} `+stamp(end), `jmpub_app_info{app="a",delivery="exactly once",topic_prefix="y"} 1`,
		`jmpub_app_info{app="b",delivery="exactly once",topic_prefix="x"} 1`, `jmpub_rows_total 51`)
	var shown []string
	for _, one := range getReady(t, p).Apps {
		shown = append(shown, one.AppKey+one.TopicPrefix)
	}
	if got := strings.Join(shown, " "); got != "ay bx" {
		t.Errorf("apps in the order %s", got)
	}
	p.Remove(a)
	text := metrics(t, p)
	if strings.Contains(text, `app="a"`) {
		t.Error("an app is shown that was removed")
	}
	contains(t, text, `jmpub_rows_total 51`) // What the process has counted does not fall.
}

// stamp is a time as metrics have it.
func stamp(at time.Time) string { return strconv.FormatFloat(float64(at.Unix()), 'g', -1, 64) }

// TestScrapeOfManyAppsIsBounded: each app has few series, whatever streams it has and whatever happens to it, and all of 1,000 apps fit into
// 1 MB.
func TestScrapeOfManyAppsIsBounded(t *testing.T) {
	const apps, mostSeries, mostBytes = 1_000, 16, 1_000_000
	p, all := manyApps(apps)
	began := strings.Count(metrics(t, p), "\njmpub_")
	for _, s := range all {
		observeEverything(s.Observer())
		for i := range 3 {
			s.Observer().Tell(window(pipeline.Stream{Kind: pipeline.StreamGroups, Name: strconv.Itoa(i)}, time.Now(), 10))
		}
	}
	text := metrics(t, p)
	perApp := strings.Count(text, `{app="`+fmt.Sprintf("%024x", 1)+`"`)
	t.Logf("%d bytes, %d series of each app, %d in all, %d at the start", len(text), perApp, strings.Count(text, "\njmpub_"), began)
	if perApp > mostSeries || len(text) > mostBytes || strings.Count(text, "\njmpub_") > apps*mostSeries+200 {
		t.Errorf("%d series of an app, %d bytes; want at most %d and %d", perApp, len(text), mostSeries, mostBytes)
	}
	if strings.Contains(text, "stream=") || strings.Contains(text, "groups/") {
		t.Error("a stream is named")
	}
}

// TestManyAppsAreFoldedIntoOne: times are those of the stream that is furthest behind, statistics left out, counters are sums.
func TestManyAppsAreFoldedIntoOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := status.NewProcess(status.ProcessOptions{Many: true})
		a, b := p.Add(app("a", "x")), p.Add(app("b", "x"))
		now := time.Now()
		group := pipeline.Stream{Kind: pipeline.StreamGroups, Name: "1"}
		statistics := pipeline.Stream{Kind: pipeline.StreamStatistics, Name: "users"}
		a.Observer().Tell(window(messages(), now.Add(-time.Minute), 10))
		a.Observer().Tell(window(group, now.Add(-time.Hour), 20))
		a.Observer().Tell(window(statistics, now.Add(-24*time.Hour), 0))
		a.Observer().Tell(pipeline.HeadRead{Stream: messages(), End: now})
		a.Observer().Tell(pipeline.MemoryHeld{Bytes: 5})
		b.Observer().Tell(pipeline.MemoryHeld{Bytes: 7})
		b.Observer().Tell(window(messages(), now, 30))
		b.Observer().Tell(pipeline.ClocksCompared{Server: now.Add(-40 * time.Second), Local: now})
		b.Observer().Tell(pipeline.QuotaTold{Limit: 600, Remaining: 12})
		contains(t, metrics(t, p), `jmpub_lag_seconds{app="a"} 3600`, `jmpub_read_lag_seconds{app="a"} 0`, `jmpub_lag_seconds{app="b"} 0`,
			`jmpub_window_memory_bytes 12`, `jmpub_clock_difference_seconds -40`, `jmpub_quota_remaining_requests{app="b"} 12`, `jmpub_quota_limit_requests 600`,
			`jmpub_rows_total 60`, `jmpub_windows_total 4`, `jmpub_retention_left_seconds{app="a"} 5.1804e+06`)
	})
}

// TestGroupIsShown once the process has joined it; who does not share out knows of no members.
func TestGroupIsShown(t *testing.T) {
	p := status.NewProcess(status.ProcessOptions{Many: true})
	if text := metrics(t, p); strings.Contains(text, "jmpub_group_") {
		t.Errorf("before it has joined: %s", text)
	}
	p.Joined(3)
	p.HasShards(4)
	contains(t, metrics(t, p), "jmpub_group_members 3", "jmpub_group_shards 4", "jmpub_group_joins_total 1")
	p.Joined(0)
	text := metrics(t, p)
	contains(t, text, "jmpub_group_shards 4", "jmpub_group_joins_total 2")
	if strings.Contains(text, "jmpub_group_members") {
		t.Errorf("members are told of by one that does not know: %s", text)
	}
}

// TestMetricsOfTheProcessComeOnce has one histogram and one line of build info for all apps, and counts apps by what the process does for
// them.
func TestMetricsOfTheProcessComeOnce(t *testing.T) {
	p, all := manyApps(5)
	all[0].StandBy(true)
	all[1].Fail(errors.New("wrong secret"))
	p.Add(app("new", "jmessage"))
	contains(t, metrics(t, p), `jmpub_build_info{goversion="`+runtime.Version()+`",version="v1"} 1`, `jmpub_apps{state="owner"} 3`,
		`jmpub_apps{state="standby"} 1`, `jmpub_apps{state="joining"} 1`, `jmpub_apps{state="failed"} 1`,
		`jmpub_request_duration_seconds_count{class="ok"} 5`, `jmpub_errors_total{class="permanent"} 1`,
		fmt.Sprintf(`jmpub_app_failed{app="%024x"} 1`, 4), fmt.Sprintf(`jmpub_app_failed{app="%024x"} 0`, 3))
}

// TestFailedAppShowsAndRecovers: an app whose session has failed keeps the process from being ready until it reads again, or another process
// has it.
func TestFailedAppShowsAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, recovers := range map[string]func(*status.Status){
			"reads":     func(s *status.Status) { s.Observer().Tell(pipeline.HeadRead{Stream: messages(), End: time.Now()}) },
			"commits":   func(s *status.Status) { s.Observer().Tell(window(messages(), time.Now(), 10)) },
			"stands by": func(s *status.Status) { s.StandBy(true) },
		} {
			p, all := manyApps(3)
			all[1].Fail(errors.New("the first try"))
			all[1].Fail(errors.New("the API refuses the secret; it is tried again in 5m0s"))
			all[1].Observer().Tell(pipeline.RetryScheduled{Err: errors.New("something smaller")})
			r := getReady(t, p)
			if one := r.Apps[1]; r.Ready || one.Ready || one.Why != "the app is not published" || !strings.Contains(one.Problem, "refuses the secret") {
				t.Errorf("%+v", r)
			}
			if want := fmt.Sprintf("%024x (jmessage): the app is not published: the API refuses the secret", 2); !strings.HasPrefix(r.Why, want) {
				t.Errorf("why is %q, and not %q", r.Why, want)
			}
			contains(t, metrics(t, p), `jmpub_apps{state="failed"} 1`)
			recovers(all[1])
			if r := getReady(t, p); !r.Ready || r.AppsReady != 3 || !strings.Contains(r.Apps[1].Problem, "refuses the secret") {
				t.Errorf("%s: %+v", name, r)
			}
			contains(t, metrics(t, p), `jmpub_apps{state="failed"} 0`)
		}
	})
}

// TestTheOnlyAppFails says why, as of any app that is not ready.
func TestTheOnlyAppFails(t *testing.T) {
	s := newStatus()
	s.StandBy(false)
	publishSome(s.Status)
	s.Fail(errors.New("wrong secret"))
	code, body := get(t, s.Process, "/readyz")
	if code != http.StatusServiceUnavailable || !strings.Contains(body, `"why":"the app is not published: wrong secret"`) {
		t.Errorf("%d: %s", code, body)
	}
}

// TestProcessIsReadyWhenItsAppsAre: each by the rule for one app, a standby as it is.
func TestProcessIsReadyWhenItsAppsAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := status.NewProcess(status.ProcessOptions{Version: "v1", Many: true})
		if r := getReady(t, p); !r.Ready || r.AppsTotal != 0 || r.Apps == nil {
			t.Errorf("without an app: %+v", r)
		}
		mine, other := p.Add(app("mine", "")), p.Add(app("other", ""))
		if r := getReady(t, p); r.Ready || r.AppsOwned != 0 || r.AppsReady != 0 || r.Apps[0].LagSeconds != -1 || r.Apps[0].UnreadSeconds != -1 {
			t.Errorf("while joining: %+v", r)
		}
		mine.StandBy(false)
		other.StandBy(true)
		if r := getReady(t, p); r.Ready || r.AppsReady != 1 || r.Why != "mine: nothing was read of messages in the last 5m0s" {
			t.Errorf("before anything was read: %+v", r)
		}
		mine.Observer().Tell(window(messages(), time.Now().Add(-time.Minute), 100))
		mine.Observer().Tell(pipeline.HeadRead{Stream: messages(), End: time.Now().Add(-1234 * time.Millisecond)})
		mine.Observer().Tell(pipeline.HeadRead{Stream: pipeline.Stream{Kind: pipeline.StreamStatistics, Name: "users"}, End: time.Now().Add(-time.Hour)})
		r := getReady(t, p)
		if one := r.Apps[0]; !r.Ready || r.AppsOwned != 1 || r.AppsReady != 2 || one.Streams != 2 || one.LagSeconds != 1.2 || one.UnreadSeconds != 1.2 ||
			one.Published != 97 || one.Standby || !r.Apps[1].Standby || r.Version != "v1" {
			t.Errorf("%+v", r)
		}
		time.Sleep(time.Second)
		if r := getReady(t, p); r.Apps[0].RowsPerSecond != 20 {
			t.Errorf("%+v", r)
		}
		time.Sleep(6 * time.Minute)
		if r := getReady(t, p); r.Ready || r.AppsReady != 1 {
			t.Errorf("after silence: %+v", r)
		}
	})
}

// TestWarningsOfManyAppsAreFew: 20 at most, each with its app, and the same clocks once.
func TestWarningsOfManyAppsAreFew(t *testing.T) {
	p, all := manyApps(30)
	for _, s := range all {
		s.Observer().Tell(pipeline.StreamStarted{Checkpoint: &pipeline.Checkpoint{Stream: messages(), Backlog: []pipeline.Backlog{
			{End: time.Now().Add(-55 * 24 * time.Hour), Until: time.Now()},
		}}})
		s.Observer().Tell(pipeline.ClocksCompared{Server: time.Now().Add(time.Hour), Local: time.Now(), Disagree: true})
	}
	r := getReady(t, p)
	if len(r.Warnings) != 20 || r.WarningsLeftOut != 11 || strings.Count(strings.Join(r.Warnings, "\n"), "disagree") != 1 {
		t.Errorf("%d warnings, and %d are left out: %q", len(r.Warnings), r.WarningsLeftOut, r.Warnings)
	}
	if !strings.HasPrefix(r.Warnings[19], fmt.Sprintf("%024x (jmessage): messages is published up to", 19)) {
		t.Error(r.Warnings[19])
	}
	o := p.Overview()
	if len(o.Warnings) != 20 || o.WarningsLeftOut != 11 || o.Warnings[0].Code != status.WarningClocks || o.Warnings[0].Facts["difference"] != "3600" {
		t.Errorf("%d warnings, and %d are left out: %+v", len(o.Warnings), o.WarningsLeftOut, o.Warnings)
	}
	w := o.Warnings[19]
	if w.Code != status.WarningRetention || w.AppKey != fmt.Sprintf("%024x", 19) || w.TopicPrefix != "jmessage" || w.Facts["stream"] != "messages" || w.Facts["left"] != "432000" {
		t.Errorf("%+v", w)
	}
	for _, s := range all {
		s.StandBy(true)
	}
	if r := getReady(t, p); len(r.Warnings) > 0 {
		t.Errorf("whoever stands by warns: %q", r.Warnings)
	}
	for _, s := range all[:29] {
		s.Observer().Tell(pipeline.HeadRead{Stream: messages(), End: time.Now().Add(-55 * 24 * time.Hour)})
	}
	leaving := p.Leaving()
	if len(leaving) != 29 || leaving[0].AppKey != fmt.Sprintf("%024x", 2) || leaving[0].TopicPrefix != "jmessage" ||
		!strings.HasPrefix(leaving[0].Text, "messages is published up to") {
		t.Errorf("%d: %+v", len(leaving), leaving)
	}
}

// TestBodyOfManyAppsIsBounded: 1,000 apps that all have long errors fit into 400 KB, and few of them are told at length.
func TestBodyOfManyAppsIsBounded(t *testing.T) {
	size := func(n int, standby bool) int {
		p, all := manyApps(n)
		for _, s := range all {
			s.StandBy(standby)
			s.Observer().Tell(pipeline.RetryScheduled{Err: errors.New(strings.Repeat("没", 6_000))})
			if !standby {
				s.Fail(errors.New(strings.Repeat("没", 6_000)))
			}
		}
		_, body := get(t, p, "/readyz")
		if !json.Valid([]byte(body)) || strings.Contains(body, `\ufffd`) {
			t.Errorf("%d apps: no JSON, or half a character", n)
		}
		return len(body)
	}
	for n, most := range map[int]int{1: 2_000, 1_000: 400_000, 10_000: 4_000_000} {
		if got := max(size(n, false), size(n, true)); got > most {
			t.Errorf("%d bytes for %d apps, want at most %d", got, n, most)
		}
	}
	p, all := manyApps(1)
	all[0].Fail(errors.New(strings.Repeat("no route to host ", 1_000)))
	if r := getReady(t, p); len(r.Apps[0].Problem) != 400 {
		t.Errorf("%d bytes of one app's error", len(r.Apps[0].Problem))
	}
}

// TestAppsComeAndGoWhileTheyAreShown has apps added, told of and removed while all that there is gets asked for.
func TestAppsComeAndGoWhileTheyAreShown(t *testing.T) {
	p, _ := manyApps(10)
	var working sync.WaitGroup
	for worker := range 4 {
		working.Go(func() {
			for i := range 200 {
				s := p.Add(app(fmt.Sprintf("app-%d", i%5), "p")) // Others add the same.
				s.StandBy(i%3 == 0)
				publishSome(s)
				s.Observer().Tell(pipeline.RowRejected{Rejection: event.Rejection{Reason: event.ReasonMsgIDAbsent}})
				s.Fail(fmt.Errorf("failure %d of %d", i, worker))
				p.Remove(s)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		working.Wait()
		close(done)
	}()
	for asking := true; asking; {
		select {
		case <-done:
			asking = false
		default:
		}
		metrics(t, p)
		getReady(t, p)
		p.Leaving()
	}
	if r := getReady(t, p); r.AppsTotal != 10 {
		t.Errorf("%d apps are left", r.AppsTotal)
	}
}
