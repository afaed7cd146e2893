package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/jmpub/jmpub/internal/regular"
)

// disk is what is done to the folder; tests make it fail. Names are those of files within the folder.
type disk struct {
	list   func() ([]string, error)
	read   func(name string) ([]byte, error)
	create func(name string) (file, error)
	rename func(from, to string) error
	remove func(name string) error
	// sync makes what was created, renamed and removed durable.
	sync func() error
}

// file is a file that is being written.
type file interface {
	io.WriteCloser
	Sync() error
}

// diskAt is a folder of the file system.
func diskAt(dir string) disk {
	return disk{
		list: func() ([]string, error) {
			entries, err := os.ReadDir(dir)
			names := make([]string, 0, len(entries))
			for _, e := range entries {
				names = append(names, e.Name())
			}
			return names, err
		},
		read:   func(name string) ([]byte, error) { return regular.ReadUnlinked(filepath.Join(dir, name), maxFile) },
		create: func(name string) (file, error) { return createNew(filepath.Join(dir, name)) },
		rename: func(from, to string) error { return os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)) },
		remove: func(name string) error { return os.Remove(filepath.Join(dir, name)) },
		sync:   func() error { return syncFolder(dir) },
	}
}

// maxFile is the most that is read of a file: many times what a position with all its ids takes.
const maxFile = 16 << 20

// createNew makes a file that was not there. What a crash left under its name is removed, and so is a link, which leads nowhere then.
func createNew(path string) (*os.File, error) {
	const flags = os.O_CREATE | os.O_EXCL | os.O_WRONLY
	f, err := os.OpenFile(path, flags, 0o600)
	if errors.Is(err, fs.ErrExist) {
		if err = os.Remove(path); err == nil {
			f, err = os.OpenFile(path, flags, 0o600)
		}
	}
	return f, err
}

// replace gives a file new content. When it returns nil, a power cut leaves the new content there once the folder is
// synced; until then, and after an error, the old content or the new one, always whole.
func (d *disk) replace(name string, content []byte) error {
	err := d.write(name+partial, content)
	if err == nil {
		err = d.rename(name+partial, name)
	}
	if err != nil {
		_ = d.remove(name + partial) // It may not be there. A disk that is full needs the room; the next try takes a new file.
	}
	return err
}

func (d *disk) write(name string, content []byte) (err error) {
	f, err := d.create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(content); err != nil {
		return err
	}
	return f.Sync()
}

// makeFolder makes a folder so that it is there after a power cut too.
func makeFolder(dir string) error {
	switch info, err := os.Stat(dir); {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeFolder(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(parent)
}

func syncFolder(dir string) (err error) {
	if runtime.GOOS == "windows" {
		return nil // It has no sync for folders.
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil // Some file systems have no sync for folders, and need none.
}
