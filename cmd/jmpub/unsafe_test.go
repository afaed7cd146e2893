package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jmpub/jmpub/checkpoint"
)

// TestUnsafeSettingsAreTold has a command and `jmpub config` say what is unsafe about settings that work, and nothing about others.
func TestUnsafeSettingsAreTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret, folder := filepath.Join(dir, "secret"), filepath.Join(dir, "folder")
	if err := os.WriteFile(secret, []byte("sim-master-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	env := with(working(t), "JMPUB_MASTER_SECRET_FILE", secret, "JMPUB_CHECKPOINT", "file:"+folder)
	delete(env, "JMPUB_MASTER_SECRET")
	list, config := []string{"checkpoint", "list"}, []string{"config"}
	for _, args := range [][]string{list, config} {
		if out := try(t, env, args...); out.code != exitDone || out.stderr != "" {
			t.Errorf("%v with safe settings: exit code %d: %s", args, out.code, out.stderr)
		}
	}
	for path, mode := range map[string]os.FileMode{secret: 0o666, folder: 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	told := try(t, env, list...)
	for _, want := range []string{"JMPUB_MASTER_SECRET_FILE", secret + " can be changed by others", "JMPUB_CHECKPOINT", folder + " can be written to by others"} {
		if told.code != exitDone || !strings.Contains(told.stderr, want) || strings.Contains(told.stderr, "sim-master-secret") {
			t.Errorf("exit code %d, want 0 and %q: %s", told.code, want, told.stderr)
		}
	}
	if out := try(t, env, config...); !strings.Contains(out.stderr, "warning: JMPUB_MASTER_SECRET_FILE: ") {
		t.Errorf("config: %s", out.stderr)
	}
	if err := os.Symlink(dir, filepath.Join(folder, checkpoint.ReplayFolder("jmessage", "x"))); err != nil {
		t.Fatal(err)
	}
	if out := try(t, env, list...); out.code != exitUsage || !strings.Contains(out.stderr, "replay~jmessage~x: it cannot be used: it is a symbolic link") {
		t.Errorf("a replay's folder that is a link: exit code %d: %s", out.code, out.stderr)
	}
}
