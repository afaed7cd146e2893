//go:build integration

// Package scale_test has many apps published by several processes, on Apache Kafka and a simulated API.
package scale_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
	"github.com/jmpub/jmpub/internal/tests/soak"
)

const prefix = "scale"

// fleet are processes that share the apps of a file.
type fleet struct {
	t       *testing.T
	binary  string
	cluster *kafkatest.Cluster
	all     []sim.Options
	api     *sim.Many
	asked   *asked
	file    string
	env     []string
	started int
}

// newFleet makes the API of some apps, and a file that names them; nothing runs yet.
func newFleet(t *testing.T, cluster *kafkatest.Cluster, all []sim.Options, more ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, binary: soak.Build(t), cluster: cluster, all: all, file: filepath.Join(t.TempDir(), "apps.yaml")}
	var err error
	if f.api, err = sim.NewMany(all); err != nil {
		t.Fatal(err)
	}
	f.asked = &asked{next: f.api, last: make(map[string]time.Time), longest: make(map[string]time.Duration)}
	server := httptest.NewServer(f.asked)
	t.Cleanup(server.Close)
	f.write(len(all), nothingMore)
	f.env = append([]string{
		"JMPUB_APPS_FILE=" + f.file, "JMPUB_API_URL=" + server.URL + "/v2", "JMPUB_KAFKA_BROKERS=" + strings.Join(cluster.Addrs, ","),
		"JMPUB_TOPIC_PREFIX=" + prefix, "JMPUB_LOG=warn", "JMPUB_TOPICS_PARTITIONS=12",
	}, more...)
	return f
}

// write names the first n apps in the file, each with what more says.
func (f *fleet) write(n int, more func(i int) string) {
	f.t.Helper()
	var b strings.Builder
	b.WriteString("apps:\n")
	for i := range n {
		fmt.Fprintf(&b, "- {app_key: %q, master_secret: %q%s}\n", f.all[i].AppKey, f.all[i].MasterSecret, more(i))
	}
	if err := os.WriteFile(f.file, []byte(b.String()), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func nothingMore(int) string { return "" }

// asked is an API that knows when it was asked for each app, and the longest time between two requests since a moment.
type asked struct {
	next http.Handler

	mu       sync.Mutex
	last     map[string]time.Time
	longest  map[string]time.Duration
	requests int
}

// ServeHTTP implements [http.Handler].
func (a *asked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, _, _ := r.BasicAuth()
	now := time.Now()
	a.mu.Lock()
	if last, known := a.last[key]; known {
		a.longest[key] = max(a.longest[key], now.Sub(last))
	}
	a.last[key] = now
	a.requests++
	a.mu.Unlock()
	a.next.ServeHTTP(w, r)
}

// mark begins to measure anew.
func (a *asked) mark() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.longest)
	a.requests = 0
}

// pauses are the longest times between two requests since the mark, by app, the one that goes on among them; and how many there were.
func (a *asked) pauses() (longest map[string]time.Duration, requests int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	longest = make(map[string]time.Duration, len(a.last))
	for key, last := range a.last {
		longest[key] = max(a.longest[key], time.Since(last))
	}
	return longest, a.requests
}

// process is a `jmpub run`.
type process struct {
	*exec.Cmd

	t    *testing.T
	addr string
	said bytes.Buffer
	done chan struct{}
}

// start starts a process.
func (f *fleet) start() *process {
	f.t.Helper()
	f.started++
	p := &process{
		t: f.t, Cmd: exec.Command(f.binary, "run"), addr: fmt.Sprintf("127.0.0.1:%d", kafkatest.FreePorts(f.t, 1)[0]), //nolint:gosec,noctx // Ours; it ends by a signal.
		done: make(chan struct{}),
	}
	p.Env = append(slices.Clone(f.env), "JMPUB_LISTEN="+p.addr)
	p.Stderr = &p.said
	if err := p.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() {
		_ = p.Wait() // The exit code is what counts.
		close(p.done)
	}()
	number := f.started
	f.t.Cleanup(func() {
		_ = p.Process.Kill() // It may be gone.
		<-p.done
		if f.t.Failed() {
			path := filepath.Join(os.TempDir(), strings.ReplaceAll(f.t.Name(), "/", "-")+"-"+strconv.Itoa(number)+".log")
			_ = os.WriteFile(path, p.said.Bytes(), 0o600)
			f.t.Logf("process %d: exit code %d; what it said is in %s, which ends with\n%s", number, p.ProcessState.ExitCode(), path, tail(p.said.String()))
		}
	})
	return p
}

func tail(text string) string { return text[max(0, len(text)-2000):] }

// signal sends a signal; to one that ends a process, its exit code is returned.
func (p *process) signal(s syscall.Signal) int {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
	if s == syscall.SIGSTOP || s == syscall.SIGCONT || s == syscall.SIGHUP {
		return 0
	}
	select {
	case <-p.done:
		return p.ProcessState.ExitCode()
	case <-time.After(soak.Patience):
		p.t.Fatal("it did not end")
		return 0
	}
}

// state is what /readyz tells of a process and its apps.
type state struct {
	Ready bool `json:"ready"`
	Owned int  `json:"apps_owned"`
	Apps  []struct {
		AppKey    string  `json:"app_key"`
		Ready     bool    `json:"ready"`
		Standby   bool    `json:"standby"`
		Why       string  `json:"why"`
		Lag       float64 `json:"lag_seconds"`
		Unread    float64 `json:"unread_seconds"`
		Published int64   `json:"published"`
	} `json:"apps"`
}

