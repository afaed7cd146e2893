package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"time"

	"github.com/jmpub/jmpub/internal/compact"
	"github.com/jmpub/jmpub/internal/spares"
	"github.com/jmpub/jmpub/pipeline"
)

// Open asks for the window's first page; see [pipeline.Source].
func (c *Client) Open(ctx context.Context, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
	c.noteAsked(s, w)
	return c.open(ctx, s, w, c.cfg.Settle)
}

// OpenEarly asks for the first page of a window that need not have settled; see [pipeline.Source].
func (c *Client) OpenEarly(ctx context.Context, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
	c.noteEarly(s, w)
	return c.open(ctx, s, w, 0)
}

// SettledTotal asks for the total of a window that has settled; see [pipeline.Source].
func (c *Client) SettledTotal(ctx context.Context, s pipeline.Stream, w pipeline.Window) (int64, error) {
	p := &pages{client: c, stream: s, window: w, settle: c.cfg.Settle}
	defer p.Free()
	r := c.windowRequest(s, w, 1, "ask for the total of "+s.String()+" "+w.String())
	if _, err := p.ask(ctx, r); err != nil {
		return 0, err
	}
	return r.page.total, nil
}

// open asks for the first page of a window that ends so far behind the API's clock.
func (c *Client) open(ctx context.Context, s pipeline.Stream, w pipeline.Window, settle time.Duration) (pipeline.Pages, error) {
	p := &pages{client: c, stream: s, window: w, settle: settle, planner: c.planner, total: -1, hash: maphash.MakeSeed()}
	if err := p.begin(ctx); err != nil {
		p.Free()
		return nil, err
	}
	return p, nil
}

// begin asks for the first page.
func (p *pages) begin(ctx context.Context) error {
	c, s, w := p.client, p.stream, p.window
	r := c.firstPage(s, w, p.op(1))
	arrived, err := p.ask(ctx, r)
	if p.asked = r.asked; r.asked < c.cfg.PageSize {
		p.planner.target = targetRows(r.asked)
		c.notePageSize(s, r.asked)
	}
	if err != nil {
		known := c.clock.read()
		if pipeline.ClassOf(err) == pipeline.Permanent && known.disputed() && w.Begin.Before(known.server.Add(-pipeline.History)) {
			return p.restart(err) // It has left the history by the server's clock, which may be right.
		}
		return p.shortenLarge(err)
	}
	if r.page.total > 0 || len(r.page.rows) > 0 {
		c.noteRows(s, w)
	}
	if p.planner.tooDense(w, r.page.total) {
		return p.tooDense(r.page.total)
	}
	return p.accept(r.page, arrived)
}

// pages are the replies of one window. They go on while there is a cursor and rows are missing or new ones come. What is new is
// judged by the rows and not by the cursor, which may be the same for all pages of a window.
type pages struct {
	client *Client
	stream pipeline.Stream
	window pipeline.Window
	// settle is how far behind the API's clock it has to end.
	settle time.Duration
	// planner is the client's, with a target for the pages of this window; asked is how many rows they may have.
	planner  planner
	asked    int
	requests int
	// ready is a page that came and was not given out yet; came counts the replies.
	ready *pipeline.Page
	came  int
	// memory is that of two replies: of the next one, and of the page that was given out last. There is no third, so that page stays
	// valid while the next one is asked for, however many replies without rows come first.
	memory [2]replyMemory
	// seen are hashes of the rows that came so far; idle counts the replies in a row that brought no other ones.
	seen compact.Table[struct{}]
	hash maphash.Seed
	idle int
	// total is what the last page that stated it said, -1 if none did.
	total int64
	// bytes is the size of the last page; smallest is how many rows suit the largest that came, 0 where none was too large.
	bytes, smallest int
	// cursor leads to the next page until expires; empty after the last one.
	cursor  string
	expires time.Time
}

const (
	// mostIdle is how many replies in a row may bring nothing new beside a cursor.
	mostIdle = 8
	// mostPages bounds the replies of a window, and mostRows the different rows, whatever they say: twice what a second may sensibly
	// have. A window that could be shorter has far fewer.
	mostPages = 10_000
	mostRows  = 2_000_000
	// usualPages is for how many pages like the first one room is made, if the total says so many rows.
	usualPages = 2 * targetPages
	// futileWindows is after how many of the shortest windows in a row whose cursors led to nothing shorter ones are not asked for:
	// the total is wrong, and not the way of asking.
	futileWindows = 10
)

var (
	errIdle      = fmt.Errorf("%d replies in a row brought no new rows, although there is a cursor", mostIdle)
	errEndless   = errors.New("far more rows came than were announced")
	errUnsettled = errors.New("by the API's clock the window had not settled when it was asked for")
	errUnchecked = errors.New("a page was asked for twice, and there is no total that would show whether one was passed over")
)

