//go:build integration

package operator_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
	"github.com/jmpub/jmpub/internal/tests/soak"
)

func TestOperatorOnApacheKafka(t *testing.T) {
	t.Parallel()
	cluster, binary := kafkatest.Start(t, kafkatest.Options{}), soak.Build(t)
	for name, try := range map[string]func(*testing.T, newDeskFunc){
		"reset":      resetWhileItRuns,
		"replay":     replayBesideIt,
		"hidden":     hiddenRows,
		"late":       lateRows,
		"live-first": liveFirst,
		"commands":   commandsBesideARun,
		"killed":     killedReset,
		"stopped":    stoppedReset,
		"deleted":    deletedReplay,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			try(t, func(prefix string, minutes int, change func(*sim.Options)) *desk {
				return newDesk(t, cluster, binary, prefix, minutes, change)
			})
		})
	}
}

type newDeskFunc = func(prefix string, minutes int, change func(*sim.Options)) *desk

func at(t time.Time) string { return t.Format(time.RFC3339) }

// resetWhileItRuns sets the position back twice: while the run works, and while it stands still, so that it is known to the
// row what comes twice.
func resetWhileItRuns(t *testing.T, desk newDeskFunc) {
	t.Helper()
	d := desk("reset", 15, nil)
	run := d.start(nil, "run")
	d.follow(run, time.Now().Add(-15*time.Second))

	first := time.Now().UTC().Truncate(time.Second).Add(-5 * time.Minute)
	before := d.live()
	d.do(exitDone, "checkpoint", "reset", "messages", "--to", at(first), "--yes")
	asked := time.Now().UTC()
	d.follow(run, asked)

	if err := run.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	still := d.live()
	second := still.End.Add(-3 * time.Minute)
	d.do(exitDone, "checkpoint", "reset", "messages", "--to", at(second), "--yes")
	if err := run.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	d.follow(run, time.Now())
	if code := d.stop(run, syscall.SIGTERM); code != exitDone {
		t.Errorf("run: exit code %d", code)
	}
	end := d.live()
	d.compare(d.env["JMPUB_TOPIC_PREFIX"], []span{{d.begin, end.End}, {first, before.End}, {second, still.End}}, span{before.End.Add(time.Second), asked})
}

// replayBesideIt replays elsewhere while the run works: killed, taken over by a second one, and finished; and then at home.
func replayBesideIt(t *testing.T, desk newDeskFunc) {
	t.Helper()
	d := desk("home", 15, func(o *sim.Options) { o.Latency = 20 * time.Millisecond })
	run := d.start(nil, "run")
	d.follow(run, time.Now().Add(-30*time.Second))
	from, to := d.begin.Add(2*time.Minute), d.begin.Add(12*time.Minute)
	args := []string{"replay", "--from", at(from), "--to", at(to), "--json", "--rate", "10/s"}
	elsewhere := append(slices.Clone(args), "--to-topic-prefix", "elsewhere", "--id", "again")
	committed := func(n int64) func(position) bool { return func(p position) bool { return p.Published > n } }

	killed := d.start(nil, elsewhere...)
	d.await("elsewhere", "again", committed(0))
	if code := d.stop(killed, syscall.SIGKILL); code != exitKilled {
		t.Errorf("the replay had ended by itself with exit code %d", code)
	}
	p := d.await("elsewhere", "again", committed(0)) // It may have committed more before it was killed.
	fenced := d.start(nil, elsewhere...)
	d.await("elsewhere", "again", committed(p.Published))
	second := d.start(nil, elsewhere...)
	if code := d.exit(fenced); code != exitFenced {
		t.Errorf("the replay that was taken over: exit code %d", code)
	}
	if code := d.exit(second); code != exitDone {
		t.Errorf("the replay that took over: exit code %d", code)
	}
	rows := d.count(span{from, to}, time.Now())
	if result := d.last(second); number(result, "published")+number(result, "rejected") != rows || result["complete"] != true {
		t.Errorf("the replay's result is %v, want %d rows", result, rows)
	}
	d.compare("elsewhere", []span{{from, to}})
	d.do(exitDone, append(args, "--rate", "1000/s")...)
	d.follow(run, time.Now().Add(-15*time.Second))
	if code := d.stop(run, syscall.SIGTERM); code != exitDone {
		t.Errorf("run: exit code %d", code)
	}
	d.compare("home", []span{{d.begin, d.live().End}, {from, to}})
}

