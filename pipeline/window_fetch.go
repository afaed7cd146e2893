package pipeline

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// windowFetch is one window being fetched. Its goroutine plans it and reads it until it is whole.
type windowFetch struct {
	reading

	res *resources
	// messages are for its reader; freed tells it that there is memory again.
	messages chan<- fetchMessage
	freed    chan<- struct{}

	// What follows belongs to the reader. begin is where the window begins, after the one before it; shortened tells that its
	// length is not what suited the density; planned is what is being asked for, as far as the reader knows it; content is the
	// whole window.
	begin     time.Time
	shortened bool
	cancel    context.CancelFunc
	planned   *Plan
	content   *windowContent

	// predecessors is closed when every window before this one is handed on; known are the overlap ids then.
	predecessors chan struct{}
	known        *overlapIDs

	// What follows belongs to the fetch's goroutine: where it begins and has to end, and what it is asking for.
	from     Position
	asked    Plan
	restarts int
	// reserved is what it may take from the memory budget before it has to ask; needs is about what it will.
	reserved, needs int64
	// alone tells that no window behind this one was begun, and so none holds memory.
	alone bool
	// slot is what it reads in, nil before it had one; place, where it is not nil, gives back the place in which it may be streamed.
	slot  *fetchSlot
	place func()
	// mismatches counts how often in a row the window brought the rows with lastChecksum, which are not its total.
	mismatches   int
	lastChecksum uint64
	// mismatched tells that the last reading ended so, narrowed that the window is shorter because a longer one did.
	mismatched, narrowed bool
	// mismatchedSeconds counts the shortest windows in a row that did not add up, of all that the reader has under way.
	mismatchedSeconds *atomic.Int32
}

// fetchMessage is what a fetch tells its reader: one of the types below.
type fetchMessage interface{ sender() *windowFetch }

// windowPlanned tells what is about to be asked for.
type windowPlanned struct {
	fetch *windowFetch
	plan  Plan
}

// firstPageRead is what the reply to the first request shows: the total, the span that suits it, what a row of it takes in
// memory and the pages do, and whether it has all rows.
type firstPageRead struct {
	fetch    *windowFetch
	total    int64
	span     time.Duration
	rowBytes int
	pages    int64
	single   bool
}

// windowRead is the whole window.
type windowRead struct {
	fetch   *windowFetch
	content *windowContent
}

// fetchFailed is an error that reading again does not help.
type fetchFailed struct {
	fetch *windowFetch
	err   error
}

func (m *windowPlanned) sender() *windowFetch { return m.fetch }
func (m *firstPageRead) sender() *windowFetch { return m.fetch }
func (m *windowRead) sender() *windowFetch    { return m.fetch }
func (m *fetchFailed) sender() *windowFetch   { return m.fetch }

// predecessorsDone tells that every window before this one is handed on, and what is known of them. The reader calls it once.
func (f *windowFetch) predecessorsDone(known *overlapIDs) {
	f.known = known
	close(f.predecessors)
}

// discard gives back what a window holds that is not handed on. The reader calls it.
func (f *windowFetch) discard() {
	if f.content != nil {
		f.content.release()
	}
}

