package operate

import (
	"context"
	"time"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
	"github.com/jmpub/jmpub/source"
)

// Cost is what reading a range would take. Rows are the API's totals; the rest follows from them.
type Cost struct {
	From     time.Time    `json:"from"`
	To       time.Time    `json:"to"`
	Rows     int64        `json:"rows"`
	Windows  int64        `json:"windows"`
	Requests int64        `json:"requests"`
	Seconds  float64      `json:"seconds"`
	Streams  []StreamCost `json:"streams"`
	// Asked is how many requests the estimate itself took.
	Asked int64 `json:"requests_for_this_estimate"`
	// Rate is the limit that the API is read with.
	Rate source.Rate `json:"-"`
}

// StreamCost is the part of one stream.
type StreamCost struct {
	Stream   string `json:"stream"`
	Rows     int64  `json:"rows"`
	Requests int64  `json:"requests"`
}

// Took is the expected time.
func (c *Cost) Took() time.Duration {
	return time.Duration(c.Seconds * float64(time.Second)).Round(time.Second)
}

// estimate foretells what reading a range takes. It asks for the totals, a request for each week and stream.
func estimate(
	ctx context.Context, cfg *settings.Config, totals audit.Totals, streams []pipeline.Stream, w pipeline.Window,
) (*Cost, error) {
	c := &Cost{From: w.Begin, To: w.End, Rate: cfg.Source.Rate}
	page := int64(cfg.Source.PageSize)
	const pages = 10 // A window has about so many.
	started := time.Now()
	for _, s := range streams {
		one := StreamCost{Stream: s.String()}
		weeks := int64(0)
		for begin := w.Begin; begin.Before(w.End); begin = begin.Add(pipeline.LongestWindow) {
			end := begin.Add(pipeline.LongestWindow - time.Second) // Bounds are inclusive.
			if !end.Before(w.End) {
				end = w.End
			}
			total, err := totals.Total(ctx, s, pipeline.Window{Begin: begin, End: end})
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
	byRate := c.Rate.Per.Seconds() / float64(c.Rate.Requests)
	byReply := time.Since(started).Seconds() / float64(max(1, c.Asked)) / float64(cfg.Parallel)
	c.Seconds = float64(c.Requests) * max(byRate, byReply)
	return c, nil
}
