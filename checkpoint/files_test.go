package checkpoint_test

import (
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

func (s *fileStore) open(t *testing.T) pipeline.Checkpoints {
	t.Helper()
	if s.last != nil {
		if err := s.last.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f, err := checkpoint.OpenFiles(s.dir, appKey)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	s.last = f
	return f
}

func (*fileStore) commit(t *testing.T, c pipeline.Checkpoints, closed ...*pipeline.Closed) {
	t.Helper()
	staged(t, c, closed...)
	if err := c.Save(t.Context(), closed); err != nil {
		t.Fatal(err)
	}
}

func (*fileStore) abort(t *testing.T, c pipeline.Checkpoints, closed ...*pipeline.Closed) {
	t.Helper()
	staged(t, c, closed...)
}

func TestOneProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "[b]")
	f, err := checkpoint.OpenFiles(dir, appKey)
	if err != nil {
		t.Fatal(err)
	}
	_, err = checkpoint.OpenFiles(dir, appKey)
	fault(t, err, dir, "another jmpub", "JMPUB_CHECKPOINT")
	other, err := checkpoint.OpenFiles(dir, "another app")
	if err != nil {
		t.Fatalf("another app in the same folder: %v", err)
	}
	messages := pipeline.Stream{Kind: pipeline.StreamMessages}
	if err = f.Save(t.Context(), []*pipeline.Closed{window(messages, 1)}); err != nil {
		t.Fatal(err)
	}
	same(t, "of another app", load(t, other), map[pipeline.Stream]pipeline.Checkpoint{})
	for _, opened := range []*checkpoint.Files{f, other} {
		if err = opened.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if f, err = checkpoint.OpenFiles(dir, appKey); err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	same(t, "then", load(t, f), map[pipeline.Stream]pipeline.Checkpoint{messages: window(messages, 1).Checkpoint})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLeftovers(t *testing.T) {
	s := &fileStore{dir: t.TempDir()}
	messages := pipeline.Stream{Kind: pipeline.StreamMessages}
	s.commit(t, s.open(t), window(messages, 1))
	foreign := filepath.Join(s.dir, "other~messages.checkpoint.json.partial")
	left := filepath.Join(s.dir, appKey+"~messages.checkpoint.json.partial")
	for _, name := range []string{left, foreign} {
		if err := os.WriteFile(name, []byte(`{"version":1,`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "after a crash", load(t, s.open(t)), map[pipeline.Stream]pipeline.Checkpoint{messages: window(messages, 1).Checkpoint})
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the leftover is still there: %v", err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("another app's file: %v", err)
	}
}

func TestDamagedFile(t *testing.T) {
	s := &fileStore{dir: t.TempDir()}
	messages := pipeline.Stream{Kind: pipeline.StreamMessages}
	c := s.open(t)
	s.commit(t, c, window(messages, 1))
	path := filepath.Join(s.dir, appKey+"~messages.checkpoint.json")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, content, as string
		want              []string
	}{
		{"empty", "", path, []string{path, "damaged", "restore"}},
		{"cut off", string(good[:len(good)/2]), path, []string{path, "damaged"}},
		{"another app's", strings.ReplaceAll(string(good), appKey, "other"), path, []string{path, `"other"`}},
		{"newer", strings.Replace(string(good), `"version":1`, `"version":7`, 1), path, []string{path, "newer jmpub", "7"}},
		{"renamed", string(good), filepath.Join(s.dir, appKey+"~users%2Fa.checkpoint.json"), []string{"users%2Fa", "messages"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := os.WriteFile(tc.as, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := c.Load(t.Context())
			fault(t, err, tc.want...)
			s.commit(t, c, window(messages, 1))
		})
	}
}

func TestRemove(t *testing.T) {
	s := &fileStore{dir: t.TempDir()}
	messages := pipeline.Stream{Kind: pipeline.StreamMessages}
	s.commit(t, s.open(t), window(messages, 1))
	for range 2 {
		if err := s.last.Remove(messages); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "left", load(t, s.open(t)), map[pipeline.Stream]pipeline.Checkpoint{})
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
