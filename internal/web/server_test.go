package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/fleet"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/web"
	"github.com/jmpub/jmpub/pipeline"
)

func messages() pipeline.Stream { return pipeline.Stream{Kind: pipeline.StreamMessages} }

// handler serves what a process tells of itself, to those who may see all of it.
func handler(p *status.Process) http.Handler { return web.New(web.Options{Status: p}).Handler() }

// oneApp is a process with one app, which has read nothing yet.
func oneApp() *status.Process {
	p := status.NewProcess(status.ProcessOptions{Version: "v1"})
	p.Add(status.Options{AppKey: "app", Delivery: "exactly once", Streams: []pipeline.Stream{messages()}})
	return p
}

// app is one of many apps, with one stream.
func app(key, prefix string) status.Options {
	return status.Options{AppKey: key, TopicPrefix: prefix, Delivery: "exactly once", Streams: []pipeline.Stream{messages()}}
}

// manyApps is a process that publishes so many apps, each of which has read something.
func manyApps(n int) (*status.Process, []*status.Status) {
	p := status.NewProcess(status.ProcessOptions{Version: "v1", Many: true})
	all := make([]*status.Status, n)
	for i := range all {
		all[i] = p.Add(app(fmt.Sprintf("%024x", n-i), "jmessage"))
		all[i].StandBy(false)
		all[i].Observer().Tell(pipeline.HeadRead{Stream: messages(), End: time.Now().Add(-10 * time.Second)})
	}
	return p, all
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	return w.Code, w.Body.String()
}

func TestServeEndsWithItsContext(t *testing.T) {
	p := oneApp()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- web.New(web.Options{Status: p}).Serve(ctx, listener) }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String()+"/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req) //nolint:forbidigo // A test.
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if err := res.Body.Close(); err != nil || !strings.Contains(string(body), "/metrics") {
		t.Errorf("the index is %q", body)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
}

// TestStrangersLearnNothingOfManyApps but whether all of them are as they should be.
func TestStrangersLearnNothingOfManyApps(t *testing.T) {
	p, all := manyApps(2)
	wide := listenAt(t, "0.0.0.0:0")
	serveProcess(t, web.Options{Status: p}, wide)
	if res := send(t, wide, asked("/readyz", "localhost")); res.code != http.StatusOK || res.body != "{\n  \"ready\": true\n}\n" {
		t.Errorf("%d: %s", res.code, res.body)
	}
	all[0].Fail(errors.New("wrong secret"))
	for path, code := range map[string]int{"/readyz": http.StatusServiceUnavailable, "/healthz": http.StatusOK, "/": http.StatusOK} {
		res := send(t, wide, asked(path, "localhost"))
		for _, hidden := range []string{"00000", "jmessage", "secret", "v1", "apps"} {
			if res.code != code || strings.Contains(res.body, hidden) {
				t.Errorf("%s: %d, %s", path, res.code, res.body)
			}
		}
	}
}

// TestFleetIsForThisMachine: what is known of all processes is answered to those who may see everything, with what stands in its way.
func TestFleetIsForThisMachine(t *testing.T) {
	var wrong error
	o := web.Options{Status: status.NewProcess(status.ProcessOptions{Version: "v1"}), Fleet: func(context.Context) (*fleet.Fleet, error) {
		return &fleet.Fleet{Apps: []fleet.App{{AppState: status.AppState{AppName: status.AppName{AppKey: "the-app-key"}}}}}, wrong
	}}
	h := web.New(o).Handler()
	if code, body := get(t, h, "/api/v1/apps"); code != http.StatusOK || !strings.HasPrefix(body, `{"apps":[{"app_key":"the-app-key"`) {
		t.Errorf("%d: %s", code, body)
	}
	if _, body := get(t, h, "/"); !strings.HasSuffix(body, "/metrics\n/api/v1/openapi.json\n") {
		t.Errorf("the index is %q", body)
	}
	wide := listenAt(t, "0.0.0.0:0")
	serveProcess(t, o, wide)
	if res := send(t, wide, asked("/api/v1/apps", "localhost")); res.code != http.StatusNotFound || strings.Contains(res.body, "the-app-key") {
		t.Errorf("to strangers: %d: %s", res.code, res.body)
	}
	if res := send(t, wide, asked("/", "localhost")); strings.Contains(res.body, "apps") {
		t.Errorf("to strangers: %s", res.body)
	}
	wrong = errors.New("Kafka is away " + strings.Repeat("x", 1000))
	code, body := get(t, web.New(o).Handler(), "/api/v1/apps")
	if code != http.StatusServiceUnavailable || !strings.Contains(body, `"error": "Kafka is away`) || len(body) > 500 {
		t.Errorf("%d: %s", code, body)
	}
	if code, _ := get(t, handler(o.Status), "/api/v1/apps"); code != http.StatusNotFound {
		t.Errorf("where nothing can be known: %d", code)
	}
}

