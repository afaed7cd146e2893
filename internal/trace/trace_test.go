package trace_test

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jmpub/jmpub/internal/trace"
	"github.com/jmpub/jmpub/pipeline"
)

// receiver is a collector that takes OTLP over HTTP.
type receiver struct {
	mu      sync.Mutex
	spans   []*otlp.Span
	service []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var sent otlp.TracesData
	if err != nil || req.Header.Get("Authorization") != "Bearer x" || req.URL.Path != "/v1/traces" || req.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(body, &sent) != nil {
		http.Error(w, "no traces", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range sent.GetResourceSpans() {
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				r.service = append(r.service, a.GetValue().GetStringValue())
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
}

// told is what each span is: its name, that of its parent, and of those that it is linked to.
func (r *receiver) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := map[string]string{"": "-"}
	for _, s := range r.spans {
		names[hex.EncodeToString(s.GetSpanId())] = label(s)
	}
	var all []string
	for _, s := range r.spans {
		of := []string{label(s) + " < " + names[hex.EncodeToString(s.GetParentSpanId())]}
		for _, l := range s.GetLinks() {
			of = append(of, names[hex.EncodeToString(l.GetSpanId())])
		}
		text := strings.Join(of, " + ")
		if s.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR {
			text += " ! " + s.GetStatus().GetMessage()
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

// label is a span's name, with the stream of a window.
func label(s *otlp.Span) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == "jmpub.stream" {
			return s.GetName() + " " + a.GetValue().GetStringValue()
		}
	}
	return s.GetName()
}

func start(t *testing.T, url string, trouble func(error)) *trace.Tracer {
	t.Helper()
	tracer, err := trace.New(t.Context(), trace.Config{
		URL: url + "/v1/traces", Headers: http.Header{"Authorization": {"Bearer x"}}, Timeout: time.Minute, Version: "v1", Trouble: trouble,
	})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

func stream(name string) pipeline.Stream {
	return pipeline.Stream{Kind: pipeline.StreamGroups, Name: name}
}

// TestSpans has two windows committed in one transaction, one that is read again and planned shorter, one that is left, and a transaction that fails.
func TestSpans(t *testing.T) {
	r := &receiver{}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	t.Setenv("OTEL_SERVICE_NAME", "mine")
	tracer := start(t, server.URL, func(error) {}) // It is told of what other tracers of this process meet, too.
	now := time.Now()
	w := pipeline.Window{Begin: now.Add(-time.Hour), End: now.Add(-time.Minute)}
	shorter := pipeline.Window{Begin: w.Begin, End: now.Add(-30 * time.Minute)}
	page := func(name, class string, w pipeline.Window) pipeline.Observation {
		return pipeline.RequestAnswered{Stream: stream(name), Window: w, Class: class, Took: time.Millisecond}
	}
	commit := func(name string, w pipeline.Window) pipeline.Observation {
		return pipeline.WindowCommitted{Ledger: &pipeline.Ledger{Stream: stream(name), Window: w, Rows: 7}, Checkpoint: &pipeline.Checkpoint{}}
	}
	observe := tracer.Observer("app")
	for _, o := range []pipeline.Observation{
		pipeline.RequestAnswered{Stream: stream("1"), Class: "ok"}, // No page.
		page("1", "network", w), page("1", "ok", w), page("2", "ok", w), page("3", "ok", w), page("4", "ok", w),
		pipeline.WindowRestarted{Stream: stream("4"), Window: w, Err: errors.New("the cursor expired")},
		page("3", "ok", shorter),
		pipeline.TransactionEnded{Result: pipeline.Committed, Took: time.Second, End: time.Millisecond},
		commit("1", w), commit("2", w),
		pipeline.TransactionEnded{Result: pipeline.Failed, Took: time.Second},
		pipeline.WindowAbandoned{Stream: stream("3"), Window: shorter},
		pipeline.TransactionEnded{Result: pipeline.Committed, Took: time.Second}, // Of a position alone.
		pipeline.TransactionEnded{Result: pipeline.Committed, Took: time.Second},
		commit("5", w),
	} {
		observe(o)
	}
	if got := r.told(); len(got) > 0 {
		t.Errorf("sent one by one: %q", got)
	}
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"commit < transaction", "commit < transaction", "commit < transaction", "end < transaction",
		"page < window groups/1 ! network", "page < window groups/1", "page < window groups/2", "page < window groups/3", "page < window groups/3",
		"page < window groups/4",
		"transaction < - ! failed", "transaction < -", "transaction < window groups/1", "transaction < window groups/5",
		"window groups/1 < -", "window groups/2 < - + transaction", "window groups/3 < - ! left uncommitted", "window groups/3 < -",
		"window groups/4 < - ! read again: the cursor expired", "window groups/5 < -",
	}
	slices.Sort(want)
	if got := r.told(); !slices.Equal(got, want) {
		t.Errorf("spans:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !slices.Contains(r.service, "mine") {
		t.Errorf("the service is %q", r.service)
	}
}

// TestGoneCollectorHoldsNothingUp has one that takes connections and never answers: whoever publishes does not notice, and the end takes a
// second at most.
func TestGoneCollectorHoldsNothingUp(t *testing.T) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	tracer := start(t, "http://"+l.Addr().String(), func(error) {})
	o := tracer.Observer("app")
	for range 10_000 { // More than are kept.
		o(pipeline.TransactionEnded{Result: pipeline.Committed})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // As it is when a run ends.
	if err := tracer.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close: %v", err)
	}
}

// TestRefusedSpansAreTold: a collector that takes a request, and says in its answer that it dropped spans of it, is told as one that takes none,
// and nothing is sent twice. What an answer says that is not OTLP's, or that came in part, is no trouble: the spans were taken.
func TestRefusedSpansAreTold(t *testing.T) {
	const protobuf = "application/x-protobuf"
	refused := "\x0a\x0c\x08\xac\x02\x12\x07too old"
	for name, c := range map[string]struct{ kind, answer, want string }{
		"some":            {protobuf, refused, "refused 300 "},
		"unknown_fields":  {protobuf, "\x12\x01x" + "\x0a\x06\x1a\x01x\x08\xac\x02", "refused 300 "},
		"only_a_warning":  {protobuf, "\x0a\x09\x12\x07too old", ""},
		"none":            {protobuf, "", ""},
		"cut_off":         {protobuf, refused[:4], ""},
		"no_length":       {protobuf, "\x0a\xff", ""},
		"another_type":    {protobuf, "\x08\x01\x0d\x00\x00\x00\x00", ""},
		"JSON":            {"application/json", `{"partialSuccess":{"rejectedSpans":"300"}}`, ""},
		"no_protobuf":     {"text/plain", refused, ""},
		"with_parameters": {protobuf + "; charset=utf-8", refused, "refused 300 "},
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				w.Header().Set("Content-Type", c.kind)
				_, _ = io.WriteString(w, c.answer)
			}))
			t.Cleanup(server.Close)
			told := make(chan error, 100) // Also of what other tracers of this process meet.
			tracer := start(t, server.URL, func(err error) {
				if strings.Contains(err.Error(), "of its spans") {
					told <- err
				}
			})
			tracer.Observer("app")(pipeline.TransactionEnded{Result: pipeline.Failed})
			if err := tracer.Close(t.Context()); err != nil { // The end waits for all that is sent.
				told <- err
			}
			close(told)
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests", n)
			}
			var all []string
			for err := range told {
				all = append(all, err.Error())
			}
			if c.want == "" && len(all) > 0 || c.want != "" && (len(all) != 1 || !strings.Contains(all[0], c.want)) {
				t.Errorf("told %q, want %q", all, c.want)
			}
		})
	}
}

