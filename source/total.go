package source

import (
	"context"

	"github.com/jmpub/jmpub/pipeline"
)

// Total is how many rows the API says a window holds: one request, for a single row. The window is at most
// [pipeline.LongestTotal] long and lies within the history.
func (c *Client) Total(ctx context.Context, s pipeline.Stream, w pipeline.Window) (int64, error) {
	page, err := c.ask(ctx, &request{stream: s, query: c.firstQuery(w, 1), op: "ask for the total of " + s.String() + " " + w.String()})
	if err != nil {
		return 0, err
	}
	return max(page.total, int64(len(page.rows))), nil
}
