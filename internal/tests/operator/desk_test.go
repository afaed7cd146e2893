//go:build integration

// Package operatortest does with the command what an operator does, against Apache Kafka and a simulated API that errs, and
// counts every row.
package operator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
	"github.com/jmpub/jmpub/internal/tests/soak"
)

// The exit codes.
const (
	exitDone       = 0
	exitFailed     = 1
	exitFenced     = 3
	exitIncomplete = 4
	exitKilled     = -1
)

// desk is an app and its topics, with the command at hand.
type desk struct {
	t       *testing.T
	binary  string
	brokers []string
	api     *sim.Server
	env     map[string]string
	begin   time.Time
	// skipped is how much the API's clock is ahead, in nanoseconds.
	skipped atomic.Int64
}

// newDesk makes an app whose history began minutes ago and goes on, 20 rows a second unless change says otherwise. The API
// errs now and then.
func newDesk(t *testing.T, cluster *kafkatest.Cluster, binary, prefix string, minutes int, change func(*sim.Options)) *desk {
	t.Helper()
	d := &desk{t: t, binary: binary, brokers: cluster.Addrs}
	now := time.Now().UTC().Truncate(time.Second)
	o := sim.Defaults()
	o.Now = func() time.Time { return time.Now().Add(time.Duration(d.skipped.Load())) }
	o.Begin, o.End = now.Add(-time.Duration(minutes)*time.Minute), now.Add(240*time.Hour)
	o.Rate, o.IrregularRows, o.Users, o.Groups, o.Rooms = 20, 0.01, 200, 40, 10
	o.Faults = sim.Faults{
		ServerError: 0.01, Truncated: 0.01, Dropped: 0.01, Repeated: 0.02, Displaced: 0.01, WrongTotal: 0.01, ExpiredEarly: 0.01,
	}
	if change != nil {
		change(&o)
	}
	api, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	d.api, d.begin = api, o.Begin
	d.env = map[string]string{
		"JMPUB_APP_KEY": o.AppKey, "JMPUB_MASTER_SECRET": o.MasterSecret, "JMPUB_API_URL": server.URL + "/v2",
		"JMPUB_API_RATE": "100000/m", "JMPUB_API_PAGE_SIZE": "100",
		// Before the history's begin, however long the test takes.
		"JMPUB_START": fmt.Sprintf("%dm", minutes+60),
		// A run that is stopped within a transaction would hold everybody up for longer.
		"JMPUB_KAFKA_TRANSACTION_TIMEOUT": "10s",
		"JMPUB_POLL":                      "300ms", "JMPUB_KAFKA_BROKERS": strings.Join(d.brokers, ","), "JMPUB_TOPIC_PREFIX": prefix,
		"JMPUB_GROUP": prefix, "JMPUB_TOPICS_PARTITIONS": "3", "JMPUB_LISTEN": "off", "JMPUB_RECHECK": "off",
	}
	return d
}

// command is one call of jmpub.
type command struct {
	*exec.Cmd

	out, said bytes.Buffer
	done      chan struct{}
}

// start calls jmpub with the desk's settings and some more, and nothing else in its environment.
func (d *desk) start(more map[string]string, args ...string) *command {
	d.t.Helper()
	c := &command{Cmd: exec.Command(d.binary, args...), done: make(chan struct{})} //nolint:gosec,noctx // Ours; it ends by a signal.
	env := maps.Clone(d.env)
	maps.Copy(env, more)
	for name, value := range env {
		c.Env = append(c.Env, name+"="+value)
	}
	c.Stdout, c.Stderr = &c.out, &c.said
	if err := c.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() {
		_ = c.Wait() // The exit code is what counts.
		close(c.done)
	}()
	d.t.Cleanup(func() {
		_ = c.Process.Kill() // It may be gone.
		<-c.done
		if d.t.Failed() && c.said.Len() > 0 {
			path := filepath.Join(os.TempDir(), strings.ReplaceAll(d.t.Name(), "/", "-")+"-"+args[0]+".log")
			_ = os.WriteFile(path, c.said.Bytes(), 0o600)
			d.t.Logf("%v: exit code %d; it said, in %s:\n%s", args, c.ProcessState.ExitCode(), path, tail(c.said.String()))
		}
	})
	return c
}

// tail is the end of a text.
func tail(text string) string { return text[max(0, len(text)-2000):] }

// exit waits for a command to end and returns its exit code.
func (d *desk) exit(c *command) int {
	d.t.Helper()
	timer := time.NewTimer(soak.Patience)
	defer timer.Stop()
	select {
	case <-c.done:
		return c.ProcessState.ExitCode()
	case <-timer.C:
		d.t.Fatalf("%v did not end", c.Args)
		return exitKilled
	}
}

// stop ends a command by a signal.
func (d *desk) stop(c *command, s syscall.Signal) int {
	d.t.Helper()
	if err := c.Process.Signal(s); err != nil {
		d.t.Fatalf("%v: %v; it said:\n%s", c.Args, err, tail(c.said.String()))
	}
	return d.exit(c)
}

// do calls jmpub and expects an exit code.
func (d *desk) do(code int, args ...string) *command {
	d.t.Helper()
	c := d.start(nil, args...)
	if got := d.exit(c); got != code {
		d.t.Errorf("%v: exit code %d, want %d:\n%s", args, got, code, tail(c.said.String()))
	}
	return c
}