// TestReasonThatIsNoTextTakesNothingAlong: what others wrote may be no UTF-8, which OTLP cannot carry. The spans that are sent with it arrive.
func TestReasonThatIsNoTextTakesNothingAlong(t *testing.T) {
	r := &receiver{}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	tracer := start(t, server.URL, func(error) {})
	w := pipeline.Window{Begin: time.Now().Add(-time.Hour), End: time.Now()}
	observe := tracer.Observer("app")
	observe(pipeline.RequestAnswered{Stream: stream("1"), Window: w, Class: "ok"})
	observe(pipeline.WindowRestarted{Stream: stream("1"), Window: w, Err: errors.New("it says \xff\xfe")})
	if err := tracer.Close(t.Context()); err != nil {
		t.Error(err)
	}
	want := []string{"page < window groups/1", "window groups/1 < - ! read again: it says \ufffd"}
	if got := r.told(); !slices.Equal(got, want) {
		t.Errorf("spans: %q, want %q", got, want)
	}
}

// TestOffCostsNothing: without a tracer nothing is made of what is observed.
func TestOffCostsNothing(t *testing.T) {
	var off *trace.Tracer
	all := pipeline.Observers(off.Observer("app"))
	var o pipeline.Observation = pipeline.TransactionEnded{Result: pipeline.Committed}
	if n := testing.AllocsPerRun(100, func() { all.Tell(o) }); n > 0 {
		t.Errorf("%f allocations", n)
	}
	if err := off.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