// state asks a process; ok is false where it does not answer.
func (p *process) state() (s state, ok bool) {
	client := http.Client{Timeout: 5 * time.Second}
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.addr+"/readyz", http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return s, false
	}
	defer response.Body.Close() //nolint:errcheck // It was only read.
	return s, json.NewDecoder(response.Body).Decode(&s) == nil
}

// metrics are what /metrics tells.
func (p *process) metrics() string {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.addr+"/metrics", http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := (&http.Client{}).Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // It was only read.
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// shown counts the apps that are published, by the names of their owners, as `jmpub apps` shows them; others counts those in another state.
func (f *fleet) shown() (published, others map[string]int) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), f.binary, "apps", "--json") //nolint:gosec // Ours.
	cmd.Env = f.env
	out, err := cmd.Output()
	if err != nil {
		f.t.Fatalf("jmpub apps: %v", err)
	}
	published, others = make(map[string]int), make(map[string]int)
	for line := range strings.Lines(string(out)) {
		var app struct {
			State string `json:"state"`
			Owner string `json:"owner"`
		}
		if err := json.Unmarshal([]byte(line), &app); err != nil {
			f.t.Fatalf("%v: %s", err, line)
		}
		if app.State == "publishing" {
			published[app.Owner]++
		} else {
			others[app.State]++
		}
	}
	return published, others
}

// awaitShown waits until `jmpub apps` shows that these processes publish all apps, each some of them.
func (f *fleet) awaitShown(processes ...*process) {
	f.t.Helper()
	f.await(fmt.Sprintf("`jmpub apps` shows all apps with %d processes", len(processes)), soak.Patience, func() bool {
		published, others := f.shown()
		total := 0
		for _, p := range processes {
			for owner, n := range published {
				if strings.HasPrefix(owner, fmt.Sprintf("process %d on ", p.Process.Pid)) {
					total += n
				}
			}
		}
		return total == len(f.all) && len(published) == len(processes) && len(others) == 0
	})
}

// usage is what a process has taken.
type usage struct {
	cpu      time.Duration
	resident int64
	at       time.Time
}

func (p *process) usage() usage {
	p.t.Helper()
	const clockTick = 10 * time.Millisecond // USER_HZ, as every Linux of today has it.
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // From the third on, proc(5).
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	pages, _ := strconv.ParseInt(fields[21], 10, 64)
	return usage{time.Duration(user+system) * clockTick, pages * int64(os.Getpagesize()), time.Now()}
}

// await waits until something holds.
func (f *fleet) await(what string, within time.Duration, holds func() bool) {
	f.t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > within {
			f.t.Fatalf("after %s: not yet: %s", within, what)
		}
		soak.Wait(f.t, 500*time.Millisecond) // What many apps say of themselves is a load too.
	}
}

// owned is how many apps each process has, none of it answers for; all tells whether together they have each of them, and it is published.
func (f *fleet) owned(processes ...*process) (each []int, all bool) {
	total := 0
	all = true
	for _, p := range processes {
		s, ok := p.state()
		each = append(each, s.Owned)
		total += s.Owned
		all = all && ok
		for _, app := range s.Apps {
			all = all && (app.Standby || app.Ready)
		}
	}
	return each, all && total == len(f.all)
}

// owners are the processes by the apps that they have.
func (f *fleet) owners(processes ...*process) map[string]*process {
	f.t.Helper()
	owners := make(map[string]*process, len(f.all))
	for _, p := range processes {
		s, _ := p.state()
		for _, app := range s.Apps {
			if !app.Standby {
				owners[app.AppKey] = p
			}
		}
	}
	return owners
}

// awaitAll waits until these processes publish all apps, and returns how many each has.
func (f *fleet) awaitAll(processes ...*process) []int {
	f.t.Helper()
	var each []int
	f.await(fmt.Sprintf("%d processes publish all apps", len(processes)), soak.Patience, func() (all bool) {
		each, all = f.owned(processes...)
		return all
	})
	return each
}

// awaitRead waits until these processes have read all apps up to a time.
func (f *fleet) awaitRead(to time.Time, processes ...*process) {
	f.t.Helper()
	f.await("all apps are read up to "+to.Format(time.TimeOnly), 2*soak.Patience, func() bool {
		read := 0
		for _, p := range processes {
			s, _ := p.state()
			for _, app := range s.Apps {
				if unread := time.Duration(app.Unread * float64(time.Second)); !app.Standby && app.Unread >= 0 && time.Since(to) > unread {
					read++
				}
			}
		}
		return read == len(f.all)
	})
}

// compare expects each row of each app just once.
func (f *fleet) compare() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 2*soak.Patience)
	defer cancel()
	found, err := verify.Read(ctx, f.cluster.Addrs, prefix)
	if err != nil {
		f.t.Fatal(err)
	}
	report := verify.Compare(func(yield func(verify.TruthRow) bool) {
		for i := range f.all {
			for r := range f.api.App(f.all[i].AppKey).Truth(sim.Range{Begin: f.all[i].Begin}) {
				if !yield(verify.TruthRow{MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw}) {
					return
				}
			}
		}
	}, found)
	f.t.Log(report.String())
	if !report.OK() || report.Rows == 0 {
		f.t.Errorf("%s", report.String())
	}
}

// most is the longest of some pauses.
func most(pauses map[string]time.Duration, of func(key string) bool) (longest time.Duration) {
	for key, pause := range pauses {
		if of(key) {
			longest = max(longest, pause)
		}
	}
	return longest.Round(10 * time.Millisecond)
}
