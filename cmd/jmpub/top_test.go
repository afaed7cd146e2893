package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jmpub/jmpub/internal/web"
)

// TestTopShowsARun looks at a live run, as lines and as JSON, with nothing set but where it listens.
func TestTopShowsARun(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	c := s.callLive()
	c.live()
	env := map[string]string{"JMPUB_LISTEN": strings.TrimPrefix(c.url, "http://")}
	out := try(t, env, "top", "--once")
	for _, want := range []string{"✓ ", "is in Kafka", "rate ", "\n  single ", "lag ", "quota ", "retention ", "transactions", "rejected ", "members "} {
		if out.code != exitDone || !strings.Contains(out.stdout, want) {
			t.Fatalf("%q is not in %+v", want, out)
		}
	}
	if strings.Contains(out.stdout, "\x1b") {
		t.Errorf("it is not plain: %q", out.stdout)
	}
	if piped := try(t, env, "top"); piped.code != exitDone || !strings.Contains(piped.stdout, "is in Kafka") {
		t.Errorf("without a terminal it shows %+v", piped)
	}
	var overview web.Overview
	out = try(t, env, "top", "--json")
	if err := json.Unmarshal([]byte(out.stdout), &overview); err != nil || overview.Verdict.Level != "ok" || overview.Events == 0 {
		t.Errorf("%v: %+v", err, out)
	}
	c.stop()
	if out = try(t, env, "top", "--once"); out.code != exitFailed || out.stdout != "" || !strings.Contains(out.stderr, "cannot be reached") ||
		!strings.Contains(out.stderr, "JMPUB_LISTEN has the address") {
		t.Errorf("when it is gone it shows %+v", out)
	}
}

// TestTopWithToken: a token of the run is taken, another one is refused, and named by its setting alone.
func TestTopWithToken(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.env["JMPUB_ADMIN_TOKEN"] = token
	c := s.callLive()
	c.live()
	env := map[string]string{"JMPUB_LISTEN": strings.TrimPrefix(c.url, "http://"), "JMPUB_ADMIN_TOKEN": token}
	if out := try(t, env, "top", "--once"); out.code != exitDone {
		t.Errorf("%+v", out)
	}
	const wrong = "fedcba9876543210fedcba9876543210"
	env["JMPUB_ADMIN_TOKEN"] = wrong
	out := try(t, env, "top", "--once")
	if out.code != exitFailed || !strings.Contains(out.stderr, "the token of JMPUB_ADMIN_TOKEN is none of those that the process has") ||
		strings.Contains(out.stderr, wrong) {
		t.Errorf("%+v", out)
	}
	c.stop()
}

// TestTopKeepsTheToken: it goes to this machine, over TLS, and to another one over http only if it is told to; nothing that comes back shows it.
func TestTopKeepsTheToken(t *testing.T) {
	t.Parallel()
	_, secret, _ := strings.Cut(token, ":")
	var shown []string
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown = append(shown, r.Header.Get("Authorization"))
		if strings.Contains(r.URL.String(), secret) {
			t.Errorf("the token is in %s", r.URL)
		}
		w.Header().Set("Location", "http://127.0.0.1:1/stolen")
		w.WriteHeader(http.StatusFound)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": shown[len(shown)-1]})
	})
	here := httptest.NewServer(answer)
	defer here.Close()
	env := map[string]string{"JMPUB_ADMIN_TOKEN": token}
	out := try(t, env, "top", "--once", "--url", here.URL)
	if out.code != exitFailed || len(shown) != 1 || shown[0] != "Bearer "+secret || strings.Contains(out.stderr, secret) || !strings.Contains(out.stderr, "HTTP 302") {
		t.Errorf("%+v, shown %q", out, shown)
	}
	for line, want := range map[string]string{
		"--url http://user:" + secret + "@127.0.0.1:1": `--url: "********@127.0.0.1:1" is no address`, "--url ftp://127.0.0.1:1": "is no address", "--url 127.0.0.1:9464": "is no address",
		"--url http://127.0.0.1:1?token=1": "is no address", "--every 10ms": "--every: 10ms is not between", "--ca-file /none": "--ca-file: ", "--url=": "--url is empty",
	} {
		if out = try(t, env, append([]string{"top", "--once"}, strings.Fields(line)...)...); out.code != exitUsage || !strings.Contains(out.stderr, want) ||
			strings.Contains(out.stderr, secret) {
			t.Errorf("%s: %+v", line, out)
		}
	}
	env["JMPUB_LISTEN"] = "off"
	if out = try(t, env, "top", "--once"); out.code != exitUsage || !strings.Contains(out.stderr, "JMPUB_LISTEN is off") {
		t.Errorf("%+v", out)
	}
}

// TestTopOverTLS trusts the certificate of JMPUB_LISTEN_TLS_CERT_FILE, which is for another name than that of JMPUB_LISTEN, or the authority that it is told to, and nobody else.
func TestTopOverTLS(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	cert := s.serveTLS()
	c := s.callLive()
	c.live()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(c.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"JMPUB_LISTEN": "localhost:" + port, "JMPUB_LISTEN_TLS_CERT_FILE": cert, "JMPUB_LISTEN_TLS_KEY_FILE": s.env["JMPUB_LISTEN_TLS_KEY_FILE"],
	}
	if out := try(t, env, "top", "--once"); out.code != exitDone || !strings.Contains(out.stdout, "https://localhost:"+port) {
		t.Errorf("%+v", out)
	}
	if out := try(t, nil, "top", "--once", "--url", c.url, "--ca-file", cert); out.code != exitDone {
		t.Errorf("%+v", out)
	}
	if out := try(t, nil, "top", "--once", "--url", c.url); out.code != exitFailed || !strings.Contains(out.stderr, "certificate") {
		t.Errorf("%+v", out)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err = os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	env["JMPUB_LISTEN_TLS_CERT_FILE"] = empty
	if out := try(t, env, "top", "--once"); out.code != exitUsage || !strings.Contains(out.stderr, "JMPUB_LISTEN_TLS_CERT_FILE: ") {
		t.Errorf("%+v", out)
	}
	c.stop()
}
