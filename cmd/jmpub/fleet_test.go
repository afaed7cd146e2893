package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// child is a `jmpub run` in a process of its own.
type child struct {
	*exec.Cmd

	t    *testing.T
	said *journal
}

// spawn starts one that listens at an address.
func (h *house) spawn(listen string) *child {
	h.t.Helper()
	c := &child{process(h.t.Context(), with(h.env, "JMPUB_LISTEN", listen), "run"), h.t, &journal{}}
	c.Stderr = c.said
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		_ = c.Process.Kill() // It may be gone.
		_ = c.Wait()
		if h.t.Failed() {
			h.t.Logf("process %d said:\n%s", c.Process.Pid, c.said.String())
		}
	})
	return c
}

// end ends it by a signal and returns its exit code.
func (c *child) end(s syscall.Signal) int {
	c.t.Helper()
	if err := c.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
	_ = c.Wait() // The code says how it ended.
	return c.ProcessState.ExitCode()
}

// shownApp is an app as `jmpub apps` shows it.
type shownApp struct {
	AppKey    string   `json:"app_key"`
	State     string   `json:"state"`
	Owner     string   `json:"owner"`
	Lag       *float64 `json:"lag_seconds"`
	Requests  int      `json:"requests_per_minute"`
	Limit     int      `json:"quota_limit"`
	Remaining int      `json:"quota_remaining"`
	Error     string   `json:"error"`
}

// shown are the apps as `jmpub apps --json` shows them, by their keys.
func (h *house) shown() map[string]shownApp {
	h.t.Helper()
	out := try(h.t, h.env, "apps", "--json")
	if out.code != exitDone {
		h.t.Fatalf("%+v", out)
	}
	apps := make(map[string]shownApp)
	for line := range strings.Lines(out.stdout) {
		var a shownApp
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			h.t.Fatal(err)
		}
		apps[a.AppKey] = a
	}
	return apps
}

// owners counts the apps that are published, by whom.
func owners(apps map[string]shownApp) map[string]int {
	count := make(map[string]int)
	for _, a := range apps {
		if a.State == "publishing" {
			count[a.Owner]++
		}
	}
	return count
}

// TestAppsOfTwoProcesses shows who publishes which app: of one process and of two, when one is killed, and when nobody is left.
func TestAppsOfTwoProcesses(t *testing.T) {
	t.Parallel()
	const apps = 6
	h := newHouse(t, apps, time.Hour)
	h.write(map[int]string{5: "wrong"}, 0, 1, 2, 3, 4, 5)
	if out := try(t, h.env, "apps"); out.code != exitFailed || !strings.Contains(out.stderr, "no process has told its state in it yet") ||
		!strings.Contains(out.stderr, "jmessage.processes") || !strings.Contains(out.stderr, "jmpub run") {
		t.Errorf("before anything runs: %+v", out)
	}
	first := h.spawn("127.0.0.1:0")
	one := fmt.Sprintf("process %d on ", first.Process.Pid)
	is := strings.HasPrefix
	h.await("the topic is there", func() bool { return try(t, h.env, "apps").code == exitDone })
	h.await("one process has all apps", func() bool {
		all := h.shown()
		for owner, n := range owners(all) {
			if n == apps-1 && is(owner, one) {
				return all[h.apps[5].AppKey].State == "failed"
			}
		}
		return false
	})
	failed := h.shown()[h.apps[5].AppKey]
	if !is(failed.Owner, one) || !strings.Contains(failed.Error, "401") || failed.Lag != nil {
		t.Errorf("the app with a wrong secret: %+v", failed)
	}

	second := h.spawn("off")
	two := fmt.Sprintf("process %d on ", second.Process.Pid)
	var moved map[string]shownApp
	h.await("two processes share the apps", func() bool {
		moved = h.shown()
		of := 0
		for owner, n := range owners(moved) {
			if is(owner, two) && n > 0 {
				of = n
			}
		}
		return of > 0 && len(owners(moved)) == 2
	})
	text := try(t, h.env, "apps")
	for _, want := range []string{"APP  ", "  publishing  ", "  failed  ", "NO  PROCESS", one, two, "s ago"} {
		if !strings.Contains(text.stdout, want) {
			t.Errorf("it does not show %q:\n%s", want, text.stdout)
		}
	}
	t.Logf("it shows\n%s", text.stdout)

	second.end(syscall.SIGKILL)
	h.await("the first process has all apps again", func() bool {
		all := h.shown()
		return owners(all)[all[h.apps[5].AppKey].Owner] == apps-1
	})
	if text = try(t, h.env, "apps"); !strings.Contains(text.stdout, two) {
		t.Errorf("it does not show the process that was killed:\n%s", text.stdout)
	}
	h.wantPage(first, apps)
	if code := first.end(syscall.SIGTERM); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	for key, a := range h.shown() {
		if had := moved[key].Owner; is(had, one) && (a.State != "nobody" || a.Owner != "") || is(a.Owner, one) {
			t.Errorf("the first process is gone: %+v, which %s had", a, had)
		}
	}
	if text = try(t, h.env, "apps"); text.code != exitDone || strings.Contains(text.stdout, one) {
		t.Errorf("%+v", text)
	}
}

