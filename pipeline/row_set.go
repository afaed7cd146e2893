package pipeline

import (
	"hash/fnv"
	"iter"
	"maps"
	"slices"

	"github.com/jmpub/jmpub/pipeline/event"
)

// RowKey is what a row is known by: a published one by its msgid, and each by a hash of its content.
type RowKey struct {
	// Value is the msgid, or the hash where IsHash is set.
	Value  int64
	IsHash bool
}

// eventKey is what an event is known by.
func eventKey(e *event.Event) RowKey { return RowKey{Value: e.MsgID} }

// contentKey is what the content of an event is known by, which tells its row from another one with the same msgid.
func contentKey(e *event.Event) RowKey { return RowKey{contentHash(e.Value), true} }

// rejectedKey is what a rejected row is known by: its msgid may be another row's.
func rejectedKey(r *event.Rejection) RowKey { return RowKey{contentHash(r.Row), true} }

func contentHash(content []byte) int64 {
	h := fnv.New64a()
	h.Write(content)
	return int64(h.Sum64()) //nolint:gosec // A hash is a bit pattern; the sign carries no meaning.
}

// RowSet are rows by what they are known by. The zero value is empty and ready.
type RowSet struct{ keys map[RowKey]struct{} }

// NewRowSet makes a set of msgids and hashes.
func NewRowSet(ids, hashes []int64) RowSet {
	set := RowSet{make(map[RowKey]struct{}, len(ids)+len(hashes))}
	set.addAll(ids, hashes)
	return set
}

func (s *RowSet) addAll(ids, hashes []int64) {
	for _, id := range ids {
		s.AddID(id)
	}
	for _, hash := range hashes {
		s.Add(RowKey{hash, true})
	}
}

// Add takes in a row.
func (s *RowSet) Add(key RowKey) {
	if s.keys == nil {
		s.keys = make(map[RowKey]struct{})
	}
	s.keys[key] = struct{}{}
}

// AddID takes in a row by its msgid.
func (s *RowSet) AddID(id int64) { s.Add(RowKey{Value: id}) }

// AddRejected takes in a rejected row, as it stands in its topic.
func (s *RowSet) AddRejected(row []byte) { s.Add(RowKey{contentHash(row), true}) }

// Has tells whether a row is in the set.
func (s *RowSet) Has(key RowKey) bool {
	_, has := s.keys[key]
	return has
}

// HasID tells whether the row with a msgid is in the set.
func (s *RowSet) HasID(id int64) bool { return s.Has(RowKey{Value: id}) }

// HasRejected tells whether a rejected row is in the set.
func (s *RowSet) HasRejected(row []byte) bool { return s.Has(RowKey{contentHash(row), true}) }

// Len is how many rows there are.
func (s *RowSet) Len() int { return len(s.keys) }

// All are the rows, in no order.
func (s *RowSet) All() iter.Seq[RowKey] { return maps.Keys(s.keys) }

// Sorted lists msgids and hashes, each in ascending order, as checkpoints have them.
func (s *RowSet) Sorted() (ids, hashes []int64) { return sortedKeys(s.keys) }

// IDs are the msgids, in ascending order.
func (s *RowSet) IDs() []int64 {
	ids, _ := s.Sorted()
	return ids
}

func sortedKeys[V any](keys map[RowKey]V) (ids, hashes []int64) {
	n := 0 // Of the hashes.
	for key := range keys {
		if key.IsHash {
			n++
		}
	}
	ids, hashes = slices.Grow(ids, len(keys)-n), slices.Grow(hashes, n)
	for key := range keys {
		if key.IsHash {
			hashes = append(hashes, key.Value)
		} else {
			ids = append(ids, key.Value)
		}
	}
	slices.Sort(ids)
	slices.Sort(hashes)
	return ids, hashes
}
