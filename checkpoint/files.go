package checkpoint

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/jmpub/jmpub/internal/regular"
	"github.com/jmpub/jmpub/pipeline"
)

// Files keeps checkpoints in a folder, one file a stream. A file is replaced whole: after a power cut it is the old one or
// the new one. Windows are published before their checkpoint is saved, so delivery is at least once. Several apps may
// share a folder. It is used by one goroutine at a time.
//
// Reading needs no lock. Who writes has taken the writer's place: a file has its token, and whoever finds another one there is
// fenced. So a command can set a position while another process publishes. That process holds a lock besides, because two of
// them would publish everything twice.
type Files struct {
	// Retry waits for room on the disk. It may be set before the first use; the zero value works.
	Retry pipeline.Retry
	// Replay is the id of the replay whose positions these are; empty for the live ones. It is set before the first use.
	Replay string

	dir    string
	appKey string
	disk   disk
	// running is held by the process that publishes, writing by whoever writes, for a moment.
	running, writing *flock.Flock
	// place is the lock of the file with the token of a process that publishes. As that process holds two locks, the file of either may be
	// removed or replaced, and the other one still keeps a second process out.
	place *flock.Flock
	// token is that of the last Open.
	token string
	// patience is for how long the lock is waited for before that is told; lockPatience where it is zero.
	patience time.Duration
}

var (
	_ pipeline.Checkpoints = (*Files)(nil)
	_ pipeline.Claims      = (*Files)(nil)
	_ pipeline.Owners      = (*Files)(nil)
	_ pipeline.Pauses      = (*Files)(nil)
)

// OpenFiles opens an app's files in a folder, which is made if it is missing. Its errors are *[pipeline.Fault] of class
// [pipeline.Permanent].
func OpenFiles(dir, appKey string) (*Files, error) {
	if err := makeFolder(dir); err != nil {
		return nil, diskFault("open the checkpoint folder "+dir, err)
	}
	prefix := filepath.Join(dir, appPrefix(appKey))
	return &Files{
		dir: dir, appKey: appKey, disk: diskAt(dir),
		running: regular.NewLock(prefix + runLock), writing: regular.NewLock(prefix + writeLock),
		place: regular.NewLock(prefix + writerFile),
	}, nil
}

// Lock takes the files for a process that publishes, until Close. Its errors are *[pipeline.Fault] of class
// [pipeline.Permanent].
func (f *Files) Lock() error {
	op := "open the checkpoint folder " + f.dir
	free, err := regular.TryLock(f.running)
	if free && err == nil {
		if free, err = f.placeIsFree(); !free || err != nil {
			err = errors.Join(err, f.running.Unlock())
		}
	}
	switch {
	case err != nil:
		return diskFault(op, err)
	case !free:
		return &pipeline.Fault{
			Op: op, Err: errors.New("another jmpub keeps the checkpoints of the app " + f.appKey + " there"),
			Hint: "stop that one, or name another folder in JMPUB_CHECKPOINT",
		}
	}
	return nil
}

// placeIsFree tells whether no process that publishes holds the lock of the file with its token.
func (f *Files) placeIsFree() (free bool, err error) {
	if _, err = os.Lstat(f.place.Path()); errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if free, err = regular.TryLock(f.place); free {
		err = f.place.Unlock()
	}
	return free, err
}

// holdPlace locks the file with the token, which was written just now. Only who looks whether it is free may hold it, for a moment.
func (f *Files) holdPlace(ctx context.Context) error {
	if err := f.place.Unlock(); err != nil {
		return err
	}
	return lockSoon(ctx, f.place)
}

// Close gives the files back. The locks' files stay: to remove them would let in two processes at once.
func (f *Files) Close() error {
	return errors.Join(f.running.Close(), f.writing.Close(), f.place.Close())
}

// Open takes the writer's place, and cleans up what a crash left; see [pipeline.Checkpoints].
func (f *Files) Open(ctx context.Context) error {
	op := "take the writer's place in " + f.dir
	return f.exclusively(ctx, op, func() error {
		token := rand.Text()
		if err := f.clean(); err != nil {
			return diskFault(op, err)
		}
		if err := f.put(op, writerFile, []byte(token)); err != nil {
			return err
		}
		f.token = token
		if !f.running.Locked() { // A command leaves soon.
			return nil
		}
		return diskFault(op, f.holdPlace(ctx))
	})
}

