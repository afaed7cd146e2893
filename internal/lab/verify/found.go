package verify

import (
	"fmt"

	"github.com/jmpub/jmpub/pipeline/event"
)

// Found is what a read_committed reader sees, reduced to what is compared.
type Found struct {
	// Records counts all of them, Broken those whose headers, key and value contradict each other.
	Records, Broken int
	// Checked counts the records of jmpub's other topics, which are read for the checks alone; Invalid counts those of any
	// topic in which a check found something.
	Checked, Invalid int
	// Examples describes the first broken and invalid ones.
	Examples []string

	// events has an entry for each msgid, about 40 bytes.
	events map[int64]sighting
	// rejected counts rejected rows by the hash of their bytes.
	rejected map[uint64]counts
	// texts shows rejected rows, for examples.
	texts map[uint64]string
	hash  hasher
}

// counts are how often something is there, has to be there, and may be there besides; Compare fills in the latter two.
type counts struct{ there, due, allowed uint32 }

func (c *counts) expect(row *TruthRow) {
	if row.Optional {
		c.allowed++
	} else {
		c.due++
	}
}

// sighting is what is known of the records of one msgid.
type sighting struct {
	// row is the hash of the row that the first of them was made of.
	row uint64
	counts
	target event.Target
	// elsewhere and otherwise tell that another of them is in another topic, or was made of another row.
	elsewhere, otherwise bool
}

const (
	maxExamples = 10
	maxTexts    = 10_000
)

func newFound() *Found {
	return &Found{events: make(map[int64]sighting), rejected: make(map[uint64]counts), texts: make(map[uint64]string), hash: newHasher()}
}

// take adds a record.
func (f *Found) take(w witnessed) {
	if w.invalid != nil {
		f.Invalid++
		f.Examples = example(f.Examples, "%v", w.invalid)
	}
	if w.own {
		f.Checked++
		return
	}
	f.Records++
	if w.broken != "" {
		f.Broken++
		f.Examples = example(f.Examples, "%s", w.broken)
	}
	switch {
	case w.lost:
		return
	case w.rejected:
		c := f.rejected[w.row]
		c.there++
		f.rejected[w.row] = c
		if f.texts[w.row] = w.text; len(f.texts) > maxTexts {
			delete(f.texts, w.row)
		}
		return
	}
	s := f.events[w.id]
	if s.there == 0 {
		s.row, s.target = w.row, w.target
	}
	s.elsewhere = s.elsewhere || s.target != w.target
	s.otherwise = s.otherwise || s.row != w.row
	s.there++
	f.events[w.id] = s
}

func example(all []string, format string, args ...any) []string {
	if len(all) >= maxExamples {
		return all
	}
	return append(all, fmt.Sprintf(format, args...))
}
