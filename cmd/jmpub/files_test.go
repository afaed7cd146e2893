package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// TestResetOfAFile works on positions in files during a run, which goes on from there, and without one. A second run is refused.
func TestResetOfAFile(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	dir := t.TempDir()
	s.env["JMPUB_CHECKPOINT"] = "file:" + dir
	asked := make(chan struct{}, 1000)
	tell := func() {
		select {
		case asked <- struct{}{}:
		default:
		}
	}
	s.asked.Store(&tell)
	stop := s.run()
	late := time.After(3 * time.Minute) // So that a mistake ends the test.
	for saved := false; !saved; {       // It has committed something.
		select {
		case <-asked:
		case <-late:
			t.Fatal("nothing was committed")
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.checkpoint.json"))
		saved = err != nil || len(files) > 0
	}
	s.asked.Store(nil)
	reset := []string{"checkpoint", "reset", "messages", "--to", "10m", "--yes"}
	s.await(s.end)
	if out := try(t, s.env, "run"); out.code != exitUsage || !strings.Contains(out.stderr, "another jmpub keeps the checkpoints") {
		t.Errorf("a second run: exit code %d: %s", out.code, out.stderr)
	}
	was, _ := s.position()
	if out := try(t, s.env, reset...); out.code != exitDone {
		t.Errorf("while it runs: exit code %d: %s", out.code, out.stderr)
	}
	s.await(time.Now())
	due := int64(0) // What the reset has the run publish again.
	for r := range s.api.Truth(sim.Range{Begin: was.End.Add(-5 * time.Minute), End: was.End}) {
		if r.HasMsgID && r.Time.Before(was.End) {
			due++
		}
	}
	if now, _ := s.position(); now.Published < was.Published+due || due == 0 {
		t.Errorf("the run published %d after the reset, want at least %d more than %d", now.Published, due, was.Published)
	}
	if code := stop(); code != exitDone {
		t.Errorf("run: exit code %d", code)
	}
	before, there := s.position()
	before10m := time.Now().Add(-time.Second) // Positions are in whole seconds.
	if out := try(t, s.env, reset...); out.code != exitDone || !there {
		t.Errorf("afterwards: exit code %d: %s", out.code, out.stderr)
	}
	after, _ := s.position()
	if early := before10m.Add(-10 * time.Minute).Sub(after.End); early > 0 || time.Since(after.End) < 10*time.Minute || after.Published != before.Published {
		t.Errorf("the position is %+v, it was %+v", after, before)
	}
	replay := try(t, s.env, "replay", "--from", s.begin.Format(time.RFC3339), "--to", s.end.Format(time.RFC3339), "--id", "once")
	list := func() int { return len(objects(t, try(t, s.env, "checkpoint", "get", "messages", "--json").stdout)) }
	if replay.code != exitDone || list() != 2 {
		t.Errorf("with a replay: exit code %d, %d positions: %s", replay.code, list(), replay.stderr)
	}
	if out := try(t, s.env, "checkpoint", "delete", "messages", "--replay", "once", "--yes"); out.code != exitDone || list() != 1 {
		t.Errorf("delete the replay's: exit code %d, %d positions: %s", out.code, list(), out.stderr)
	}
	if out := try(t, s.env, "checkpoint", "delete", "messages", "--yes"); out.code != exitDone {
		t.Errorf("delete: exit code %d: %s", out.code, out.stderr)
	}
	if _, there = s.position(); there {
		t.Error("the position is there still")
	}
}

// TestCommandsOnFilesBesideARun looks at positions in files, at the ledger and at what is missing while the run holds its lock, and
// has a range published again.
func TestCommandsOnFilesBesideARun(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.env["JMPUB_CHECKPOINT"] = "file:" + filepath.Join(t.TempDir(), "positions")
	run := s.startLive()
	before := run.live()
	from, to := s.begin.Add(3*time.Minute), s.begin.Add(6*time.Minute)
	for _, args := range [][]string{
		{"checkpoint", "list"},
		{"checkpoint", "get", "messages"},
		{"windows", "--from", s.begin.Format(time.RFC3339)},
		{"audit", "--from", s.begin.Format(time.RFC3339), "--to", s.end.Format(time.RFC3339), "--no-statistics"},
	} {
		if out := try(t, s.env, args...); out.code != exitDone || out.stdout == "" {
			t.Errorf("%v: exit code %d: %s%s", args, out.code, out.stdout, out.stderr)
		}
	}
	if n := run.sessionsNow(); n != 1 {
		t.Errorf("the run was interrupted %d times by who only looks", n-1)
	}
	next, err := s.reset(s.config(), from, to, func() {})
	if err != nil || next.End.Before(before.End) {
		t.Fatalf("reset: %v; the position is %+v, it was %+v", err, next, before)
	}
	run.caughtUp(1)
	last := run.stop()
	s.wantTimes(func(second time.Time) (due, more int) {
		due = 1 + within(second, from, to)
		switch {
		case second.Before(before.End):
			return due, 0
		case second.Before(last.End):
			return due, 1 // What was on its way when the reset took the writer's place comes again: delivery is at least once.
		default:
			return 0, 2
		}
	})
}
