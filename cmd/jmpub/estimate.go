package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// cost is what reading a range would take. Rows are the API's totals; the rest follows from them.
type cost struct {
	From     time.Time    `json:"from"`
	To       time.Time    `json:"to"`
	Rows     int64        `json:"rows"`
	Windows  int64        `json:"windows"`
	Requests int64        `json:"requests"`
	Seconds  float64      `json:"seconds"`
	Streams  []streamCost `json:"streams"`
	// Asked is how many requests the estimate itself took.
	Asked int64 `json:"requests_for_this_estimate"`
}

type streamCost struct {
	Stream   string `json:"stream"`
	Rows     int64  `json:"rows"`
	Requests int64  `json:"requests"`
}

// estimate asks for the totals of a range, a request for each week and stream.
func estimate(ctx context.Context, p *parts, w pipeline.Window) (*cost, error) {
	c := &cost{From: w.Begin, To: w.End}
	page := int64(p.cfg.source.PageSize)
	const pages = 10 // A window has about so many.
	started := time.Now()
	for _, s := range p.cfg.streams {
		one := streamCost{Stream: s.String()}
		weeks := int64(0)
		for begin := w.Begin; begin.Before(w.End); begin = begin.Add(pipeline.LongestWindow) {
			end := begin.Add(pipeline.LongestWindow - time.Second) // Bounds are inclusive.
			if !end.Before(w.End) {
				end = w.End
			}
			total, err := p.source.Total(ctx, s, pipeline.Window{Begin: begin, End: end})
			if err != nil {
				return nil, err
			}
			one.Rows += total
			c.Asked++
			weeks++
		}
		windows := max(weeks, one.Rows/(page*pages)+1)
		one.Requests = one.Rows/page + windows
		c.Rows += one.Rows
		c.Windows += windows
		c.Requests += one.Requests
		c.Streams = append(c.Streams, one)
	}
	// The rate is one limit; what the API takes for a reply, as this estimate saw it, is the other.
	rate := p.cfg.source.Rate
	byRate := rate.Per.Seconds() / float64(rate.Requests)
	byReply := time.Since(started).Seconds() / float64(max(1, c.Asked)) / float64(p.cfg.parallel)
	c.Seconds = float64(c.Requests) * max(byRate, byReply)
	return c, nil
}

// took is the expected time.
func (c *cost) took() time.Duration {
	return time.Duration(c.Seconds * float64(time.Second)).Round(time.Second)
}

func (c *cost) print(w io.Writer, cfg *config, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(c)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "rows\trequests\t  stream\t")
	for _, s := range c.Streams {
		fmt.Fprintf(table, "%d\t%d\t  %s\t\n", s.Rows, s.Requests, s.Stream)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s to %s into %s:\nabout %d rows in %d windows, %d requests, at least %s at %s\n",
		pipeline.FormatTime(c.From), pipeline.FormatTime(c.To), cfg.topics(), c.Rows, c.Windows, c.Requests, c.took(), cfg.source.Rate)
	return err
}
