// Package view shows results: as JSON for programs, or as text for people. A [Printer] is where that is decided.
package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/jmpub/jmpub/internal/words"
)

// Printer shows results.
type Printer struct {
	Out io.Writer
	// JSON prints objects instead of text.
	JSON bool
	// Zone is that of all times in the text.
	Zone *time.Location
}

// show prints results, each as a JSON object on a line, or all of them as a text.
func show[T any](p *Printer, results []T, text func(io.Writer)) error {
	if !p.JSON {
		return p.text(text)
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
func (p *Printer) Document(result any, text func(io.Writer)) error {
	if !p.JSON {
		return p.text(text)
	}
	out := json.NewEncoder(p.Out)
	out.SetIndent("", "  ")
	return out.Encode(result)
}

// text prints a text at once. Lines that have tabs in them become tables.
func (p *Printer) text(text func(io.Writer)) error {
	var aligned bytes.Buffer
	table := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	text(table)
	_ = table.Flush() // A buffer takes everything.
	_, err := aligned.WriteTo(p.Out)
	return err
}

// foreign is a name as a record has it, which anybody may have written: in one line of bounded length.
func foreign(name string) string {
	const most = 128
	if len(name) > most {
		name = name[:most] + "…"
	}
	return words.Line(name)
}

// moment is a time within a sentence; it can be given to --from and --to as it stands.
func (p *Printer) moment(t time.Time) string { return t.In(p.Zone).Format(time.RFC3339) }

// local is a time within a table, whose zone stands above it.
func (p *Printer) local(t time.Time) string { return t.In(p.Zone).Format(time.DateTime) }

// zone says above a table which zone its times are of.
func (p *Printer) zone() string {
	return fmt.Sprintf("Times are those of %s (UTC%s).", p.Zone, time.Now().In(p.Zone).Format("-07:00"))
}