const (
	// lockLook is how often a lock is tried that is held for a moment; after lockPatience it is told that it is held for longer.
	lockLook     = 10 * time.Millisecond
	lockPatience = 5 * time.Second
)

// exclusively calls fn while no other process writes, again and again while the disk is full.
func (f *Files) exclusively(ctx context.Context, op string, fn func() error) error {
	return f.Retry.Do(ctx, op, func(ctx context.Context) (err error) {
		waiting, cancel := context.WithTimeout(ctx, cmp.Or(f.patience, lockPatience))
		defer cancel()
		if err = lockSoon(waiting, f.writing); err != nil {
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case waiting.Err() != nil:
				return &pipeline.Fault{
					Class: pipeline.Transient, Op: op, Err: errors.New("another process holds the lock " + f.writing.Path()),
					Hint: "it is held for a moment only, while somebody writes; see which process has it, and end that one if it is stopped",
				}
			default:
				return diskFault(op, err)
			}
		}
		defer func() {
			if unlocked := f.writing.Unlock(); err == nil {
				err = diskFault(op, unlocked)
			}
		}()
		return fn()
	})
}

// lockSoon takes a lock that is held for moments.
func lockSoon(ctx context.Context, lock *flock.Flock) error {
	for {
		if free, err := regular.TryLock(lock); free || err != nil {
			return err
		}
		if err := pipeline.Sleep(ctx, lockLook); err != nil {
			return err
		}
	}
}

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
	return slices.DeleteFunc(all, func(name string) bool {
		return !strings.HasPrefix(name, appPrefix(f.appKey)) || !strings.HasSuffix(name, ending)
	}), nil
}

// Load reads the app's checkpoints; one that cannot be read has its damage in it.
func (f *Files) Load(context.Context) (map[pipeline.Stream]pipeline.Checkpoint, error) {
	names, err := f.names(suffix)
	if err != nil {
		return nil, diskFault("list the checkpoint folder "+f.dir, err)
	}
	found := make(map[pipeline.Stream]pipeline.Checkpoint, len(names))
	for _, name := range names {
		path := filepath.Join(f.dir, name)
		data, err := f.disk.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // It was forgotten just now.
		}
		if err != nil {
			return nil, diskFault("read the checkpoint in "+path, err)
		}
		cp, err := f.decode(name, data)
		if err != nil {
			return nil, err
		}
		found[cp.Stream] = cp
	}
	return found, nil
}

// decode reads a file. One that cannot be read is its stream's own damage, unless its name does not say of which stream it is.
func (f *Files) decode(name string, data []byte) (pipeline.Checkpoint, error) {
	path := filepath.Join(f.dir, name)
	cp, err := Decode(data, f.appKey, path)
	if err == nil && fileName(f.appKey, cp.Stream) != name {
		err = decodeFault("the checkpoint", path, "give the file back its name, or remove it",
			damaged("it is that of %s, whose file is %s", cp.Stream, fileName(f.appKey, cp.Stream)))
	}
	if err == nil {
		return cp, nil
	}
	s, known := streamOfFile(f.appKey, name)
	if !known {
		return cp, err
	}
	return unreadable(f.appKey, f.Replay, s, path, err), nil
}

// Stage returns the ledger records and notices; see [pipeline.Checkpoints].
func (*Files) Stage(c *pipeline.Commit) ([]pipeline.Record, error) { return stageLedger(c) }

