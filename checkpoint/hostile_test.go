//go:build unix

package checkpoint_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jmpub/jmpub/internal/regular"
	"github.com/jmpub/jmpub/pipeline"
)

// TestOnlyRegularFilesAreCheckpoints puts what is no regular file in the place of each file that is read, and expects an error, at once,
// that names it.
func TestOnlyRegularFilesAreCheckpoints(t *testing.T) {
	messages := pipeline.Stream{Kind: pipeline.StreamMessages}
	outside := filepath.Join(t.TempDir(), "outside")
	kinds := map[string]func(path string) error{
		"a pipe":                            func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a folder":                          func(path string) error { return os.Mkdir(path, 0o700) },
		"a symbolic link":                   func(path string) error { return os.Symlink(outside, path) },
		"larger than 16384 KiB":             func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 10<<30)) },
		"a symbolic link and not a regular": func(path string) error { return os.Symlink("/dev/zero", path) },
	}
	for want, lay := range kinds {
		t.Run(want, func(t *testing.T) {
			s := &fileStore{dir: t.TempDir()}
			c := s.open(t)
			s.commit(t, c, commitOf(window(messages, 1)))
			for name, call := range map[string]func() error{
				"messages.checkpoint.json": func() error { _, err := c.Load(t.Context()); return err },
				"writer":                   func() error { return c.Save(t.Context(), commitOf(window(messages, 2))) },
				"claim.json":               func() error { _, err := s.last.Newest(t.Context()); return err },
			} {
				path := filepath.Join(s.dir, appKey+"~"+name)
				if content, err := os.ReadFile(path); err == nil { // What the link leads to would do.
					if err := os.Rename(path, outside); err != nil || len(content) == 0 {
						t.Fatal(err)
					}
				}
				if err := lay(path); err != nil {
					t.Fatal(err)
				}
				fault(t, call(), path, want, "remove it")
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				takePlace(t, c) // The next name is tried with all other files in order.
			}
		})
	}
}

// TestLinksAreNotWrittenThrough has a link, a pipe and a file of others lie in wait where files are made.
func TestLinksAreNotWrittenThrough(t *testing.T) {
	messages := pipeline.Stream{Kind: pipeline.StreamMessages}
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for kind, lay := range map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink(victim, path) },
		"hard link": func(path string) error { return os.Link(victim, path) },
		"pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		s := &fileStore{dir: t.TempDir()}
		c := s.open(t)
		for _, name := range []string{"messages.checkpoint.json", "messages.checkpoint.json.partial", "claim.json.partial", "writer.partial"} {
			if err := lay(filepath.Join(s.dir, appKey+"~"+name)); err != nil {
				t.Fatal(err)
			}
		}
		s.commit(t, c, commitOf(window(messages, 1)))
		if err := s.last.Announce(t.Context(), pipeline.Claim{ID: "1", Command: "x"}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		same(t, kind, load(t, s.open(t)), map[pipeline.Stream]pipeline.Checkpoint{messages: window(messages, 1).Checkpoint})
		if content, err := os.ReadFile(victim); err != nil || string(content) != "precious" {
			t.Errorf("%s: the file of others holds %q, %v", kind, content, err)
		}
	}
}

// TestLocksAreNoLinks refuses a lock's file that is a link, and makes nothing where it leads.
func TestLocksAreNoLinks(t *testing.T) {
	for _, name := range []string{"lock", "write.lock", "writer"} {
		dir := t.TempDir()
		outside := filepath.Join(t.TempDir(), "outside")
		if err := os.Symlink(outside, filepath.Join(dir, appKey+"~"+name)); err != nil {
			t.Fatal(err)
		}
		f := openFiles(t, dir, appKey)
		err := f.Lock()
		if name == "write.lock" {
			err = f.Open(t.Context())
		}
		if !errors.Is(err, regular.ErrIrregular) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Lstat(outside); !os.IsNotExist(err) {
			t.Errorf("%s: what it leads to was made: %v", name, err)
		}
	}
}

// TestLockOutlivesItsFile removes or replaces the file of either lock of a process that publishes: a second one is kept out still.
func TestLockOutlivesItsFile(t *testing.T) {
	messages := pipeline.Stream{Kind: pipeline.StreamMessages}
	for _, name := range []string{"lock", "writer", "write.lock"} {
		for kind, attack := range map[string]func(path string) error{
			"removed": os.Remove,
			"replaced": func(path string) error {
				return errors.Join(os.WriteFile(path+".new", []byte("x"), 0o600), os.Rename(path+".new", path))
			},
		} {
			s := &fileStore{dir: t.TempDir()}
			run := s.open(t)
			s.commit(t, run, commitOf(window(messages, 1)))
			if err := attack(filepath.Join(s.dir, appKey+"~"+name)); err != nil {
				t.Fatal(err)
			}
			second := openFiles(t, s.dir, appKey)
			fault(t, second.Lock(), "another jmpub")
			if err := s.last.Close(); err != nil {
				t.Fatal(err)
			}
			if err := second.Lock(); err != nil {
				t.Errorf("%s %s: after the first has left: %v", name, kind, err)
			}
			takePlace(t, second)
			same(t, name, load(t, second), map[pipeline.Stream]pipeline.Checkpoint{messages: window(messages, 1).Checkpoint})
		}
	}
}

// TestLockAfterACommand removes the lock's file of a process that has taken its place back from a command.
func TestLockAfterACommand(t *testing.T) {
	s := &fileStore{dir: t.TempDir()}
	run := s.open(t)
	takePlace(t, s.another(t))
	takePlace(t, run)
	if err := os.Remove(filepath.Join(s.dir, appKey+"~lock")); err != nil {
		t.Fatal(err)
	}
	fault(t, openFiles(t, s.dir, appKey).Lock(), "another jmpub")
}
