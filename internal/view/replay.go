package view

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/pipeline"
)

// Cost shows what a replay would take; topics says where it goes.
func (p *Printer) Cost(c *operate.Cost, topics string) error {
	return show(p, []*operate.Cost{c}, func(w io.Writer) {
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(table, "rows\trequests\t  stream\t")
		for _, s := range c.Streams {
			fmt.Fprintf(table, "%d\t%d\t  %s\t\n", s.Rows, s.Requests, s.Stream)
		}
		_ = table.Flush() // As with any text.
		fmt.Fprintf(w, "\n%s to %s into %s:\nabout %d rows in %d windows, %d requests, at least %s at %s\n",
			pipeline.FormatTime(c.From), pipeline.FormatTime(c.To), topics, c.Rows, c.Windows, c.Requests, c.Took(), c.Rate)
	})
}

// ReplayResult shows how a replay ended; topics says where it went.
func (p *Printer) ReplayResult(r *operate.ReplayResult, topics string) error {
	return show(p, []*operate.ReplayResult{r}, func(w io.Writer) {
		state := "complete"
		if !r.Complete {
			state = "interrupted"
		}
		took := time.Duration(r.Seconds * float64(time.Second)).Round(10 * time.Millisecond)
		fmt.Fprintf(w, "replay %s: %s\n%d events and %d rejected rows in %s\nthis run: %d events in %d windows and %d requests, %s\n",
			r.Replay, state, r.Published, r.Rejected, topics, r.ThisRun, r.Windows, r.Requests, took)
	})
}
