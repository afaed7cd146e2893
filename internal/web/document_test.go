package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/fleet"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/tests/contract"
	"github.com/jmpub/jmpub/pipeline"
)

// emptyReader knows nothing.
type emptyReader struct{}

func (emptyReader) Coverage(context.Context, status.AppName, Question) (*Coverage, error) {
	return &Coverage{Streams: []StreamCoverage{}, Replays: []ReplayedRange{}}, nil
}

func (emptyReader) Windows(context.Context, status.AppName, Question) (*Windows, error) {
	return &Windows{Windows: []LedgerRecord{}}, nil
}

func (emptyReader) Positions(_ context.Context, name status.AppName) ([]pipeline.Checkpoint, pipeline.Pause, error) {
	if name.AppKey != "app" {
		return nil, pipeline.Pause{}, ErrNoApp
	}
	stream := pipeline.Stream{Kind: pipeline.StreamMessages}
	return []pipeline.Checkpoint{
		{Stream: stream, End: time.Now(), SavedAt: time.Now(), Backlog: []pipeline.Backlog{{End: time.Now(), Until: time.Now()}}},
		{Stream: stream, End: time.Now(), SavedAt: time.Now(), Replay: "again"},
	}, pipeline.Pause{Streams: []pipeline.Stream{stream}}, nil
}

func (emptyReader) Notices(context.Context, status.AppName, Question) (*Notices, error) {
	return &Notices{Notices: []pipeline.Notice{}}, nil
}

// doer does nothing, and says who asked for it.
type doer struct{}

func (doer) Reset(_ context.Context, c Call, r ResetRequest) (*ResetAnswer, error) {
	return &ResetAnswer{DryRun: r.DryRun, Question: c.By + " from " + c.Remote + " resets " + r.Stream + " of " + c.App.AppKey}, nil
}

func (doer) Pause(_ context.Context, c Call, r PauseRequest, paused bool) (*PauseAnswer, error) {
	return &PauseAnswer{App: paused && r.Stream == "", Streams: []string{}, Text: c.By}, nil
}

func (doer) Start(context.Context, Call, ReplayRequest) (*ReplayAnswer, error) {
	return nil, fmt.Errorf("%w: it is running", ErrConflict)
}

func (doer) Stop(_ context.Context, _ Call, id string) (*Replay, error) {
	return &Replay{ID: id, State: StateStopped, Streams: []ReplayedStream{}}, nil
}

func (doer) List(status.AppName) []Replay {
	return []Replay{{ID: "again", State: StateRunning, Streams: []ReplayedStream{}}, {ID: "new", State: StateRunning, Streams: []ReplayedStream{}}}
}

type audits struct{}

func (audits) Start(context.Context, Call, AuditRequest) (*AuditAnswer, error) {
	return &AuditAnswer{ID: "1", Requests: 10, Seconds: 1}, nil
}

func (audits) Audit(_ status.AppName, id string) (*Audit, bool) {
	return &Audit{
		ID: id, State: StateComplete, Notes: []string{}, Differences: []AuditDifference{}, Holes: []AuditHole{}, Result: &AuditResult{Complete: true},
	}, id == "1"
}

