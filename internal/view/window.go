package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/words"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// Window shows a window of the ledger; the first one comes below the heading that WindowHeading shows.
func (p *Printer) Window(l *pipeline.Ledger) error {
	return show(p, []*pipeline.Ledger{l}, func(w io.Writer) {
		fmt.Fprintf(w, "%-*s  %s  %s  %7d  %9d\n", streamWidth, l.Stream, p.local(l.Begin), p.local(l.End), l.Rows, l.Published)
		took := fmt.Sprintf("(%s in %s)", words.Requests(l.Requests), l.Duration.Round(time.Millisecond))
		for _, line := range lines(append(append([]string{took}, marks(l)...), offsets(l.Offsets)...)) {
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
	_, err := fmt.Fprintf(p.Out, "%s\n%-*s  %-19s  %-19s  %7s  %9s\n", p.zone(), streamWidth, "STREAM", "BEGIN", "END", "ROWS", "PUBLISHED")
	return err
}

// lines puts texts into lines that are no longer than a terminal is wide.
func lines(texts []string) []string {
	const width = 76
	var all []string
	for _, text := range texts {
		if last := len(all) - 1; last >= 0 && len(all[last])+1+len(text) <= width {
			all[last] += " " + text
		} else {
			all = append(all, text)
		}
	}
	return all
}

// marks tells what is special about a window.
func marks(l *pipeline.Ledger) []string {
	var all []string
	if l.Skipped > 0 {
		all = append(all, fmt.Sprintf("(%d skipped)", l.Skipped))
	}
	if l.Rejected > 0 {
		all = append(all, fmt.Sprintf("(%d rejected)", l.Rejected))
	}
	if l.Restarts > 0 {
		all = append(all, "(read again "+words.Count(l.Restarts, "time", "times")+")")
	}
	if l.Replay != "" {
		all = append(all, "(replay "+foreign(l.Replay)+")")
	}
	if l.EarlyRows > 0 {
		all = append(all, fmt.Sprintf("(%d published early)", l.EarlyRows))
	}
	if l.Early {
		all = append(all, "(early: when first seen)")
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
		all = append(all, fmt.Sprintf("%s/%d:%d-%d", foreign(name), r.Partition, r.First, r.Last))
	}
	return all
}

// Sums shows what was published by hour or day, and all together.
func (p *Printer) Sums(sums *audit.Sums) error {
	list := sums.All()
	return show(p, list, func(w io.Writer) {
		fmt.Fprintln(w, p.zone())
		stream := ""
		for _, sum := range list {
			if sum.Stream != stream {
				stream = sum.Stream
				fmt.Fprintf(w, "%s\nBEGIN\tROWS\tPUBLISHED\tSKIPPED\tREJECTED\tLATE\tREPLAYED\tDONE\n", stream)
			}
			done := "no"
			if sum.Complete {
				done = "yes"
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", p.local(sum.Begin)[:len("2006-01-02 15:04")], sum.Rows, sum.Published,
				sum.Skipped, sum.Rejected, sum.Late, sum.Replayed, done)
		}
		total := sums.Total()
		fmt.Fprintf(w, "all: %s in %s, %d published;\n  %s, %s\n", words.Rows(total.Rows), words.Windows(total.Windows), total.Published,
			words.Requests(total.Requests), words.Count(total.Restarts, "window was read again", "windows were read again"))
	})
}

// Holes shows the time in which nothing was read.
func (p *Printer) Holes(holes []audit.Hole) error {
	return show(p, holes, func(w io.Writer) {
		for _, hole := range holes {
			fmt.Fprintf(w, "nothing was read of %s from\n  %s to %s\n", hole.Stream, p.moment(hole.Begin), p.moment(hole.End))
		}
	})
}
