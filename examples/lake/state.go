package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// state is everything that must survive a restart, in one file that is replaced atomically. To replace it is to commit:
// the files that it names count, and all others are leftovers of an attempt that did not come that far.
type state struct {
	// Commit numbers the commits; the names of new files begin with it.
	Commit int `json:"commit"`
	// Offsets is where reading goes on. Whatever stands before is in a staged file or in the lake.
	Offsets offsets `json:"offsets"`
	// Covered and Need are what was read of jmessage.coverage: which time is settled, and up to where its events stand.
	Covered coverage `json:"covered"`
	Need    offsets  `json:"need"`
	// Complete is the time whose hours are in the lake. A row of such an hour that comes now is late.
	Complete coverage `json:"complete"`
	// Staged files hold the rows of hours that are not complete.
	Staged []stagedFile `json:"staged"`
	// Install are files that belong into the lake and may not have been moved there yet.
	Install []move `json:"install"`
}

type stagedFile struct {
	hour

	Name string `json:"name"`
	Rows int    `json:"rows"`
}

// move takes a file from the staging folder to its place, both relative to the lake's root.
type move struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// The names in the lake's root begin with an underscore, which query engines take for "not data".
const (
	stateName  = "_state.json"
	lockName   = "_state.lock"
	stagingDir = "_staging"
)

// disk is the lake's folder.
type disk struct {
	root string
	// step, where set, is called before each change on disk and may refuse it: tests end the program there.
	step func(what string) error
}

func (d *disk) path(name string) string { return filepath.Join(d.root, filepath.FromSlash(name)) }

func (d *disk) before(what string) error {
	if d.step == nil {
		return nil
	}
	return d.step(what)
}

// open makes the folders, reads the state and finishes what the last commit left to do.
func (d *disk) open() (*state, error) {
	if err := os.MkdirAll(d.path(stagingDir), 0o750); err != nil {
		return nil, fmt.Errorf("make the lake's folder: %w", err)
	}
	s := &state{Offsets: offsets{}, Covered: coverage{}, Need: offsets{}}
	text, err := os.ReadFile(d.path(stateName))
	switch {
	case errors.Is(err, fs.ErrNotExist): // A new lake.
	case err != nil:
		return nil, fmt.Errorf("read the lake's state: %w", err)
	default:
		if err := json.Unmarshal(text, s); err != nil {
			return nil, fmt.Errorf("read the lake's state %s: %w (restore the file, or begin anew with an empty folder)",
				d.path(stateName), err)
		}
	}
	return s, d.finish(s)
}

// save commits. After an error it is unknown which state stands in the file, so the program ends and reads it again.
func (d *disk) save(s *state) error {
	s.Commit++
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return fmt.Errorf("write the lake's state: %w", err)
	}
	if err = d.before("write state"); err != nil {
		return err
	}
	if err = syncDir(d.path(stagingDir)); err != nil { // What the state names must be there whenever the state is.
		return err
	}
	temporary := d.path(stateName + ".tmp")
	err = d.write(temporary, func(f *os.File) error {
		_, writeErr := f.Write(text)
		return writeErr
	})
	if err != nil {
		return err
	}
	if err = d.before("commit"); err != nil {
		return err
	}
	if err = os.Rename(temporary, d.path(stateName)); err != nil {
		return fmt.Errorf("replace the lake's state: %w", err)
	}
	if err = syncDir(d.root); err != nil {
		return err
	}
	return d.finish(s)
}

// finish moves the files that the state wants in the lake, then removes what is staged and no longer needed. It may be
// cut off at any point and is done again at the next start.
func (d *disk) finish(s *state) error {
	for _, m := range s.Install {
		if err := d.before("install " + m.To); err != nil {
			return err
		}
		if err := d.install(m); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(d.path(stagingDir))
	if err != nil {
		return fmt.Errorf("list staged files: %w", err)
	}
	for _, entry := range entries {
		if slices.ContainsFunc(s.Staged, func(f stagedFile) bool { return f.Name == entry.Name() }) {
			continue
		}
		if err := d.before("remove " + entry.Name()); err != nil {
			return err
		}
		if err := os.Remove(filepath.Join(d.path(stagingDir), entry.Name())); err != nil {
			return fmt.Errorf("remove a staged file: %w", err)
		}
	}
	return nil
}

// install moves a file into the lake, unless that has been done.
func (d *disk) install(m move) error {
	from, to := d.path(m.From), d.path(m.To)
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		return fmt.Errorf("make a folder of the lake: %w", err)
	}
	err := os.Rename(from, to)
	if errors.Is(err, fs.ErrNotExist) {
		if _, there := os.Stat(to); there == nil {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("move a file into the lake: %w", err)
	}
	for dir := filepath.Dir(to); len(dir) >= len(d.root); dir = filepath.Dir(dir) {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// write makes a file that is on disk when write returns.
func (*disk) write(path string, content func(*os.File) error) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640) //nolint:gosec // The group may read the lake.
	if err != nil {
		return fmt.Errorf("make a file: %w", err)
	}
	defer func() {
		if closeErr := f.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("close %s: %w", path, closeErr)
		}
	}()
	if err := content(f); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %s to disk: %w", path, err)
	}
	return nil
}

// syncDir makes renames in a folder last.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open a folder: %w", err)
	}
	defer dir.Close() //nolint:errcheck // It was only read.
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("write the folder %s to disk: %w", path, err)
	}
	return nil
}
