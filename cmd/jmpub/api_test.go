package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/tests/contract"
	"github.com/jmpub/jmpub/internal/web"
	"github.com/jmpub/jmpub/pipeline"
)

// caller calls the API of a live run, and holds every answer against its document.
type caller struct {
	*liveRun

	doc *contract.API
	url string
}

// callLive starts a run that listens.
func (s *station) callLive(prepare ...func(*operate.RunOptions)) *caller {
	s.t.Helper()
	doc, err := contract.LoadAPI(web.Document())
	if err != nil {
		s.t.Fatal(err)
	}
	s.env["JMPUB_LISTEN"] = "127.0.0.1:0"
	run := s.startLive(prepare...)
	return &caller{run, doc, run.url + "/api/v1"}
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
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, http.NoBody)
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

// TestEventsAreTold listens to a live run until it was told twice.
func TestEventsAreTold(t *testing.T) {
	s := newStation(t)
	c := s.callLive()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+"/events", http.NoBody)
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
func (c *caller) stopReading() {
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
