package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/tests/contract"
	"github.com/jmpub/jmpub/internal/web"
	"github.com/jmpub/jmpub/pipeline"
)

// caller calls the API of a run, and holds every answer against its document.
type caller struct {
	t    *testing.T
	doc  *contract.API
	root string
}

// liveCaller calls that of a live run.
type liveCaller struct {
	*liveRun
	*caller
}

// callLive starts a run that listens.
func (s *station) callLive() *liveCaller {
	s.t.Helper()
	doc, err := contract.LoadAPI(web.Document())
	if err != nil {
		s.t.Fatal(err)
	}
	s.env["JMPUB_LISTEN"] = "127.0.0.1:0"
	run := s.startLive()
	return &liveCaller{run, &caller{s.t, doc, run.url + "/api/v1"}}
}

// get asks for a path, of a pattern of the document, and reads the answer.
func (c *caller) get(pattern, path string, answer any) {
	c.t.Helper()
	c.call("GET "+pattern, path, http.StatusOK, nil, answer)
}

// call makes a call, expects a code, and reads the answer.
func (c *caller) call(pattern, path string, code int, prepare func(*http.Request), answer any) {
	c.t.Helper()
	method, within, _ := strings.Cut(pattern, " ")
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.root+path, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	if prepare != nil {
		prepare(req)
	}
	res, err := http.DefaultClient.Do(req) //nolint:forbidigo // A test.
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // A test.
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if res.StatusCode != code {
		c.t.Fatalf("%s %s: %d, want %d: %s", method, path, res.StatusCode, code, body)
	}
	if err = c.doc.Answer(method+" /api/v1"+within, code, res.Header.Get("Content-Type"), body); err != nil {
		c.t.Error(err)
	}
	if answer != nil {
		if err = json.Unmarshal(body, answer); err != nil {
			c.t.Fatalf("%s: %v", body, err)
		}
	}
}

