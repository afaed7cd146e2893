package verify

import (
	"fmt"
	"iter"
	"strings"

	"github.com/jmpub/jmpub/pipeline/event"
)

// TruthRow is a row that the API held.
type TruthRow struct {
	// MsgID is the row's msgid if it has one that makes an event of it (HasMsgID). A row without one belongs into the
	// topic of rejected rows.
	MsgID    int64
	HasMsgID bool
	// Target is its target_type as received.
	Target string
	Row    []byte
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
	// Invalid records were found so by a check.
	Invalid int `json:"invalid,omitempty"`
	// Examples describes the first differences.
	Examples []string `json:"examples,omitempty"`
}

// OK tells that nothing differs.
func (r *Report) OK() bool {
	return r.Missing == 0 && r.Duplicated == 0 && r.Misrouted == 0 && r.Altered == 0 && r.Unknown == 0 && r.Invalid == 0
}

// String is the report in one line, and a line for each example.
func (r *Report) String() string {
	s := fmt.Sprintf("%d rows: missing %d, duplicated %d, misrouted %d, altered %d, unknown %d",
		r.Rows, r.Missing, r.Duplicated, r.Misrouted, r.Altered, r.Unknown)
	if r.Invalid > 0 {
		s += fmt.Sprintf(", invalid %d", r.Invalid)
	}
	if len(r.Examples) > 0 {
		s += "\n  " + strings.Join(r.Examples, "\n  ")
	}
	return s
}

func (r *Report) note(count *int, format string, args ...any) {
	*count++
	r.Examples = example(r.Examples, format, args...)
}

// Compare holds the truth against what was found: each row is expected once, or as often as the truth has it, where
// streams overlap. What was found is used up by it.
func Compare(truth iter.Seq[TruthRow], found *Found) Report {
	report := Report{Altered: found.Broken, Invalid: found.Invalid, Examples: found.Examples}
	for row := range truth {
		if !row.Optional {
			report.Rows++
		}
		if row.HasMsgID {
			report.event(&row, found)
		} else {
			report.rejected(&row, found)
		}
	}
	report.leftover(found)
	return report
}

func (r *Report) event(row *TruthRow, found *Found) {
	s, ok := found.events[row.MsgID]
	if !ok {
		r.absent(row, found)
		return
	}
	if s.due == 0 && s.allowed == 0 {
		if want := targetOf(row.Target); s.target != want || s.elsewhere {
			r.note(&r.Misrouted, "msgid %d is in %s, not only in %s", row.MsgID, s.target, want)
		}
		if s.otherwise || s.row != found.hash.row(row.Row) {
			r.note(&r.Altered, "msgid %d differs from its row %s", row.MsgID, shorten(row.Row))
		}
	}
	if s.expect(row); s.due > s.there {
		r.note(&r.Missing, "msgid %d is there %d times only", row.MsgID, s.there)
	}
	found.events[row.MsgID] = s
}

// absent notes a row that is in no event topic.
func (r *Report) absent(row *TruthRow, found *Found) {
	hash := found.hash.bytes(row.Row)
	switch c := found.rejected[hash]; {
	case c.there > 0:
		c.there--
		found.rejected[hash] = c
		r.note(&r.Misrouted, "msgid %d is in rejected, not in %s", row.MsgID, targetOf(row.Target))
	case !row.Optional:
		r.note(&r.Missing, "msgid %d is missing: %s", row.MsgID, shorten(row.Row))
	}
}

func (r *Report) rejected(row *TruthRow, found *Found) {
	hash := found.hash.bytes(row.Row)
	c := found.rejected[hash]
	if c.expect(row); c.due > c.there {
		r.note(&r.Missing, "the row %s is not in rejected", shorten(row.Row))
	}
	found.rejected[hash] = c
}

// leftover notes what the truth does not account for.
func (r *Report) leftover(found *Found) {
	for id, s := range found.events {
		switch expected := s.due + s.allowed; {
		case expected == 0:
			for range s.there {
				r.note(&r.Unknown, "msgid %d in %s belongs to no row", id, s.target)
			}
		case s.there > expected:
			r.note(&r.Duplicated, "msgid %d is there %d times, not %d", id, s.there, expected)
		}
	}
	for hash, c := range found.rejected {
		switch expected := c.due + c.allowed; {
		case expected == 0:
			for range c.there {
				r.note(&r.Unknown, "a rejected row belongs to no row: %s", found.texts[hash])
			}
		case c.there > expected:
			r.note(&r.Duplicated, "a rejected row is there %d times, not %d: %s", c.there, expected, found.texts[hash])
		}
	}
}

func targetOf(targetType string) event.Target {
	for t := range event.TargetOther {
		if t.String() == targetType {
			return t
		}
	}
	return event.TargetOther
}

// shorten quotes the beginning of a row.
func shorten(row []byte) string {
	const most = 80
	return fmt.Sprintf("%.*q", most, row)
}