// Save replaces the files of the streams whose positions changed, and removes those that are forgotten. When it returns nil, all of
// it is durable. An error leaves, for each stream, the old checkpoint or the new one; what is published behind the old one is
// published again. One of class [pipeline.Fenced] leaves all of the old ones: another has taken the writer's place.
//
// While the disk is full, Save waits for room: to go on without the position would publish more and more that has to be
// published again, and so would a session that begins anew from the old one. Every try writes a new file, whole, so what a
// failed sync has lost is written again. Any other error is [pipeline.Permanent]: after a failed sync nobody knows what the
// disk holds, and only the operator can find out why.
func (f *Files) Save(ctx context.Context, c *pipeline.Commit) error {
	if len(c.Positions)+len(c.Deleted) == 0 && c.Pause == nil {
		return nil
	}
	op := "save checkpoints in " + f.dir
	return f.exclusively(ctx, op, func() error {
		if err := f.stillWriter(op); err != nil {
			return err
		}
		for _, cp := range c.Positions {
			if err := f.save(cp); err != nil {
				return diskFault("save the checkpoint of "+cp.Stream.String()+" in "+f.dir, err)
			}
		}
		for _, s := range c.Deleted {
			if err := f.disk.remove(fileName(f.appKey, s)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return diskFault("remove the checkpoint of "+s.String()+" in "+f.dir, err)
			}
		}
		if c.Pause != nil {
			if err := f.savePause(c.Pause); err != nil {
				return diskFault("save what is paused in "+f.dir, err)
			}
		}
		return diskFault(op, f.disk.sync())
	})
}

// stillWriter refuses to write if another has taken the writer's place.
func (f *Files) stillWriter(op string) error {
	token, err := f.disk.read(appPrefix(f.appKey) + writerFile)
	switch {
	case err != nil:
		return diskFault(op, err)
	case string(token) != f.token:
		return &pipeline.Fault{
			Class: pipeline.Fenced, Op: op, Err: errors.New("another process has taken the writer's place"),
			Hint: "see which processes keep the checkpoints of the app " + f.appKey + " there",
		}
	}
	return nil
}

func (f *Files) save(cp *pipeline.Checkpoint) error {
	content, err := Encode(cp)
	if err != nil {
		return err
	}
	return f.disk.replace(fileName(f.appKey, cp.Stream), append(content, '\n'))
}

// Announce makes a claim the newest one; see [pipeline.Claims].
func (f *Files) Announce(ctx context.Context, c pipeline.Claim) error {
	return f.announce(ctx, "announce the command in "+f.dir, claimFile, c)
}

// Own makes a run the owner; see [pipeline.Owners].
func (f *Files) Own(ctx context.Context, run pipeline.Claim) error {
	return f.announce(ctx, "announce this run in "+f.dir, ownerFile, run)
}

func (f *Files) announce(ctx context.Context, op, file string, c pipeline.Claim) error {
	value, err := encodeClaim(c)
	if err != nil {
		return err
	}
	return f.exclusively(ctx, op, func() error { return f.put(op, file, value) })
}

// put gives one of the app's own files new content, for good.
func (f *Files) put(op, file string, content []byte) error {
	err := f.disk.replace(appPrefix(f.appKey)+file, content)
	if err == nil {
		err = f.disk.sync()
	}
	return diskFault(op, err)
}

// Newest is the newest claim; see [pipeline.Claims].
func (f *Files) Newest(context.Context) (pipeline.Claim, error) { return f.newest(claimFile) }

// Owner is the run that became the owner last; see [pipeline.Owners].
func (f *Files) Owner(context.Context) (pipeline.Claim, error) { return f.newest(ownerFile) }

func (f *Files) newest(file string) (pipeline.Claim, error) {
	value, err := f.disk.read(appPrefix(f.appKey) + file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return pipeline.Claim{}, nil
	case err != nil:
		return pipeline.Claim{}, diskFault("read "+file+" in "+f.dir, err)
	}
	claim, _ := decodeClaim(value)
	return claim, nil
}

// diskFault says what an error of the file system asks for; nil is none.
func diskFault(op string, err error) error {
	if err == nil {
		return nil
	}
	fault := &pipeline.Fault{Class: pipeline.Permanent, Op: op, Err: err}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		fault.Class, fault.Hint = pipeline.Transient, "make room there; nothing is published until then"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		fault.Class, fault.Hint = pipeline.Transient, "raise the limit of open files"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		fault.Hint = "name a folder in JMPUB_CHECKPOINT that this user may write"
	case errors.Is(err, regular.ErrIrregular):
		fault.Hint = "jmpub makes no such file: see who else writes to the folder, and remove it"
	default:
		fault.Hint = "see whether the disk is sound, and which checkpoints are there: what is published behind them comes again"
	}
	return fault
}