// TestAPITellsWhatWasPublished asks a live run for everything that can be asked for: the hours, the ledger and the positions say the same, page
// by page, and as the commands do.
func TestAPITellsWhatWasPublished(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	c := s.callLive()
	c.live()
	key := s.env["JMPUB_APP_KEY"]
	var overview web.Overview
	c.get("/overview", "/overview", &overview)
	if v := overview.Verdict; v.Level != "ok" || !strings.Contains(v.Text, "is in Kafka") || overview.Events == 0 || overview.Transactions.Count == 0 {
		t.Errorf("%+v", overview)
	}
	var app struct {
		Ready   bool  `json:"ready"`
		Windows int64 `json:"windows"`
	}
	c.get("/apps/{app_key}", "/apps/"+key, &app)
	if !app.Ready || app.Windows == 0 {
		t.Errorf("%+v", app)
	}
	c.get("/history", "/history", nil)
	c.get("/openapi.json", "/openapi.json", nil)
	c.stopReading()
	var positions struct {
		Checkpoints []web.Position `json:"checkpoints"`
	}
	c.get("/apps/{app_key}/checkpoints", "/apps/"+key+"/checkpoints", &positions)
	if len(positions.Checkpoints) != 1 {
		t.Fatalf("%+v", positions)
	}
	position := positions.Checkpoints[0]
	var coverage web.Coverage
	c.get("/apps/{app_key}/coverage", "/apps/"+key+"/coverage?from=2h", &coverage)
	var published, rejected int64
	states := make(map[web.HourState]int)
	for _, hour := range coverage.Streams[0].Hours {
		published, rejected = published+hour.Published, rejected+hour.Rejected
		states[hour.State]++
	}
	if published != position.Published || rejected != position.Rejected || states[web.HourReading] == 0 {
		t.Errorf("the hours have %d and %d, states %v; the position %+v", published, rejected, states, position)
	}
	published = 0
	var last web.LedgerRecord
	windows, cursor := int64(0), ""
	for {
		var page web.Windows
		c.get("/apps/{app_key}/windows", "/apps/"+key+"/windows?from=2h&limit=3&cursor="+cursor, &page)
		for _, w := range page.Windows {
			if !last.Committed.IsZero() && (w.Committed.After(last.Committed) || w.Sequence != last.Sequence-1) {
				t.Fatalf("%+v comes behind %+v", w, last)
			}
			last = w
			windows++
			published += w.Published
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if windows != position.Windows || published != position.Published || last.Sequence != 1 {
		t.Errorf("%d windows with %d events, back to %d; the position has %d and %d", windows, published, last.Sequence, position.Windows,
			position.Published)
	}
	c.get("/apps/{app_key}/notices", "/apps/"+key+"/notices", nil)
	c.get("/apps/{app_key}/replays", "/apps/"+key+"/replays", nil)
	for path, code := range map[string]int{
		"/apps/none/windows": http.StatusNotFound, "/apps/" + key + "/windows?from=yesterday": http.StatusBadRequest,
		"/apps/" + key + "/windows?cursor=1-2": http.StatusBadRequest, "/apps/" + key + "/windows?stream=rooms/1": http.StatusBadRequest,
		"/apps/" + key + "/windows?from=1h&to=2h": http.StatusBadRequest,
	} {
		c.call("GET /apps/{app_key}/windows", path, code, nil, nil)
	}
	c.call("GET /apps/{app_key}/coverage", "/apps/"+key+"/coverage?from=90d", http.StatusBadRequest, nil, nil)
}

// token is that of somebody who may change something.
const token = "somebody:0123456789abcdef0123456789abcdef"

// change makes a call that changes something.
func (c *caller) change(pattern, path string, code int, request, answer any) {
	c.t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		c.t.Fatal(err)
	}
	c.call(pattern, path, code, func(r *http.Request) {
		_, secret, _ := strings.Cut(token, ":")
		r.Header.Set("Authorization", "Bearer "+secret)
		r.Header.Set("X-Jmpub-Request", "1")
		r.Header.Set("Content-Type", "application/json")
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}, answer)
}

// admins are the notices of changes, the oldest one first, as action and who has made it.
func (c *caller) admins(key string) (all []string) {
	c.t.Helper()
	var notices web.Notices
	c.get("/apps/{app_key}/notices", "/apps/"+key+"/notices", &notices)
	for _, n := range slices.Backward(notices.Notices) {
		if n.Admin != nil {
			all = append(all, n.Admin.Action+" by "+n.Admin.By+" from "+n.Admin.Remote)
		}
	}
	return all
}

// TestResetThroughTheAPI has a range published once more while the run that serves the API publishes: just that comes again, the live position
// stays, and who has asked for it is told to consumers in the same transaction.
func TestResetThroughTheAPI(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.env["JMPUB_ADMIN_TOKEN"] = token
	c := s.callLive()
	before := c.live()
	sessions := c.sessionsNow()
	key := s.env["JMPUB_APP_KEY"]
	from, to := s.begin.Add(3*time.Minute), s.begin.Add(6*time.Minute)
	request := web.ResetRequest{Stream: "messages", From: from.Format(time.RFC3339), To: to.Format(time.RFC3339), DryRun: true}
	var found web.ResetAnswer
	c.change("POST /apps/{app_key}/reset", "/apps/"+key+"/reset", http.StatusOK, request, &found)
	if found.Position != nil || !strings.Contains(found.Question, "are published again") || c.sessionsNow() != sessions {
		t.Errorf("a dry run: %+v; there are %d sessions, there were %d", found, c.sessionsNow(), sessions)
	}
	request.DryRun = false
	c.change("POST /apps/{app_key}/reset", "/apps/"+key+"/reset", http.StatusOK, request, &found)
	if found.Position == nil || found.Position.End.Before(before.End) {
		t.Errorf("%+v; the position was %s", found, before.End)
	}
	c.caughtUp(sessions)
	for code, wrong := range map[int]web.ResetRequest{
		http.StatusBadRequest: {Stream: "messages", To: "1000d"}, http.StatusNotFound: {Stream: "messages", To: "1h"},
	} {
		path := map[int]string{http.StatusBadRequest: key, http.StatusNotFound: "none"}[code]
		c.change("POST /apps/{app_key}/reset", "/apps/"+path+"/reset", code, wrong, nil)
	}
	if got := c.admins(key); !slices.Equal(got, []string{"reset by somebody from 127.0.0.1"}) {
		t.Errorf("notices of changes: %v", got)
	}
	last := c.stop()
	s.wantTimes(func(second time.Time) (due, more int) {
		if second.Before(last.End) {
			return 1 + within(second, from, to), 0
		}
		return 0, 1
	})
}

// TestReplayThroughTheAPI begins a replay in the process that publishes, stops it in the middle, sees its position stay, and goes on with it by
// the same call: each row of the range comes once more, and the live run is not disturbed.
func TestReplayThroughTheAPI(t *testing.T) {
	t.Parallel()
	s := newStation(t, longHistory)
	s.env["JMPUB_ADMIN_TOKEN"], s.env["JMPUB_START"], s.env["JMPUB_API_PAGE_SIZE"] = token, "90m", "20"
	c := s.callLive()
	c.live()
	sessions := c.sessionsNow()
	key := s.env["JMPUB_APP_KEY"]
	from, to := s.begin.Add(2*time.Minute), s.end.Add(-10*time.Minute)
	request := web.ReplayRequest{From: from.Format(time.RFC3339), To: to.Format(time.RFC3339), ID: "again", DryRun: true}
	start := func(code int, found any) {
		t.Helper()
		c.change("POST /apps/{app_key}/replays", "/apps/"+key+"/replays", code, request, found)
	}
	list := func() []web.Replay {
		var found struct {
			Replays []web.Replay `json:"replays"`
		}
		c.get("/apps/{app_key}/replays", "/apps/"+key+"/replays", &found)
		return found.Replays
	}
	state := func() web.Replay {
		all := list()
		if len(all) != 1 {
			t.Fatalf("%+v", all)
		}
		return all[0]
	}
	var found web.ReplayAnswer
	start(http.StatusAccepted, &found)
	if found.Replay != nil || found.Cost.Rows == 0 {
		t.Errorf("a dry run: %+v", found)
	}
	gate := s.newHistoryGate(to.Add(time.Second), func() bool {
		all := list()
		return len(all) == 1 && all[0].Published > 0
	})
	request.DryRun = false
	start(http.StatusAccepted, &found)
	if found.Replay == nil || found.Replay.State != web.StateRunning || found.Replay.ID != "again" {
		t.Fatalf("%+v", found)
	}
	start(http.StatusConflict, nil)
	for state().Published == 0 {
		_ = pipeline.Sleep(t.Context(), 20*time.Millisecond)
	}
	var stopped web.Replay
	c.change("DELETE /apps/{app_key}/replays/{id}", "/apps/"+key+"/replays/again", http.StatusOK, nil, &stopped)
	if stopped.State != web.StateStopped || !stopped.Streams[0].End.Before(to) || stopped.Published == 0 {
		t.Errorf("stopped: %+v", stopped)
	}
	c.change("DELETE /apps/{app_key}/replays/{id}", "/apps/"+key+"/replays/again", http.StatusConflict, nil, nil)
	gate.open(nil)
	start(http.StatusAccepted, &found)
	for state().State == web.StateRunning {
		_ = pipeline.Sleep(t.Context(), 20*time.Millisecond)
	}
	if r := state(); r.State != web.StateComplete || r.Published <= stopped.Published {
		t.Errorf("in the end: %+v", r)
	}
	want := []string{"replay by somebody from 127.0.0.1", "replay_stop by somebody from 127.0.0.1", "replay by somebody from 127.0.0.1"}
	if got := c.admins(key); !slices.Equal(got, want) {
		t.Errorf("notices of changes: %v", got)
	}
	if n := c.sessionsNow(); n != sessions {
		t.Errorf("the live run has begun anew: %d sessions, there were %d", n, sessions)
	}
	var coverage web.Coverage
	c.get("/apps/{app_key}/coverage", "/apps/"+key+"/coverage?from=2h", &coverage)
	if len(coverage.Replays) != 1 || !coverage.Replays[0].Finished || coverage.Replays[0].Rows == 0 {
		t.Errorf("the coverage tells of replays %+v", coverage.Replays)
	}
	last := c.stop()
	s.wantTimes(func(second time.Time) (due, more int) {
		if second.Before(last.End) {
			return 1 + within(second, from, to), 0
		}
		return 0, 1
	})
}

// TestAuditThroughTheAPI finds nothing missing, and says so, with what it took.
func TestAuditThroughTheAPI(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.env["JMPUB_ADMIN_TOKEN"] = token
	c := s.callLive()
	c.live()
	key := s.env["JMPUB_APP_KEY"]
	request := web.AuditRequest{From: s.begin.Add(time.Minute).Format(time.RFC3339), To: s.begin.Add(10 * time.Minute).Format(time.RFC3339), DryRun: true}
	var begun web.AuditAnswer
	c.change("POST /apps/{app_key}/audits", "/apps/"+key+"/audits", http.StatusAccepted, request, &begun)
	if begun.ID != "" || begun.Requests == 0 {
		t.Errorf("a dry run: %+v", begun)
	}
	request.DryRun, request.Repair = false, true
	c.change("POST /apps/{app_key}/audits", "/apps/"+key+"/audits", http.StatusAccepted, request, &begun)
	var found web.Audit
	for found.State = web.StateRunning; found.State == web.StateRunning; {
		c.change("GET /apps/{app_key}/audits/{id}", "/apps/"+key+"/audits/"+begun.ID, http.StatusOK, nil, &found)
		_ = pipeline.Sleep(t.Context(), 20*time.Millisecond)
	}
	if found.State != web.StateComplete || !found.Result.Complete || found.Result.Rows == 0 || found.Asked == 0 {
		t.Errorf("%+v", found)
	}
	if got := c.admins(key); !slices.Equal(got, []string{"audit by somebody from 127.0.0.1"}) {
		t.Errorf("notices of changes: %v", got)
	}
	c.stop()
}

// TestPauseThroughTheAPI stops an app that is being published, in Kafka and with positions in files: nothing is committed any more, also by a
// process that is started meanwhile, and the app is as it should be. Resumed by that one, it goes on from where it stood, and every row comes once.
func TestPauseThroughTheAPI(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]string{"kafka": "kafka", "files": "file:"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStation(t, longHistory)
			s.env["JMPUB_ADMIN_TOKEN"], s.env["JMPUB_START"], s.env["JMPUB_API_PAGE_SIZE"] = token, "90m", "20"
			if s.env["JMPUB_CHECKPOINT"] = store; name == "files" {
				s.env["JMPUB_CHECKPOINT"] += t.TempDir()
			}
			some := func() bool {
				cp := s.reached.Load()
				return cp != nil && cp.End.After(s.begin.Add(5*time.Minute))
			}
			gate := s.newHistoryGate(s.end.Add(time.Hour), some)
			first := s.callLive()
			first.until("some of the history is published", some)
			key := s.env["JMPUB_APP_KEY"]
			var answer web.PauseAnswer
			first.change("POST /apps/{app_key}/pause", "/apps/"+key+"/pause", http.StatusOK, web.PauseRequest{}, &answer)
			if !answer.App {
				t.Errorf("%+v", answer)
			}
			at, _ := s.position()
			gate.open(nil) // From now on all could be read.
			isPaused(t, first)
			first.stop()
			second := s.callLive()
			isPaused(t, second)
			if now, _ := s.position(); !now.End.Equal(at.End) || now.Windows != at.Windows {
				t.Errorf("while it is paused the position has become %+v; it was %+v", now, at)
			}
			second.change("POST /apps/{app_key}/resume", "/apps/"+key+"/resume", http.StatusBadRequest, web.PauseRequest{Stream: "messages"}, nil)
			second.change("POST /apps/{app_key}/resume", "/apps/"+key+"/resume", http.StatusOK, web.PauseRequest{}, &answer)
			if answer.App || len(answer.Streams) > 0 {
				t.Errorf("%+v", answer)
			}
			second.live()
			now := pipeline.FormatTime(time.Now())
			foreign := &kgo.Record{Topic: "jmessage.notices", Key: []byte("another/messages"), Value: fmt.Appendf(nil,
				`{"version":1,"kind":"gap","app_key":"another","stream":"messages","begin_time":%q,"end_time":%q,"at":%q}`, now, now, now)}
			if err := s.client().ProduceSync(t.Context(), foreign).FirstErr(); err != nil {
				t.Fatal(err)
			}
			var told web.Notices // Of the apps in the settings alone.
			second.get("/notices", "/notices?limit=10", &told)
			if n := len(told.Notices); n != 2 || told.Notices[0].Kind != pipeline.NoticeAdmin || told.Notices[0].AppKey != key || !told.Notices[0].At.After(told.Notices[1].At) {
				t.Errorf("the notices of all apps: %+v", told.Notices)
			}
			if got := second.admins(key); !slices.Equal(got, []string{"pause by somebody from 127.0.0.1", "resume by somebody from 127.0.0.1"}) {
				t.Errorf("notices of changes: %v", got)
			}
			last := second.stop()
			s.wantTimes(func(second time.Time) (due, more int) {
				if !second.Before(last.End) {
					return 0, 1
				}
				if name == "files" { // What was published since the last save before the fence comes again.
					return 1, 1
				}
				return 1, 0
			})
		})
	}
}

