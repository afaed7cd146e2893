// Package compact has a table for windows of millions of rows, which takes about half of what a map does.
package compact

import "iter"

// Table maps numbers, such as ids and hashes, to values. A number takes 12 bytes in the mean and at most 15, and a value as much more in
// proportion; next to nothing while it is empty. The zero value is empty and ready. Not safe for concurrent use.
type Table[V any] struct {
	// parts grow one at a time, so that no more than a part of the table is there twice.
	parts *[partCount]part[V]
	n     int
	// room is the size that parts begin with.
	room int
}

const (
	partCount = 16
	partShift = 60
)

// part is a hash table with linear probing. A key of 0 stands for an empty place, and the key 0 has a place of its own.
type part[V any] struct {
	keys   []uint64
	values []V
	n      int
	// zero is the value of the key 0, where hasZero is set.
	zero    V
	hasZero bool
}

// Expect makes room for so many keys, which the first of them takes; fewer or more of them may come.
func (t *Table[V]) Expect(keys int) { t.room = keys / partCount * 3 / 2 }

// Emptied is an empty table in the memory of this one, which is not used any more.
func (t Table[V]) Emptied() Table[V] {
	if t.parts == nil {
		return Table[V]{}
	}
	for i := range t.parts {
		p := &t.parts[i]
		clear(p.keys)
		clear(p.values)
		*p = part[V]{keys: p.keys, values: p.values}
	}
	return Table[V]{parts: t.parts}
}

// Cap is for how many keys it has memory.
func (t Table[V]) Cap() int {
	if t.parts == nil {
		return 0
	}
	n := 0
	for i := range t.parts {
		n += len(t.parts[i].keys)
	}
	return n
}

// Len is how many keys there are.
func (t *Table[V]) Len() int { return t.n }

// Keys are the keys, in no order.
func (t *Table[V]) Keys() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		if t.parts == nil {
			return
		}
		for i := range t.parts {
			p := &t.parts[i]
			if p.hasZero && !yield(0) {
				return
			}
			for _, key := range p.keys {
				if key != 0 && !yield(key) {
					return
				}
			}
		}
	}
}

// Get gives the value of a key, if it is there.
func (t *Table[V]) Get(key uint64) (value V, ok bool) {
	if t.parts == nil {
		return value, false
	}
	h := mix(key)
	p := &t.parts[h>>partShift]
	if key == 0 {
		return p.zero, p.hasZero
	}
	if i, ok := p.place(key, h); ok {
		return p.values[i], true
	}
	return value, false
}

// Add puts a key in with its value, and tells whether it was not there; if it was, nothing changes.
func (t *Table[V]) Add(key uint64, value V) bool {
	if t.parts == nil {
		t.parts = new([partCount]part[V])
	}
	h := mix(key)
	if !t.parts[h>>partShift].add(key, h, value, t.room) {
		return false
	}
	t.n++
	return true
}

func (p *part[V]) add(key, h uint64, value V, room int) bool {
	if key == 0 {
		if p.hasZero {
			return false
		}
		p.zero, p.hasZero = value, true
		return true
	}
	i, ok := p.place(key, h)
	if ok {
		return false
	}
	if (p.n+1)*5 > len(p.keys)*4 {
		p.grow(room)
		i, _ = p.place(key, h)
	}
	p.keys[i], p.values[i] = key, value
	p.n++
	return true
}

// place is where a key stands, or would stand.
func (p *part[V]) place(key, h uint64) (i int, ok bool) {
	size := uint64(len(p.keys))
	if size == 0 {
		return 0, false
	}
	for at := (h & 0xffffffff) * size >> 32; ; at++ {
		if at == size {
			at = 0
		}
		if found := p.keys[at]; found == key || found == 0 {
			return int(at), found == key
		}
	}
}

func (p *part[V]) grow(least int) {
	size := max(8, least, len(p.keys)*3/2)
	keys, values := p.keys, p.values
	p.keys, p.values = make([]uint64, size), make([]V, size)
	for i, key := range keys {
		if key != 0 {
			at, _ := p.place(key, mix(key))
			p.keys[at], p.values[at] = key, values[i]
		}
	}
}

// mix scatters a key over 64 bits (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
