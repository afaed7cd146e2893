package fakes

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// Row is a message of the fake API.
type Row struct {
	ID int64
	At time.Time
	// Raw, where set, takes the place of the row that ID and At make.
	Raw string
	// Late is how long after At the row can first be read.
	Late time.Duration
}

// JSON is the row as the API sends it.
func (r Row) JSON() []byte {
	if r.Raw != "" {
		return []byte(r.Raw)
	}
	return fmt.Appendf(nil, `{"msgid":%d,"target_type":"group","target_id":"1","msg_type":"text","msg_body":{"text":"n"},"msg_ctime":%d}`,
		r.ID, r.At.UnixMilli())
}

// RowsFrom makes n rows, a second apart, ids scattered.
func RowsFrom(begin time.Time, n int) []Row {
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = Row{ID: int64(i)*7919%100003 + 1, At: begin.Add(time.Duration(i) * time.Second)}
	}
	return rows
}

// IDsOf are the rows' ids, in their order.
func IDsOf(rows []Row) []int64 {
	var ids []int64
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	return ids
}

// Edges are what a window leaves out of its bounds: the unit at its begin, and that at its end, where the unit is the whole second or, where Millis
// is set, the millisecond.
type Edges struct{ BeginStrict, EndStrict, Millis bool }

// hold tells whether a window has a row.
func (e Edges) hold(w pipeline.Window, at time.Time) bool {
	unit := time.Second
	if e.Millis {
		unit = time.Millisecond
	}
	at = at.Truncate(unit)
	return !at.Before(w.Begin) && !at.After(w.End) && (!e.BeginStrict || at.After(w.Begin)) && (!e.EndStrict || at.Before(w.End))
}

// Source is an API that holds rows in memory.
type Source struct {
	Edges
	PageSize int
	Overlap  time.Duration
	Settle   time.Duration
	Span     time.Duration
	// NoTotals leaves totals out.
	NoTotals bool
	// Latency is how long an answer takes; there is one at a time.
	Latency time.Duration
	// OpenHook, where set, may replace the answer to the n-th window that is asked for, counted from 1.
	OpenHook func(n int, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error)
	// EarlyHook, where set, may fail the n-th look at what has not settled; LookHook may change the pages of one.
	EarlyHook func(n int) error
	LookHook  func(n int, pages *Pages)
	// TotalHook, where set, may replace the total of a window that has settled.
	TotalHook func(w pipeline.Window, total int64) (int64, error)
	// Of, where set, are the rows of each stream; otherwise all have Rows.
	Of   map[pipeline.Stream][]Row
	Rows []Row

	pollMu sync.Mutex
	// polled is when a stream was asked for last, or planned at the head in vain. Not under mu, which is held while an answer is made.
	polled map[pipeline.Stream]time.Time

	// turn is taken by who answers.
	turn chan struct{}

	mu     sync.Mutex
	opens  int
	looks  int
	totals int
}

var _ pipeline.Source = (*Source)(nil)

// NewSource makes an API that holds these rows.
func NewSource(rows ...Row) *Source {
	slices.SortStableFunc(rows, func(a, b Row) int { return a.At.Compare(b.At) })
	return &Source{
		PageSize: 3, Overlap: 2 * time.Second, Settle: 5 * time.Second, Span: time.Minute, Rows: rows,
		polled: make(map[pipeline.Stream]time.Time), turn: make(chan struct{}, 1),
	}
}

// Now is the local clock.
func (*Source) Now(context.Context, pipeline.Stream) (time.Time, error) {
	return time.Now().UTC(), nil
}

// Forget does nothing.
func (*Source) Forget(pipeline.Stream) {}

// untilPoll is how long a stream at the head has to wait.
func (f *Source) untilPoll(s pipeline.Stream) time.Duration {
	const poll = 2 * time.Second
	f.pollMu.Lock()
	defer f.pollMu.Unlock()
	if _, ok := f.polled[s]; !ok {
		f.polled[s] = time.Now()
	}
	return max(0, time.Until(f.polled[s].Add(poll)))
}

func (f *Source) notePoll(s pipeline.Stream) {
	f.pollMu.Lock()
	defer f.pollMu.Unlock()
	f.polled[s] = time.Now()
}

// planNow lays out the window that follows a position.
func (f *Source) planNow(p pipeline.Position) pipeline.Plan {
	span := f.Span
	if p.Span > 0 {
		span = p.Span
	}
	head := time.Now().UTC().Add(-f.Settle).Truncate(time.Second)
	end := p.End.Add(span)
	if !p.Until.IsZero() && end.After(p.Until) {
		end = p.Until
	}
	begin := p.End.Add(-f.Overlap)
	if p.From.After(begin) {
		begin = p.From
	}
	plan := pipeline.Plan{Window: pipeline.Window{Begin: begin, End: end}}
	if end.After(head) {
		plan.Window.End, plan.Head = head, true
	}
	return plan
}

// Due is what is left of the poll interval, at the head.
func (f *Source) Due(s pipeline.Stream, p pipeline.Position) pipeline.Due {
	plan := f.planNow(p)
	if !plan.Head {
		return pipeline.Due{}
	}
	poll := f.untilPoll(s)
	return pipeline.Due{Plan: max(poll, p.End.Sub(plan.Window.End)+time.Second), Poll: poll, Head: plan.Window.End}
}

