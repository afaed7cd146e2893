package pipeline

import (
	"context"
	"time"
)

// A stream that is followed at the head is looked at with each poll up to the server's present second. What has not settled yet may be incomplete,
// so no position moves over it; but the rows that come are published at once, early, and the position says which they are. The windows
// that are read of that time once it has settled leave them out, find what was missing, and move the position. A look is worth one
// request: where a page does not hold what comes within a poll, the stream is a dense one, which is looked at otherwise ([denseReading]).

const (
	// closeAfter is how far the head gets ahead of a position behind which rows were published early, before a window is read of that time.
	closeAfter = 4 * time.Second
	// sparseAgain is for how long looks are narrow once one did not bring all. Where looks are in vain, windows alone are read for leastPause; and if
	// that happens again within sparseAgain, for twice as long as before, mostPause at most.
	sparseAgain = time.Minute
	leastPause  = 5 * time.Second
	mostPause   = time.Minute
)

// earlyReading is what a reader knows of its looks. It belongs to the reader's goroutine.
type earlyReading struct {
	// on tells that rows are published early.
	on bool
	// head is where the head was when the stream was looked at last, end up to where that look reached.
	head, end time.Time
	// narrow is until when looks only reach back to the last one's end, for more does not fit into a page; none is until when there are none, for
	// the stream is too dense, or cannot be looked at, and pause is how long that is.
	narrow, none time.Time
	pause        time.Duration
	// soon tells that a window was read, in the place of a look.
	soon bool
	// busy is the look under way; ready is what it brought, while the publisher is busy, and readyTo up to where the stream is read then. looks
	// are those that are done.
	busy    *look
	ready   proposal
	readyTo time.Time
	looks   chan *look
	// closed is a window that was closed without being read, until the look behind it is done: what that brings commits with it, so that the
	// position, which has many ids then, is written once.
	closed *windowProposal
}

// task is what a reader does next.
type task uint8

const (
	readWindow task = iota
	lookEarly
	askTotal // of time that looks have brought
)

// look is a request for what has not settled, or several, or one for a total. What it brings belongs to its goroutine until it is done.
type look struct {
	// since is where it begins, head up to where the stream is read if it is whole.
	since, head time.Time
	// dense tells that it takes as many pages as there are; then it begins so much before since, to join what was read, ends so far behind the present
	// second, and is so long at most, with room for the ids of so many rows. more tells that it was not long enough for that; rate is how many rows a
	// second there are, where they were too many.
	dense                 bool
	join, behind, longest time.Duration
	room                  int
	more                  bool
	rate                  float64
	// closes, where it is not zero, is the window whose total is asked for.
	closes  Window
	total   int64
	started time.Time
	// held is what it has taken from the memory budget.
	held int64
	rows *rowCollector
	// whole tells that all rows came that there are, of one that is not dense.
	whole bool
	err   error
}

// nextTask is what to do next of what follows a position. The stream is looked at, and no window read, while that one would not move the position
// far.
func (r *reader) nextTask(head time.Time, from Position) task {
	begin := from.End.Add(-r.overlap)
	for _, end := range r.backlogEnds {
		if isNear(end, begin) {
			return readWindow // What windows publish there is kept for the backlog.
		}
	}
	looks := false
	switch ahead := head.Sub(from.End); {
	case !r.early.on, head.IsZero(), ahead >= longestMerge, r.early.none.After(r.res.now()):
	case r.dense.on():
		return r.dense.task(begin, from.End, head)
	case len(r.overlapIDs.early) > 0:
		looks = ahead < closeAfter
	default:
		looks = r.stagger.mayStayOpen(from, head, head.Sub(r.active))
	}
	if looks {
		return lookEarly
	}
	return readWindow
}

