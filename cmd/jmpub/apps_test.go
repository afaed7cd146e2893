package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/tests/contract"
	"github.com/jmpub/jmpub/internal/view"
	"github.com/jmpub/jmpub/internal/web"
)

// house has an API of several apps, a broker, and a file of apps.
type house struct {
	t     *testing.T
	apps  []sim.Options
	api   *sim.Many
	addrs []string
	env   map[string]string
}

// newHouse has n apps with ten minutes of history each, up to a time from now; nobody runs yet, and there is no file.
func newHouse(t *testing.T, n int, until time.Duration) *house {
	t.Helper()
	o := sim.Defaults()
	now := time.Now().UTC().Truncate(time.Second)
	o.Begin, o.End, o.Rate = now.Add(-10*time.Minute), now.Add(until), 1
	h := &house{t: t, apps: sim.Alike(o, n)}
	var err error
	if h.api, err = sim.NewMany(h.apps); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h.api)
	t.Cleanup(server.Close)
	brokers, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = brokers.Close() })
	h.addrs = brokers.Addrs()
	h.env = map[string]string{
		"JMPUB_APPS_FILE": filepath.Join(t.TempDir(), "apps.yaml"), "JMPUB_API_URL": server.URL + "/v2", "JMPUB_KAFKA_BROKERS": h.addrs[0],
		"JMPUB_LISTEN": "off", "JMPUB_START": "30m", "JMPUB_API_RATE": "100000/m", "JMPUB_POLL": "200ms", "JMPUB_LOG_FORMAT": "json",
	}
	return h
}

// write names apps in the file, by their numbers, each with its secret unless wrong has another one.
func (h *house) write(wrong map[int]string, numbers ...int) {
	h.t.Helper()
	var b strings.Builder
	b.WriteString("apps:\n")
	for _, n := range numbers {
		secret := h.apps[n].MasterSecret
		if other, is := wrong[n]; is {
			secret = other
		}
		fmt.Fprintf(&b, "- {app_key: %q, master_secret: %q}\n", h.apps[n].AppKey, secret)
	}
	if err := os.WriteFile(h.env["JMPUB_APPS_FILE"], []byte(b.String()), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// await waits until something holds.
func (h *house) await(what string, holds func() bool) {
	h.t.Helper()
	for late := time.Now().Add(time.Minute); !holds(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(late) {
			h.t.Fatalf("not yet: %s", what)
		}
	}
}

// isRead tells whether an app is published up to a time.
func (h *house) isRead(n int, to time.Time) bool {
	h.t.Helper()
	out := try(h.t, h.env, "checkpoint", "list", "--json", "--app", h.apps[n].AppKey)
	if out.code != exitDone {
		return false
	}
	for line := range strings.Lines(out.stdout) {
		var p view.Position
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			h.t.Fatal(err)
		}
		if p.Stream == "messages" && p.End.After(to) {
			return true
		}
	}
	return false
}

// compare expects each row of some apps once, those from a time on at most once, and nothing else.
func (h *house) compare(from time.Time, numbers ...int) {
	h.t.Helper()
	found, err := verify.Read(h.t.Context(), h.addrs, "jmessage")
	if err != nil {
		h.t.Fatal(err)
	}
	report := verify.Compare(func(yield func(verify.TruthRow) bool) {
		for _, n := range numbers {
			for r := range h.api.App(h.apps[n].AppKey).Truth(sim.Range{Begin: h.apps[n].Begin}) {
				if !yield(verify.TruthRow{MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw, Optional: !r.Time.Before(from)}) {
					return
				}
			}
		}
	}, found)
	if !report.OK() || report.Rows == 0 {
		h.t.Error(report.String())
	}
}

// TestAppsOfAFile publishes the apps of a file, whatever is wrong with one of them, and follows the file: an app that comes, one whose secret is
// mended, one that goes, and a mistake.
func TestAppsOfAFile(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 4, -time.Minute)
	h.write(map[int]string{2: "not the secret"}, 0, 1, 2)
	if out := try(t, h.env, "config"); out.code != exitUsage || !strings.Contains(out.stderr, "line 4: master_secret") {
		t.Fatalf("a secret with spaces: %+v", out)
	}
	h.write(map[int]string{2: "wrong"}, 0, 1, 2)
	run := h.spawn("off")
	h.await("two apps are read", func() bool { return h.isRead(0, h.apps[0].End) && h.isRead(1, h.apps[1].End) })
	failed := func() bool {
		for line := range strings.Lines(run.said.String()) {
			if strings.Contains(line, h.apps[2].AppKey) && strings.Contains(line, "the app is not published") && strings.Contains(line, "401") {
				return true
			}
		}
		return false
	}
	h.await("the log tells of the third", failed)

	reload := func() {
		t.Helper()
		if err := run.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	h.write(nil, 1, 2, 3)
	reload()
	h.await("the mended and the new app are read", func() bool { return h.isRead(2, h.apps[2].End) && h.isRead(3, h.apps[3].End) })
	h.await("the first is not asked for any more", func() bool {
		before := h.api.App(h.apps[0].AppKey).Stats().Requests
		time.Sleep(time.Second)
		return h.api.App(h.apps[0].AppKey).Stats().Requests == before
	})
	h.write(nil, 1, 1)
	reload()
	h.await("the log tells of the mistake", func() bool { return strings.Contains(run.said.String(), "is in line 2 already") })
	before := h.api.App(h.apps[2].AppKey).Stats().Requests
	h.await("the apps go on", func() bool { return h.api.App(h.apps[2].AppKey).Stats().Requests > before })
	if code := run.end(syscall.SIGTERM); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(run.said.String(), h.apps[0].MasterSecret) {
		t.Error("the log has the secret")
	}
	h.compare(h.apps[0].End, 0, 1, 2, 3)
}

// TestAppsWithoutAGroup leaves the apps that another process takes with that one.
func TestAppsWithoutAGroup(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 2, time.Hour)
	h.env["JMPUB_GROUP"] = "off"
	h.write(nil, 0, 1)
	first := h.spawn("off")
	began := time.Now().Add(-time.Minute)
	h.await("they are read", func() bool { return h.isRead(0, began) && h.isRead(1, began) })
	second := h.spawn("off")
	h.await("the first process has lost both", func() bool {
		return strings.Count(first.said.String(), "another process has taken the app, and keeps it") == 2
	})
	const retries = 8 * time.Second // An app that failed would be opened again after 5 s, and fence the second process at its next commit.
	time.Sleep(retries)
	h.await("the apps are shown as those of the second process", func() bool {
		out := try(t, h.env, "apps", "--json")
		return strings.Count(out.stdout, `"state":"publishing"`) == 2
	})
	if strings.Contains(second.said.String(), "taken the app") {
		t.Error("the first process has taken an app back")
	}
	if first, second := first.end(syscall.SIGTERM), second.end(syscall.SIGTERM); first != exitDone || second != exitDone {
		t.Errorf("exit codes %d and %d", first, second)
	}
	h.compare(began, 0, 1)
}

