//go:build integration

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestAlertFiresAndResolves has the API of a run answer 500 to all, and a Prometheus with the rules, whose times are shortened, watch it: the
// alert about the lag fires, and resolves when the API answers again. Another one, of which nothing has come true, does not.
func TestAlertFiresAndResolves(t *testing.T) {
	t.Parallel()
	env := working(t)
	var broken atomic.Bool
	api, err := url.Parse(strings.TrimSuffix(env["JMPUB_API_URL"], "/v2"))
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(api)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			http.Error(w, `{"error":{"code":899000,"message":"internal error"}}`, http.StatusInternalServerError)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	env["JMPUB_API_URL"], env["JMPUB_LISTEN"], env["JMPUB_POLL"] = front.URL+"/v2", freeAddress(t), "1s"
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- command(ctx, env, io.Discard, io.Discard, "run") }()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	prometheus := watch(t, env["JMPUB_LISTEN"])
	prometheus.await(t, "JmpubLagNotRecovering", "", time.Minute)
	broken.Store(true)
	prometheus.await(t, "JmpubLagNotRecovering", "firing", 2*time.Minute)
	broken.Store(false)
	prometheus.await(t, "JmpubLagNotRecovering", "", 2*time.Minute)
	if state := prometheus.state(t, "JmpubAppNotPublished"); state != "" {
		t.Errorf("JmpubAppNotPublished is %s", state)
	}
}

// observer is a Prometheus.
type observer struct{ url string }

// watch starts one that scrapes an address each second, with the rules; what takes minutes there takes seconds here.
func watch(t *testing.T, target string) *observer {
	t.Helper()
	rules, err := os.ReadFile("../../deploy/prometheus/jmpub.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	short := strings.NewReplacer("[15m]", "[15s]", "< 900", "< 15", "> 900", "> 45", "for: 15m", "for: 5s", "for: 10m", "for: 5s").Replace(string(rules))
	dir, listen := t.TempDir(), freeAddress(t)
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\n"+
		"scrape_configs: [{job_name: jmpub, static_configs: [{targets: ['%s']}]}]\n", target)
	for name, text := range map[string]string{"rules.yml": short, "prometheus.yml": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.CommandContext(t.Context(), "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), //nolint:gosec // Addresses and folders.
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+listen)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.Stderr = os.Stderr
	if testing.Verbose() {
		c.Stdout = os.Stdout
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait() // How it ends is of no matter.
	})
	return &observer{"http://" + listen}
}

// state is that of an alert: empty while it is not even pending, and unknown before Prometheus has looked at a run that it could scrape.
func (o *observer) state(t *testing.T, alert string) string {
	t.Helper()
	var up, alerts struct {
		Data struct {
			Result []struct{ Value [2]any }
			Alerts []struct {
				Labels map[string]string
				State  string
			}
		}
	}
	for path, into := range map[string]any{"/api/v1/query?query=jmpub_lag_seconds": &up, "/api/v1/alerts": &alerts} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Client{}).Do(req)
		if err != nil {
			return "unknown"
		}
		err = json.NewDecoder(res.Body).Decode(into)
		_ = res.Body.Close()
		if err != nil {
			return "unknown"
		}
	}
	if len(up.Data.Result) == 0 {
		return "unknown"
	}
	for _, one := range alerts.Data.Alerts {
		if one.Labels["alertname"] == alert {
			return one.State
		}
	}
	return ""
}

// await waits until an alert is in a state.
func (o *observer) await(t *testing.T, alert, want string, within time.Duration) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if last = o.state(t, alert); last == want {
			return
		}
	}
	t.Fatalf("%s is %q after %s, want %q", alert, last, within, want)
}
