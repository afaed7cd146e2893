package checkpoint

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gofrs/flock"

	"github.com/jmpub/jmpub/pipeline"
)

// Files keeps checkpoints in a folder, one file a stream. A file is replaced whole: after a power cut it is the old one or
// the new one. Windows are published before their checkpoint is saved, so delivery is at least once. Several apps may
// share a folder; one process has an app's files, which it holds a lock on. It is used by one goroutine at a time.
type Files struct {
	// Retry waits for room on the disk. It may be set before the first use; the zero value works.
	Retry pipeline.Retry

	dir    string
	appKey string
	disk   disk
	lock   *flock.Flock
}

var _ pipeline.Checkpoints = (*Files)(nil)

// OpenFiles takes an app's files in a folder, which is made if it is missing, and cleans up what a crash left. Its errors
// are *[pipeline.Fault] of class [pipeline.Permanent].
func OpenFiles(dir, appKey string) (*Files, error) {
	f := &Files{
		dir: dir, appKey: appKey, disk: diskAt(dir),
		lock: flock.New(filepath.Join(dir, appPrefix(appKey)+lock)),
	}
	op := "open the checkpoint folder " + dir
	if err := makeFolder(dir); err != nil {
		return nil, diskFault(op, err)
	}
	free, err := f.lock.TryLock()
	switch {
	case err != nil:
		return nil, diskFault(op, err)
	case !free:
		return nil, &pipeline.Fault{
			Op: op, Err: errors.New("another jmpub keeps the checkpoints of the app " + appKey + " there"),
			Hint: "stop that one, or name another folder in JMPUB_CHECKPOINT",
		}
	}
	if err := f.clean(); err != nil {
		return nil, errors.Join(diskFault(op, err), f.Close())
	}
	return f, nil
}

// Close gives the files back. The lock's file stays: to remove it would let in two processes at once.
func (f *Files) Close() error { return f.lock.Close() }

// clean removes files whose writing was cut off.
func (f *Files) clean() error {
	names, err := f.names(suffix + partial)
	for _, name := range names {
		err = errors.Join(err, f.disk.remove(name))
	}
	return err
}

// names lists the app's files that end in an ending.
func (f *Files) names(ending string) ([]string, error) {
	all, err := f.disk.list()
	if err != nil {
		return nil, err
	}
	var own []string
	for _, name := range all {
		if strings.HasPrefix(name, appPrefix(f.appKey)) && strings.HasSuffix(name, ending) {
			own = append(own, name)
		}
	}
	return own, nil
}

// Load reads the app's checkpoints.
func (f *Files) Load(context.Context) (map[pipeline.Stream]pipeline.Checkpoint, error) {
	names, err := f.names(suffix)
	if err != nil {
		return nil, diskFault("list the checkpoint folder "+f.dir, err)
	}
	found := make(map[pipeline.Stream]pipeline.Checkpoint, len(names))
	for _, name := range names {
		path := filepath.Join(f.dir, name)
		data, err := f.disk.read(name)
		if err != nil {
			return nil, diskFault("read the checkpoint in "+path, err)
		}
		cp, err := Decode(data, f.appKey, path)
		if err != nil {
			return nil, err
		}
		if want := fileName(f.appKey, cp.Stream); name != want {
			return nil, decodeFault("the checkpoint", path, "give the file back its name, or remove it",
				damaged("it is that of %s, whose file is %s", cp.Stream, want))
		}
		found[cp.Stream] = cp
	}
	return found, nil
}

// Stage returns the windows' ledger records and notices; see [pipeline.Checkpoints].
func (*Files) Stage(closed []*pipeline.Closed) ([]pipeline.Record, error) { return stageLedger(closed) }

// Save replaces the files of the windows' streams. When it returns nil, all of them are durable. An error leaves, for each
// stream, the old checkpoint or the new one; what is published behind the old one is published again.
//
// While the disk is full, Save waits for room: to go on without the position would publish more and more that has to be
// published again, and so would a session that begins anew from the old one. Every try writes a new file, whole, so what a
// failed sync has lost is written again. Any other error is [pipeline.Permanent]: after a failed sync nobody knows what the
// disk holds, and only the operator can find out why.
func (f *Files) Save(ctx context.Context, closed []*pipeline.Closed) error {
	checkpoints := newest(closed)
	if len(checkpoints) == 0 {
		return nil
	}
	op := "save checkpoints in " + f.dir
	return f.Retry.Do(ctx, op, func(context.Context) error {
		for _, cp := range checkpoints {
			if err := f.save(cp); err != nil {
				return diskFault("save the checkpoint of "+cp.Stream.String()+" in "+f.dir, err)
			}
		}
		if err := f.disk.sync(); err != nil {
			return diskFault(op, err)
		}
		return nil
	})
}

func (f *Files) save(cp *pipeline.Checkpoint) error {
	content, err := Encode(cp)
	if err != nil {
		return err
	}
	return f.disk.replace(fileName(f.appKey, cp.Stream), append(content, '\n'))
}

// Remove forgets a stream's position: the stream begins at the configured start again. It is no error if there is none.
func (f *Files) Remove(s pipeline.Stream) error {
	err := f.disk.remove(fileName(f.appKey, s))
	if err == nil {
		err = f.disk.sync()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskFault("remove the checkpoint of "+s.String()+" in "+f.dir, err)
	}
	return nil
}

// diskFault says what an error of the file system asks for.
func diskFault(op string, err error) error {
	fault := &pipeline.Fault{Class: pipeline.Permanent, Op: op, Err: err}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		fault.Class, fault.Hint = pipeline.Transient, "make room there; nothing is published until then"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		fault.Class, fault.Hint = pipeline.Transient, "raise the limit of open files"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		fault.Hint = "name a folder in JMPUB_CHECKPOINT that this user may write"
	default:
		fault.Hint = "see whether the disk is sound, and which checkpoints are there: what is published behind them comes again"
	}
	return fault
}
