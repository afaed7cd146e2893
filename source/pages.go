package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

const timeForm = "2006-01-02 15:04:05"

// path is a stream's path under the base URL, escaped.
func path(s pipeline.Stream) string {
	if s.Kind == pipeline.StreamMessages {
		return "/messages"
	}
	return "/" + string(s.Kind) + "/" + url.PathEscape(s.Name) + "/messages"
}

// escape escapes a query value as the API wants it: a space is %20 (API document, authentication, tips).
func escape(value string) string { return strings.ReplaceAll(url.QueryEscape(value), "+", "%20") }

func (c *Client) firstQuery(w pipeline.Window, count int) string {
	return "count=" + strconv.Itoa(count) +
		"&begin_time=" + escape(w.Begin.In(c.cfg.TimeZone).Format(timeForm)) +
		"&end_time=" + escape(w.End.In(c.cfg.TimeZone).Format(timeForm))
}

// Now is the server's clock. Where no reply has come yet, a request for one row of the stream asks for it, which also
// shows that the credentials are right.
func (c *Client) Now(ctx context.Context, s pipeline.Stream) (time.Time, error) {
	if now, ok := c.clock.now(time.Now()); ok {
		return now, nil
	}
	end := time.Now().UTC().Add(-time.Hour).Truncate(time.Second)
	w := pipeline.Window{Begin: end.Add(-time.Second), End: end}
	var sent atomic.Int64
	r := request{stream: s, query: c.firstQuery(w, 1), op: "ask the API for its clock, with " + s.String()}
	if _, err := c.ask(ctx, r, &sent); err != nil {
		return time.Time{}, err
	}
	now, _ := c.clock.now(time.Now())
	return now, nil
}

// Plan lays out the window that follows p and waits until the server's clock allows it; see [pipeline.Source].
func (c *Client) Plan(ctx context.Context, s pipeline.Stream, p pipeline.Position) (pipeline.Plan, error) {
	for {
		now, err := c.Now(ctx, s)
		if err != nil {
			return pipeline.Plan{}, err
		}
		plan, ok := c.planner.plan(p, now)
		if ok && !plan.Head {
			return plan, nil
		}
		wait := c.sincePoll(s)
		if ok && wait <= 0 {
			c.polled(s)
			return plan, nil
		}
		if !ok {
			// The window would end less than a second after the position: wait until the clock has moved that far.
			ready := p.End.Truncate(time.Second).Add(c.cfg.Settle + time.Second)
			wait = max(wait, min(ready.Sub(now), c.cfg.Poll), 10*time.Millisecond)
		}
		if err := pipeline.Sleep(ctx, wait); err != nil {
			return pipeline.Plan{}, err
		}
	}
}

// sincePoll is how long a stream at the head still has to wait for its turn.
func (c *Client) sincePoll(s pipeline.Stream) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, ok := c.asked[s]
	if !ok {
		return 0
	}
	return c.cfg.Poll - time.Since(last)
}

func (c *Client) polled(s pipeline.Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[s] = time.Now()
}

// Open asks for the window's first page; see [pipeline.Source].
func (c *Client) Open(ctx context.Context, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
	p := &pages{client: c, stream: s, window: w, opened: time.Now()}
	page, err := c.ask(ctx, request{stream: s, query: c.firstQuery(w, c.cfg.PageSize), op: p.op(1)}, &p.sent)
	if err != nil {
		return nil, err
	}
	if err := p.accept(page, p.opened); err != nil {
		return nil, err
	}
	if c.planner.tooDense(w, page.total) {
		return nil, &pipeline.Fault{
			Class: pipeline.Restart, Op: p.op(1), Span: c.planner.suggest(w, page.total),
			Err: fmt.Errorf("%d rows are too many for one window", page.total),
		}
	}
	return p, nil
}

// pages are the replies of one window.
type pages struct {
	client *Client
	stream pipeline.Stream
	window pipeline.Window
	opened time.Time
	sent   atomic.Int64
	// ready is a page that came and was not given out yet.
	ready *pipeline.Page
	given int
	rows  int64
	total int64
	// cursor leads to the next page until expires; empty after the last one.
	cursor  string
	expires time.Time
	seen    map[string]struct{}
}

// cursorMargin is how long before its end a cursor is given up: the request has to arrive in time.
const cursorMargin = 3 * time.Second

var (
	errCursorTwice   = errors.New("the same cursor came twice")
	errCursorExpired = errors.New("the cursor expired before its page was read")
	errUnsettled     = errors.New("by the API's clock the window had not settled when it was asked for")
)

func (p *pages) op(page int) string {
	return fmt.Sprintf("get page %d of %s %s", page, p.stream, p.window)
}

func (p *pages) fault(err error) *pipeline.Fault {
	return &pipeline.Fault{Class: pipeline.Restart, Op: p.op(p.given + 1), Err: err}
}

// accept takes in a reply that came to a request sent at the given time.
func (p *pages) accept(page reply, sent time.Time) error {
	c := p.client
	// Rows that arrive between the window's end and now less settle could still be on their way.
	if now, ok := c.clock.now(time.Now()); ok && p.window.End.After(now.Add(time.Second-c.cfg.Settle)) {
		return p.fault(errUnsettled)
	}
	p.total = page.total
	p.rows += int64(len(page.rows))
	p.ready = &pipeline.Page{Rows: page.rows, Total: page.total, Span: c.planner.suggest(p.window, page.total)}
	// Some servers send a cursor beside the last page, so an empty page ends the window as well.
	p.cursor = page.cursor
	if len(page.rows) == 0 {
		p.cursor = ""
	}
	if p.cursor == "" {
		return nil
	}
	if _, twice := p.seen[p.cursor]; twice {
		return p.fault(errCursorTwice)
	}
	if p.seen == nil {
		p.seen = make(map[string]struct{})
	}
	p.seen[p.cursor] = struct{}{}
	p.expires = sent.Add(c.cfg.CursorTTL - min(cursorMargin, c.cfg.CursorTTL/4))
	return nil
}

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
	if time.Now().After(p.expires) {
		return p.expired(nil)
	}
	deadline, cancel := context.WithDeadline(ctx, p.expires)
	defer cancel()
	sent := time.Now()
	r := request{stream: p.stream, query: "cursor=" + escape(p.cursor), op: p.op(p.given + 1), cursor: true}
	page, err := p.client.ask(deadline, r, &p.sent)
	switch {
	case err == nil:
		return p.accept(page, sent)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return p.expired(err)
	default:
		return err
	}
}

// expired sends the window back to its start. If pages came so slowly that the whole would not have been read in a
// cursor's life, the next attempt is for a shorter window.
func (p *pages) expired(cause error) error {
	fault := p.fault(errCursorExpired)
	if cause != nil {
		fault.Err = fmt.Errorf("%w: %w", errCursorExpired, cause)
	}
	length := p.window.End.Sub(p.window.Begin) - p.client.cfg.Overlap
	if p.rows < p.total && length > minSpan {
		fault.Span = max(length/2, minSpan).Truncate(time.Second)
	}
	return fault
}

// Requests is the number of requests sent for the window.
func (p *pages) Requests() int { return int(p.sent.Load()) }
