package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jmpub/jmpub/pipeline"
)

// Files keeps checkpoints in a folder, one file a stream. A file is replaced whole: after a power cut it is the old one or
// the new one. Windows are published before their checkpoint is saved, so delivery is at least once. It is used by one
// goroutine at a time, and by one process, which holds the folder's lock.
type Files struct {
	dir    string
	appKey string
	disk   disk
	lock   *os.File
}

var _ pipeline.Checkpoints = (*Files)(nil)

// disk is what is done to the folder; tests make it fail.
type disk struct {
	write   func(path string, data []byte) error
	rename  func(from, to string) error
	syncDir func(dir string) error
}

const (
	suffix   = ".checkpoint.json"
	partial  = ".partial"
	lockName = "jmpub.lock"
)

// OpenFiles takes the folder, which is made if it is missing, and cleans up what a crash left.
func OpenFiles(dir, appKey string) (*Files, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("JMPUB_CHECKPOINT: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("JMPUB_CHECKPOINT: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close() // It was not taken.
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("JMPUB_CHECKPOINT: another jmpub uses the folder %s; stop it, or name another folder", dir)
		}
		return nil, fmt.Errorf("JMPUB_CHECKPOINT: lock the folder %s: %w", dir, err)
	}
	leftovers, err := filepath.Glob(filepath.Join(dir, "*"+partial))
	for _, path := range leftovers {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		_ = lock.Close() // The first error counts.
		return nil, fmt.Errorf("JMPUB_CHECKPOINT: clean up the folder %s: %w", dir, err)
	}
	return &Files{dir: dir, appKey: appKey, disk: disk{writeFile, os.Rename, syncDir}, lock: lock}, nil
}

// Close gives the folder back.
func (f *Files) Close() error { return f.lock.Close() }

// fileName is a stream's file: any username works on any file system.
func (f *Files) fileName(s pipeline.Stream) string {
	escaped := url.PathEscape(f.appKey + "/" + s.String())
	escaped = strings.NewReplacer(":", "%3A", "*", "%2A", "\\", "%5C", "~", "%7E").Replace(escaped)
	const longest = 200 // File systems take 255 bytes; a name of 128 bytes may triple when it is escaped.
	if len(escaped) > longest {
		escaped = fmt.Sprintf("%s~%016x", escaped[:longest], hash(escaped))
	}
	return escaped + suffix
}

// Load reads the app's checkpoints.
func (f *Files) Load(context.Context) (map[pipeline.Stream]pipeline.Checkpoint, error) {
	paths, err := filepath.Glob(filepath.Join(f.dir, "*"+suffix))
	if err != nil {
		return nil, fmt.Errorf("list the folder %s: %w", f.dir, err)
	}
	prefix := strings.TrimSuffix(f.fileName(pipeline.Stream{}), suffix)
	found := make(map[pipeline.Stream]pipeline.Checkpoint)
	for _, path := range paths {
		if !strings.HasPrefix(filepath.Base(path), prefix) {
			continue // Another app's.
		}
		data, err := os.ReadFile(path) //nolint:gosec // The operator names the folder.
		if err != nil {
			return nil, fmt.Errorf("read the checkpoint %s: %w", path, err)
		}
		cp, err := decodeCheckpoint(data, f.appKey)
		if err != nil {
			return nil, damagedFault("in "+path, err)
		}
		found[cp.Stream] = cp
	}
	return found, nil
}

// Stage returns the windows' ledger records and notices; see [pipeline.Checkpoints].
func (*Files) Stage(closed []*pipeline.Closed) ([]pipeline.Record, error) {
	return ledgerRecords(closed)
}

// Save writes the checkpoints. An error leaves, for each stream, the old checkpoint or the new one; the windows are then
// published again from the old one. A disk that is full or broken is not tried again here: after a failed fsync the state
// of the file is unknown, so the session ends and begins from what can be read.
func (f *Files) Save(_ context.Context, closed []*pipeline.Closed) error {
	last := make(map[pipeline.Stream]*pipeline.Checkpoint, len(closed))
	for _, c := range closed {
		last[c.Checkpoint.Stream] = &c.Checkpoint
	}
	for _, cp := range last {
		if err := f.save(cp); err != nil {
			return &pipeline.Fault{
				Class: pipeline.Abort, Op: "save the checkpoint of " + cp.Stream.String(), Err: err,
				Hint: "see that the folder " + f.dir + " can be written and has room",
			}
		}
	}
	return nil
}

func (f *Files) save(cp *pipeline.Checkpoint) error {
	data, err := encodeCheckpoint(cp)
	if err != nil {
		return err
	}
	path := filepath.Join(f.dir, f.fileName(cp.Stream))
	if err := f.disk.write(path+partial, append(data, '\n')); err != nil {
		return err
	}
	if err := f.disk.rename(path+partial, path); err != nil {
		return err
	}
	return f.disk.syncDir(f.dir)
}

// writeFile writes and syncs a new file.
func writeFile(path string, data []byte) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) //nolint:gosec // The operator names the folder.
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.Write(data); err != nil {
		return err
	}
	return file.Sync()
}

// syncDir makes a rename durable.
func syncDir(dir string) (err error) {
	d, err := os.Open(dir) //nolint:gosec // The operator names the folder.
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	err = d.Sync()
	if errors.Is(err, fs.ErrInvalid) || errors.Is(err, syscall.EINVAL) {
		return nil // Some file systems have no sync for folders, and need none.
	}
	return err
}