// isPaused waits until a process says that its app is paused, and is ready nevertheless.
func isPaused(t *testing.T, c *liveCaller) {
	t.Helper()
	key := c.env["JMPUB_APP_KEY"]
	for {
		var app struct {
			State string `json:"state"`
			Ready bool   `json:"ready"`
		}
		var overview web.Overview
		if c.get("/overview", "/overview", &overview); overview.Apps.Owned == 1 {
			c.get("/apps/{app_key}", "/apps/"+key, &app)
		}
		if app.State == "paused" {
			c.get("/overview", "/overview", &overview)
			if v := overview.Verdict; !app.Ready || v.Level != "warning" || v.Code != "paused" {
				t.Errorf("%+v, %+v", app, v)
			}
			break
		}
		if pipeline.Sleep(t.Context(), 20*time.Millisecond) != nil {
			return
		}
	}
	var positions struct{ Checkpoints []web.Position }
	c.get("/apps/{app_key}/checkpoints", "/apps/"+key+"/checkpoints", &positions)
	if len(positions.Checkpoints) != 1 || !positions.Checkpoints[0].Paused {
		t.Errorf("%+v", positions)
	}
}

// TestPausedStreamLeavesTheOthers: of two streams one is paused; the other one goes on, and the first one stands.
func TestPausedStreamLeavesTheOthers(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.env["JMPUB_ADMIN_TOKEN"], s.env["JMPUB_STREAMS"] = token, "users/user_0001,users/user_0002"
	c := s.callLive()
	key := s.env["JMPUB_APP_KEY"]
	positions := func() map[string]web.Position {
		all := make(map[string]web.Position)
		var found struct {
			Checkpoints []web.Position `json:"checkpoints"`
		}
		c.get("/apps/{app_key}/checkpoints", "/apps/"+key+"/checkpoints", &found)
		for _, p := range found.Checkpoints {
			all[p.Stream] = p
		}
		return all
	}
	var answer web.PauseAnswer
	pause := web.PauseRequest{Stream: "users/user_0001"}
	c.change("POST /apps/{app_key}/pause", "/apps/"+key+"/pause", http.StatusOK, pause, &answer)
	if answer.App || !slices.Equal(answer.Streams, []string{"users/user_0001"}) {
		t.Errorf("%+v", answer)
	}
	before := positions()
	sessions := c.sessionsNow()
	c.until("the other one goes on", func() bool { return c.at.Stream.Name == "user_0002" && c.at.End.After(s.end) && c.sessions >= sessions })
	c.change("POST /apps/{app_key}/pause", "/apps/"+key+"/pause", http.StatusOK, pause, &answer) // It has the answers forgotten.
	after := positions()
	if !reflect.DeepEqual(after["users/user_0001"], before["users/user_0001"]) || after["users/user_0002"].End.Before(s.end) {
		t.Errorf("the positions were %+v, and are %+v", before, after)
	}
	c.change("POST /apps/{app_key}/resume", "/apps/"+key+"/resume", http.StatusOK, pause, &answer)
	c.until("the first one goes on", func() bool { return c.at.Stream.Name == "user_0001" && c.at.End.After(s.end) })
	c.stop()
}

