package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/regular"
	"github.com/jmpub/jmpub/pipeline"
)

const app = "4f7aef34fb361292c566a1cd"

// filesOn keeps files on a disk.
func filesOn(t *testing.T, m *memDisk) *Files {
	t.Helper()
	locks := t.TempDir()
	return &Files{
		Retry: pipeline.Retry{Initial: time.Nanosecond, Max: time.Nanosecond},
		dir:   "folder", appKey: app, disk: m.disk(),
		running: regular.NewLock(filepath.Join(locks, runLock)), writing: regular.NewLock(filepath.Join(locks, writeLock)),
		place: regular.NewLock(filepath.Join(locks, writerFile)),
	}
}

// reopen is what a process does that starts on a disk.
func reopen(t *testing.T, m *memDisk) *Files {
	t.Helper()
	f := filesOn(t, m)
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

// two are positions of two streams, each at a second.
func two(second int64) *pipeline.Commit {
	c := &pipeline.Commit{}
	for _, name := range []string{"a", "b"} {
		s := pipeline.Stream{Kind: pipeline.StreamUsers, Name: name}
		c.Positions = append(c.Positions, &pipeline.Checkpoint{
			AppKey: app, Stream: s, End: time.Unix(second, 0).UTC(), OverlapIDs: []int64{second, second + 1}, SavedAt: time.Unix(second, 0),
		})
	}
	return c
}

// expect loads and finds both streams at one of the seconds.
func expect(t *testing.T, what string, m *memDisk, seconds ...int64) {
	t.Helper()
	m.failAt = 0
	found, err := reopen(t, m).Load(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if len(found) != 2 {
		t.Fatalf("%s: found %v", what, found)
	}
	for s, cp := range found {
		known := false
		for _, second := range seconds {
			known = known || cp.End.Unix() == second && cp.OverlapIDs[0] == second
		}
		if !known {
			t.Fatalf("%s: %s is at %d, want one of %v", what, s, cp.End.Unix(), seconds)
		}
	}
	for name := range m.files {
		if filepath.Ext(name) == partial {
			t.Errorf("%s: %s is left", what, name)
		}
	}
}

// TestEveryFailure fails the first operation of a save, then the second, and so on until nothing fails any more, and cuts
// the power after each. What is loaded then is the old checkpoint or the new one.
func TestEveryFailure(t *testing.T) {
	for _, late := range []bool{false, true} {
		for failAt, failed := 1, true; failed; failAt++ {
			what := fmt.Sprintf("operation %d, late %v", failAt, late)
			m := newMemDisk()
			f := reopen(t, m)
			if err := f.Save(t.Context(), two(1)); err != nil {
				t.Fatal(err)
			}
			m.failAt, m.err, m.late = m.done+failAt, syscall.EIO, late
			err := f.Save(t.Context(), two(2))
			failed = m.done >= m.failAt
			if err == nil && failed {
				t.Errorf("%s: no error", what)
			}
			if err != nil && (!errors.Is(err, syscall.EIO) || pipeline.ClassOf(err) != pipeline.Permanent) {
				t.Errorf("%s: %v is of class %s", what, err, pipeline.ClassOf(err))
			}
			seconds := []int64{1, 2}
			if err == nil {
				seconds = []int64{2}
			}
			for _, cut := range m.afterPowerCut() {
				expect(t, what+", power cut", cut, seconds...)
			}
			expect(t, what+", restart", m, seconds...)
			if err := reopen(t, m).Save(t.Context(), two(3)); err != nil {
				t.Fatalf("%s: again: %v", what, err)
			}
			for _, cut := range m.afterPowerCut() {
				expect(t, what+", saved again, power cut", cut, 3)
			}
		}
	}
}

// TestFirstSave has no old checkpoint to fall back on: there is the new one, or none.
func TestFirstSave(t *testing.T) {
	for failAt, failed := 1, true; failed; failAt++ {
		m := newMemDisk()
		m.failAt, m.err = failAt, syscall.EIO
		err := reopenFailing(t, m).Save(t.Context(), two(1))
		failed = m.done >= failAt
		for _, cut := range append(m.afterPowerCut(), m) {
			cut.failAt = 0
			found, loadErr := reopen(t, cut).Load(t.Context())
			if loadErr != nil {
				t.Fatalf("operation %d: %v", failAt, loadErr)
			}
			if err == nil && len(found) != 2 {
				t.Errorf("saved, but found %v", found)
			}
		}
	}
}

// reopenFailing is reopen on a disk that is to fail later.
func reopenFailing(t *testing.T, m *memDisk) *Files {
	t.Helper()
	failAt := m.failAt
	m.failAt = 0
	f := reopen(t, m)
	m.failAt, m.done = failAt, 0
	return f
}

// TestDiskFull waits for room, whichever operation finds none, and saves whole files then.
func TestDiskFull(t *testing.T) {
	for failAt, failed := 1, true; failed; failAt++ {
		m := newMemDisk()
		f := reopen(t, m)
		reported := 0
		f.Retry.Notify = func(_ string, err error, _ time.Duration) {
			reported++
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("reported: %v", err)
			}
		}
		m.failAt, m.err = m.done+failAt, &fsError{syscall.ENOSPC}
		if err := f.Save(t.Context(), two(1)); err != nil {
			t.Fatalf("operation %d: %v", failAt, err)
		}
		failed = m.done >= m.failAt
		if (reported == 1) != failed {
			t.Errorf("operation %d: reported %d times", failAt, reported)
		}
		for _, cut := range m.afterPowerCut() {
			expect(t, fmt.Sprintf("operation %d", failAt), cut, 1)
		}
	}
}

// fsError wraps an error as package os does.
type fsError struct{ err error }

func (e *fsError) Error() string { return "write: " + e.err.Error() }
func (e *fsError) Unwrap() error { return e.err }

// TestStopWhileFull ends the wait for room when the run is stopped, and says what it waited for.
func TestStopWhileFull(t *testing.T) {
	m := newMemDisk()
	f := reopen(t, m)
	ctx, cancel := context.WithCancel(t.Context())
	f.Retry = pipeline.Retry{Initial: time.Hour, Max: time.Hour, Notify: func(string, error, time.Duration) { cancel() }}
	m.failAt, m.err = m.done+1, syscall.ENOSPC
	err := f.Save(ctx, two(1))
	if !errors.Is(err, context.Canceled) || !errors.Is(err, syscall.ENOSPC) || pipeline.ClassOf(err) != pipeline.Transient {
		t.Errorf("%v of class %s", err, pipeline.ClassOf(err))
	}
}

// TestLoadFails reports what cannot be read, and finds nothing rather than a part.
func TestLoadFails(t *testing.T) {
	for failAt, failed := 1, true; failed; failAt++ {
		m := newMemDisk()
		f := reopen(t, m)
		if err := f.Save(t.Context(), two(1)); err != nil {
			t.Fatal(err)
		}
		m.failAt, m.err = m.done+failAt, syscall.EIO
		found, err := f.Load(t.Context())
		failed = m.done >= m.failAt
		if failed != errors.Is(err, syscall.EIO) || failed && found != nil || !failed && len(found) != 2 {
			t.Errorf("operation %d: %v, %v", failAt, found, err)
		}
	}
}

// TestOpenFails fails each operation of taking the writer's place, and cuts the power after it: what was saved before is there, and
// whoever starts next can take the place.
func TestOpenFails(t *testing.T) {
	for failAt, failed := 1, true; failed; failAt++ {
		what := fmt.Sprintf("operation %d", failAt)
		m := newMemDisk()
		if err := reopen(t, m).Save(t.Context(), two(1)); err != nil {
			t.Fatal(err)
		}
		m.files[fileName(app, pipeline.Stream{Kind: pipeline.StreamMessages})+partial] = &memFile{} // A crash left it.
		m.failAt, m.err = m.done+failAt, syscall.EIO
		f := filesOn(t, m)
		err := f.Open(t.Context())
		failed = m.done >= m.failAt
		if failed != errors.Is(err, syscall.EIO) || failed && pipeline.ClassOf(err) != pipeline.Permanent {
			t.Errorf("%s: %v is of class %s", what, err, pipeline.ClassOf(err))
		}
		m.failAt = 0
		if err := f.Save(t.Context(), two(2)); failed && pipeline.ClassOf(err) != pipeline.Fenced {
			t.Errorf("%s: saved without the place: %v", what, err)
		}
		seconds := []int64{1}
		if !failed {
			seconds = []int64{2}
		}
		for _, cut := range m.afterPowerCut() {
			expect(t, what+", power cut", cut, seconds...)
			if err := reopen(t, cut).Save(t.Context(), two(3)); err != nil {
				t.Errorf("%s, power cut: %v", what, err)
			}
		}
		expect(t, what+", restart", m, seconds...)
	}
}

// TestForgottenForGood fails each operation of a save that forgets one of two streams, and cuts the power after it: the stream is
// there or forgotten, and the other one is left alone.
func TestForgottenForGood(t *testing.T) {
	a, b := two(1).Positions[0].Stream, two(1).Positions[1].Stream
	for failAt, failed := 1, true; failed; failAt++ {
		m := newMemDisk()
		f := reopen(t, m)
		if err := f.Save(t.Context(), two(1)); err != nil {
			t.Fatal(err)
		}
		m.failAt, m.err = m.done+failAt, syscall.EIO
		err := f.Save(t.Context(), &pipeline.Commit{Deleted: []pipeline.Stream{a}})
		failed = m.done >= m.failAt
		if failed != errors.Is(err, syscall.EIO) {
			t.Errorf("operation %d: %v", failAt, err)
		}
		for _, cut := range append(m.afterPowerCut(), m) {
			cut.failAt = 0
			found, err := reopen(t, cut).Load(t.Context())
			if err != nil {
				t.Fatalf("operation %d: %v", failAt, err)
			}
			if _, left := found[a]; !failed && left || len(found[b].OverlapIDs) == 0 {
				t.Errorf("operation %d: found %v", failAt, found)
			}
		}
	}
}

// TestClaimSurvivesEveryFailure fails each operation of announcing a claim, and cuts the power after it: the newest claim is that
// one, or the one before it.
func TestClaimSurvivesEveryFailure(t *testing.T) {
	before, after := pipeline.Claim{ID: "1", Command: "reset", Done: true}, pipeline.Claim{ID: "2", Command: "replay"}
	for failAt, failed := 1, true; failed; failAt++ {
		m := newMemDisk()
		f := filesOn(t, m)
		if err := f.Announce(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		m.failAt, m.err = m.done+failAt, syscall.EIO
		err := f.Announce(t.Context(), after)
		failed = m.done >= m.failAt
		if failed != errors.Is(err, syscall.EIO) {
			t.Errorf("operation %d: %v", failAt, err)
		}
		for _, cut := range append(m.afterPowerCut(), m) {
			cut.failAt = 0
			got, err := filesOn(t, cut).Newest(t.Context())
			if err != nil || got != after && (got != before || !failed) {
				t.Errorf("operation %d: found %+v, %v", failAt, got, err)
			}
		}
	}
}

// TestWritersWaitForEachOther lets nobody write while another does, until a stop ends the wait.
func TestWritersWaitForEachOther(t *testing.T) {
	m := newMemDisk()
	f := reopen(t, m)
	other := regular.NewLock(f.writing.Path())
	if free, err := other.TryLock(); err != nil || !free {
		t.Fatal(free, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for op, write := range map[string]func() error{
		"save": func() error { return f.Save(ctx, two(1)) }, "open": func() error { return f.Open(ctx) },
		"announce": func() error { return f.Announce(ctx, pipeline.Claim{ID: "1"}) },
	} {
		if err := write(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", op, err)
		}
	}
	saved := make(chan error)
	go func() { saved <- f.Save(t.Context(), two(1)) }()
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-saved; err != nil {
		t.Fatal(err)
	}
	expect(t, "then", m, 1)
}

// TestALockThatIsHeldIsTold has a process stand still while it writes: who waits for it says so, and which lock that is.
func TestALockThatIsHeldIsTold(t *testing.T) {
	f := reopen(t, newMemDisk())
	f.patience = 10 * time.Millisecond
	other := regular.NewLock(f.writing.Path())
	if free, err := other.TryLock(); err != nil || !free {
		t.Fatal(free, err)
	}
	var notified error
	f.Retry.Notify = func(_ string, err error, _ time.Duration) {
		if notified = err; other.Locked() {
			_ = other.Close()
		}
	}
	if err := f.Save(t.Context(), two(1)); err != nil {
		t.Fatal(err)
	}
	if notified == nil || !strings.Contains(notified.Error(), "another process holds the lock "+f.writing.Path()) {
		t.Errorf("it was notified of: %v", notified)
	}
}
