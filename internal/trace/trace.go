// Package trace makes spans of what the observer of an app tells: each window, its pages, the transaction that it was published in, and the
// commit of that. They go to an OTLP collector, as the standard variables of OpenTelemetry say. The core knows nothing of it; where nobody asks for traces, there is no tracer.
package trace

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/jmpub/jmpub/pipeline"
)

// Tracer sends spans. nil makes none. Safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// closeTime is how long the spans that are left may take to be sent when a process ends. They are not worth more.
const closeTime = time.Second

// Config says where spans go.
type Config struct {
	// URL is that of the collector, with the path; Headers are sent with each request, and Timeout bounds it.
	URL     string
	Headers http.Header
	Timeout time.Duration
	// Version is jmpub's.
	Version string
	// Trouble is told what goes wrong with sending.
	Trouble func(error)
}

// New begins to send, in the background; nothing that is published waits for it.
func New(ctx context.Context, cfg Config) (*Tracer, error) {
	exporter, err := otlptrace.New(ctx, &client{cfg.URL, cfg.Headers, cfg.Timeout, &http.Transport{Proxy: http.ProxyFromEnvironment}})
	if err != nil {
		return nil, fmt.Errorf("make the exporter of traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "jmpub"), attribute.String("service.version", cfg.Version),
	), resource.WithTelemetrySDK(), resource.WithFromEnv()) // What the environment says comes last, and counts.
	if err != nil {
		return nil, errors.Join(fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err), exporter.Shutdown(ctx))
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(cfg.Trouble)) // The SDK has no other way to tell.
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))
	return &Tracer{provider, provider.Tracer("github.com/jmpub/jmpub", trace.WithInstrumentationVersion(cfg.Version))}, nil
}

// Close sends what is left, for a second at most.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	return t.provider.Shutdown(ctx)
}

// Observer makes spans of what happens to an app. That of a nil tracer is nil.
func (t *Tracer) Observer(appKey string) pipeline.Observer {
	if t == nil {
		return nil
	}
	a := &app{tracer: t.tracer, key: attribute.String("jmpub.app_key", appKey), windows: make(map[windowID]*window)}
	return a.observe
}

// app makes the spans of an app.
type app struct {
	tracer trace.Tracer
	key    attribute.KeyValue

	mu sync.Mutex // Guards what follows.
	// windows are those that are being read or wait to be committed.
	windows map[windowID]*window
	// last is the transaction that was committed last; nil where all is made of it.
	last *transaction
}

// windowID tells windows apart, by their bounds in seconds of Unix time.
type windowID struct {
	stream     pipeline.Stream
	begin, end int64
}

func idOf(s pipeline.Stream, w pipeline.Window) windowID {
	return windowID{s, w.Begin.Unix(), w.End.Unix()}
}

type window struct {
	ctx   context.Context //nolint:containedctx // It is the span's.
	span  trace.Span
	began time.Time
}

// transaction is one that was committed. made is its span's context, once the first of its windows is there.
type transaction struct {
	pipeline.TransactionEnded

	ended time.Time
	made  trace.SpanContext
}

// longestWindow is after how long a window that was not heard of again is given up: it was read for a comparison, say, and not to be published.
const longestWindow = 10 * time.Minute

func (a *app) observe(o pipeline.Observation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	switch o := o.(type) {
	case pipeline.RequestAnswered:
		if !o.Window.Begin.IsZero() {
			a.page(&o, now)
		}
	case pipeline.WindowRestarted:
		a.fail(idOf(o.Stream, o.Window), "read again: "+o.Err.Error(), now)
	case pipeline.WindowAbandoned:
		a.fail(idOf(o.Stream, o.Window), "left uncommitted", now)
	case pipeline.TransactionEnded:
		a.flush()
		if a.last = (&transaction{TransactionEnded: o, ended: now}); o.Result != pipeline.Committed {
			a.flush()
		}
	case pipeline.WindowCommitted:
		a.committed(o.Ledger, now)
	default: // It makes no span.
	}
}

