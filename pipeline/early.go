package pipeline

import (
	"context"
	"time"
)

// A stream that is followed at the head is looked at with each poll up to the server's present second. What has not settled yet may be incomplete,
// so no position moves over it; but the rows that come are published at once, early, and the position says which they are. The windows
// that are read of that time once it has settled leave them out, find what was missing, and move the position. Looking early is worth one
// request: where a page does not hold what comes within a poll, windows alone are read.

const (
	// closeAfter is how far the head gets ahead of a position behind which rows were published early, before a window is read of that time.
	closeAfter = 4 * time.Second
	// sparseAgain is after how long a stream that was too dense for a look, or could not be looked at, is looked at again.
	sparseAgain = time.Minute
)

// earlyReading is what a reader knows of its looks. It belongs to the reader's goroutine.
type earlyReading struct {
	// on tells that rows are published early.
	on bool
	// head is where the head was when the stream was looked at last, end up to where that look reached.
	head, end time.Time
	// narrow is until when looks only reach back to the last one's end, for more does not fit into a page; none is until when there are none.
	narrow, none time.Time
	// soon tells that a window was read, in the place of a look.
	soon bool
	// busy is the look under way; ready is what it brought, while the publisher is busy. looks are those that are done.
	busy  *look
	ready *earlyProposal
	looks chan *look
}

// look is one request for what has not settled. What it brings belongs to its goroutine until it is done.
type look struct {
	// since is where it begins, head where the head is.
	since, head time.Time
	// held is what it has taken from the memory budget.
	held int64
	rows *rowCollector
	// whole tells that all rows came that there are.
	whole bool
	err   error
}

// looksEarly tells whether the stream is to be looked at next, and no window to be read: that one would not move the position far.
func (r *reader) looksEarly(head time.Time, from Position) bool {
	begin := from.End.Add(-r.overlap)
	for _, end := range r.backlogEnds {
		if isNear(end, begin) {
			return false // What windows publish there is kept for the backlog.
		}
	}
	switch ahead := head.Sub(from.End); {
	case !r.early.on, head.IsZero(), ahead >= longestMerge, r.early.none.After(r.res.now()):
		return false
	case len(r.overlapIDs.early) > 0:
		return ahead < closeAfter
	default:
		return r.stagger.mayStayOpen(from, head, head.Sub(r.active))
	}
}

// look begins to look at the stream, with what it has taken from the memory budget and the slot that it has.
func (r *reader) look(ctx context.Context, head time.Time, from Position, held int64, slot *fetchSlot) {
	since := later(from.End, r.early.head) // Each second is seen once more after it has settled.
	if r.early.narrow.After(r.res.now()) {
		since = later(from.End, r.early.end.Add(-time.Second))
	}
	if needs := r.needs(); held == 0 && r.res.memory.tryTake(needs) {
		held = needs
	}
	l := &look{since: since, head: head, held: held}
	r.early.busy, r.early.soon = l, false
	r.working.Go(func() {
		l.err = r.lookOnce(ctx, l, from.End)
		slot.giveBack()
		select {
		case r.early.looks <- l:
		case <-ctx.Done():
			r.dropLook(l)
		}
	})
}

// lookOnce asks, and collects the rows. Nothing of the reader's that changes is used.
func (r *reader) lookOnce(ctx context.Context, l *look, position time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, patience) // Others wait for the slot, and a look is worth no more than that.
	defer cancel()
	started := r.res.now()
	w, page, err := r.res.source.Early(ctx, r.stream, l.since)
	if err != nil {
		return err
	}
	// All that windows can bring which follow the position is near the end.
	l.rows = newRowCollector(w, r.overlap+w.End.Sub(position), r.appKey, r.stream)
	came := int64(len(page.Rows))
	l.whole = page.Total <= came
	total := max(page.Total, came)
	page.Total = came // No room is made for more.
	l.rows.addPage(page)
	l.rows.ledger.Early, l.rows.ledger.Started, l.rows.ledger.Requests, l.rows.ledger.Total = true, started, 1, total
	return r.accountLook(l, page.Bytes)
}

// accountLook charges a look's rows to the memory budget, and its page as far as a window's pages are, which was in memory until now.
func (r *reader) accountLook(l *look, pageBytes int) error {
	rows := int64(l.rows.batch.Bytes)
	all := rows + min(int64(pageBytes), int64(r.windowBytes)/2)
	if more := all - l.held; more > 0 {
		if !r.res.memory.tryTake(more) {
			return errNoRoom
		}
		l.held = all
	}
	r.shrinkLook(l, rows)
	return nil
}

// handleLook takes in what a look brought. One that has failed is nobody's error: windows are read instead, and tell what is wrong.
func (r *reader) handleLook(l *look) {
	r.early.busy = nil
	if l.err != nil {
		r.early.none = r.res.now().Add(sparseAgain)
		r.dropLook(l)
		return
	}
	w := l.rows.window
	switch {
	case l.whole:
		r.early.head = l.head
	case r.early.narrow.After(r.res.now()):
		r.early.none = r.res.now().Add(sparseAgain)
	default:
		r.early.narrow = r.res.now().Add(sparseAgain)
	}
	r.early.end = w.End
	l.rows.leaveOut(r.overlapIDs)
	ledger := &l.rows.ledger
	if ledger.Published == 0 && ledger.Rejected == 0 {
		r.dropLook(l)
		if l.whole {
			r.tellHead(l.head)
		}
		return
	}
	r.active = later(r.active, w.End)
	r.overlapIDs = r.overlapIDs.withEarly(l.rows.near)
	p := &earlyProposal{stream: r.stream, window: w, head: l.head, observer: r.res.observer, savedAt: r.res.now(), release: func() { r.dropLook(l) }}
	p.ids, p.hashes = r.overlapIDs.sortedEarly()
	ledger.Duration = p.savedAt.Sub(ledger.Started)
	p.batch, p.ledger = l.rows.take(), l.rows.ledger
	r.early.ready = p
}

// dropLook gives back what a look holds. It may be called by the publisher, and more than once.
func (r *reader) dropLook(l *look) { r.shrinkLook(l, 0) }

// shrinkLook gives back what a look holds beyond so much.
func (r *reader) shrinkLook(l *look, bytes int64) {
	if spare := l.held - bytes; spare > 0 {
		r.res.memory.giveBack(spare)
		l.held = bytes
	}
	select {
	case r.freed <- struct{}{}:
	default: // It knows already.
	}
}

// earlyProposal is what a look brought, on its way to the publisher.
type earlyProposal struct {
	stream Stream
	window Window
	// head is up to where the stream is read then.
	head     time.Time
	observer Observer
	batch    *Batch
	ledger   Ledger
	// ids and hashes are of all rows that were published early and that no window has brought yet.
	ids, hashes []int64
	savedAt     time.Time
	release     func()
}

func (p *earlyProposal) fill(ctx context.Context, d *Draft) error {
	if err := d.Publish(ctx, p.batch); err != nil {
		return err
	}
	p.batch.free()
	next, _ := d.Position(p.stream)
	next.AppKey, next.Stream, next.SavedAt, next.Removed = p.ledger.AppKey, p.stream, p.savedAt, false
	next.EarlyIDs, next.EarlyHashes = p.ids, p.hashes
	return d.CloseWindow(ctx, p.ledger, next)
}

func (p *earlyProposal) shares() (int, bool) { return p.batch.Bytes, true }

func (p *earlyProposal) done(err error) error {
	p.release()
	if err != nil {
		p.observer.Tell(WindowAbandoned{p.stream, p.window})
	}
	return err
}
