package collector

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// trouble is how the log says that spans are not taken.
const trouble = "traces cannot be sent"

// TestTraces runs the binary beside a collector that takes what it gets, and beside collectors that do not.
func TestTraces(t *testing.T) {
	t.Parallel()
	jmpub := build(t)
	t.Run("arrive", func(t *testing.T) {
		t.Parallel()
		arrive(t, newLab(t, jmpub))
	})
	for name, c := range outages() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.test(t, newLab(t, jmpub))
		})
	}
}

// arrive has a run send its spans to the collector's receiver. Each has the parent, the resource and the attributes that
// docs/operating.md says, and times of this run that lie within those of its parent; the headers come along, the log complains of nothing, and
// what is published is what the API has.
func arrive(t *testing.T, l *lab) {
	t.Helper()
	c := newCollector(t)
	var sink consumertest.TracesSink
	c.start(t, sink.ConsumeTraces)
	started := time.Now()
	p := l.run(c.variable(), "OTEL_EXPORTER_OTLP_HEADERS=x-scope-orgid=tenant%201", "OTEL_SERVICE_NAME=publisher",
		"OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test")
	p.await("spans of all kinds arrived", func() bool {
		all := spans(&sink)
		return count(all, "window") > 3 && count(all, "page") > 3 && count(all, "transaction") > 1 && count(all, "commit") > 1
	})
	l.published(p, time.Now())
	p.stop() // What is left is sent.
	if strings.Contains(p.log.String(), trouble) {
		t.Error("the log says that spans were not taken")
	}
	for _, ctx := range sink.Contexts() {
		if got := client.FromContext(ctx).Metadata.Get("x-scope-orgid"); !slices.Equal(got, []string{"tenant 1"}) {
			t.Errorf("the header is %q", got)
		}
	}
	all := spans(&sink)
	if len(all) != sink.SpanCount() {
		t.Errorf("%d spans came, with %d ids", sink.SpanCount(), len(all))
	}
	for _, s := range all {
		s.check(t, all, started)
	}
	var rows int64
	for _, s := range all {
		if published, ok := s.Attributes().Get("jmpub.published"); ok {
			rows += published.Int()
		}
	}
	if rows < 500 {
		t.Errorf("the windows published %d rows, and there were about 600", rows)
	}
}

// known is what is promised of the spans of a name.
type known struct {
	parents    []string // Empty is none.
	kind       ptrace.SpanKind
	attributes []string
}

// kinds are the spans that there are. A transaction without a window changed a position alone, or was not committed.
func kinds() map[string]known {
	return map[string]known{
		"window": {[]string{""}, ptrace.SpanKindInternal, []string{"jmpub.app_key", "jmpub.stream", "jmpub.window.begin", "jmpub.window.end"}},
		"page":   {[]string{"window"}, ptrace.SpanKindClient, []string{"jmpub.class"}},
		"transaction": {
			[]string{"window", ""},
			ptrace.SpanKindProducer,
			[]string{"jmpub.app_key", "jmpub.result", "jmpub.bytes"},
		},
		"commit": {[]string{"transaction"}, ptrace.SpanKindProducer, nil},
		"end":    {[]string{"transaction"}, ptrace.SpanKindProducer, nil},
	}
}

