package view_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/jmpub/jmpub/internal/fleet"
	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/view"
	"github.com/jmpub/jmpub/internal/web"
)

var shanghai = time.FixedZone("Asia/Shanghai", 8*60*60)

// look is a process that publishes so many apps, with numbers that are as wide as they usually come.
func look(apps int) *operate.Look {
	now := time.Date(2026, 11, 27, 20, 30, 0, 0, time.UTC)
	first := status.StreamName{AppName: status.AppName{AppKey: "4f7aef34fb361292c5000001", TopicPrefix: "jmessage"}, Stream: "messages"}
	targets := []status.TargetFlow{
		{Target: "single", Published: 144_321, RowsPerSecond: 8_007},
		{Target: "group", Published: 100_987, RowsPerSecond: 5_575},
		{Target: "chatroom", Published: 42_815, RowsPerSecond: 2_175.4},
		{Target: "other", Published: 103, RowsPerSecond: 0.4},
	}
	l := &operate.Look{
		URL: "http://127.0.0.1:9464", Now: now, At: now, Zone: shanghai,
		Overview: &web.Overview{
			Overview: &status.Overview{
				Version: "v0.1.0", Now: now, Started: now.Add(-time.Hour),
				Verdict:      status.Verdict{Level: status.LevelOK, Text: "everything up to 2026-11-28 04:29:52 is in Kafka"},
				Apps:         status.AppCounts{Total: apps, Owned: apps, Ready: apps},
				Targets:      targets,
				Lag:          &status.Lag{StreamName: first, Committed: now.Add(-8 * time.Second), LagSeconds: 8},
				Quota:        &status.Quota{Apps: apps, Limit: 1200, Remaining: 1170, Lowest: status.LowestQuota{AppName: first.AppName, Remaining: 1170}},
				Retention:    &status.Retention{StreamName: first, LeftSeconds: (60*24*time.Hour - 8*time.Second).Seconds(), Unread: now.Add(-8 * time.Second)},
				Transactions: status.Transactions{Count: 12_345, Last: 12, Mean: 14.2},
				Rejected:     map[string]int64{"no_msgid": 3, "bad_json": 1_100, "too_large": 3}, RequestsPerMinute: 30,
			},
			Process: "process 7 on jmpub-0",
		},
		History: &web.History{EverySeconds: 10},
		Apps:    &web.FleetAnswer{Fleet: &fleet.Fleet{}},
	}
	for i := range 90 {
		rates := make(map[string]float64)
		for _, t := range targets {
			rates[t.Target] = t.RowsPerSecond * float64(i*i%97) / 97
		}
		l.History.Samples = append(l.History.Samples, web.Sample{RowsPerSecond: rates, LagSeconds: new(float64(5 + i%7))})
	}
	for i := range 3 {
		m := fleet.Member{Process: fmt.Sprintf("process 7 on jmpub-%d", i), Heard: now, Shards: 6, ShardsTotal: 12, Apps: apps / 2}
		if i == 2 {
			m.Shards, m.Apps = 0, 0
		}
		l.Apps.Processes = append(l.Apps.Processes, m)
	}
	for i := range apps {
		l.Apps.Apps = append(l.Apps.Apps, fleet.App{Owner: fmt.Sprintf("process 7 on jmpub-%d", i%2), AppState: status.AppState{
			AppName: status.AppName{AppKey: fmt.Sprintf("4f7aef34fb361292c5%06d", i+1)}, State: status.StatePublishing,
			LagSeconds: new(8.0), QuotaRemaining: new(1170), QuotaLimit: new(1200),
		}})
	}
	return l
}

// failing has apps that are not published, a process that is silent, and warnings.
func failing(apps int) *operate.Look {
	l := look(apps)
	o := l.Overview
	why := "ask the API for its clock with messages: HTTP 401, code 899008: \"Basic authentication failed\" (check JMPUB_APP_KEY and JMPUB_MASTER_SECRET)"
	o.Verdict = status.Verdict{
		Level: status.LevelError, Code: status.VerdictFailed, Text: fmt.Sprintf("1 of %d apps is not published: app 4f7aef34fb361292c5000001: %s", apps, why),
		Hint: "it is tried again by itself; put right what the error names",
	}
	o.Warnings = []status.Warning{{Text: "app 4f7aef34fb361292c5000004: messages has 2d03h left until its oldest unread second leaves the API's history"}}
	o.Apps.Owned, o.Apps.Failed = apps-1, 1
	l.Apps.Apps[0].State, l.Apps.Apps[0].Error, l.Apps.Apps[0].ErrorAt = status.StateFailed, why, l.Now.Add(-45*time.Second)
	l.Apps.Apps[1].State, l.Apps.Apps[1].Heard = fleet.StateSilent, l.Now.Add(-time.Hour)
	l.Apps.Apps[2] = fleet.App{AppState: status.AppState{AppName: status.AppName{AppKey: "4f7aef34fb361292c5000003"}, State: fleet.StateNobody}}
	l.Apps.Apps[3].Error, l.Apps.Apps[3].ErrorAt = "read page: HTTP 503", l.Now.Add(-8*time.Second)
	l.Apps.Apps[4].Error, l.Apps.Apps[4].ErrorAt = "an old matter", l.Now.Add(-time.Hour)
	l.Apps.Processes[1].Silent, l.Apps.Processes[1].Heard = true, l.Now.Add(-time.Hour)
	l.Apps.FilesDiffer = true
	return l
}

// poison is what a terminal would obey or be led astray by.
const poison = "\x1b[2J\x1b]0;title\a\r\n\t\u009b31m\u202egnp\u2066 放假👍🏽 \xff"