// dueAt is when what follows a position can be asked for. Where the stream is dense, a window is shorter than what its looks are ahead of it.
func (r *reader) dueAt(from Position) Due {
	due := r.res.source.Due(r.stream, from)
	if r.dense.on() && due.Head.IsZero() {
		from.Span = longestMerge
		far := r.res.source.Due(r.stream, from)
		due.Head, due.Poll = far.Head, far.Poll
	}
	return due
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
	once := r.lookOnce
	if r.dense.on() {
		l.since, l.head, l.dense, l.behind = later(from.End, r.dense.next), from.End, true, r.dense.behind
		l.room = mostEarlyRows - len(r.overlapIDs.early)/2 // An event's content is known besides its msgid.
		l.join = r.dense.edges.join()
		l.longest = r.dense.longest(l.room) - l.join
		r.dense.looked, r.dense.asked = r.res.now(), false
		once = r.lookAtPages
	}
	r.early.soon = false
	r.begin(ctx, l, slot, func(ctx context.Context) error { return once(ctx, l, from.End) })
}

// begin has a look made in a goroutine of its own.
func (r *reader) begin(ctx context.Context, l *look, slot *fetchSlot, ask func(ctx context.Context) error) {
	r.early.busy = l
	r.working.Go(func() {
		soon, cancel := context.WithTimeout(ctx, patience) // Others wait for the slot, and a look is worth no more than that.
		defer cancel()
		l.err = ask(soon)
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
	rows := int64(l.rows.batch.Bytes)
	err = r.accountLook(l, rows, page.Bytes)
	if err == nil {
		r.shrinkLook(l, rows)
	}
	return err
}

// accountLook charges a look's rows to the memory budget, and its pages as far as a window's are, which were in memory until now.
func (r *reader) accountLook(l *look, rows int64, pageBytes int) error {
	all := rows + min(int64(pageBytes), int64(r.windowBytes)/2)
	if more := all - l.held; more > 0 {
		if l.dense && rows > int64(r.windowBytes) || !r.res.memory.tryTake(more) {
			return errNoRoom
		}
		l.held = all
	}
	return nil
}

// handleLook takes in what a look brought. One that has failed is nobody's error: windows are read instead, and tell what is wrong.
func (r *reader) handleLook(l *look) {
	r.early.busy = nil
	if !l.closes.End.IsZero() {
		r.handleTotal(l)
		return
	}
	defer r.handOnClosed() // Unless the look has taken it along.
	switch {
	case l.err != nil:
		r.failLook(l.err)
		r.dropLook(l)
		return
	case l.rows == nil:
		if l.rate > 0 {
			r.dense.rate = l.rate
		}
		r.keepDense()
		r.early.soon = l.more && r.dense.on()
		r.dropLook(l)
		return
	}
	r.early.soon = l.more
	r.dense.edges.add(l.rows.edges)
	w := l.rows.window
	switch now := r.res.now(); {
	case l.dense:
		if !r.dense.look(l) {
			r.dense.end()
			r.early.narrow = now.Add(sparseAgain)
		}
	case l.whole:
		r.early.head = l.head
	default:
		narrow := r.early.narrow.After(now)
		switch {
		case r.dense.begin(l, narrow, now):
			r.early.soon = true
		case narrow:
			r.early.stop(now)
		default:
			r.early.narrow = now.Add(sparseAgain)
		}
	}
	r.keepDense()
	r.early.end = w.End
	l.rows.freeIDs()
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
	p := &earlyProposal{stream: r.stream, window: w, observer: r.res.observer, savedAt: r.res.now(), release: func() { r.dropLook(l) }}
	p.ids, p.hashes = r.overlapIDs.sortedEarly()
	ledger.Duration = p.savedAt.Sub(ledger.Started)
	p.batch, p.ledger = l.rows.take(), l.rows.ledger
	r.early.ready, r.early.readyTo = p, l.head
	if closed := r.early.closed; closed != nil {
		r.early.ready, r.early.closed = joinedProposal{closed, p}, nil
	}
}

// handOnClosed hands on a window that was closed without being read, by itself, and tells whether there was one. What is read next may be
// committed only behind it, and a streamed window goes to the publisher at once.
func (r *reader) handOnClosed() bool {
	closed := r.early.closed
	if closed == nil {
		return false
	}
	r.early.ready, r.early.readyTo, r.early.closed = closed, closed.window.End, nil
	return true
}

// stop has windows alone read for a while, a longer one where that has not helped.
func (e *earlyReading) stop(now time.Time) {
	if again := now.Sub(e.none) < sparseAgain; again {
		e.pause = min(2*e.pause, mostPause)
	} else {
		e.pause = leastPause
	}
	e.none = now.Add(e.pause)
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
	stream   Stream
	window   Window
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
