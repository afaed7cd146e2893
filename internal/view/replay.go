package view

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/words"
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
		fmt.Fprintf(w, "\n%s to %s into %s:\nabout %s in %s, %s, at least %s at %s\n", p.moment(c.From), p.moment(c.To), topics,
			words.Rows(c.Rows), words.Windows(c.Windows), words.Requests(c.Requests), c.Took(), c.Rate)
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
		events := func(n int64) string { return words.Count(n, "event", "events") }
		fmt.Fprintf(w, "replay %s: %s\n%s and %s in %s\nthis run: %s in %s and %s, %s\n", r.Replay, state, events(r.Published),
			words.Count(r.Rejected, "rejected row", "rejected rows"), topics, events(r.ThisRun), words.Windows(r.Windows), words.Requests(r.Requests), took)
	})
}