// Early gives a page of what can be read now.
func (f *Source) Early(ctx context.Context, s pipeline.Stream, since time.Time) (pipeline.Window, pipeline.Page, error) {
	w := pipeline.Window{Begin: since, End: time.Now().UTC().Truncate(time.Second)}
	f.notePoll(s)
	if err := f.answer(ctx); err != nil {
		return w, pipeline.Page{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	if f.EarlyHook != nil {
		if err := f.EarlyHook(f.looks); err != nil {
			return w, pipeline.Page{}, err
		}
	}
	rows := f.Visible(s, w)
	page := pipeline.Page{Total: f.totalOf(rows)}
	if page.Total < 0 && len(rows) > f.PageSize {
		page.Total = int64(f.PageSize) + 1
	}
	for i := range rows[:min(len(rows), f.PageSize)] {
		page.Rows = append(page.Rows, rows[i].JSON())
	}
	return w, page, nil
}

// OpenEarly answers with what can be read now of a window.
func (f *Source) OpenEarly(ctx context.Context, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
	f.notePoll(s)
	if err := f.answer(ctx); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	if f.EarlyHook != nil {
		if err := f.EarlyHook(f.looks); err != nil {
			return nil, err
		}
	}
	pages := f.Window(s, w)
	if f.LookHook != nil {
		f.LookHook(f.looks, pages)
	}
	return pages, nil
}

// SettledTotal counts as the pages do, or as the hook says.
func (f *Source) SettledTotal(ctx context.Context, s pipeline.Stream, w pipeline.Window) (int64, error) {
	if err := f.answer(ctx); err != nil {
		return 0, err
	}
	total, err := f.Total(ctx, s, w)
	if f.TotalHook != nil {
		return f.TotalHook(w, total)
	}
	return total, err
}

// Looks counts the looks at what has not settled.
func (f *Source) Looks() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.looks
}

// Plan lays out windows as [pipeline.Source] says.
func (f *Source) Plan(ctx context.Context, s pipeline.Stream, p pipeline.Position) (pipeline.Plan, error) {
	for {
		plan := f.planNow(p)
		if plan.Head {
			if err := pipeline.Sleep(ctx, f.untilPoll(s)); err != nil {
				return plan, err
			}
		}
		if plan.Window.End.After(p.End) {
			return plan, nil
		}
		f.notePoll(s)
	}
}

// answer takes as long as an answer does, once those before it are given.
func (f *Source) answer(ctx context.Context) error {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
		return pipeline.Sleep(ctx, f.Latency)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Open answers with the rows of a window, or what the hook says.
func (f *Source) Open(ctx context.Context, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
	f.notePoll(s)
	if err := f.answer(ctx); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opens++
	if f.OpenHook != nil {
		if pages, err := f.OpenHook(f.opens, s, w); pages != nil || err != nil {
			return pages, err
		}
	}
	return f.Window(s, w), nil
}

// Visible are the rows of a window that can be read now.
func (f *Source) Visible(s pipeline.Stream, w pipeline.Window) []Row {
	all := f.Rows
	if f.Of != nil {
		all = f.Of[s]
	}
	now := time.Now()
	first, _ := slices.BinarySearchFunc(all, w.Begin, func(r Row, at time.Time) int {
		return r.At.Truncate(time.Second).Compare(at)
	})
	var rows []Row
	for _, r := range all[first:] {
		if r.At.Truncate(time.Second).After(w.End) {
			break
		}
		if f.hold(w, r.At) && !r.At.Add(r.Late).After(now) {
			rows = append(rows, r)
		}
	}
	return rows
}

// Window are the pages of a window.
func (f *Source) Window(s pipeline.Stream, w pipeline.Window) *Pages {
	rows := f.Visible(s, w)
	pages := &Pages{Total: f.totalOf(rows)}
	for part := range slices.Chunk(rows, f.PageSize) {
		page := make([][]byte, len(part))
		for i := range part {
			page[i] = part[i].JSON()
		}
		pages.Parts = append(pages.Parts, page)
	}
	if len(pages.Parts) == 0 {
		pages.Parts = [][][]byte{nil}
	}
	return pages
}

// Total counts as the pages do.
func (f *Source) Total(_ context.Context, s pipeline.Stream, w pipeline.Window) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.totals++
	return f.totalOf(f.Visible(s, w)), nil
}

func (f *Source) totalOf(rows []Row) int64 {
	if f.NoTotals && len(rows) > 0 {
		return -1
	}
	return int64(len(rows))
}

// TotalsAsked counts the requests for one.
func (f *Source) TotalsAsked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.totals
}

// Opens counts the windows that were asked for.
func (f *Source) Opens() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opens
}

// Pages gives the parts one after another, then Err or io.EOF.
type Pages struct {
	Total int64
	Parts [][][]byte
	Err   error
	next  int
	// given are the rows of the last two parts that were given.
	given [2][][]byte
}

// Next gives the next part. The rows of the one before the last are not valid any more: it destroys them.
func (p *Pages) Next(ctx context.Context) (pipeline.Page, error) {
	if ctx.Err() != nil {
		return pipeline.Page{}, ctx.Err()
	}
	destroy(p.given[0])
	if p.next == len(p.Parts) {
		if p.Err != nil {
			return pipeline.Page{}, p.Err
		}
		return pipeline.Page{}, io.EOF
	}
	p.next++
	var rows [][]byte
	for _, row := range p.Parts[p.next-1] {
		rows = append(rows, bytes.Clone(row))
	}
	p.given = [2][][]byte{p.given[1], rows}
	return pipeline.Page{Rows: rows, Total: p.Total}, nil
}

// Requests counts the parts that were given.
func (p *Pages) Requests() int { return p.next }

// Free destroys the rows that are valid.
func (p *Pages) Free() {
	for _, rows := range p.given {
		destroy(rows)
	}
}

// destroy is what becomes of rows that are not valid any more, and of their list: others use the memory.
func destroy(rows [][]byte) {
	for i, row := range rows {
		clear(row)
		rows[i] = nil
	}
}
