package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// shownSum is what was published of an hour or a day. A window counts where it ends.
type shownSum struct {
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

// add takes in a window. What a replay published is counted apart; it is none of the stream's rows.
func (s *shownSum) add(l *pipeline.Ledger) {
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

// sums prints what was published, by hour or day, and all together.
func (v *ledgerView) sums(records []pipeline.Ledger, every time.Duration) error {
	type key struct {
		stream string
		begin  time.Time
	}
	all := make(map[key]*shownSum)
	var total shownSum
	for i := range records {
		l := &records[i]
		k := key{l.Stream.String(), v.slot(l.End, every)}
		sum := all[k]
		if sum == nil {
			sum = &shownSum{Stream: k.stream, Begin: k.begin}
			all[k] = sum
		}
		sum.add(l)
		total.add(l)
	}
	list := make([]*shownSum, 0, len(all))
	for _, sum := range all {
		list = append(list, sum)
	}
	slices.SortFunc(list, func(a, b *shownSum) int { return cmp.Or(strings.Compare(a.Stream, b.Stream), a.Begin.Compare(b.Begin)) })
	out := json.NewEncoder(v.out)
	table := tabwriter.NewWriter(v.out, 0, 0, 2, ' ', 0)
	if !v.asJSON {
		fmt.Fprintln(table, "STREAM\tBEGIN\tWINDOWS\tROWS\tPUBLISHED\tSKIPPED\tREJECTED\tLATE\tREPLAYED\tREQ.\tAGAIN")
	}
	line := func(name, begin string, s *shownSum) {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", name, begin, s.Windows, s.Rows,
			s.Published, s.Skipped, s.Rejected, s.Late, s.Replayed, s.Requests, s.Restarts)
	}
	for _, sum := range list {
		if v.asJSON {
			if err := out.Encode(sum); err != nil {
				return err
			}
			continue
		}
		line(sum.Stream, v.short(sum.Begin)[:len("01-02 15:04")], sum)
	}
	if !v.asJSON && len(list) > 1 {
		line("all", "", &total)
	}
	return table.Flush()
}

// slot is the begin of the hour or day of the app's time zone in which a window ends.
func (v *ledgerView) slot(end time.Time, every time.Duration) time.Time {
	local := end.Add(-time.Nanosecond).In(v.zone)
	_, offset := local.Zone()
	shift := time.Duration(offset) * time.Second
	return local.Add(shift).UTC().Truncate(every).Add(-shift)
}
