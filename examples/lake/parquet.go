package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/parquet-go/parquet-go"
)

const (
	// rowGroup is the most rows of a row group: what a query engine reads at a time.
	rowGroup = 128 << 10
	// batch is how many rows are copied at a time.
	batch = 1024
)

// stage writes rows of an hour that is not complete.
func (d *disk) stage(name string, rows []Row) error {
	if err := d.before("stage " + name); err != nil {
		return err
	}
	return d.write(d.path(path.Join(stagingDir, name)), func(f *os.File) error {
		w := newWriter(f)
		if _, err := w.Write(rows); err != nil {
			return err
		}
		return w.Close()
	})
}

// compact makes one file of an hour's staged files, without rows that are in the known files, and returns how many rows it
// got and how many were left out. Only identities are held in memory.
func (d *disk) compact(staged []stagedFile, known []string, name string) (written, repeated int, err error) {
	if err = d.before("compact " + name); err != nil {
		return 0, 0, err
	}
	seen, err := identities(known)
	if err != nil {
		return 0, 0, err
	}
	err = d.write(d.path(path.Join(stagingDir, name)), func(f *os.File) error {
		w := newWriter(f)
		copied := func(rows []Row) error {
			fresh := slices.DeleteFunc(rows, func(row Row) bool {
				id := identity{row.MsgID, row.AppKey, row.Stream}
				_, again := seen[id]
				seen[id] = struct{}{}
				return again
			})
			written, repeated = written+len(fresh), repeated+len(rows)-len(fresh)
			_, writeErr := w.Write(fresh)
			return writeErr
		}
		for _, s := range staged {
			if readErr := readRows(d.path(path.Join(stagingDir, s.Name)), copied); readErr != nil {
				return readErr
			}
		}
		return w.Close()
	})
	return written, repeated, err
}

// identities are those of the rows in some files.
func identities(files []string) (map[identity]struct{}, error) {
	seen := make(map[identity]struct{})
	for _, file := range files {
		err := readRows(file, func(rows []identity) error {
			for _, id := range rows {
				seen[id] = struct{}{}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return seen, nil
}

// files lists the lake's files of an hour.
func (d *disk) files(h hour) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(d.path(h.folder()), "*.parquet"))
	if err != nil {
		return nil, fmt.Errorf("list the files of %s: %w", h.folder(), err)
	}
	return files, nil
}

func newWriter(w io.Writer) *parquet.GenericWriter[Row] {
	return parquet.NewGenericWriter[Row](w, parquet.Compression(&parquet.Zstd), parquet.MaxRowsPerRowGroup(rowGroup))
}

// readRows hands a file's rows over, some at a time; of the columns only those that T has are read.
func readRows[T any](name string, take func([]T) error) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read a file of the lake: %w", err)
	}
	defer f.Close() //nolint:errcheck // It was only read.
	r := parquet.NewGenericReader[T](f)
	defer r.Close() //nolint:errcheck // It was only read.
	rows := make([]T, batch)
	for {
		n, err := r.Read(rows)
		if n > 0 {
			if takeErr := take(rows[:n]); takeErr != nil {
				return takeErr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
}
