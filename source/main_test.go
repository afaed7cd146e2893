package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"

	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey    = "4f7aef34fb361292c566a1cd"
	testSecret = "b1946ac92492d2347c6235b4d2611184"
)

// defaults are the settings' own, without the credentials.
func defaults() Config {
	return Config{
		BaseURL: exampleBaseURL, ListsURL: exampleListsURL, TimeZone: time.FixedZone("Asia/Shanghai", 8*60*60),
		Rate: Rate{Requests: 600, Per: time.Minute}, PageSize: maxPageSize,
		Poll: 2 * time.Second, Settle: 5 * time.Second, Overlap: 2 * time.Second,
	}
}

// testConfig is a config for requests that go to a handler in memory, so that it can be used in a synctest bubble.
func testConfig(h http.Handler) Config {
	cfg := defaults()
	cfg.AppKey, cfg.MasterSecret = testKey, secret.New(testSecret)
	cfg.BaseURL = "https://report.test/v2"
	cfg.Transport = inMemory{h}
	return cfg
}

func newTestClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatalf("new client: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// inMemory is a transport that calls a handler. A handler that aborts breaks the connection off.
type inMemory struct{ http.Handler }

// RoundTrip calls the handler, and gives up when the request's context does.
func (m inMemory) RoundTrip(req *http.Request) (*http.Response, error) {
	type result struct {
		rec     *httptest.ResponseRecorder
		aborted bool
	}
	done := make(chan result, 1)
	go func() {
		r := result{rec: httptest.NewRecorder(), aborted: true}
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // As net/http compares it.
				panic(p)
			}
			done <- r
		}()
		m.ServeHTTP(r.rec, req)
		r.aborted = false
	}()
	var r result
	select {
	case r = <-done:
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
	if !r.aborted {
		return r.rec.Result(), nil
	}
	if r.rec.Body.Len() == 0 {
		return nil, errors.New("connection reset by peer")
	}
	res := r.rec.Result()
	res.Body = io.NopCloser(io.MultiReader(bytes.NewReader(r.rec.Body.Bytes()), iotest.ErrReader(io.ErrUnexpectedEOF)))
	return res, nil
}

// answer is one reply of a script.
type answer struct {
	status int // 0 is 200
	body   string
	header map[string]string
	after  time.Duration
	// date is how far the Date header is off; noDate leaves it out.
	date   time.Duration
	noDate bool
	abort  bool
}

// script answers the n-th request with its n-th answer, and every later one with the last. It writes down what came.
type script struct {
	answers []answer

	mu   sync.Mutex
	uris []string
	at   []time.Time
}

// ServeHTTP gives the next answer.
func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	a := s.answers[min(len(s.uris), len(s.answers)-1)]
	s.uris = append(s.uris, r.URL.RequestURI())
	s.at = append(s.at, time.Now())
	s.mu.Unlock()
	if pipeline.Sleep(r.Context(), a.after) != nil {
		return
	}
	w.Header()["Date"] = nil
	if !a.noDate {
		w.Header().Set("Date", time.Now().Add(a.date).UTC().Format(http.TimeFormat))
	}
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	_, _ = io.WriteString(w, a.body)
	if a.abort {
		panic(http.ErrAbortHandler)
	}
}

func (s *script) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uris
}

// page is an answer with rows.
func page(total int, cursor string, rows ...string) answer {
	return answer{body: pageJSON(total, cursor, rows...)}
}

func pageJSON(total int, cursor string, rows ...string) string {
	return fmt.Sprintf(`{"total":%d,"cursor":%q,"count":%d,"messages":[%s]}`, total, cursor, len(rows), strings.Join(rows, ","))
}

// rowsOf makes n different rows.
func rowsOf(first, n int) []string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"msgid":%d}`, first+i)
	}
	return rows
}

func apiErrorBody(code int) string {
	return fmt.Sprintf(`{"error":{"code":%d,"message":"said the API"}}`, code)
}

// settled is a window that ended long ago.
func settled(length time.Duration) pipeline.Window {
	end := time.Now().UTC().Truncate(time.Second).Add(-time.Hour)
	return pipeline.Window{Begin: end.Add(-length), End: end}
}

func messages() pipeline.Stream { return pipeline.Stream{Kind: pipeline.StreamMessages} }

var errOverwritten = errors.New("the rows of a page were overwritten while the next one was asked for")

// readAll reads a window to its end, and holds that each page is valid for as long as it has to be.
func readAll(ctx context.Context, c *Client, s pipeline.Stream, w pipeline.Window) ([]pipeline.Page, error) {
	pages, err := c.Open(ctx, s, w)
	if err != nil {
		return nil, err
	}
	defer pages.Free() // Other windows of the test read theirs in the same memory.
	var all []pipeline.Page
	var last pipeline.Page
	for {
		page, err := pages.Next(ctx)
		if len(all) > 0 && !slices.EqualFunc(last.Rows, all[len(all)-1].Rows, bytes.Equal) {
			return all, errOverwritten
		}
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		last = page
		page.Rows = nil
		for _, row := range last.Rows {
			page.Rows = append(page.Rows, bytes.Clone(row))
		}
		all = append(all, page)
	}
}

// wantFault checks the class of an error and returns its fault.
func wantFault(t *testing.T, err error, class pipeline.Class) *pipeline.Fault {
	t.Helper()
	fault, ok := errors.AsType[*pipeline.Fault](err)
	if !ok {
		t.Fatalf("got error %v, want a fault", err)
	}
	if fault.Class != class {
		t.Fatalf("got class %s of %v, want %s", fault.Class, err, class)
	}
	return fault
}

// recorder writes down the classes that the observer gets.
type recorder struct {
	mu      sync.Mutex
	classes []string
}

func (r *recorder) observer() pipeline.Observer {
	return func(o pipeline.Observation) {
		if answered, ok := o.(pipeline.RequestAnswered); ok {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.classes = append(r.classes, answered.Class)
		}
	}
}