// serveTLS has the run answer over TLS, with a certificate for 127.0.0.1 and example.com that is its own authority, and returns its file.
func (s *station) serveTLS() (cert string) {
	s.t.Helper()
	made := httptest.NewTLSServer(http.NotFoundHandler()) // Its certificate is that of a test.
	defer made.Close()
	dir := s.t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(made.TLS.Certificates[0].PrivateKey)
	if err != nil {
		s.t.Fatal(err)
	}
	for setting, block := range map[string]*pem.Block{
		"JMPUB_LISTEN_TLS_CERT_FILE": {Type: "CERTIFICATE", Bytes: made.Certificate().Raw},
		"JMPUB_LISTEN_TLS_KEY_FILE":  {Type: "PRIVATE KEY", Bytes: key},
	} {
		s.env[setting] = filepath.Join(dir, setting)
		if err = os.WriteFile(s.env[setting], pem.EncodeToMemory(block), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.env["JMPUB_LISTEN_TLS_CERT_FILE"]
}

// TestAPIOverTLS is asked over TLS, with the certificate of the settings, and by nobody without.
func TestAPIOverTLS(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	cert := s.serveTLS()
	bundle, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	c := s.callLive()
	if !strings.HasPrefix(c.root, "https://") {
		t.Errorf("it is shown as %s", c.root)
	}
	ask := func(url string) (*http.Response, error) {
		req, wrong := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/overview", http.NoBody)
		if wrong != nil {
			t.Fatal(wrong)
		}
		return client.Do(req)
	}
	res, err := ask(c.root)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK || res.TLS == nil || res.TLS.Version < tls.VersionTLS12 || res.ProtoMajor != 1 {
		t.Errorf("%d by %s, %+v", res.StatusCode, res.Proto, res.TLS)
	}
	if res, err = ask(strings.Replace(c.root, "https", "http", 1)); err == nil {
		_ = res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("without TLS it is answered %d", res.StatusCode)
		}
	}
	c.stop()
}

// TestEventsAreTold listens to a live run until it was told twice.
func TestEventsAreTold(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	c := s.callLive()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.root+"/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req) //nolint:forbidigo // A test.
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // A test.
	told := 0
	for lines := bufio.NewScanner(res.Body); told < 2 && lines.Scan(); {
		data, is := strings.CutPrefix(lines.Text(), "data: ")
		if !is {
			continue
		}
		told++
		if err = c.doc.Answer("GET /api/v1/overview", http.StatusOK, "application/json", []byte(data)); err != nil {
			t.Error(err)
		}
	}
	c.stop() // It does not wait for who listens.
	if told != 2 {
		t.Errorf("it was told %d times", told)
	}
}

// stopReading holds up every further request to the API, and waits until nothing is committed any more.
func (c *liveCaller) stopReading() {
	c.t.Helper()
	hold := func(r *http.Request) { <-r.Context().Done() }
	c.gate.Store(&hold)
	for before := int64(-1); ; {
		var app struct {
			Windows int64 `json:"windows"`
			Streams []struct {
				Committed time.Time `json:"committed_to"`
			} `json:"streams"`
		}
		c.get("/apps/{app_key}", "/apps/"+c.env["JMPUB_APP_KEY"], &app)
		if app.Windows == before {
			return
		}
		before = app.Windows
		_ = pipeline.Sleep(c.t.Context(), 500*time.Millisecond)
	}
}
