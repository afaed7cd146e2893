package view_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jmpub/jmpub/internal/fleet"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/view"
)

// fleetAt has apps in every state, with numbers that are as wide as they come.
func fleetAt(now time.Time) *fleet.Fleet {
	app := func(n int, state string, lag time.Duration, of int) fleet.App {
		a := fleet.App{AppState: status.AppState{
			AppName: status.AppName{AppKey: fmt.Sprintf("4f7aef34fb361292c5%06d", n), TopicPrefix: "jmessage"}, State: state,
			End: now.Add(-lag - time.Second), LagSeconds: new(lag.Seconds()), Requests: 1199, QuotaLimit: new(12000), QuotaRemaining: new(10801),
		}}
		if of > 0 {
			a.Owner, a.Instance, a.Heard = "process", strconv.Itoa(of), now.Add(-time.Duration(of)*time.Second)
		}
		return a
	}
	failed := app(1, status.StateFailed, 6*time.Minute+30*time.Second, 2)
	failed.Error, failed.ErrorAt = "ask the API for its clock with messages: HTTP 401, code 899008: \x1b[2J \"Basic authentication failed\"", now.Add(-5*time.Minute)
	silent := app(2, fleet.StateSilent, 4*time.Hour, 13)
	silent.Heard, silent.Error, silent.ErrorAt = now.Add(-3*time.Hour), "connection reset", now.Add(-4*time.Hour)
	silent.Requests, silent.QuotaLimit, silent.QuotaRemaining = 0, nil, nil
	nobody := fleet.App{AppState: status.AppState{AppName: status.AppName{AppKey: "4f7aef34fb361292c5000003", TopicPrefix: "second"}, State: fleet.StateNobody}}
	starting := app(4, status.StateStarting, 0, 1)
	starting.LagSeconds, starting.End = nil, time.Time{}
	behind := app(5, status.StatePublishing, 59*24*time.Hour+23*time.Hour, 12)
	behind.Error, behind.ErrorAt = "an old matter", now.Add(-time.Hour)
	behind.End = now.Add(-time.Minute) // What lies 59 days back is history behind it.
	behind.Backlog = now.Add(-time.Hour)
	ahead := app(6, status.StatePublishing, -5*time.Second, 1)
	ahead.Error, ahead.ErrorAt = "read page: HTTP 503", now.Add(-8*time.Second)
	f := &fleet.Fleet{Apps: []fleet.App{failed, silent, nobody, starting, behind, ahead}, PassedOver: 1, FilesDiffer: true}
	for n := range 13 {
		m := fleet.Member{
			Process: fmt.Sprintf("process 1 on jmpub-6d4b75cb6d-hw%03d", n), Instance: strconv.Itoa(n + 1), Release: "v0.0.0-20261129115501-c0a68b4",
			Started: now.Add(-time.Hour), Heard: now.Add(-time.Duration(n) * time.Second), Shards: 1, ShardsTotal: 12, Apps: 1000,
		}
		m.AppsFile = []string{"91ab0dcf2e4b6a70", "5e8f0b1d77c2a934"}[n/7%2]
		if n == 12 {
			m.Silent, m.Heard = true, now.Add(-3*time.Hour)
		}
		f.Processes = append(f.Processes, m)
	}
	return f
}

// TestFleet shows apps in every state as testdata has it, in 80 columns; -update writes it anew, to be looked at.
func TestFleet(t *testing.T) {
	now := time.Date(2026, 11, 27, 20, 30, 0, 0, time.UTC)
	var out bytes.Buffer
	p := &view.Printer{Out: &out, Zone: time.FixedZone("Asia/Shanghai", 8*60*60)}
	if err := p.Fleet(fleetAt(now), "jmessage", now); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "apps-80.txt")
	if *update {
		if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("it shows\n%s\nwant\n%s", out.String(), want)
	}
	for line := range strings.Lines(out.String()) {
		if utf8.RuneCountInString(line) > 81 {
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
	out.Reset()
	if err := p.Fleet(&fleet.Fleet{}, "jmessage", now); err != nil || !strings.Contains(out.String(), "no process is there") {
		t.Errorf("%v: %s", err, out.String())
	}
}

// TestFleetAsJSON has a line for each app, with what is known of it and nothing else.
func TestFleetAsJSON(t *testing.T) {
	now := time.Date(2026, 11, 27, 20, 30, 0, 0, time.UTC)
	var out bytes.Buffer
	p := &view.Printer{Out: &out, JSON: true}
	if err := p.Fleet(fleetAt(now), "jmessage", now); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 6 || lines[2] != `{"app_key":"4f7aef34fb361292c5000003","topic_prefix":"second","state":"nobody","requests_per_minute":0}` {
		t.Errorf("%s", out.String())
	}
	var failed map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &failed); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"state": "failed", "owner": "process", "lag_seconds": 390.0, "requests_per_minute": 1199.0, "quota_limit": 12000.0, "quota_remaining": 10801.0,
		"end_time": "2026-11-27T20:23:29Z", "heard_at": "2026-11-27T20:29:58Z", "error_at": "2026-11-27T20:25:00Z",
	} {
		if failed[name] != want {
			t.Errorf("%s is %v, want %v", name, failed[name], want)
		}
	}
}