// tell hands a message to the reader.
func (f *windowFetch) tell(ctx context.Context, m fetchMessage) error {
	select {
	case f.messages <- m:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// longestRestartPause is how long a window waits at most before it is read anew. Longer waits spare an API that does not answer, and
// this one does: where a window fails by chance, now this way and now that, they would only keep those behind it waiting.
const longestRestartPause = 5 * time.Second

// errOtherSpan is why a window begins anew without a wait: it has another length.
var errOtherSpan = errors.New("the window gets another length")

// run reads the window until it is whole. A window that must be read anew is read anew here, as often as it takes, with the
// waits of the retry policy.
func (f *windowFetch) run(ctx context.Context) {
	defer func() {
		if f.slot != nil {
			f.slot.giveBack() // It may have ended before it used the one that it was given.
		}
	}()
	again := f.retry
	again.Notify = nil // Each restart is reported as such.
	again.Max = min(cmp.Or(again.Max, defaultRetryMax), longestRestartPause)
	var whole *windowContent
	err := errOtherSpan
	for errors.Is(err, errOtherSpan) {
		err = again.Do(ctx, "read window", func(ctx context.Context) error {
			var cause error
			if whole, cause = f.attempt(ctx); cause == nil || ClassOf(cause) != Restart || ctx.Err() != nil {
				return cause
			}
			fault, _ := errors.AsType[*Fault](cause)
			if fault.Span <= 0 {
				return &Fault{Class: Transient, Op: "read " + f.stream.String(), Err: cause, After: fault.After}
			}
			f.from.Span = fault.Span
			return errOtherSpan
		})
	}
	if err != nil {
		f.giveBack(f.reserved)
		_ = f.tell(ctx, &fetchFailed{f, err}) // Nobody listens any more if the context is done.
		return
	}
	if f.tell(ctx, &windowRead{f, whole}) != nil {
		whole.release()
	}
}

// attempt plans the window and reads it once; twice, where it has to wait for a place to be streamed.
func (f *windowFetch) attempt(ctx context.Context) (*windowContent, error) {
	content, err := f.readOnce(ctx)
	for errors.Is(err, errNoRoom) {
		if err = f.awaitPlace(ctx); err == nil {
			content, err = f.readOnce(ctx)
		}
	}
	return content, err
}

func (f *windowFetch) readOnce(ctx context.Context) (*windowContent, error) {
	// Only a window that does not add up, or had no room, is asked for exactly as before. Otherwise the plan is made anew, because the
	// history that the API holds moves on while a fault lasts.
	next := f.layOut
	if f.mismatches > 0 || f.place != nil {
		next = f.takeSlot
	}
	if err := next(ctx); err != nil {
		f.leavePlace()
		return nil, err
	}
	f.mismatched = false
	content, err := f.read(ctx, f.asked)
	if content == nil || content.streamed == nil {
		f.leavePlace()
	}
	f.place = nil // The publisher gives it back.
	if err == nil {
		return content, nil
	}
	if ClassOf(err) == Restart && ctx.Err() == nil {
		if !errors.Is(err, ErrTooManyRows) {
			f.restarts++
			f.res.observer.Tell(WindowRestarted{f.stream, f.asked.Window, err})
		}
		if !f.mismatched {
			f.mismatches = 0
		}
	}
	return nil, err
}

// read fetches the window once, in the slot that was taken. With an error comes the content of a window that was being streamed, or none.
func (f *windowFetch) read(ctx context.Context, plan Plan) (*windowContent, error) {
	if f.reserved == 0 && f.res.memory.tryTake(f.needs) {
		f.reserved = f.needs
	}
	c := &windowContent{
		fetch: f, plan: plan, held: f.reserved, slot: f.slot,
		rows: newRowCollector(plan.Window, f.overlap, f.appKey, f.stream),
	}
	f.reserved = 0
	for _, end := range f.backlogEnds {
		if isNear(end, plan.Window.Begin) {
			c.rows.backlogEnds = append(c.rows.backlogEnds, end)
		}
	}
	c.rows.isLive = f.backlog && plan.Window.End.After(f.until)
	defer c.slot.giveBack()
	c.rows.ledger.Restarts = f.restarts
	c.rows.ledger.Started = f.res.now()
	err := f.pages(ctx, c)
	if err == nil {
		err = f.checkTotal(c)
	}
	if c.streamed != nil { // Whole or not.
		return c, c.endStream(ctx, err)
	}
	if err != nil {
		f.reserved, c.held = c.held, 0 // For the next attempt.
		return nil, err
	}
	c.shrink()
	return c, nil
}

// pages reads the window's pages to the end. The next page is asked for while the last one is normalized, so that
// neither waits for the other.
func (f *windowFetch) pages(ctx context.Context, c *windowContent) error {
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan pageResult) // Two pages are held, however large: this one and the next.
	var asked Pages
	go func() {
		defer close(results)
		asked = f.fetchAll(ctx, c.plan.Window, results)
	}()
	defer func() {
		cancel()
		for range results { // Wait for the goroutine to end.
		}
		if asked != nil {
			c.rows.ledger.Requests = asked.Requests()
			asked.Free() // Of what was collected, nothing stands in it.
		}
	}()
	for {
		page, more, err := c.await(ctx, results)
		if err != nil || !more {
			return err
		}
		if err := f.addPage(ctx, c, page); err != nil {
			return err
		}
	}
}

type pageResult struct {
	page Page
	err  error
}

// fetchAll opens a window and gets page after page, until the last one or an error. It returns the pages, if they could be opened.
func (f *windowFetch) fetchAll(ctx context.Context, w Window, results chan<- pageResult) Pages {
	pages, err := f.res.source.Open(ctx, f.stream, w)
	if err != nil {
		select {
		case results <- pageResult{err: err}:
		case <-ctx.Done():
		}
		return nil
	}
	for {
		page, err := pages.Next(ctx)
		if errors.Is(err, io.EOF) {
			return pages
		}
		select {
		case results <- pageResult{page, err}:
		case <-ctx.Done():
			return pages
		}
		if err != nil {
			return pages
		}
	}
}

// addPage takes in a page. The first one shows how dense the history is.
func (f *windowFetch) addPage(ctx context.Context, c *windowContent, page Page) error {
	c.span = page.Span
	c.rows.addPage(page)
	c.notePage(page.Bytes)
	if c.rows.ledger.Pages == 1 {
		first := &firstPageRead{
			fetch: f, total: page.Total, span: page.Span, rowBytes: c.rows.batch.Bytes / max(1, len(page.Rows)),
			pages: c.pages, single: page.Total <= int64(len(page.Rows)),
		}
		if err := f.tell(ctx, first); err != nil {
			return err
		}
	}
	return c.account(ctx)
}
