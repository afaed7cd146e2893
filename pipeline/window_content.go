package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// streamedPart is the size of the parts in which a window is streamed that is too large to be held; they are no larger than what may be held.
const streamedPart = 2 << 20

// windowContent is what one reading of a window brings.
type windowContent struct {
	fetch *windowFetch
	plan  Plan
	rows  *rowCollector
	span  time.Duration
	// nextOverlap are the overlap ids behind this window, once it is closed.
	nextOverlap *overlapIDs
	// held is what the window has taken from the memory budget; slot is what it is read in.
	held int64
	slot *fetchSlot
	// pages is what the pages take that are in memory while it is read; see [windowContent.notePage].
	pages int64
	// streamed is the proposal once the window has outgrown its memory.
	streamed *streamedProposal
}

// notePage takes in how large a page is: two of them are in memory, that which is taken in and the next. They are charged up to half of what
// a window may take: a page is there whether there is room for it or not, and the window itself needs some.
func (c *windowContent) notePage(bytes int) {
	c.pages = min(max(c.pages, 2*int64(bytes)), int64(c.fetch.windowBytes)/2)
}

// account charges the batch, and the pages while it is read, to the memory budget. A window that finds no room waits until its predecessors are
// handed on, and is then handed to the publisher part by part. Where others are streamed, or have the memory that its predecessors may need, it
// begins anew for that.
func (c *windowContent) account(ctx context.Context) error {
	size := int64(c.rows.batch.Bytes)
	switch {
	case c.streamed != nil && size < min(streamedPart, int64(c.fetch.windowBytes)) || c.streamed == nil && c.hold(size):
		return nil
	case c.streamed != nil:
		return c.sendPart(ctx)
	}
	if !c.fetch.mayWait() {
		return errNoRoom
	}
	c.slot.giveBack() // Others may be fetched meanwhile.
	select {
	case <-c.fetch.predecessors:
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.hold(size) { // What was in the way is published by now.
		return nil
	}
	if may, err := c.fetch.mayStream(ctx, c.held > 0); err != nil || !may {
		return cmp.Or(err, errNoRoom)
	}
	c.rows.overlap = c.fetch.known
	held := c.held
	c.held = 0 // It is the proposal's from here on.
	streamed := &streamedProposal{
		stream: c.fetch.stream, window: c.plan.Window, observer: c.fetch.res.observer,
		first: c.rows.take(), rest: make(chan *Batch),
		release: sync.OnceFunc(func() { c.fetch.giveBack(held) }), leave: c.fetch.place,
	}
	select {
	case c.fetch.res.proposals <- streamed:
		c.streamed = streamed
		return nil
	case <-ctx.Done():
		streamed.giveBack()
		streamed.abandoned()
		return ctx.Err()
	}
}

// hold takes room for a batch of that size and for the pages, if it is there.
func (c *windowContent) hold(size int64) bool {
	all := size + c.pages
	switch {
	case size > int64(c.fetch.windowBytes):
		return false
	case all <= c.held:
	case c.fetch.res.memory.tryTake(all - c.held):
		c.held = all
	default:
		return false
	}
	return true
}

// shrink gives back what was reserved and is not needed.
func (c *windowContent) shrink() {
	if spare := c.held - int64(c.rows.batch.Bytes); spare > 0 {
		c.held -= spare
		c.fetch.giveBack(spare)
	}
}

// release gives everything back.
func (c *windowContent) release() {
	c.fetch.giveBack(c.held)
	c.held = 0
}

// await waits for the next page, and tells whether there was one more. Who waits for long lets others use what it has: a shared slot, which
// it takes again for the page that comes, and memory that has nothing in it yet. A window that is being streamed begins anew then, because
// places to be streamed are few, and its transaction has little time anyway. Where that is how slow the app's quota is, it has more time
// with each attempt.
func (c *windowContent) await(ctx context.Context, results <-chan pageResult) (page Page, more bool, err error) {
	after := patience
	if c.streamed != nil {
		after = streamPatience * time.Duration(1+c.fetch.restarts)
	}
	late := time.NewTimer(after)
	defer late.Stop()
	for {
		select {
		case result, ok := <-results:
			switch {
			case !ok:
				return Page{}, false, ctx.Err()
			case result.err != nil:
				return Page{}, false, result.err
			}
			return result.page, true, c.slot.resume(ctx)
		case <-late.C:
			if c.streamed != nil {
				return Page{}, false, &Fault{Class: Restart, Op: fmt.Sprintf("stream %s %s", c.fetch.stream, c.plan.Window), Err: errLatePage}
			}
			c.slot.pause()
			c.shrink()
		}
	}
}

// errLatePage ends the reading of a window that keeps others from being streamed.
var errLatePage = errors.New("the next page did not come in time; other apps wait for the place")

func (c *windowContent) sendPart(ctx context.Context) error {
	select {
	case c.streamed.rest <- c.rows.take():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// endStream tells the publisher how the streamed window ended, and returns that.
func (c *windowContent) endStream(ctx context.Context, err error) error {
	if err == nil {
		err = c.sendPart(ctx)
	}
	if err == nil {
		c.streamed.closing = c.close(c.rows.overlap)
	}
	c.streamed.err = err
	close(c.streamed.rest)
	return err
}

// nothingNew tells that the window brought nothing to publish.
func (c *windowContent) nothingNew() bool {
	ledger := &c.rows.ledger
	return ledger.Published == 0 && ledger.Rejected == 0
}

// staysOpen tells that the window need not be committed yet: it reaches up to now, brought nothing to publish, and is short for a silence
// of that length.
func (c *windowContent) staysOpen(pos Position, silence time.Duration) bool {
	end, stagger := c.plan.Window.End, c.fetch.stagger
	return c.plan.Head && c.plan.Gap == nil && !c.rows.ledger.Mismatch && c.nothingNew() && c.rows.ledger.EarlyRows == 0 &&
		stagger.mayStayOpen(pos, end, silence)
}

// proposal is the whole window for the publisher; known are the overlap ids before it.
func (c *windowContent) proposal(known *overlapIDs) *windowProposal {
	return &windowProposal{
		stream: c.fetch.stream, window: c.plan.Window, observer: c.fetch.res.observer,
		batch: c.rows.take(), closing: c.close(known), release: c.release,
	}
}

// close makes what the window leaves behind; known are the overlap ids before it.
func (c *windowContent) close(known *overlapIDs) *windowClosing {
	f := c.fetch
	now := f.res.now()
	c.nextOverlap = known.advance(c.plan.Window.End, c.rows.near, c.rows.wereEarly)
	closing := f.closing(c.rows.ledger, c.span, c.nextOverlap, now)
	closing.nearBacklog = c.rows.nearBacklog
	notice := Notice{AppKey: f.appKey, Stream: f.stream, At: now}
	if gap := c.plan.Gap; gap != nil {
		notice.Kind, notice.Window = NoticeGap, *gap
		notice.Detail = "this time left the API's history before it was read; its messages are lost"
		closing.notices = append(closing.notices, notice)
	}
	if f.replay != nil {
		closing.ledger.Replay = f.replay.id
		closing.notices = append(closing.notices, f.replay.milestones(notice, c.plan.Window, f.begin)...)
	}
	if ledger := &closing.ledger; ledger.Mismatch {
		notice.Kind, notice.Window, notice.Total, notice.Rows = NoticeMismatch, ledger.Window, ledger.Total, c.rows.different()
		notice.Detail = fmt.Sprintf("%d rows came each of %d times, %d were announced", notice.Rows, mismatchAttempts, ledger.Total)
		closing.notices = append(closing.notices, notice)
	}
	return closing
}

// milestones are the notices of a replay's first and last window, which begins where from is.
func (r *replayRange) milestones(notice Notice, w Window, from time.Time) []Notice {
	notice.Window, notice.Replay = r.Window, r.id
	var all []Notice
	if r.starts && from.Equal(r.Begin) {
		notice.Kind, notice.Detail = NoticeReplayStarted, "events of this time come again, marked with the replay's id"
		all = append(all, notice)
	}
	if !w.End.Before(r.End) {
		notice.Kind, notice.Detail = NoticeReplayFinished, "the replay has published all of its time"
		all = append(all, notice)
	}
	return all
}

// windowClosing is what a whole window leaves behind besides its rows. What depends on the position before it is filled in when
// it commits.
type windowClosing struct {
	ledger Ledger
	// read is where the window leaves its position, or its range of the backlog.
	read    Backlog
	overlap time.Duration
	// nearBacklog are the rows of a live window that the last windows of ranges of the backlog could bring too.
	nearBacklog map[time.Time]*RowSet
	savedAt     time.Time
	notices     []Notice
}

// closing is what a window leaves behind, with its ledger record; known are the overlap ids then.
func (g *reading) closing(l Ledger, span time.Duration, known *overlapIDs, now time.Time) *windowClosing {
	closing := &windowClosing{ledger: l, overlap: g.overlap, savedAt: now}
	closing.ledger.Duration = now.Sub(l.Started)
	closing.ledger.Backlog = g.backlog
	closing.read = Backlog{End: l.End, Until: g.until, Span: span}
	closing.read.OverlapIDs, closing.read.OverlapHashes = known.sorted()
	closing.read.OverlapFrom = known.from
	closing.read.EarlyIDs, closing.read.EarlyHashes = known.sortedEarly()
	return closing
}

// fill closes the window at the position that is committed now.
func (w *windowClosing) fill(ctx context.Context, d *Draft) error {
	before, _ := d.Position(w.ledger.Stream)
	ledger := w.ledger
	var next Checkpoint
	switch {
	case ledger.Backlog:
		if len(before.Backlog) == 0 || !before.Backlog[0].Until.Equal(w.read.Until) {
			return fmt.Errorf("(bug) close %s %s: it is not of the oldest range of the backlog", ledger.Stream, ledger.Window)
		}
		ledger.MovedFrom, ledger.MovedTo = before.Backlog[0].End, earlier(w.read.End, w.read.Until) // What is behind is the live position's.
		next = before.afterBacklog(w.read, w.overlap)
	case w.read.End.Before(before.End):
		return fmt.Errorf("(bug) close %s %s: the position is at %s already", ledger.Stream, ledger.Window, before.End.Format(time.RFC3339))
	default:
		ledger.MovedFrom, ledger.MovedTo = before.End, w.read.End
		next = before
		next.End, next.Span = w.read.End, w.read.Span
		next.OverlapIDs, next.OverlapHashes, next.OverlapFrom = w.read.OverlapIDs, w.read.OverlapHashes, w.read.OverlapFrom
		next.EarlyIDs, next.EarlyHashes = w.read.EarlyIDs, w.read.EarlyHashes
		next.Backlog = withLive(before.Backlog, w.nearBacklog)
		next.Removed = false
	}
	if ledger.Replay != "" {
		ledger.MovedFrom, ledger.MovedTo = time.Time{}, time.Time{}
	}
	next.AppKey, next.Stream, next.Replay, next.SavedAt = ledger.AppKey, ledger.Stream, ledger.Replay, w.savedAt
	return d.CloseWindow(ctx, ledger, next, w.notices...)
}

// windowProposal is a whole window on its way to the publisher.
type windowProposal struct {
	stream   Stream
	window   Window
	observer Observer
	batch    *Batch
	closing  *windowClosing
	// release gives the batch's memory back to the budget. Only the first call does anything.
	release func()
}

func (p *windowProposal) fill(ctx context.Context, d *Draft) error {
	if err := d.Publish(ctx, p.batch); err != nil {
		return err
	}
	p.batch.free()
	p.batch = nil
	p.release()
	return p.closing.fill(ctx, d)
}

func (p *windowProposal) shares() (int, bool) { return p.batch.Bytes, true }

func (p *windowProposal) done(err error) error {
	p.release()
	if err != nil {
		p.observer.Tell(WindowAbandoned{p.stream, p.window})
	}
	return err
}

// streamedProposal is a window on its way to the publisher that is too large to be held whole.
type streamedProposal struct {
	stream   Stream
	window   Window
	observer Observer
	// first is its first part; rest carries the further ones, and is closed at the end.
	first *Batch
	rest  chan *Batch
	// closing and err belong to the publisher once rest is closed: err tells whether the window is whole (nil) or must not be
	// committed.
	closing *windowClosing
	err     error
	// release gives the first part's memory back to the budget, leave the place in which it is streamed, where those are shared. Only
	// the first calls do anything. They are for whoever has the proposal.
	release, leave func()
}

// giveBack ends what the window holds of what is shared.
func (p *streamedProposal) giveBack() {
	p.release()
	if p.leave != nil {
		p.leave()
	}
}

// errIncomplete marks a streamed window that did not become whole.
var errIncomplete = errors.New("the window is not whole")

func (p *streamedProposal) fill(ctx context.Context, d *Draft) error {
	if err := d.Publish(ctx, p.first); err != nil {
		return err
	}
	p.first.free()
	p.first = nil
	p.release()
	for part := range p.rest {
		if err := d.Publish(ctx, part); err != nil {
			return err
		}
		part.free()
	}
	if p.err != nil {
		return errIncomplete
	}
	return p.closing.fill(ctx, d)
}

func (*streamedProposal) shares() (int, bool) { return 0, false }

// done takes a window that did not become whole for no error: its reader reads it again.
func (p *streamedProposal) done(err error) error {
	p.giveBack()
	if errors.Is(err, errIncomplete) {
		return nil
	}
	if err != nil {
		p.abandoned()
	}
	return err
}

func (p *streamedProposal) abandoned() { p.observer.Tell(WindowAbandoned{p.stream, p.window}) }
