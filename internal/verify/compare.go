package verify

import (
	"fmt"
	"hash/maphash"
	"iter"
	"strings"

	"github.com/jmpub/jmpub/pipeline"
)

// TruthRow is a row that the API held.
type TruthRow struct {
	MsgID    int64
	HasMsgID bool
	Target   string
	Row      []byte
	// Optional rows may be missing: they are younger than what the pipeline had to have read.
	Optional bool
}

// Report is the result of a comparison; all counts but Rows should be zero.
type Report struct {
	// Rows is how many rows had to be there.
	Rows int `json:"rows"`
	// Missing rows are nowhere, Duplicated ones are there more than once.
	Missing    int `json:"missing"`
	Duplicated int `json:"duplicated"`
	// Misrouted rows stand in another topic than their target_type's.
	Misrouted int `json:"misrouted"`
	// Altered rows cannot be rebuilt from their event, or the event contradicts itself.
	Altered int `json:"altered"`
	// Unknown events belong to no row.
	Unknown int `json:"unknown"`
	// Examples describes the first differences.
	Examples []string `json:"examples,omitempty"`
}

// OK tells that nothing differs.
func (r *Report) OK() bool {
	return r.Missing == 0 && r.Duplicated == 0 && r.Misrouted == 0 && r.Altered == 0 && r.Unknown == 0
}

// String is the report in one line.
func (r *Report) String() string {
	s := fmt.Sprintf("%d rows: missing %d, duplicated %d, misrouted %d, altered %d, unknown %d",
		r.Rows, r.Missing, r.Duplicated, r.Misrouted, r.Altered, r.Unknown)
	if len(r.Examples) > 0 {
		s += "\n  " + strings.Join(r.Examples, "\n  ")
	}
	return s
}

func (r *Report) note(count *int, format string, args ...any) {
	*count++
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}

var seed = maphash.MakeSeed() //nolint:gochecknoglobals // Hashes are compared within one process only.

func hashOf(b []byte) uint64 { return maphash.Bytes(seed, b) }

// Compare holds the truth against what was found: each row is expected once.
// What was found is used up by it.
func Compare(truth iter.Seq[TruthRow], found *Found) Report {
	report := Report{Altered: found.Broken, Examples: found.Examples}
	for row := range truth {
		if !row.Optional {
			report.Rows++
		}
		if !row.HasMsgID {
			report.rejected(row, found)
			continue
		}
		report.event(row, found)
	}
	for id, left := range found.events {
		for range left {
			report.note(&report.Unknown, "msgid %d belongs to no row", id)
		}
	}
	for _, n := range found.rejected {
		for range n {
			report.note(&report.Unknown, "a rejected row belongs to no row")
		}
	}
	return report
}

func (r *Report) rejected(row TruthRow, found *Found) {
	hash := hashOf(row.Row)
	switch n := found.rejected[hash]; {
	case n == 0 && !row.Optional:
		r.note(&r.Missing, "the row %.80s is not in rejected", row.Row)
	case n > 1:
		r.note(&r.Duplicated, "the row %.80s is in rejected %d times", row.Row, n)
	}
	delete(found.rejected, hash)
}

func (r *Report) event(row TruthRow, found *Found) {
	seen := found.events[row.MsgID]
	delete(found.events, row.MsgID)
	if len(seen) == 0 {
		if !row.Optional {
			r.note(&r.Missing, "msgid %d is missing", row.MsgID)
		}
		return
	}
	if len(seen) > 1 {
		r.note(&r.Duplicated, "msgid %d is there %d times", row.MsgID, len(seen))
	}
	if want := targetOf(row.Target); seen[0].target != want {
		r.note(&r.Misrouted, "msgid %d is in %s, not in %s", row.MsgID, seen[0].target, want)
	}
	if seen[0].row != hashOf(pipeline.Canonical(row.Row)) {
		r.note(&r.Altered, "msgid %d differs from its row", row.MsgID)
	}
}

func targetOf(targetType string) pipeline.Target {
	for t := range pipeline.TargetOther {
		if t.String() == targetType {
			return t
		}
	}
	return pipeline.TargetOther
}
