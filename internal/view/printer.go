// Package view shows results: as JSON for programs, or as text for people. A [Printer] is where that is decided.
package view

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Printer shows results.
type Printer struct {
	Out io.Writer
	// JSON prints objects instead of text.
	JSON bool
	// Zone is that of the times in the text.
	Zone *time.Location
}

// show prints results, each as a JSON object on a line, or all of them as a text.
func show[T any](p *Printer, results []T, text func(io.Writer) error) error {
	if !p.JSON {
		return text(p.Out)
	}
	lines := json.NewEncoder(p.Out)
	for i := range results {
		if err := lines.Encode(&results[i]); err != nil {
			return err
		}
	}
	return nil
}

// Document prints one result as an indented JSON document, or as a text.
func (p *Printer) Document(result any, text func(io.Writer) error) error {
	if !p.JSON {
		return text(p.Out)
	}
	out := json.NewEncoder(p.Out)
	out.SetIndent("", "  ")
	return out.Encode(result)
}

// newTable aligns columns that are parted by tabs.
func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

func (p *Printer) local(t time.Time) string { return t.In(p.Zone).Format(time.DateTime) }

// short leaves the year out.
func (p *Printer) short(t time.Time) string { return p.local(t)[len("2006-"):] }

// counted is a number with its noun.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
