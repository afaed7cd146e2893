package source

import (
	"context"

	"github.com/jmpub/jmpub/pipeline"
)

// Total is how many rows the API says a window holds: one request, for a single row. The window is at most
// 7 days less a second long and lies within the history.
func (c *Client) Total(ctx context.Context, s pipeline.Stream, w pipeline.Window) (int64, error) {
	r := c.probe(s, w, "ask for the total of "+s.String()+" "+w.String())
	if _, err := c.ask(ctx, r); err != nil {
		return 0, err
	}
	return max(r.page.total, int64(len(r.page.rows))), nil
}
