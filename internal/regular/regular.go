// Package regular reads and locks files that may turn out to be anything: a device or a pipe that is read without end, a link that
// leads elsewhere, a file of ten gigabytes. It takes regular files of a bounded size alone.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// ErrIrregular is the error of what is no regular file, or one that is too large.
var ErrIrregular = errors.New("it cannot be used")

// readTime is how long the reading may take of what calls itself a regular file and waits for content, as some of the kernel's do.
const readTime = 5 * time.Second

// Read reads a file of at most so many bytes. Links are followed, for mounted secrets are links.
func Read(path string, most int64) ([]byte, error) { return read(path, most, os.Stat, 0) }

// ReadUnlinked is Read for a file that is no link.
func ReadUnlinked(path string, most int64) ([]byte, error) {
	return read(path, most, os.Lstat, noFollow)
}

func read(path string, most int64, stat func(string) (fs.FileInfo, error), flags int) ([]byte, error) {
	// Some devices do something when they are opened, so what stands there is asked first, and again once it cannot change any more.
	if info, err := stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, irregular(path, info.Mode(), "regular file")
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|flags, 0) // A pipe would wait for whoever writes to it.
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // It was only read.
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, irregular(path, info.Mode(), "regular file")
	}
	_ = f.SetReadDeadline(time.Now().Add(readTime))    // Files that never wait have no deadline.
	data, err := io.ReadAll(io.LimitReader(f, most+1)) // The size that is shown may be wrong, and may grow.
	if err == nil && int64(len(data)) > most {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w: it is larger than %d KiB", ErrIrregular, most>>10)}
	}
	return data, err
}

// CheckFolder refuses what stands in the place of a folder, a link to one too. It may be missing.
func CheckFolder(path string) error {
	if info, err := os.Lstat(path); err == nil && !info.IsDir() {
		return irregular(path, info.Mode(), "folder")
	}
	return nil
}

// irregular says what stands there in the place of what is wanted.
func irregular(path string, mode fs.FileMode, want string) error {
	kind := "a device"
	switch {
	case mode.IsRegular():
		kind = "a regular file"
	case mode.IsDir():
		kind = "a folder"
	case mode&fs.ModeSymlink != 0:
		kind = "a symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		kind = "a pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	}
	return &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("%w: it is %s and not a %s", ErrIrregular, kind, want)}
}

// NewLock makes the lock that a file is for; nothing is opened yet. The file is made if it is missing, and stays.
func NewLock(path string) *flock.Flock {
	return flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDONLY|syscall.O_NONBLOCK|noFollow))
}

// TryLock takes a lock of NewLock if it is free. What was locked is the regular file that stands at the path then: a lock on one that was
// removed or replaced meanwhile would keep nobody out.
func TryLock(lock *flock.Flock) (free bool, err error) {
	if info, missing := os.Lstat(lock.Path()); missing == nil && !info.Mode().IsRegular() {
		return false, irregular(lock.Path(), info.Mode(), "regular file")
	}
	if free, err = lock.TryLock(); !free || err != nil {
		return false, err
	}
	held, heldErr := lock.Stat()
	there, thereErr := os.Lstat(lock.Path())
	if heldErr == nil && thereErr == nil && there.Mode().IsRegular() && os.SameFile(held, there) {
		return true, nil
	}
	return false, lock.Unlock() // Whoever replaced it may hold the new one.
}

// Exposed tells what lets others change a file, in words: its mode, or that of the folder in which it or what it links to stands. It is
// empty where nothing does, and for a file that is not there.
func Exposed(path string) string {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	const sticky = fs.ModeDir | fs.ModeSticky // Others cannot remove or replace what is there.
	for _, p := range []string{target, filepath.Dir(target), filepath.Dir(path)} {
		if info, err := os.Stat(p); err == nil && info.Mode()&sticky != sticky && openToOthers(info) {
			return p + " can be changed by others: its mode is " + info.Mode().String()
		}
	}
	return ""
}

// ExposedFolder is Exposed for a folder whose files are made by jmpub: it must not be one where others make files.
func ExposedFolder(path string) string {
	if info, err := os.Stat(path); err == nil && openToOthers(info) {
		return path + " can be written to by others: its mode is " + info.Mode().String()
	}
	return Exposed(path)
}

func openToOthers(info fs.FileInfo) bool {
	const groupOrOthers = 0o022
	return info.Mode().Perm()&groupOrOthers != 0 && runtime.GOOS != "windows" // It has no such modes.
}
