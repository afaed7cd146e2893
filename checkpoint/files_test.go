package checkpoint_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/pipeline"
)

// fileStore is a folder.
type fileStore struct {
	dir  string
	last *checkpoint.Files
}

func (s *fileStore) open(t *testing.T) keeper {
	t.Helper()
	if s.last != nil {
		if err := s.last.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s.last = openFiles(t, s.dir, appKey)
	if err := s.last.Lock(); err != nil {
		t.Fatal(err)
	}
	takePlace(t, s.last)
	return s.last
}

func (s *fileStore) another(t *testing.T) keeper {
	t.Helper()
	return openFiles(t, s.dir, appKey)
}

// openFiles opens an app's files until the test ends.
func openFiles(t *testing.T, dir, appKey string) *checkpoint.Files {
	t.Helper()
	f, err := checkpoint.OpenFiles(dir, appKey)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// takePlace takes the writer's place.
func takePlace(t *testing.T, c pipeline.Checkpoints) {
	t.Helper()
	if err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (*fileStore) commit(t *testing.T, c pipeline.Checkpoints, commit *pipeline.Commit) {
	t.Helper()
	staged(t, c, commit)
	if err := c.Save(t.Context(), commit); err != nil {
		t.Fatal(err)
	}
}

func (*fileStore) abort(t *testing.T, c pipeline.Checkpoints, commit *pipeline.Commit) {
	t.Helper()
	staged(t, c, commit)
}

func TestOneProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "[b]")
	first, second, other := openFiles(t, dir, appKey), openFiles(t, dir, appKey), openFiles(t, dir, "another app")
	if err := first.Lock(); err != nil {
		t.Fatal(err)
	}
	fault(t, second.Lock(), dir, "another jmpub", "JMPUB_CHECKPOINT")
	if err := other.Lock(); err != nil {
		t.Fatalf("another app in the same folder: %v", err)
	}
	takePlace(t, first)
	takePlace(t, other)
	messages := pipeline.Stream{Kind: pipeline.StreamMessages}
	if err := first.Save(t.Context(), commitOf(window(messages, 1))); err != nil {
		t.Fatal(err)
	}
	same(t, "of another app", load(t, other), map[pipeline.Stream]pipeline.Checkpoint{})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := second.Lock(); err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	same(t, "then", load(t, second), map[pipeline.Stream]pipeline.Checkpoint{messages: window(messages, 1).Checkpoint})
}

// TestCommandDuringARun reads and sets positions while the process that publishes holds its lock. That one finds its place taken:
// it saves nothing until it has taken it back, and then goes on from what it finds.
func TestCommandDuringARun(t *testing.T) {
	s := &fileStore{dir: t.TempDir()}
	messages, user := pipeline.Stream{Kind: pipeline.StreamMessages}, stream(t, "users/a")
	run := s.open(t)
	s.commit(t, run, commitOf(window(messages, 1), window(user, 1)))
	command := s.another(t)
	same(t, "before it takes the place", load(t, command), map[pipeline.Stream]pipeline.Checkpoint{
		messages: window(messages, 1).Checkpoint, user: window(user, 1).Checkpoint,
	})
	s.commit(t, run, commitOf(window(messages, 2))) // Who only reads takes nothing.
	takePlace(t, command)
	s.commit(t, command, commitOf(window(messages, 7)))
	want := map[pipeline.Stream]pipeline.Checkpoint{messages: window(messages, 7).Checkpoint, user: window(user, 1).Checkpoint}
	late := commitOf(window(messages, 3), window(stream(t, "users/b"), 3))
	late.Deleted = []pipeline.Stream{user}
	for range 2 {
		err := run.Save(t.Context(), late)
		if pipeline.ClassOf(err) != pipeline.Fenced || !strings.Contains(err.Error(), "writer's place") {
			t.Fatalf("saved by the one whose place was taken: %v", err)
		}
		same(t, "after it was refused", load(t, run), want)
	}
	takePlace(t, run)
	same(t, "after it took its place back", load(t, run), want)
	s.commit(t, run, commitOf(window(messages, 8)))
	if err := command.Save(t.Context(), commitOf(window(messages, 9))); pipeline.ClassOf(err) != pipeline.Fenced {
		t.Errorf("saved by the command that has left: %v", err)
	}
	want[messages] = window(messages, 8).Checkpoint
	same(t, "in the end", load(t, s.open(t)), want)
}

// TestPlacesOfAppsAreApart takes the writer's place of one app and leaves that of another in the same folder.
func TestPlacesOfAppsAreApart(t *testing.T) {
	s := &fileStore{dir: t.TempDir()}
	run := s.open(t)
	takePlace(t, openFiles(t, s.dir, "another app"))
	s.commit(t, run, commitOf(window(pipeline.Stream{Kind: pipeline.StreamMessages}, 1)))
}

func TestLeftovers(t *testing.T) {
	s := &fileStore{dir: t.TempDir()}
	messages := pipeline.Stream{Kind: pipeline.StreamMessages}
	s.commit(t, s.open(t), commitOf(window(messages, 1)))
	others := filepath.Join(s.dir, "other~messages.checkpoint.json.partial")
	left := filepath.Join(s.dir, appKey+"~messages.checkpoint.json.partial")
	for _, name := range []string{left, others} {
		if err := os.WriteFile(name, []byte(`{"version":1,`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "after a crash", load(t, s.open(t)), map[pipeline.Stream]pipeline.Checkpoint{messages: window(messages, 1).Checkpoint})
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the leftover is still there: %v", err)
	}
	if _, err := os.Stat(others); err != nil {
		t.Errorf("another app's file: %v", err)
	}
}

// TestDamagedFile puts something else into a stream's file. That stream's position has the damage, the other's is as it was, and a new
// position replaces it. Only of a file whose name does not say of which stream it is, nothing is made.
func TestDamagedFile(t *testing.T) {
	s := &fileStore{dir: t.TempDir()}
	messages, user := pipeline.Stream{Kind: pipeline.StreamMessages}, stream(t, "users/a")
	long := stream(t, "users/"+strings.Repeat("é", 60))
	c := s.open(t)
	s.commit(t, c, commitOf(window(messages, 1), window(user, 1)))
	path := func(name string) string { return filepath.Join(s.dir, appKey+"~"+name+".checkpoint.json") }
	files := map[pipeline.Stream]string{messages: path("messages"), user: path("users%2Fa")}
	good, err := os.ReadFile(files[messages])
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, content string
		of            pipeline.Stream
		want          []string
	}{
		{"empty", "", messages, []string{path("messages"), "damaged", "checkpoint reset messages"}},
		{"cut off", string(good[:len(good)/2]), messages, []string{path("messages"), "damaged"}},
		{"another app's", strings.ReplaceAll(string(good), appKey, "other"), messages, []string{path("messages"), `"other"`}},
		{"newer", strings.Replace(string(good), `"version":1`, `"version":7`, 1), messages, []string{path("messages"), "newer jmpub", "7"}},
		{"renamed", string(good), user, []string{path("users%2Fa"), "messages"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err = os.WriteFile(files[tc.of], []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			found := load(t, c)
			for _, said := range tc.want {
				if damage := found[tc.of].Damage; !errors.Is(damage, pipeline.ErrUnreadable) || !strings.Contains(damage.Error(), said) {
					t.Errorf("%v does not say %q", damage, said)
				}
			}
			for stream, cp := range found {
				if stream != tc.of && cp.Damage != nil {
					t.Errorf("%s has the damage too: %v", stream, cp.Damage)
				}
			}
			s.commit(t, c, commitOf(window(messages, 1), window(user, 1)))
			if found = load(t, c); len(found) != 2 || found[tc.of].Damage != nil {
				t.Errorf("once it is replaced: %+v", found)
			}
		})
	}
	s.commit(t, c, commitOf(window(long, 1)))
	cut, err := filepath.Glob(filepath.Join(s.dir, "*%C3%A9*"))
	if err != nil || len(cut) != 1 {
		t.Fatal(cut, err)
	}
	if err = os.WriteFile(cut[0], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = c.Load(t.Context())
	fault(t, err, cut[0], "damaged", "restore")
}

func TestUnusableFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		_, err := checkpoint.OpenFiles(dir, appKey)
		fault(t, err, dir, "JMPUB_CHECKPOINT")
	}
}