// position is what `checkpoint list --json` tells.
type position struct {
	Stream    string    `json:"stream"`
	Replay    string    `json:"replay"`
	End       time.Time `json:"end_time"`
	Backlog   []backlog `json:"backlog"`
	Published int64     `json:"published"`
}

// backlog is a range of history behind a position.
type backlog struct {
	End   time.Time `json:"end_time"`
	Until time.Time `json:"until"`
}

// position is the live one, or that of a replay, under a prefix; zero where there is none yet.
func (d *desk) position(prefix, replay string) position {
	d.t.Helper()
	c := d.start(map[string]string{"JMPUB_TOPIC_PREFIX": prefix}, "checkpoint", "list", "--json")
	if code := d.exit(c); code != exitDone {
		d.t.Fatalf("checkpoint list: exit code %d: %s", code, tail(c.said.String()))
	}
	lines := json.NewDecoder(&c.out)
	for lines.More() {
		var p position
		if err := lines.Decode(&p); err != nil {
			d.t.Fatal(err)
		}
		if p.Replay == replay {
			return p
		}
	}
	return position{}
}

// live is the live position under the desk's own prefix.
func (d *desk) live() position { d.t.Helper(); return d.position(d.env["JMPUB_TOPIC_PREFIX"], "") }

// await waits until something holds of a position.
func (d *desk) await(prefix, replay string, holds func(position) bool) position {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), soak.Patience)
	defer cancel()
	for {
		p := d.position(prefix, replay)
		if holds(p) {
			return p
		}
		if ctx.Err() != nil {
			d.t.Fatalf("the position stays at %+v", p)
		}
		soak.Wait(d.t, 300*time.Millisecond)
	}
}

// span is a closed range of whole seconds.
type span struct{ begin, end time.Time }

func (s span) has(at time.Time) bool {
	second := at.Truncate(time.Second)
	return !second.Before(s.begin) && !second.After(s.end)
}

// compare expects each row as often as there are spans that have it; rows in one of the optional spans may come once more.
func (d *desk) compare(prefix string, due []span, optional ...span) {
	d.t.Helper()
	if prefix == d.env["JMPUB_TOPIC_PREFIX"] {
		for _, s := range due {
			optional = append(optional, span{s.end, s.end.Add(early)})
		}
	}
	d.wantTimes(prefix, times(due, optional))
}

// early is how far behind a position rows may be published already: those that have not settled, and those that wait for their window.
const early = 15 * time.Second

// times tells how often a row has to be there for these spans, and how much more often it may be.
func times(due, optional []span) func(r *sim.Row) (int, int) {
	return func(r *sim.Row) (int, int) {
		has := func(all []span) (n int) {
			for _, s := range all {
				if s.has(r.Time) {
					n++
				}
			}
			return n
		}
		return has(due), has(optional)
	}
}

// wantTimes expects each row as often as times says, and at most so much more often.
func (d *desk) wantTimes(prefix string, times func(r *sim.Row) (due, more int)) {
	d.t.Helper()
	if report := d.report(prefix, times); !report.OK() || report.Rows == 0 {
		d.t.Errorf("%s: %s", prefix, report.String())
	}
}

// report is what a comparison finds.
func (d *desk) report(prefix string, times func(r *sim.Row) (due, more int)) verify.Report {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), soak.Patience)
	defer cancel()
	found, err := verify.Read(ctx, d.brokers, prefix)
	if err != nil {
		d.t.Fatal(err)
	}
	return verify.Compare(func(yield func(verify.TruthRow) bool) {
		for r := range d.api.Truth(sim.Range{Begin: d.begin}) {
			due, more := times(&r)
			for i := range due + more {
				if !yield(verify.TruthRow{MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw, Optional: i >= due}) {
					return
				}
			}
		}
	}, found)
}

// awaitRows waits until all rows of the spans that are due are published.
func (d *desk) awaitRows(prefix string, due []span, optional ...span) {
	d.t.Helper()
	const within = 2 * soak.Patience // A recheck takes place when it is due, which is minutes from now.
	for deadline := time.Now().Add(within); ; soak.Wait(d.t, 2*time.Second) {
		report := d.report(prefix, times(due, optional))
		if report.Missing == 0 {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("%s: after %v: %s", prefix, within, report.String())
		}
	}
}

// count is how many rows a span has that are there by a time.
func (d *desk) count(s span, by time.Time) (rows int64) {
	for r := range d.api.Truth(sim.Range{Begin: s.begin, End: s.end.Add(time.Second)}) {
		if s.has(r.Time) && !r.Appears.After(by) {
			rows++
		}
	}
	return rows
}

// all are the objects that a command printed; last is the last of them.
func (d *desk) all(c *command) (objects []map[string]any) {
	d.t.Helper()
	lines := json.NewDecoder(strings.NewReader(c.out.String()))
	for lines.More() {
		var object map[string]any
		if err := lines.Decode(&object); err != nil {
			d.t.Fatalf("%v: %s", err, c.out.String())
		}
		objects = append(objects, object)
	}
	return objects
}

func (d *desk) last(c *command) map[string]any {
	d.t.Helper()
	objects := d.all(c)
	if len(objects) == 0 {
		d.t.Fatalf("%v printed nothing", c.Args)
	}
	return objects[len(objects)-1]
}

// number is a member of an object.
func number(object map[string]any, member string) int64 {
	n, _ := object[member].(float64)
	return int64(n)
}
