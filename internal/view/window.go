package view

import (
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/pipeline"
)

// Windows shows each window.
func (p *Printer) Windows(records []pipeline.Ledger) error {
	return show(p, records, func(w io.Writer) error {
		widest := len("STREAM")
		for i := range records {
			widest = max(widest, len(records[i].Stream.String()))
		}
		fmt.Fprintf(w, "%-*s  %-14s  %-14s  %6s  %9s  %7s  %8s  %4s  %5s  %6s\n", widest, "STREAM", "BEGIN", "END", "ROWS", "PUBLISHED",
			"SKIPPED", "REJECTED", "REQ.", "AGAIN", "TOOK")
		for i := range records {
			l := &records[i]
			fmt.Fprintf(w, "%-*s  %s  %s  %6d  %9d  %7d  %8d  %4d  %5d  %6s\n", widest, l.Stream, p.short(l.Begin), p.short(l.End),
				l.Rows, l.Published, l.Skipped, l.Rejected, l.Requests, l.Restarts, l.Duration.Round(time.Millisecond))
			for line := range lines(append(offsets(l.Offsets), marks(l)...)) {
				if _, err := fmt.Fprintf(w, "  %s\n", line); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// lines puts words into lines that are no longer than a terminal is wide.
func lines(words []string) iter.Seq[string] {
	const width = 96
	return func(yield func(string) bool) {
		line := ""
		for _, word := range words {
			if line != "" && len(line)+1+len(word) > width {
				if !yield(line) {
					return
				}
				line = ""
			}
			line = strings.TrimPrefix(line+" "+word, " ")
		}
		if line != "" {
			yield(line)
		}
	}
}

// marks tells what is special about a window.
func marks(l *pipeline.Ledger) []string {
	var all []string
	if l.Replay != "" {
		all = append(all, "(replay "+l.Replay+")")
	}
	if l.Late {
		all = append(all, "(late rows)")
	}
	if !l.PastUntil.IsZero() {
		all = append(all, "(history behind the live position)")
	}
	if l.Mismatch {
		all = append(all, fmt.Sprintf("(mismatch: %d announced)", l.Total))
	}
	return all
}

// offsets shows where a window stands, short: single/0:5-9.
func offsets(ranges []pipeline.OffsetRange) []string {
	var all []string
	for _, r := range ranges {
		name := r.Topic[strings.LastIndexByte(r.Topic, '.')+1:]
		all = append(all, fmt.Sprintf("%s/%d:%d-%d", name, r.Partition, r.First, r.Last))
	}
	return all
}

// Sums shows what was published by hour or day, and all together.
func (p *Printer) Sums(list []*operate.Sum, total *operate.Sum) error {
	return show(p, list, func(w io.Writer) error {
		table := newTable(w)
		fmt.Fprintln(table, "STREAM\tBEGIN\tWINDOWS\tROWS\tPUBLISHED\tSKIPPED\tREJECTED\tLATE\tREPLAYED\tREQ.\tAGAIN")
		line := func(name, begin string, s *operate.Sum) {
			fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", name, begin, s.Windows, s.Rows,
				s.Published, s.Skipped, s.Rejected, s.Late, s.Replayed, s.Requests, s.Restarts)
		}
		for _, sum := range list {
			line(sum.Stream, p.short(sum.Begin)[:len("01-02 15:04")], sum)
		}
		if len(list) > 1 {
			line("all", "", total)
		}
		return table.Flush()
	})
}

// Holes shows the time in which nothing was read.
func (p *Printer) Holes(holes []operate.Hole) error {
	return show(p, holes, func(w io.Writer) error {
		for _, hole := range holes {
			_, err := fmt.Fprintf(w, "nothing was read of %s from %s to %s\n", hole.Stream, p.local(hole.Begin), p.local(hole.End))
			if err != nil {
				return err
			}
		}
		return nil
	})
}