// TestAnswersAreMadeOneAtATime, so that those who ask at once do not add up, and one that is not read keeps nobody waiting.
func TestAnswersAreMadeOneAtATime(t *testing.T) {
	var making, most atomic.Int64
	p := status.NewProcess(status.ProcessOptions{Many: true, Now: func() time.Time {
		if n := making.Add(1); n > most.Load() {
			most.Store(n)
		}
		runtime.Gosched()
		making.Add(-1)
		return time.Now()
	}})
	for i := range 10 {
		p.Add(app(strconv.Itoa(i), ""))
	}
	h := handler(p)
	for path, code := range map[string]int{"/metrics": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
		slow := &slowWriter{ResponseRecorder: httptest.NewRecorder(), writing: make(chan struct{}), read: make(chan struct{})}
		var asking sync.WaitGroup
		asking.Go(func() {
			h.ServeHTTP(slow, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		})
		<-slow.writing
		for range 8 {
			asking.Go(func() {
				for range 20 {
					if got, body := get(t, h, path); got != code {
						t.Errorf("%s: %d, %s", path, got, body)
					}
				}
			})
		}
		get(t, h, path) // It is answered while the other one is not read.
		close(slow.read)
		asking.Wait()
		if n := most.Load(); n != 1 {
			t.Errorf("%d answers of %s were made at a time", n, path)
		}
	}
}

// slowWriter is written to by one who has to wait until it is read.
type slowWriter struct {
	*httptest.ResponseRecorder

	writing, read chan struct{}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	close(w.writing)
	<-w.read
	return w.ResponseRecorder.Write(p)
}

// TestIndexTellsWhoseItIs on the page for people.
func TestIndexTellsWhoseItIs(t *testing.T) {
	p, _ := manyApps(3)
	one := oneApp()
	for process, want := range map[*status.Process]string{
		p: "jmpub v1, apps: 3\n", one: "jmpub v1, app app, delivery: exactly once\n",
		status.NewProcess(status.ProcessOptions{Version: "v1"}): "jmpub v1\n",
	} {
		if _, body := get(t, handler(process), "/"); !strings.HasPrefix(body, want) {
			t.Errorf("%q, want %q", body, want)
		}
	}
	if code, body := get(t, handler(status.NewProcess(status.ProcessOptions{})), "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("before the only app was added: %d, %s", code, body)
	}
}

// BenchmarkScrape asks for the metrics of many apps with one stream each.
func BenchmarkScrape(b *testing.B) { benchmarkPage(b, "/metrics") }

// BenchmarkReady asks whether many apps are ready.
func BenchmarkReady(b *testing.B) { benchmarkPage(b, "/readyz") }

// BenchmarkOverview asks how many apps do, all together.
func BenchmarkOverview(b *testing.B) { benchmarkPage(b, "/api/v1/overview") }

func benchmarkPage(b *testing.B, path string) {
	b.Helper()
	for _, n := range []int{1, 1_000, 10_000} {
		b.Run(fmt.Sprintf("apps=%d", n), func(b *testing.B) {
			p, _ := manyApps(n)
			h := handler(p)
			size := 0
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, http.NoBody))
				size = w.Body.Len()
			}
			b.ReportMetric(float64(size), "bytes/answer")
		})
	}
}