// apiServer has one app, which has published something, and another one that stands by.
func apiServer() *Server {
	p := status.NewProcess(status.ProcessOptions{Version: "v1", Many: true})
	ours := p.Add(status.Options{AppKey: "app", TopicPrefix: "jmessage", Delivery: "exactly once", Streams: []pipeline.Stream{{Kind: pipeline.StreamMessages}}})
	ours.StandBy(false)
	now := time.Now()
	for _, o := range []pipeline.Observation{
		pipeline.RequestAnswered{Class: "ok"},
		pipeline.QuotaTold{Limit: 600, Remaining: 599},
		pipeline.WindowCommitted{
			Ledger:     &pipeline.Ledger{AppKey: "app", Stream: pipeline.Stream{Kind: pipeline.StreamMessages}, Rows: 10, Published: 10},
			Checkpoint: &pipeline.Checkpoint{Stream: pipeline.Stream{Kind: pipeline.StreamMessages}, End: now.Add(-time.Minute)},
		},
		pipeline.TransactionEnded{Result: pipeline.Committed, Took: time.Second, Bytes: 1},
	} {
		ours.Observer().Tell(o)
	}
	p.Add(status.Options{AppKey: "other", TopicPrefix: "jmessage", Streams: []pipeline.Stream{{Kind: pipeline.StreamMessages}}}).StandBy(true)
	s := New(Options{
		Status: p, Process: "process 1", Reader: emptyReader{}, Operator: doer{}, Replays: doer{}, Audits: audits{},
		Tokens: []Token{{"alice", secret.New("0123456789abcdef")}, {"bob", secret.New("fedcba9876543210")}},
		Fleet: func(context.Context) (*fleet.Fleet, error) {
			return &fleet.Fleet{
				Apps:      []fleet.App{{AppState: status.AppState{AppName: status.AppName{AppKey: "other", TopicPrefix: "jmessage"}, State: "publishing"}, Owner: "process 2"}},
				Processes: []fleet.Member{{Process: "process 2", Started: now, Heard: now}},
			}, nil
		},
	})
	s.history.take(p.Overview())
	later := p.Overview()
	later.Now = later.Now.Add(time.Second)
	s.history.take(later)
	return s
}

func api(t *testing.T) *contract.API {
	t.Helper()
	found, err := contract.LoadAPI(Document())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestDocumentAndHandlersAgree: every path of the document is served, every one that is served is in it.
func TestDocumentAndHandlersAgree(t *testing.T) {
	var served []string
	s := apiServer()
	for _, one := range append(s.reading(), s.changing()...) {
		method, path, _ := strings.Cut(one.pattern, " ")
		served = append(served, method+" "+apiPath+path)
	}
	slices.Sort(served)
	if told := api(t).Operations(); !slices.Equal(served, told) {
		t.Errorf("served:\n%s\nin the document:\n%s", strings.Join(served, "\n"), strings.Join(told, "\n"))
	}
}

// TestAnswersAreAsTheDocumentHasThem, those that are refused too.
func TestAnswersAreAsTheDocumentHasThem(t *testing.T) {
	s := apiServer()
	h, doc := s.Handler(), api(t)
	for _, c := range []struct {
		path, pattern string
		code          int
	}{
		{"/overview", "/overview", 200},
		{"/history", "/history", 200},
		{"/history?minutes=5", "/history", 200},
		{"/history?minutes=61", "/history", 400},
		{"/openapi.json", "/openapi.json", 200},
		{"/apps", "/apps", 200},
		{"/apps/app", "/apps/{app_key}", 200},
		{"/apps/app?topic_prefix=jmessage", "/apps/{app_key}", 200},
		{"/apps/app?topic_prefix=another", "/apps/{app_key}", 404},
		{"/apps/other", "/apps/{app_key}", 404},
		{"/apps/none", "/apps/{app_key}", 404},
		{"/apps/app/coverage?from=7d&stream=messages", "/apps/{app_key}/coverage", 200},
		{"/apps/app/windows?limit=1000", "/apps/{app_key}/windows", 200},
		{"/apps/app/windows?limit=1001", "/apps/{app_key}/windows", 400},
		{"/apps/app/windows?limit=1&limit=2", "/apps/{app_key}/windows", 400},
		{"/apps/app/windows?token=secret", "/apps/{app_key}/windows", 400},
		{"/apps/app/checkpoints", "/apps/{app_key}/checkpoints", 200},
		{"/apps/none/checkpoints", "/apps/{app_key}/checkpoints", 404},
		{"/apps/app/notices", "/apps/{app_key}/notices", 200},
		{"/notices?limit=20", "/notices", 200},
		{"/apps/app/replays", "/apps/{app_key}/replays", 200},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, apiPath+c.path, http.NoBody))
		if w.Code != c.code {
			t.Errorf("%s: %d, want %d: %s", c.path, w.Code, c.code, w.Body)
			continue
		}
		if err := doc.Answer("GET "+apiPath+c.pattern, w.Code, w.Header().Get("Content-Type"), w.Body.Bytes()); err != nil {
			t.Error(err)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, apiPath+"/apps/other", http.NoBody))
	if !strings.Contains(w.Body.String(), `"owner": "process 2"`) {
		t.Errorf("the owner is not named: %s", w.Body)
	}
}