// hiddenRows appear after they were read. The audit names as many, repairs them while a run works, and then finds nothing.
func hiddenRows(t *testing.T, desk newDeskFunc) {
	t.Helper()
	d := desk("hidden", 15, func(o *sim.Options) {
		o.Late, o.LateFrom, o.LateBy, o.End = 0.005, time.Hour, 2*time.Hour, time.Now().UTC().Truncate(time.Second).Add(-time.Minute)
		o.WrongTotal = 0 // One that is too low by as many rows as are missing hides them from an audit.
	})
	run := d.start(nil, "run")
	d.follow(run, time.Now().Add(-time.Minute))
	read := time.Now()
	all := span{d.begin, read}
	hidden := d.count(all, read.Add(24*time.Hour)) - d.count(all, read)
	audit := []string{"audit", "--from", at(d.begin), "--to", at(d.begin.Add(14 * time.Minute)), "--step", "1m", "--json", "--no-statistics"}
	d.do(exitDone, audit...)
	d.skipped.Store(int64(3 * time.Hour))
	if found := number(d.last(d.do(exitIncomplete, audit...)), "missing"); found != hidden || found == 0 {
		t.Errorf("the audit found %d rows missing, want %d", found, hidden)
	}
	if repaired := number(d.last(d.do(exitDone, append(audit, "--repair")...)), "repaired"); repaired != hidden {
		t.Errorf("the audit repaired %d rows, want %d", repaired, hidden)
	}
	if missing := number(d.last(d.do(exitDone, audit...)), "missing"); missing != 0 {
		t.Errorf("%d rows are missing after the repair", missing)
	}
	if code := d.stop(run, syscall.SIGTERM); code != exitDone {
		t.Errorf("run: exit code %d", code)
	}
	d.compare("hidden", []span{{d.begin, read.Add(time.Hour)}})
}

// lateRows appear soon after they were read; the run publishes them by itself, and the ledger has them marked.
func lateRows(t *testing.T, desk newDeskFunc) {
	t.Helper()
	d := desk("late", 2, func(o *sim.Options) { o.Late, o.LateFrom, o.LateBy, o.Rate = 0.02, 15*time.Second, 30*time.Second, 10 })
	d.env["JMPUB_RECHECK"] = "1m"
	run := d.start(nil, "run")
	began := time.Now().UTC().Truncate(time.Second)
	// Until all rows of the first half minute have appeared, and the run has looked again and published them.
	whole := began.Add(30 * time.Second)
	soak.Wait(t, time.Until(whole.Add(30*time.Second)))
	d.awaitRows("late", []span{{d.begin, whole}}, span{whole.Add(time.Second), time.Now().Add(time.Hour)})
	if code := d.stop(run, syscall.SIGTERM); code != exitDone {
		t.Errorf("run: exit code %d", code)
	}
	end := d.live()
	d.compare("late", []span{{d.begin, whole}}, span{whole.Add(time.Second), end.End.Add(early)})
	late := int64(0)
	for _, one := range d.all(d.do(exitDone, "windows", "--from", at(d.begin.Add(-time.Hour)), "--json")) {
		if one["late"] == true {
			late += number(one, "published") + number(one, "rejected")
		}
	}
	if least := d.count(span{began, whole}, time.Now()) - d.count(span{began, whole}, began.Add(20*time.Second)); late == 0 || least == 0 {
		t.Errorf("%d late rows in the ledger; %d were read too early", late, least)
	}
}

// liveFirst follows the head while three hours are read behind it, is set back into them, and has each row as often as it has
// to be; the audit finds nothing.
func liveFirst(t *testing.T, desk newDeskFunc) {
	t.Helper()
	d := desk("ahead", 180, func(o *sim.Options) { o.Rate, o.Latency = 3, 20*time.Millisecond })
	d.env["JMPUB_CATCHUP"], d.env["JMPUB_API_RATE"] = "live-first", "8/s"
	run := d.start(nil, "run")
	d.await("ahead", "", func(p position) bool {
		return len(p.Backlog) == 1 && p.Backlog[0].End.After(d.begin.Add(10*time.Minute)) && time.Since(p.End) < 20*time.Second
	})
	if err := run.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	still := d.live()
	if len(still.Backlog) != 1 {
		t.Fatalf("the position is %+v", still)
	}
	behind := still.Backlog[0]
	to := behind.End.Add(behind.Until.Sub(behind.End) / 2).Truncate(time.Second)
	said := d.do(exitDone, "checkpoint", "reset", "messages", "--to", at(to), "--yes").said.String()
	if err := run.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	t.Log(said)
	d.env["JMPUB_API_RATE"] = "10000/m"
	if code := d.stop(run, syscall.SIGTERM); code != exitDone {
		t.Errorf("run: exit code %d", code)
	}
	run = d.start(nil, "run")
	d.follow(run, time.Now())
	if code := d.stop(run, syscall.SIGTERM); code != exitDone {
		t.Errorf("run: exit code %d", code)
	}
	end := d.live()
	const overlap = 2 * time.Second
	d.compare("ahead", []span{{d.begin, end.End}, {behind.Until.Add(-overlap), still.End}})
	result := d.last(d.do(exitDone, "audit", "--from", at(d.begin), "--to", at(end.End), "--step", "10m", "--json", "--no-statistics"))
	if number(result, "missing") != 0 || number(result, "extra") != 0 || number(result, "holes") != 0 {
		t.Errorf("the audit says %v", result)
	}
}