// wantPage expects /api/v1/apps of a process to tell the same.
func (h *house) wantPage(c *child, apps int) {
	h.t.Helper()
	status := regexp.MustCompile(`"status":"(http://127[^"]+)"`).FindStringSubmatch(c.said.String())
	if status == nil {
		h.t.Fatal("it does not say where its status is")
	}
	var answer struct {
		Apps      []shownApp       `json:"apps"`
		Processes []map[string]any `json:"processes"`
	}
	if body := get(h.t, status[1]+"/api/v1/apps"); json.Unmarshal([]byte(body), &answer) != nil || len(answer.Apps) != apps || len(answer.Processes) != 2 {
		h.t.Errorf("/api/v1/apps tells %s", body)
	}
	for _, one := range answer.Processes {
		if one["apps_file"] != answer.Processes[0]["apps_file"] || one["apps_file"] == nil {
			h.t.Errorf("which apps stand in the files: %v", answer.Processes)
		}
	}
}

// TestAppsOfOtherKinds: a process with one app, with positions in files or without a group, tells its state too; what somebody else writes to
// the topic ends nothing.
func TestAppsOfOtherKinds(t *testing.T) {
	t.Parallel()
	for name, more := range map[string][]string{
		"one app": nil, "no group": {"JMPUB_GROUP", "off"}, "files": {"JMPUB_CHECKPOINT", "file:" + t.TempDir()},
		"a template": {"JMPUB_TOPIC_TEMPLATE", "{app_key}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := with(with(working(t), more...), "JMPUB_LOG_FORMAT", "json")
			client, err := kgo.NewClient(kgo.SeedBrokers(env["JMPUB_KAFKA_BROKERS"]))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			code := make(chan int, 1)
			go func() { code <- command(ctx, env, io.Discard, io.Discard, "run") }()
			h := &house{t: t, env: env}
			h.await("the app is shown", func() bool {
				out := try(t, env, "apps", "--json")
				return out.code == exitDone && strings.Contains(out.stdout, `"state":"publishing"`)
			})
			garbage := &kgo.Record{Topic: "jmessage.processes", Key: []byte(cmp.Or(env["JMPUB_GROUP"], "jmpub") + "/a/b/0"), Value: []byte("garbage")}
			if err = client.ProduceSync(t.Context(), garbage).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if out := try(t, env, "apps"); out.code != exitDone || !strings.Contains(out.stdout, "passed over: 1 record") {
				t.Errorf("%+v", out)
			}
			stop()
			if got := <-code; got != exitDone {
				t.Errorf("exit code %d", got)
			}
			if apps := h.shown(); len(apps) != 1 || apps[env["JMPUB_APP_KEY"]].State != "nobody" {
				t.Errorf("when it has left: %+v", apps)
			}
		})
	}
}
