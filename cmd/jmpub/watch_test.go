package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// freeAddress is one on this machine that nothing listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // It is taken by somebody else from here on.
	return l.Addr().String()
}

// scrape asks for the metrics of a process; empty where it does not listen yet.
func scrape(t *testing.T, addr string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close() //nolint:errcheck // It was read.
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestWhatIsWatchedIsThere runs against an API that fails now and then, and expects every metric that the dashboard and the alert rules name in
// what the run tells.
func TestWhatIsWatchedIsThere(t *testing.T) {
	t.Parallel()
	env := working(t, func(o *sim.Options) { o.ServerError, o.PerMinute = 0.3, 100_000 })
	env["JMPUB_LISTEN"], env["JMPUB_POLL"] = freeAddress(t), "200ms"
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- command(ctx, env, io.Discard, io.Discard, "run") }()
	defer func() {
		stop()
		if code := <-ended; code != exitDone {
			t.Errorf("exit code %d", code)
		}
	}()
	var watched []string
	for _, path := range []string{"../../deploy/grafana/dashboard.json", "../../deploy/prometheus/jmpub.rules.yml"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		watched = append(watched, regexp.MustCompile(`(?m)\b(?:jmpub|process)_[a-z_]+\b`).FindAllString(string(text), -1)...)
	}
	slices.Sort(watched)
	watched = slices.Compact(watched)
	missing := watched
	for deadline := time.Now().Add(time.Minute); len(missing) > 0; time.Sleep(50 * time.Millisecond) {
		text := scrape(t, env["JMPUB_LISTEN"])
		missing = slices.DeleteFunc(slices.Clone(watched), func(name string) bool {
			return regexp.MustCompile(`(?m)^` + name + `[{ ]`).MatchString(text)
		})
		if time.Now().After(deadline) {
			t.Fatalf("of %d metrics that are watched, these are not there: %s", len(watched), strings.Join(missing, ", "))
		}
	}
}
