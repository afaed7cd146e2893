package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// Window shows a window of the ledger; the first one comes below the heading that WindowHeading shows.
func (p *Printer) Window(l *pipeline.Ledger) error {
	return show(p, []*pipeline.Ledger{l}, func(w io.Writer) {
		fmt.Fprintf(w, "%-*s  %s  %s  %6d  %9d  %7d  %8d  %4d  %5d  %6s\n", streamWidth, l.Stream, p.short(l.Begin), p.short(l.End),
			l.Rows, l.Published, l.Skipped, l.Rejected, l.Requests, l.Restarts, l.Duration.Round(time.Millisecond))
		for _, line := range lines(append(offsets(l.Offsets), marks(l)...)) {
			fmt.Fprintf(w, "  %s\n", line)
		}
	})
}

// streamWidth is room for most names of streams: windows are shown as they come, so that nobody knows the longest.
const streamWidth = 16

// WindowHeading shows what the columns of windows are.
func (p *Printer) WindowHeading() error {
	if p.JSON {
		return nil
	}
	_, err := fmt.Fprintf(p.Out, "%-*s  %-14s  %-14s  %6s  %9s  %7s  %8s  %4s  %5s  %6s\n", streamWidth, "STREAM", "BEGIN", "END", "ROWS",
		"PUBLISHED", "SKIPPED", "REJECTED", "REQ.", "AGAIN", "TOOK")
	return err
}

// lines puts words into lines that are no longer than a terminal is wide.
func lines(words []string) []string {
	const width = 96
	var all []string
	for _, word := range words {
		if last := len(all) - 1; last >= 0 && len(all[last])+1+len(word) <= width {
			all[last] += " " + word
		} else {
			all = append(all, word)
		}
	}
	return all
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
	if l.Backlog {
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
func (p *Printer) Sums(sums *audit.Sums) error {
	list := sums.All()
	return show(p, list, func(w io.Writer) {
		fmt.Fprintln(w, "STREAM\tBEGIN\tWINDOWS\tROWS\tPUBLISHED\tSKIPPED\tREJECTED\tLATE\tREPLAYED\tREQ.\tAGAIN\tCOMPLETE")
		line := func(name, begin, complete string, s *audit.Sum) {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", name, begin, s.Windows, s.Rows,
				s.Published, s.Skipped, s.Rejected, s.Late, s.Replayed, s.Requests, s.Restarts, complete)
		}
		for _, sum := range list {
			complete := "no"
			if sum.Complete {
				complete = "yes"
			}
			line(sum.Stream, p.short(sum.Begin)[:len("01-02 15:04")], complete, sum)
		}
		if len(list) > 1 {
			total := sums.Total()
			line("all", "", "", &total)
		}
	})
}

// Holes shows the time in which nothing was read.
func (p *Printer) Holes(holes []audit.Hole) error {
	return show(p, holes, func(w io.Writer) {
		for _, hole := range holes {
			fmt.Fprintf(w, "nothing was read of %s from %s to %s\n", hole.Stream, p.local(hole.Begin), p.local(hole.End))
		}
	})
}
