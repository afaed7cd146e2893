//go:build integration

package main

import (
	"bufio"
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestLogIsGone takes away what reads a run's log, and hangs up. The run goes on, and ends when it is asked to.
func TestLogIsGone(t *testing.T) {
	t.Parallel()
	env := working(t)
	asked := make(chan struct{})
	api, err := url.Parse(env["JMPUB_API_URL"])
	if err != nil {
		t.Fatal(err)
	}
	api.Path = ""
	proxy := httputil.NewSingleHostReverseProxy(api)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default: // Nobody counts.
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	run := process(t.Context(), with(env, "JMPUB_API_URL", server.URL+"/v2", "JMPUB_LOG", "debug", "JMPUB_LOG_FORMAT", "text", "JMPUB_POLL", "100ms"), "run")
	log, err := run.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = run.Start(); err != nil {
		t.Fatal(err)
	}
	hear := func(text string) {
		t.Helper()
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if strings.Contains(lines.Text(), text) {
				return
			}
		}
		t.Fatalf("the run did not say %q", text)
	}
	hear("window committed")
	if err = run.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	hear("SIGHUP changes nothing")
	hear("window committed")
	if err = log.Close(); err != nil {
		t.Fatal(err)
	}
	if err = run.Process.Signal(syscall.SIGHUP); err != nil { // It is logged, and so is each window.
		t.Fatal(err)
	}
	for range 5 {
		select {
		case <-asked:
		case <-time.After(time.Minute):
			t.Fatal("the run asks the API nothing any more")
		}
	}
	if err = run.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait() // The code says how it ended.
	if code := run.ProcessState.ExitCode(); code != exitDone {
		t.Errorf("exit code %d, want %d: %s", code, exitDone, run.ProcessState)
	}
}

// TestOutputIsGone expects of a short command whose reader has read enough that it ends, and says nothing.
func TestOutputIsGone(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = reader.Close(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	config := process(t.Context(), nil, "config")
	config.Stdout, config.Stderr = writer, &said
	_ = config.Run() // As above.
	if code := config.ProcessState.ExitCode(); code != exitBrokenOutput || said.Len() > 0 {
		t.Errorf("exit code %d, want %d; it said %q", code, exitBrokenOutput, said.String())
	}
}
