package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestTracesOfARun has a run send spans of all kinds to a collector, none of which has a secret or the text of a message, and stop while the
// collector is there. What each span is belongs to internal/trace.
func TestTracesOfARun(t *testing.T) {
	t.Parallel()
	env := working(t)
	env["JMPUB_POLL"] = "200ms"
	var mu sync.Mutex
	var all bytes.Buffer
	whole := make(chan struct{})
	done := sync.OnceFunc(func() { close(whole) })
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		all.Write(body) // Not compressed, unless somebody asks for it.
		missing := false
		for _, want := range []string{"window", "page", "transaction", "commit", "jmpub.stream", "messages"} {
			missing = missing || !bytes.Contains(all.Bytes(), []byte(want))
		}
		if !missing {
			done()
		}
	}))
	t.Cleanup(server.Close)
	env["OTEL_EXPORTER_OTLP_ENDPOINT"], env["OTEL_BSP_SCHEDULE_DELAY"] = server.URL, "100"
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- command(ctx, env, io.Discard, io.Discard, "run") }()
	select {
	case <-whole:
	case <-time.After(time.Minute):
		t.Error("not all kinds of spans came")
	}
	stop()
	if code := <-ended; code != exitDone {
		t.Errorf("exit code %d", code)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, hidden := range []string{env["JMPUB_MASTER_SECRET"], "user_0", "msg_body"} {
		if strings.Contains(all.String(), hidden) {
			t.Errorf("%s was sent", hidden)
		}
	}
}

// TestTracesThatCannotBe are refused as wrong settings are.
func TestTracesThatCannotBe(t *testing.T) {
	t.Parallel()
	good := working(t)
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_EXPORTER": "zipkin", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
		"OTEL_EXPORTER_OTLP_CERTIFICATE": "/etc/collector.pem", "OTEL_EXPORTER_OTLP_CLIENT_KEY": "a key that stands here itself",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := try(t, with(good, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", name, value), "run"); got.code != exitUsage || !strings.Contains(got.stderr, name) ||
				strings.Contains(got.stderr, "stands here itself") {
				t.Errorf("exit code %d: %s", got.code, got.stderr)
			}
		})
	}
}
