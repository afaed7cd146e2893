package checkpoint

import (
	"bytes"
	"io/fs"
	"maps"
	"slices"
)

// memDisk is a folder in memory that can fail at one operation, and lose what was not synced.
type memDisk struct {
	// files are what a process sees, durable what a power cut leaves; pending are the changes to the folder in between.
	files, durable map[string]*memFile
	pending        []func(files map[string]*memFile)
	// failAt is the operation that fails, counted from 1, with err; late ones have their effect nevertheless.
	failAt, done int
	err          error
	late         bool
}

// memFile is a file: its content, and as much of it as is on the disk.
type memFile struct {
	content, synced []byte
}

func newMemDisk() *memDisk {
	return &memDisk{files: make(map[string]*memFile), durable: make(map[string]*memFile)}
}

// step does an operation, unless it is the one that fails.
func (m *memDisk) step(do func()) error {
	m.done++
	if m.done != m.failAt {
		do()
		return nil
	}
	if m.late {
		do()
	}
	return m.err
}

// change alters the folder now, and on the disk when it is synced.
func (m *memDisk) change(do func(files map[string]*memFile)) {
	do(m.files)
	m.pending = append(m.pending, do)
}

func (m *memDisk) disk() disk {
	return disk{
		list: func() (names []string, err error) {
			err = m.step(func() { names = slices.Sorted(maps.Keys(m.files)) })
			return names, err
		},
		read: func(name string) (content []byte, err error) {
			if m.files[name] == nil {
				return nil, fs.ErrNotExist
			}
			err = m.step(func() { content = bytes.Clone(m.files[name].content) })
			return content, err
		},
		create: func(name string) (file, error) {
			f := &memFile{}
			err := m.step(func() { m.change(func(files map[string]*memFile) { files[name] = f }) })
			return &memHandle{m, f}, err
		},
		rename: func(from, to string) error {
			return m.step(func() {
				f := m.files[from]
				m.change(func(files map[string]*memFile) {
					delete(files, from)
					files[to] = f
				})
			})
		},
		remove: func(name string) error {
			if m.files[name] == nil {
				return fs.ErrNotExist
			}
			return m.step(func() { m.change(func(files map[string]*memFile) { delete(files, name) }) })
		},
		sync: func() error {
			return m.step(func() {
				for _, do := range m.pending {
					do(m.durable)
				}
				m.pending = nil
			})
		},
	}
}

// memHandle is an open file.
type memHandle struct {
	disk *memDisk
	file *memFile
}

func (h *memHandle) Write(b []byte) (int, error) {
	err := h.disk.step(func() { h.file.content = append(h.file.content, b...) })
	if err != nil {
		h.file.content = append(h.file.content, b[:len(b)/2]...)
		return len(b) / 2, err
	}
	return len(b), nil
}

func (h *memHandle) Sync() error {
	return h.disk.step(func() { h.file.synced = bytes.Clone(h.file.content) })
}

func (h *memHandle) Close() error { return h.disk.step(func() {}) }

// afterPowerCut are the disks that a power cut now may leave: any number of the changes to the folder that were not synced
// are done, in their order, and of each file there is what was synced, or all of it, or half.
func (m *memDisk) afterPowerCut() []*memDisk {
	contents := []func(*memFile) []byte{
		func(f *memFile) []byte { return f.synced },
		func(f *memFile) []byte { return longer(f.synced, f.content) },
		func(f *memFile) []byte { return longer(f.synced, f.content[:len(f.content)/2]) },
	}
	var left []*memDisk
	for n := range len(m.pending) + 1 {
		for _, content := range contents {
			cut := newMemDisk()
			files := maps.Clone(m.durable)
			for _, do := range m.pending[:n] {
				do(files)
			}
			for name, f := range files {
				kept := bytes.Clone(content(f))
				cut.durable[name] = &memFile{kept, kept}
			}
			cut.files = maps.Clone(cut.durable)
			left = append(left, cut)
		}
	}
	return left
}

func longer(a, b []byte) []byte {
	if len(a) >= len(b) {
		return a
	}
	return b
}