// check holds a span against what is promised of it.
func (s span) check(t *testing.T, all map[string]span, started time.Time) {
	t.Helper()
	want, ok := kinds()[s.Name()]
	if !ok {
		t.Errorf("a span is called %q", s.Name())
		return
	}
	parent, inside := all[s.ParentSpanID().String()]
	name := ""
	if inside {
		name = parent.Name()
	}
	if !slices.Contains(want.parents, name) || inside == s.ParentSpanID().IsEmpty() {
		t.Errorf("the parent of %s is %q", s.Name(), name)
	}
	if s.Kind() != want.kind {
		t.Errorf("%s is of kind %s", s.Name(), s.Kind())
	}
	for _, key := range want.attributes {
		if value, ok := s.Attributes().Get(key); !ok || value.AsString() == "" {
			t.Errorf("%s has no %s: %v", s.Name(), key, s.Attributes().AsRaw())
		}
	}
	for key, want := range map[string]string{"service.name": "publisher", "deployment.environment.name": "test", "telemetry.sdk.language": "go"} {
		if s.resource[key] != want {
			t.Errorf("the resource's %s is %v", key, s.resource[key])
		}
	}
	if version, _ := s.resource["service.version"].(string); version == "" || s.scope != "github.com/jmpub/jmpub" {
		t.Errorf("it comes from version %q, scope %q", version, s.scope)
	}
	begin, end := s.StartTimestamp().AsTime(), s.EndTimestamp().AsTime()
	if end.Before(begin) || begin.Before(started) || end.After(time.Now()) {
		t.Errorf("%s took from %s to %s; the run began at %s", s.Name(), begin, end, started.UTC())
	}
	// A transaction may have begun with what belongs to no window, so it is only its end that lies within.
	if inside && (end.After(parent.EndTimestamp().AsTime()) || s.Name() != "transaction" && begin.Before(parent.StartTimestamp().AsTime())) {
		t.Errorf("%s took from %s to %s, and its parent from %s to %s", s.Name(), begin, end, parent.StartTimestamp().AsTime(), parent.EndTimestamp().AsTime())
	}
	if inside && s.TraceID() != parent.TraceID() {
		t.Errorf("%s is in another trace than its parent", s.Name())
	}
	for _, link := range s.Links().All() {
		if to := all[link.SpanID().String()]; s.Name() != "window" || to.Span == (ptrace.Span{}) || to.Name() != "transaction" {
			t.Errorf("%s has a link to something else than a transaction", s.Name())
		}
	}
}

// outage is a collector that does not take spans.
type outage struct {
	// refuses is how its consumer does not take them; nil where nobody listens at all.
	refuses consumer.ConsumeTracesFunc
	// told is what the log says of it.
	told string
}

// outages are those that an operator meets: a collector that is not there, one whose queue is full, one that asks to be left alone for
// an hour, one that refuses for good, and one that takes requests and does not answer.
func outages() map[string]outage {
	answer := func(err error) consumer.ConsumeTracesFunc {
		return func(context.Context, ptrace.Traces) error { return err }
	}
	busy, err := status.New(codes.ResourceExhausted, "too many").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)})
	if err != nil {
		panic(err)
	}
	return map[string]outage{
		"away":                    {told: "connection refused"},
		"503":                     {refuses: answer(errors.New("the queue is full")), told: "HTTP 503"},
		"429_and_an_hour_to_wait": {refuses: answer(busy.Err()), told: "HTTP 429"},
		"401":                     {refuses: answer(status.Error(codes.Unauthenticated, "who are you")), told: "HTTP 401"},
		"takes_it_and_never_answers": {
			refuses: func(ctx context.Context, _ ptrace.Traces) error {
				<-ctx.Done()
				return ctx.Err()
			}, told: "deadline exceeded",
		},
	}
}

// test: while the collector takes nothing, all that is sent is published, once, and the log says it one time. When it takes spans again,
// those that begin then arrive, whatever it said before; and a run ends as ever.
func (o outage) test(t *testing.T, l *lab) {
	t.Helper()
	c := newCollector(t)
	var sink consumertest.TracesSink
	var refused atomic.Int64
	var well atomic.Bool
	next := func(ctx context.Context, traces ptrace.Traces) error {
		if well.Load() {
			return sink.ConsumeTraces(ctx, traces)
		}
		refused.Add(1)
		return o.refuses(ctx, traces)
	}
	if o.refuses != nil {
		c.start(t, next)
	}
	p := l.run(c.variable(), "OTEL_EXPORTER_OTLP_TIMEOUT=300")
	p.await("spans were refused again and again", func() bool {
		return strings.Contains(p.log.String(), trouble) && (o.refuses == nil || refused.Load() > 3)
	})
	l.published(p, time.Now()) // What was sent after it was refused, too.
	if n := sink.SpanCount(); n != 0 {
		t.Errorf("%d spans arrived", n)
	}
	well.Store(true)
	back := time.Now()
	if o.refuses == nil {
		c.start(t, next)
	}
	p.await("a window arrived that began when the collector was back", func() bool {
		for _, s := range spans(&sink) {
			if s.Name() == "window" && s.StartTimestamp().AsTime().After(back) {
				return true
			}
		}
		return false
	})
	p.stop()
	if said := p.log.String(); strings.Count(said, trouble) != 1 || !strings.Contains(said, o.told) {
		t.Errorf("the log says it %d times, and is to say %q once", strings.Count(said, trouble), o.told)
	}
}