func (p *pages) op(page int) string {
	return fmt.Sprintf("get page %d of %s %s", page, p.stream, p.window)
}

func (p *pages) restart(err error) error {
	return &pipeline.Fault{Class: pipeline.Restart, Op: p.op(p.came + 1), Err: err}
}

// ask sends a request for a page of this window, and holds the reply's clock against the window: rows of its last seconds
// could still have been on their way. That the clock has passed a whole second shows only that it is within or after it. Like any
// other, this clock is believed only as far as nothing speaks against it.
func (p *pages) ask(ctx context.Context, r *pageRequest) (arrival, error) {
	memory := &p.memory[0]
	if memory.body == nil {
		*memory, _ = replies.Take()
	}
	r.sizeHint, r.window, r.body, r.rows = p.bytes, p.window, memory.body, memory.rows
	arrived, err := p.client.ask(ctx, r)
	memory.body = r.body
	if r.page.rows != nil {
		memory.rows = r.page.rows
	}
	p.requests += r.tries
	if err != nil {
		return arrival{}, err
	}
	known := p.client.clock.read()
	now := known.now()
	if !arrived.date.IsZero() {
		now = known.trusted(arrived.date.Add(dateResolution))
	}
	if p.window.End.After(now.Add(-p.settle)) {
		return arrival{}, p.restart(errUnsettled)
	}
	return arrived, nil
}

// accept takes in a reply, and makes it the next page to give out unless it is an empty one behind the first.
func (p *pages) accept(page reply, arrived arrival) error {
	p.came++
	p.bytes = arrived.bytes
	p.cursor = page.cursor
	p.suitPageSize(len(page.rows), arrived.bytes)
	p.expires = arrived.received.Add(cursorLife - cursorMargin)
	before := p.rows()
	if p.came == 1 {
		rows := int(min(max(page.total, 0), int64(usualPages*len(page.rows))))
		if rows >= maxPageSize {
			p.seen, _ = tables.Take()
		}
		p.seen.Expect(rows)
	}
	p.note(page.rows)
	if p.idle++; p.rows() > before {
		p.idle = 0
	}
	if first := p.came == 1; first || len(page.rows) > 0 {
		// An empty page says nothing of the window: behind the last one, its total may well be 0.
		if page.total >= 0 || first {
			p.total = page.total
		}
		p.ready = &pipeline.Page{
			Rows: page.rows, Total: p.total, Span: p.suggest(p.estimate()), Bytes: arrived.bytes,
		}
	}
	complete := p.total >= 0 && p.rows() >= p.total
	switch {
	case p.cursor == "":
	case complete && p.idle > 0:
		p.cursor = "" // Some servers give a cursor with the last rows, and others with none.
	case p.total < 0 && p.planner.tooDense(p.window, p.rows()):
		return p.tooDense(p.rows())
	case p.idle >= mostIdle && p.total < 0:
		p.cursor = "" // Nothing says that there is more.
		p.client.ledNowhere.Store(true)
	case p.idle >= mostIdle:
		return p.giveUp(errIdle)
	case p.came >= mostPages || p.rows() >= p.client.mostRows || p.total >= 0 && (p.rows()-targetPages*maxPageSize)/2 > p.total:
		return p.giveUp(errEndless)
	}
	if complete {
		p.client.futile.Store(0)
	}
	return nil
}

// suitPageSize has the stream's next window asked for in pages that suit the rows of this one. A window keeps its size: its cursors have it.
func (p *pages) suitPageSize(rows, bytes int) {
	switch {
	case bytes > pageBytes && rows > 1:
		p.smallest = min(cmp.Or(p.smallest, p.asked), max(1, int(int64(rows)*pageBytes/int64(bytes))))
		p.client.notePageSize(p.stream, p.smallest)
	case p.came == 1 && p.asked < p.client.cfg.PageSize && bytes < pageBytes/2:
		p.client.notePageSize(p.stream, 2*p.asked) // There is room for more.
	}
}

// suggest is the span that suits after this window, or in its place, by the rows that it has; see [planner].
func (p *pages) suggest(rows int64) time.Duration {
	return p.planner.suggest(p.window, rows, p.client.planned(p.stream))
}

// rows is how many different rows came.
func (p *pages) rows() int64 { return int64(p.seen.Len()) }

// note takes in the rows of a page.
func (p *pages) note(rows [][]byte) {
	for _, row := range rows {
		p.seen.Add(maphash.Bytes(p.hash, row), struct{}{})
	}
}

