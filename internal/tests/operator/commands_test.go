//go:build integration

package operator_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/tests/soak"
)

// together starts several commands at the same moment, and expects each to end with exit code 0.
func (d *desk) together(commands ...[]string) []*command {
	d.t.Helper()
	var started []*command
	for _, args := range commands {
		started = append(started, d.start(nil, args...))
	}
	for _, c := range started {
		if code := d.exit(c); code != exitDone {
			d.t.Errorf("%v: exit code %d:\n%s", c.Args, code, tail(c.said.String()))
		}
	}
	return started
}

// follow waits until a run, which must not end, has passed a time, with no history behind it that is not published yet.
func (d *desk) follow(run *command, end time.Time) {
	d.t.Helper()
	d.await(d.env["JMPUB_TOPIC_PREFIX"], "", func(p position) bool {
		select {
		case <-run.done:
			d.t.Fatalf("the run has ended with exit code %d", run.ProcessState.ExitCode())
		default:
		}
		return !p.End.Before(end) && len(p.Backlog) == 0
	})
}

// missing are the rows up to a time that an audit has found missing.
func (d *desk) missing(look *command, until time.Time) (rows []any) {
	d.t.Helper()
	for _, difference := range d.all(look) {
		listed, _ := difference["missing"].([]any) // The last object has their number.
		for _, one := range listed {
			row, _ := one.(map[string]any)
			said, _ := row["time"].(string)
			at, err := time.Parse(time.RFC3339Nano, said)
			if err != nil {
				d.t.Fatalf("a missing row has the time %q", said)
			}
			if !at.After(until) {
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// commandsBesideARun has operators do everything beside one run, which is never started anew: six ranges are published again at
// once, a replay's position is forgotten, the position is set back, three audits repair at once, and the position is forgotten. Each
// row is there as often as that makes it.
func commandsBesideARun(t *testing.T, desk newDeskFunc) {
	t.Helper()
	d := desk("beside", 15, func(o *sim.Options) { o.Late, o.LateFrom, o.LateBy = 0.05, 12*time.Second, 15*time.Second })
	run := d.start(nil, "run")
	started := time.Now().UTC()
	d.follow(run, started.Add(-15*time.Second))
	minute := func(n int) time.Time { return d.begin.Add(time.Duration(n) * time.Minute) }

	var ranges []span
	var resets [][]string
	for n := range 6 {
		r := span{minute(1 + 2*n), minute(1 + 2*n).Add(30 * time.Second)}
		ranges = append(ranges, r)
		resets = append(resets, []string{"checkpoint", "reset", "messages", "--from", at(r.begin), "--to", at(r.end), "--yes"})
	}
	d.together(resets...)

	replayed := span{minute(5), minute(9)}
	d.do(exitDone, "replay", "--from", at(replayed.begin), "--to", at(replayed.end), "--id", "once")
	d.do(exitDone, "checkpoint", "delete", "messages", "--replay", "once", "--yes")
	d.follow(run, time.Now().Add(-15*time.Second)) // The ranges are through.

	back, before := minute(12), d.live()
	d.do(exitDone, "checkpoint", "reset", "messages", "--to", at(back), "--yes")
	backAsked := time.Now().UTC()
	d.follow(run, backAsked)

	// Late rows keep coming; the audits begin when some are missing.
	var audited span
	audit := func(more ...string) []string {
		return append([]string{"audit", "--from", at(audited.begin), "--to", at(audited.end), "--step", "1m", "--no-statistics", "--json"}, more...)
	}
	deadline := time.Now().Add(soak.Patience)
	for missing := 0; missing == 0; {
		if time.Now().After(deadline) {
			t.Fatal("no row is late")
		}
		soak.Wait(t, time.Second)
		audited = span{d.begin, time.Now().UTC().Truncate(time.Second).Add(-17 * time.Second)}
		look := d.start(nil, audit()...)
		d.exit(look)
		missing = len(d.missing(look, audited.end))
	}
	repaired := int64(0)
	for _, c := range d.together(audit("--repair"), audit("--repair"), audit("--repair")) {
		repaired += number(d.last(c), "repaired")
	}
	look := d.start(nil, audit()...)
	d.exit(look) // A window may reach behind the range, where rows still appear.
	if missing := d.missing(look, audited.end); len(missing) > 0 || repaired == 0 {
		t.Errorf("%d rows were repaired, and these are missing: %v", repaired, missing)
	}
	deleted := d.live()
	d.do(exitDone, "checkpoint", "delete", "messages", "--yes")
	deletedBy := time.Now().UTC()
	d.follow(run, deletedBy)
	if code := d.stop(run, syscall.SIGTERM); code != exitDone {
		t.Errorf("run: exit code %d", code)
	}
	last := d.live()
	d.wantTimes("beside", func(r *sim.Row) (due, more int) {
		once := func(s span) {
			if s.has(r.Time) {
				due++
			}
		}
		perhaps := func(s span) {
			if s.has(r.Time) {
				more++
			}
		}
		once(span{d.begin, last.End})
		for _, r := range ranges {
			once(r)
		}
		once(replayed)
		once(span{back, before.End})
		perhaps(span{before.End.Add(time.Second), backAsked}) // The run went on until the command took its place.
		once(span{d.begin, deleted.End})
		perhaps(span{deleted.End.Add(time.Second), deletedBy})
		perhaps(span{last.End.Add(time.Second), last.End.Add(time.Hour)})
		if late := r.Appears.Sub(r.Time) > time.Second; late && r.Time.After(audited.end.Add(-time.Minute)) {
			due, more = 0, due+more // It appeared too late for the last audit, and may have done so for the readings.
		} else if late && r.Time.After(started.Add(-time.Minute)) {
			due, more = due-1, more+1 // It may be published by the second reading for the first time.
		}
		return due, more
	})
}

// killedReset is killed when it has taken the writer's place and reads what it needs, and stoppedReset stopped, until it wakes up long
// after. The run waits as long as the claim lasts, goes on where it was, and ends well.
func killedReset(t *testing.T, desk newDeskFunc) {
	t.Helper()
	resetThatGets(t, desk, "killed", syscall.SIGKILL)
}

func stoppedReset(t *testing.T, desk newDeskFunc) {
	t.Helper()
	resetThatGets(t, desk, "stopped", syscall.SIGSTOP)
}

func resetThatGets(t *testing.T, desk newDeskFunc, name string, signal syscall.Signal) {
	t.Helper()
	d := desk(name, 10, func(o *sim.Options) { o.Rate, o.Faults = 5, sim.Faults{} })
	run := d.start(nil, "run")
	d.follow(run, time.Now().Add(-15*time.Second))
	to := d.begin.Add(5 * time.Minute)
	fenced := make(chan struct{})
	tell := sync.OnceFunc(func() { close(fenced) })
	// Only behind its fence the reset asks for what is just before the time. (It asks for the API's clock in the middle of the history.)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if end, err := time.ParseInLocation(time.DateTime, r.URL.Query().Get("end_time"), d.api.Zone); err == nil && !end.After(to) && end.After(d.begin) {
			tell()
			<-r.Context().Done()
			return
		}
		d.api.ServeHTTP(w, r)
	}))
	t.Cleanup(slow.Close)
	reset := d.start(map[string]string{"JMPUB_API_URL": slow.URL + "/v2"}, "checkpoint", "reset", "messages", "--to", at(to), "--yes")
	select {
	case <-fenced:
	case <-reset.done:
		t.Fatalf("the reset has ended: %s", tail(reset.said.String()))
	case <-time.After(soak.Patience):
		t.Fatal("the reset asked for nothing")
	}
	if err := reset.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now().UTC()
	d.follow(run, stopped)
	if took := time.Since(stopped); took < 30*time.Second || took > 90*time.Second {
		t.Errorf("the run went on after %s; the claim lasts a minute", took)
	}
	want := exitKilled
	if signal == syscall.SIGSTOP {
		want = exitFailed
		if err := reset.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	if code := d.exit(reset); code != want {
		t.Errorf("the reset: exit code %d: %s", code, tail(reset.said.String()))
	}
	d.follow(run, time.Now())
	if code := d.stop(run, syscall.SIGTERM); code != exitDone {
		t.Errorf("run: exit code %d", code)
	}
	d.compare(name, []span{{d.begin, d.live().End}})
}

// deletedReplay is forgotten while it publishes elsewhere. It ends as one that must not be started again, nothing of it comes after that,
// and the run is not disturbed.
func deletedReplay(t *testing.T, desk newDeskFunc) {
	t.Helper()
	d := desk("live", 10, func(o *sim.Options) { o.Rate, o.Latency = 10, 20*time.Millisecond })
	run := d.start(nil, "run")
	d.follow(run, time.Now().Add(-30*time.Second))
	end := d.begin.Add(8 * time.Minute)
	replay := d.start(map[string]string{"JMPUB_API_PARALLEL": "1"}, "replay", "--from", at(d.begin), "--to", at(end), "--id", "gone",
		"--to-topic-prefix", "gone", "--rate", "4/s")
	d.await("gone", "gone", func(p position) bool { return p.Published > 0 })
	d.do(exitFailed, "checkpoint", "delete", "messages", "--replay", "gone", "--yes")
	d.do(exitDone, "checkpoint", "delete", "messages", "--replay", "gone", "--to-topic-prefix", "gone", "--yes")
	count := func() int {
		report := d.report("gone", times([]span{{d.begin, end}}, nil))
		return report.Rows - report.Missing
	}
	before := count()
	if code := d.exit(replay); code != exitFenced {
		t.Errorf("the replay: exit code %d: %s", code, tail(replay.said.String()))
	}
	if after := count(); after != before || before == 0 {
		t.Errorf("%d rows were there after the deletion, and then %d", before, after)
	}
	d.follow(run, time.Now().Add(-15*time.Second))
	if code := d.stop(run, syscall.SIGTERM); code != exitDone {
		t.Errorf("run: exit code %d", code)
	}
	if said := run.said.String(); strings.Contains(said, "position read again") {
		t.Errorf("the run was disturbed: %s", tail(said))
	}
	d.compare("live", []span{{d.begin, d.live().End}})
}