// page makes the span of a request for a page.
func (a *app) page(o *pipeline.RequestAnswered, now time.Time) {
	w := a.window(o.Stream, o.Window, now.Add(-o.Took))
	_, span := a.tracer.Start(w.ctx, "page", trace.WithTimestamp(now.Add(-o.Took)), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("jmpub.class", o.Class)))
	if o.Class != "ok" && o.Class != "deviating" {
		span.SetStatus(codes.Error, o.Class)
	}
	span.End(trace.WithTimestamp(now))
}

// window is the span of a window, which begins if it is new. One with the same begin is over then: it was planned anew.
func (a *app) window(s pipeline.Stream, w pipeline.Window, began time.Time) *window {
	id := idOf(s, w)
	if known, ok := a.windows[id]; ok {
		return known
	}
	for other, old := range a.windows {
		if other.stream == s && other.begin == id.begin || began.Sub(old.began) > longestWindow {
			old.span.SetAttributes(attribute.Bool("jmpub.superseded", true))
			a.end(other, began)
		}
	}
	ctx, span := a.tracer.Start(context.Background(), "window", trace.WithTimestamp(began), trace.WithAttributes(a.key,
		attribute.String("jmpub.stream", s.String()),
		attribute.String("jmpub.window.begin", pipeline.FormatTime(w.Begin)), attribute.String("jmpub.window.end", pipeline.FormatTime(w.End))))
	a.windows[id] = &window{ctx, span, began}
	return a.windows[id]
}

func (a *app) fail(id windowID, why string, now time.Time) {
	if w, ok := a.windows[id]; ok {
		w.span.SetStatus(codes.Error, strings.ToValidUTF8(why, "\ufffd")) // Others wrote it, and a batch with one byte that is no text cannot be encoded.
		a.end(id, now)
	}
}

func (a *app) end(id windowID, now time.Time) {
	a.windows[id].span.End(trace.WithTimestamp(now))
	delete(a.windows, id)
}

// committed ends the span of a window. The transaction is a child of the first of its windows, and the others are linked to it.
func (a *app) committed(l *pipeline.Ledger, now time.Time) {
	began := l.Started
	if began.IsZero() {
		began = now
	}
	w := a.window(l.Stream, l.Window, began)
	w.span.SetAttributes(attribute.Int64("jmpub.rows", l.Rows), attribute.Int64("jmpub.published", l.Published),
		attribute.Int64("jmpub.skipped", l.Skipped), attribute.Int64("jmpub.rejected", l.Rejected), attribute.Int("jmpub.requests", l.Requests))
	if t := a.last; t != nil && t.made.IsValid() {
		w.span.AddLink(trace.Link{SpanContext: t.made})
	} else if t != nil {
		a.transaction(w.ctx, t)
	}
	a.end(idOf(l.Stream, l.Window), now)
}

// transaction makes the spans of a transaction and its commit.
func (a *app) transaction(ctx context.Context, t *transaction) {
	ctx, span := a.tracer.Start(ctx, "transaction", trace.WithTimestamp(t.ended.Add(-t.Took)), trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(a.key, attribute.String("jmpub.result", string(t.Result)), attribute.Int64("jmpub.bytes", t.Bytes)))
	name := "commit"
	if t.Result != pipeline.Committed {
		name = "end"
		span.SetStatus(codes.Error, string(t.Result))
	}
	_, end := a.tracer.Start(ctx, name, trace.WithTimestamp(t.ended.Add(-t.End)), trace.WithSpanKind(trace.SpanKindProducer))
	end.End(trace.WithTimestamp(t.ended))
	span.End(trace.WithTimestamp(t.ended))
	t.made = span.SpanContext()
}

// flush makes the spans of a transaction that no window belongs to: it changed a position, or was not committed.
func (a *app) flush() {
	if a.last != nil && !a.last.made.IsValid() {
		a.transaction(context.Background(), a.last)
	}
	a.last = nil
}