// TestNoticesOfAllApps reads the notices of apps whose topics have different prefixes, the newest first, and only as many as are asked for. Each
// app has one, of who has paused it.
func TestNoticesOfAllApps(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 3, time.Hour)
	var file strings.Builder
	file.WriteString("apps:\n")
	for i, prefix := range []string{"jmessage", "other", "jmessage"} {
		fmt.Fprintf(&file, "- {app_key: %q, master_secret: %q, topic_prefix: %s}\n", h.apps[i].AppKey, h.apps[i].MasterSecret, prefix)
	}
	if err := os.WriteFile(h.env["JMPUB_APPS_FILE"], []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	h.env["JMPUB_ADMIN_TOKEN"] = token
	c := h.call()
	var want []string
	for _, app := range h.apps {
		c.change("POST /apps/{app_key}/pause", "/apps/"+app.AppKey+"/pause", http.StatusOK, web.PauseRequest{}, nil)
		want = append([]string{app.AppKey}, want...)
	}
	notices := func(query string) (apps []string) {
		var answer web.Notices
		c.get("/notices", "/notices"+query, &answer)
		for _, n := range answer.Notices {
			apps = append(apps, n.AppKey)
		}
		return apps
	}
	if got := notices(""); !slices.Equal(got, want) {
		t.Errorf("notices of %v, want %v", got, want)
	}
	if got := notices("?limit=2"); !slices.Equal(got, want[:2]) {
		t.Errorf("two notices of %v, want %v", got, want[:2])
	}
}

// call starts a run that listens.
func (h *house) call() *caller {
	h.t.Helper()
	doc, err := contract.LoadAPI(web.Document())
	if err != nil {
		h.t.Fatal(err)
	}
	run := h.spawn("127.0.0.1:0")
	var address string
	h.await("it listens", func() bool {
		_, after, listens := strings.Cut(run.said.String(), `"status":"`)
		address, _, _ = strings.Cut(after, `"`)
		return listens
	})
	return &caller{h.t, doc, address + "/api/v1"}
}

// TestCommandsAreToldWhichApp refuses to guess.
func TestCommandsAreToldWhichApp(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 2, -time.Minute)
	h.write(nil, 0, 1)
	for _, args := range [][]string{
		{"checkpoint", "list"},
		{"checkpoint", "get", "messages"},
		{"checkpoint", "reset", "messages", "--to", "1h", "--yes"},
		{"checkpoint", "delete", "messages", "--yes"},
		{"windows"},
		{"audit"},
		{"replay", "--from", "1h", "--to", "30m"},
	} {
		out := try(t, h.env, args...)
		if out.code != exitUsage || !strings.Contains(out.stderr, "names 2 apps; say which one with --app: "+h.apps[0].AppKey) {
			t.Errorf("%v: %+v", args, out)
		}
	}
	out := try(t, h.env, "config", "--app", h.apps[1].AppKey)
	if out.code != exitDone || !strings.Contains(out.stdout, h.apps[1].AppKey) || strings.Contains(out.stdout, h.apps[1].MasterSecret) {
		t.Errorf("config --app: %+v", out)
	}
}
