package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// Open asks for the window's first page; see [pipeline.Source].
func (c *Client) Open(ctx context.Context, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
	p := &pages{client: c, stream: s, window: w, seen: make(map[string]struct{})}
	r := c.firstPage(s, w, p.op(1))
	arrived, err := p.ask(ctx, r)
	if err != nil {
		return nil, err
	}
	page := r.page
	if c.planner.tooDense(w, page.total) {
		return nil, &pipeline.Fault{
			Class: pipeline.Restart, Op: r.op, Span: c.suggest(s, w, page.total),
			Err: fmt.Errorf("%w: %d", pipeline.ErrTooManyRows, page.total),
		}
	}
	if err := p.accept(page, arrived); err != nil {
		return nil, err
	}
	return p, nil
}

// pages are the replies of one window.
type pages struct {
	client   *Client
	stream   pipeline.Stream
	window   pipeline.Window
	requests int
	// ready is a page that came and was not given out yet.
	ready *pipeline.Page
	given int
	// rows is what came so far; total is what the last page that stated it said.
	rows, total int64
	// bytes is the size of the last page.
	bytes int
	// cursor leads to the next page until expires; empty after the last one.
	cursor  string
	expires time.Time
	seen    map[string]struct{}
}

var (
	errCursorTwice = errors.New("the same cursor came twice")
	errEndless     = errors.New("far more rows came than were announced")
	errUnsettled   = errors.New("by the API's clock the window had not settled when it was asked for")
)

func (p *pages) op(page int) string {
	return fmt.Sprintf("get page %d of %s %s", page, p.stream, p.window)
}

func (p *pages) restart(err error) error {
	return &pipeline.Fault{Class: pipeline.Restart, Op: p.op(p.given + 1), Err: err}
}

// ask sends a request for a page of this window, and holds the reply's clock against the window: rows of its last seconds
// could still have been on their way. That the clock has passed a whole second shows only that it is within or after it.
func (p *pages) ask(ctx context.Context, r *pageRequest) (arrival, error) {
	r.sizeHint = p.bytes
	arrived, err := p.client.ask(ctx, r)
	p.requests += r.tries
	if err != nil {
		return arrival{}, err
	}
	now := arrived.date.Add(dateResolution)
	if arrived.date.IsZero() {
		now, _ = p.client.clock.now()
	}
	if p.window.End.After(now.Add(-p.client.cfg.Settle)) {
		return arrival{}, p.restart(errUnsettled)
	}
	return arrived, nil
}

// accept makes a reply the next page to give out.
func (p *pages) accept(page reply, arrived arrival) error {
	if page.total >= 0 {
		p.total = page.total
	}
	p.rows += int64(len(page.rows))
	p.bytes = arrived.bytes
	p.ready = &pipeline.Page{
		Rows: page.rows, Total: p.total,
		Span: p.client.suggest(p.stream, p.window, p.total),
	}
	if p.cursor = page.cursor; len(page.rows) == 0 {
		p.cursor = "" // Some servers give a cursor with the last rows, and others with none.
	}
	if p.cursor == "" {
		return nil
	}
	if _, twice := p.seen[p.cursor]; twice {
		return p.restart(errCursorTwice)
	}
	// A total may be wrong, and rows may come twice, but a chain of cursors must end.
	if p.rows > 2*p.total+int64(targetPages*maxPageSize) {
		return p.restart(errEndless)
	}
	p.seen[p.cursor] = struct{}{}
	p.expires = arrived.received.Add(cursorLife - cursorMargin)
	return nil
}

const (
	// cursorLife is how long a cursor lives (API document, request params).
	cursorLife = 120 * time.Second
	// cursorMargin is how long before its end a cursor is given up: it was made before its page came, and the request has
	// to arrive in time.
	cursorMargin = 3 * time.Second
)

// Next gives the pages one after another; see [pipeline.Pages].
func (p *pages) Next(ctx context.Context) (pipeline.Page, error) {
	if p.ready == nil {
		if p.cursor == "" {
			return pipeline.Page{}, io.EOF
		}
		if err := p.follow(ctx); err != nil {
			return pipeline.Page{}, err
		}
	}
	page := *p.ready
	p.ready = nil
	p.given++
	return page, nil
}

// follow asks for the page behind the cursor, for as long as the cursor lives.
func (p *pages) follow(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	op := p.op(p.given + 1)
	if !time.Now().Before(p.expires) {
		return p.shorten(cursorExpired(op, nil))
	}
	r := p.client.nextPage(p.stream, p.cursor, p.expires, op)
	arrived, err := p.ask(ctx, r)
	if err != nil {
		return p.shorten(err)
	}
	page := r.page
	if len(page.rows) == 0 {
		// A page behind the last one ends the window and says nothing of it: its total may well be 0.
		p.cursor = ""
		return io.EOF
	}
	return p.accept(page, arrived)
}

// shorten makes a cursor's end also the end of the window's length: what could not be read to the end in the life of its
// cursors is tried in shorter windows, down to one that needs no cursor. A window that had not settled keeps its length.
func (p *pages) shorten(err error) error {
	fault, ok := errors.AsType[*pipeline.Fault](err)
	if ok && fault.Class == pipeline.Restart && !errors.Is(err, errUnsettled) {
		fault.Span = p.client.planner.half(p.window, p.rows, p.total)
	}
	return err
}

// Requests is the number of requests sent for the window.
func (p *pages) Requests() int { return p.requests }
