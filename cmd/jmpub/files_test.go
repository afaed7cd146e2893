package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestResetOfAFile works on positions in files when no run has them, and only then.
func TestResetOfAFile(t *testing.T) {
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
		files, err := filepath.Glob(filepath.Join(dir, "*.json"))
		saved = err != nil || len(files) > 0
	}
	s.asked.Store(nil)
	reset := []string{"checkpoint", "reset", "messages", "--to", "10m", "--yes"}
	if out := try(t, s.env, reset...); out.code != exitUsage || !strings.Contains(out.stderr, "another jmpub keeps the checkpoints") {
		t.Errorf("while it runs: exit code %d: %s", out.code, out.stderr)
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
	if early := before10m.Add(-10 * time.Minute).Sub(after.End); early > 0 || time.Since(after.End) < 10*time.Minute || after.Reset == "" || after.Published != before.Published {
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
