//go:build unix

package regular_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/regular"
)

const most = 64 << 10

// must ends the test if what prepares it fails.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestOnlyRegularFilesAreRead puts everything else in the place of a file, and expects an error that names it, at once.
func TestOnlyRegularFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, syscall.Mkfifo(at("pipe"), 0o600))
	must(t, os.Symlink(at("pipe"), at("link to a pipe")))
	must(t, os.Symlink("/dev/zero", at("link to a device")))
	must(t, os.Symlink(at("loop"), at("loop")))
	must(t, os.WriteFile(at("large"), make([]byte, most+1), 0o600))
	must(t, os.WriteFile(at("endless"), nil, 0o600))
	must(t, os.Truncate(at("endless"), 10<<30))
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", at("socket"))
	must(t, err)
	defer l.Close() //nolint:errcheck // A test.
	for path, want := range map[string]string{
		at("pipe"): "a pipe", at("link to a pipe"): "a pipe", at("link to a device"): "a device", "/dev/zero": "a device", dir: "a folder",
		at("socket"): "a socket", at("large"): "larger than 64 KiB", at("endless"): "larger than 64 KiB", at("loop"): "loop",
		at("nothing"): "no such file",
	} {
		began := time.Now()
		_, err := regular.Read(path, most)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s took %s", path, took)
		}
	}
}

// TestLinksAreFollowedWhereTheyMayBe reads a secret as Kubernetes mounts it, by two links, and refuses the same where links are not wanted.
func TestLinksAreFollowedWhereTheyMayBe(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "..2026"), 0o750))
	must(t, os.Symlink("..2026", filepath.Join(dir, "..data")))
	must(t, os.WriteFile(filepath.Join(dir, "..2026", "secret"), []byte("s"), 0o600))
	path := filepath.Join(dir, "secret")
	must(t, os.Symlink(filepath.Join("..data", "secret"), path))
	if data, err := regular.Read(path, most); err != nil || string(data) != "s" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := regular.ReadUnlinked(path, most); !errors.Is(err, regular.ErrIrregular) || !strings.Contains(err.Error(), "link") {
		t.Errorf("a link that is not to be followed: %v", err)
	}
}

// TestLockIsOnTheFileThatIsThere refuses a lock that is a link or a pipe, and one whose file is another one by the time that it is held.
func TestLockIsOnTheFileThatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	target := path + " of others"
	must(t, os.Symlink(target, path))
	if _, err := regular.TryLock(regular.NewLock(path)); !errors.Is(err, regular.ErrIrregular) {
		t.Errorf("a link: %v", err)
	}
	if _, err := os.Lstat(target); !os.IsNotExist(err) {
		t.Errorf("what the link leads to was made: %v", err)
	}
	must(t, os.Remove(path))
	must(t, syscall.Mkfifo(path, 0o600))
	if _, err := regular.TryLock(regular.NewLock(path)); !errors.Is(err, regular.ErrIrregular) {
		t.Errorf("a pipe: %v", err)
	}
	must(t, os.Remove(path))
	first, second := regular.NewLock(path), regular.NewLock(path)
	if free, err := regular.TryLock(first); !free || err != nil {
		t.Fatalf("free: %t, %v", free, err)
	}
	if free, err := regular.TryLock(second); free || err != nil {
		t.Errorf("taken twice: %t, %v", free, err)
	}
	must(t, first.Unlock())
	if free, err := regular.TryLock(second); !free || err != nil {
		t.Errorf("free again: %t, %v", free, err)
	}
	must(t, second.Unlock())
}

// TestExposed tells of files that others can change, by their mode or by that of a folder, and of no others.
func TestExposed(t *testing.T) {
	made := func(folder, file os.FileMode) string {
		dir := filepath.Join(t.TempDir(), "folder")
		must(t, os.Mkdir(dir, 0o700))
		path := filepath.Join(dir, "file")
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.Chmod(path, file))
		must(t, os.Chmod(dir, folder))
		return path
	}
	for _, c := range []struct {
		folder, file os.FileMode
		want         string
	}{
		{0o700, 0o600, ""},
		{0o755, 0o644, ""},
		{0o777 | os.ModeSticky, 0o644, ""},
		{0o755, 0o664, "file can be changed by others: its mode is -rw-rw-r--"},
		{0o755, 0o602, "file can be changed"},
		{0o777, 0o600, "folder can be changed by others: its mode is drwxrwxrwx"},
		{0o770, 0o600, "folder can be changed"},
	} {
		path := made(c.folder, c.file)
		link := filepath.Join(t.TempDir(), "link")
		must(t, os.Symlink(path, link))
		for _, p := range []string{path, link} {
			if got := regular.Exposed(p); c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("folder %v, file %v: %q, want %q", c.folder, c.file, got, c.want)
			}
		}
	}
	if got := regular.ExposedFolder(filepath.Dir(made(0o777|os.ModeSticky, 0o600))); !strings.Contains(got, "written to by others") {
		t.Errorf("a folder where all make files: %q", got)
	}
}
