package operate

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// Sum is what was published of an hour or a day. A window counts where it ends.
type Sum struct {
	Stream    string    `json:"stream"`
	Begin     time.Time `json:"begin_time"`
	Windows   int64     `json:"windows"`
	Rows      int64     `json:"rows"`
	Published int64     `json:"published"`
	Skipped   int64     `json:"skipped"`
	Rejected  int64     `json:"rejected"`
	Late      int64     `json:"late"`
	Replayed  int64     `json:"replayed"`
	Requests  int64     `json:"requests"`
	Restarts  int64     `json:"restarts"`
}

// addWindow takes in a window. What a replay published is counted apart; it is none of the stream's rows.
func (s *Sum) addWindow(l *pipeline.Ledger) {
	s.Windows++
	s.Requests += int64(l.Requests)
	s.Restarts += int64(l.Restarts)
	if l.Replay != "" {
		s.Replayed += l.Published
		return
	}
	s.Rows += l.Rows
	s.Published += l.Published
	s.Skipped += l.Skipped
	s.Rejected += l.Rejected
	if l.Late {
		s.Late += l.Published
	}
}

// Sums adds windows up by hour or day of a time zone, and all together.
func Sums(records []pipeline.Ledger, every time.Duration, zone *time.Location) (list []*Sum, total Sum) {
	type key struct {
		stream string
		begin  time.Time
	}
	all := make(map[key]*Sum)
	for i := range records {
		l := &records[i]
		k := key{l.Stream.String(), slotBegin(l.End, every, zone)}
		sum := all[k]
		if sum == nil {
			sum = &Sum{Stream: k.stream, Begin: k.begin}
			all[k] = sum
			list = append(list, sum)
		}
		sum.addWindow(l)
		total.addWindow(l)
	}
	slices.SortFunc(list, func(a, b *Sum) int { return cmp.Or(strings.Compare(a.Stream, b.Stream), a.Begin.Compare(b.Begin)) })
	return list, total
}

// slotBegin is the begin of the hour or day in which a window ends.
func slotBegin(end time.Time, every time.Duration, zone *time.Location) time.Time {
	local := end.Add(-time.Nanosecond).In(zone)
	_, offset := local.Zone()
	shift := time.Duration(offset) * time.Second
	return local.Add(shift).UTC().Truncate(every).Add(-shift)
}