// estimate is how many rows the window has, as far as is known. Where no total is stated and a cursor shows that there are more, its
// length is taken to suit. Once a cursor has led nowhere, that of a page which is not full shows nothing.
func (p *pages) estimate() int64 {
	full := p.rows() >= int64(p.asked)
	switch {
	case p.total >= 0:
		return p.total
	case p.cursor != "" && (full || !p.client.ledNowhere.Load()):
		return max(p.rows(), p.planner.target)
	default:
		return p.rows()
	}
}

func (p *pages) tooDense(rows int64) error {
	return &pipeline.Fault{
		Class: pipeline.Restart, Op: p.op(max(1, p.came)), Span: p.suggest(rows),
		Err: fmt.Errorf("%w: %d", pipeline.ErrTooManyRows, rows),
	}
}

// giveUp asks for a shorter window where cursors lead on without an end. Where there is none, the cursor is given up, and whoever
// holds the rows against the total decides.
func (p *pages) giveUp(err error) error {
	span := p.planner.half(p.window, p.rows(), max(p.total, p.rows()+1))
	if span > 0 && p.client.futile.Load() < futileWindows {
		return &pipeline.Fault{Class: pipeline.Restart, Op: p.op(p.came), Err: err, Span: span}
	}
	if span == 0 {
		p.client.futile.Add(1)
	}
	p.cursor = ""
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
	for p.ready == nil {
		if p.cursor == "" {
			return pipeline.Page{}, io.EOF
		}
		if err := p.follow(ctx); err != nil {
			return pipeline.Page{}, err
		}
	}
	page := *p.ready
	p.ready = nil
	p.memory[0], p.memory[1] = p.memory[1], p.memory[0]
	return page, nil
}

// follow asks for the page behind the cursor, for as long as the cursor lives.
func (p *pages) follow(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	op := p.op(p.came + 1)
	if !time.Now().Before(p.expires) {
		return p.shorten(cursorExpired(op, nil))
	}
	r := p.client.nextPage(p.stream, p.cursor, p.expires, p.total >= 0, op)
	r.asked = p.asked
	arrived, err := p.ask(ctx, r)
	if errors.Is(err, errTooLarge) {
		p.client.notePageSize(p.stream, fewerRows(p.asked))
	}
	if err != nil {
		return p.shorten(err)
	}
	if r.tries > 1 && p.total < 0 {
		return p.shorten(p.restart(errUnchecked))
	}
	return p.accept(r.page, arrived)
}

// shorten makes a cursor's end also the end of the window's length: what could not be read to the end in the life of its
// cursors is tried in shorter windows, down to one that needs no cursor. A window that had not settled keeps its length.
func (p *pages) shorten(err error) error {
	fault, ok := errors.AsType[*pipeline.Fault](err)
	if ok && fault.Class == pipeline.Restart && !errors.Is(err, errUnsettled) {
		total := p.total
		if total < 0 { // The cursor says that there is more.
			total = p.rows() + 1
		}
		fault.Span = p.planner.half(p.window, p.rows(), total)
	}
	return err
}

// shortenLarge asks for half of a window where a single row of it cannot be asked for: a server may give more than it is asked for.
func (p *pages) shortenLarge(err error) error {
	if fault, ok := errors.AsType[*pipeline.Fault](err); ok && errors.Is(err, errTooLarge) {
		fault.Span = p.planner.half(p.window, 1, 2)
	}
	return err
}

// Requests is the number of requests sent for the window.
func (p *pages) Requests() int { return p.requests }

// replyMemory is what a reply is read into: its body, and the list of its rows, which point into that.
type replyMemory struct {
	body []byte
	rows [][]byte
}

func (m replyMemory) size() int { return cap(m.body) + cap(m.rows)*sliceSize }

// sliceSize is what a slice takes besides what it points to, in bytes.
const sliceSize = 24

// What windows have taken their replies in is kept for the next ones, whose pages are about as large.
var (
	replies = spares.New(keptReplies, replyMemory.size)         //nolint:gochecknoglobals // All clients share them.
	tables  = spares.New(keptKeys, compact.Table[struct{}].Cap) //nolint:gochecknoglobals // As above.
)

const (
	// keptReplies is how many bytes of replies are kept: those of a few windows with the largest rows, or of many. keptKeys is how many
	// rows the tables have memory for: of a dozen of usual windows.
	keptReplies = 3 * maxBody
	keptKeys    = 12 * targetPages * maxPageSize
)

// Free has other windows use the memory; see [pipeline.Pages].
func (p *pages) Free() {
	for i, memory := range p.memory {
		clear(memory.rows[:cap(memory.rows)]) // They may point into another body.
		replies.Give(memory)
		p.memory[i] = replyMemory{}
	}
	if p.seen.Cap() >= maxPageSize { // A small one costs less than it takes to keep it.
		tables.Give(p.seen.Emptied())
	}
	p.seen = compact.Table[struct{}]{}
}