// poisoned has a text of that kind wherever the process has a text.
func poisoned() *operate.Look {
	l := failing(6)
	o := l.Overview
	o.Version, o.Process, o.Verdict.Level = poison, poison, poison
	o.Verdict.Text, o.Verdict.Hint = strings.Repeat(poison, 30), poison+strings.Repeat("x", 500)
	o.Warnings = []status.Warning{{Text: poison}}
	o.Targets = append(o.Targets, status.TargetFlow{Target: poison, RowsPerSecond: 1e300}, status.TargetFlow{Target: "放假放假放假", RowsPerSecond: -1e300})
	o.Lag.Stream, o.Lag.LagSeconds, o.Retention.Stream, o.Retention.LeftSeconds = poison, -1e300, poison, -5
	o.Quota.Lowest.AppKey, o.Rejected = poison, map[string]int64{poison: 9, strings.Repeat("reason", 100): 8}
	l.History.EverySeconds = -1e300
	for i := range l.History.Samples {
		l.History.Samples[i].LagSeconds = nil
		l.History.Samples[i].RowsPerSecond = map[string]float64{poison: -1e300, "single": 1e300}
	}
	for i := range l.Apps.Apps {
		a := &l.Apps.Apps[i]
		a.AppKey, a.State, a.Owner, a.Error, a.ErrorAt = poison, poison, poison, poison, l.Now
	}
	for i := range l.Apps.Processes {
		l.Apps.Processes[i].Process = poison
	}
	l.AppsErr = errors.New(poison)
	return l
}

// unreachable is a process that told something, and does not answer any more.
func unreachable() *operate.Look {
	l := look(6)
	l.Err = errors.New("http://127.0.0.1:9464 cannot be reached: dial tcp 127.0.0.1:9464: connect: connection refused (is `jmpub run` at work there? " +
		"JMPUB_LISTEN has the address, --url names another one)")
	l.Since, l.At = l.Now, l.Now
	l.Now = l.Now.Add(125 * time.Second)
	return l
}

// single is a process with one app, of which nothing else is known yet.
func single() *operate.Look {
	l := look(1)
	l.Apps, l.AppsErr, l.History = nil, errors.New("http://127.0.0.1:9464: HTTP 404: there is no such path"), nil
	l.Overview.Lag, l.Overview.Quota, l.Overview.Retention, l.Overview.Transactions, l.Overview.Rejected = nil, nil, nil, status.Transactions{}, nil
	return l
}

func states() map[string]*operate.Look {
	never := unreachable()
	never.Overview, never.History, never.Apps = nil, nil, nil
	return map[string]*operate.Look{
		"ok": look(6), "failing": failing(6), "thousand": failing(1000), "hostile": poisoned(), "unreachable": unreachable(), "never": never, "single": single(),
	}
}

// TestTopFrame draws what testdata has; -update writes it anew, to be looked at.
func TestTopFrame(t *testing.T) {
	for name, l := range states() {
		for _, size := range [][2]int{{80, 24}, {120, 40}, {60, 15}} {
			path := filepath.Join("testdata", fmt.Sprintf("top-%s-%d.txt", name, size[0]))
			got := ansi.Strip(view.TopFrame(l, size[0], size[1])) + "\n"
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s has another frame than this one:\n%s", path, got)
			}
		}
	}
}

// TestTopFrameFits: whatever the size, no line is wider and no frame is higher than the terminal, the verdict or what is wrong stands there
// before anything else, and nothing that the process tells moves the cursor or turns the direction of the text.
func TestTopFrameFits(t *testing.T) {
	for name, l := range states() {
		for width := 1; width <= 200; width += 9 {
			for _, height := range []int{0, 1, 2, 3, 8, 15, 24, 50} {
				frame := view.TopFrame(l, width, height)
				lines := strings.Split(frame, "\n")
				if height > 0 && len(lines) > height {
					t.Errorf("%s, %dx%d: %d lines", name, width, height, len(lines))
				}
				for _, line := range lines {
					if got := lipgloss.Width(line); got > width {
						t.Errorf("%s, %dx%d: %d columns: %q", name, width, height, got, line)
					}
				}
				if text := ansi.Strip(frame); !utf8.ValidString(text) || strings.ContainsAny(text, "\x1b\a\r\t\u009b\u202e\u2066") || strings.Contains(frame, "\x1b[2J") {
					t.Fatalf("%s, %dx%d: %q", name, width, height, text)
				}
			}
		}
		second := strings.SplitN(ansi.Strip(view.TopFrame(l, 80, 3)), "\n", 3)[1]
		if want := map[string]string{"ok": "✓", "thousand": "✗ 1 of", "failing": "✗ 1 of", "unreachable": "✗ http", "never": "✗ http"}[name]; !strings.HasPrefix(second, want) {
			t.Errorf("%s: the second line is %q", name, second)
		}
	}
}

// TestTopShowsAppsInNeed: apps that are not published stand there before the rates of targets do, as soon as there is no room for both.
func TestTopShowsAppsInNeed(t *testing.T) {
	text := ansi.Strip(view.TopFrame(failing(1000), 80, 15))
	if !strings.Contains(text, "4f7aef34fb361292c5000001  failed") || strings.Contains(text, "\n  single") {
		t.Errorf("%s", text)
	}
	if text = ansi.Strip(view.TopFrame(failing(1000), 120, 40)); !strings.Contains(text, "4f7aef34fb361292c5000003  nobody") || !strings.Contains(text, " more; `jmpub apps` has all") {
		t.Errorf("%s", text)
	}
}
