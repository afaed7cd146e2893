package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// streamPart is the size of the parts in which a window is streamed that is too large to be held.
const streamPart = 4 << 20

// fetch is one attempt at one window.
type fetch struct {
	piece    *piece
	plan     Plan
	assembly *assembly
	span     time.Duration
	nextEdge *edge
	// held is what the window has taken from the memory budget; slot tells that it has a turn.
	held int64
	slot bool
	// streamed is the delivery once the window has outgrown its memory.
	streamed *delivery
}

type pageResult struct {
	page Page
	err  error
}

// pages reads the window's pages to the end. The next page is asked for while the last one is normalized, so that
// neither waits for the other.
func (f *fetch) pages(ctx context.Context) error {
	p := f.piece
	pages, err := p.source.Open(ctx, p.stream, f.plan.Window)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan pageResult, 1)
	go fetchAll(ctx, pages, results)
	defer func() {
		cancel()
		for range results { // Wait for the goroutine to end.
		}
		f.assembly.ledger.Requests = pages.Requests()
	}()
	for result := range results {
		switch {
		case errors.Is(result.err, io.EOF):
			return nil
		case result.err != nil:
			return result.err
		}
		if err := f.add(ctx, result.page); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// fetchAll gets page after page until there is an error; [io.EOF] comes behind the last.
func fetchAll(ctx context.Context, pages Pages, results chan<- pageResult) {
	defer close(results)
	for {
		page, err := pages.Next(ctx)
		select {
		case results <- pageResult{page, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// add takes in a page. The first one shows how dense the history is.
func (f *fetch) add(ctx context.Context, page Page) error {
	f.span = page.Span
	f.assembly.add(page)
	if f.assembly.ledger.Pages == 1 {
		first := step{
			page: &Page{Total: page.Total, Span: page.Span}, bytes: f.assembly.batch.Bytes / max(1, len(page.Rows)),
			single: page.Total <= int64(len(page.Rows)),
		}
		if err := f.piece.tell(ctx, first); err != nil {
			return err
		}
	}
	return f.account(ctx)
}

// account charges the batch to the memory budget. A window that finds no room waits for its turn and is then handed to the
// publisher part by part.
func (f *fetch) account(ctx context.Context) error {
	size := int64(f.assembly.batch.Bytes)
	switch {
	case f.streamed != nil && size < streamPart || f.streamed == nil && f.hold(size):
		return nil
	case f.streamed != nil:
		return f.sendPart(ctx)
	}
	// Others may be fetched meanwhile.
	f.leave()
	select {
	case <-f.piece.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	if f.hold(size) { // What was in the way is published by now.
		return nil
	}
	f.assembly.edge = f.piece.edge
	d := f.delivery(&Closed{})
	d.rest = make(chan *Batch)
	if err := f.send(ctx, d); err != nil {
		return err
	}
	f.streamed = d
	return nil
}

// hold takes room for so much in all, if it is there.
func (f *fetch) hold(size int64) bool {
	switch {
	case size > int64(f.piece.cfg.WindowBytes):
		return false
	case size <= f.held:
	case f.piece.budget.TryAcquire(size - f.held):
		f.held = size
	default:
		return false
	}
	return true
}

// shrink gives back what was reserved and is not needed.
func (f *fetch) shrink() {
	if spare := f.held - int64(f.assembly.batch.Bytes); spare > 0 {
		f.held -= spare
		f.piece.giveBack(spare)
	}
}

// release gives everything back.
func (f *fetch) release() {
	f.piece.giveBack(f.held)
	f.held = 0
}

// leave lets another window be fetched.
func (f *fetch) leave() {
	if f.slot {
		f.slot = false
		f.piece.turns.Give(f.piece.stream)
	}
}

func (f *fetch) delivery(closed *Closed) *delivery {
	return &delivery{
		stream: f.piece.stream, window: f.plan.Window,
		closed: closed, batch: f.assembly.take(), release: f.release, past: f.piece.past,
	}
}

// send hands a window that is streamed to the publisher; it waits while the publisher is busy.
func (f *fetch) send(ctx context.Context, d *delivery) error {
	select {
	case f.piece.queue <- d:
		return nil
	case <-ctx.Done():
		d.release()
		f.piece.cfg.Observer.Cut(d.stream, d.window)
		return ctx.Err()
	}
}

func (f *fetch) sendPart(ctx context.Context) error {
	select {
	case f.streamed.rest <- f.assembly.take():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// endStream tells the publisher how the streamed window ended, and returns that.
func (f *fetch) endStream(ctx context.Context, err error) error {
	if err == nil {
		err = f.sendPart(ctx)
	}
	if err == nil {
		*f.streamed.closed = *f.close(f.assembly.edge)
	}
	f.streamed.err = err
	close(f.streamed.rest)
	return err
}

// check holds the window against the reply's total.
func (f *fetch) check() error {
	ledger := &f.assembly.ledger
	rows := f.assembly.different()
	if rows == ledger.Total && !f.assembly.unsteady {
		return nil
	}
	p := f.piece
	// Only a difference that stays is the API's: rows that are missing by accident are others each time.
	if f.assembly.set != p.lastSet {
		p.mismatches = 0
	}
	p.mismatches++
	p.lastSet, p.mismatched = f.assembly.set, true
	if p.mismatches >= mismatchAttempts {
		ledger.Mismatch = true
		return nil
	}
	return &Fault{
		Class: Restart, Op: fmt.Sprintf("read %s %s", p.stream, f.plan.Window),
		Err: fmt.Errorf("%d different rows came, %d were announced (the pages agree on that: %t)",
			rows, ledger.Total, !f.assembly.unsteady),
	}
}

// nothingNew tells that the window may stay open: it reaches up to now and brought nothing to publish.
func (f *fetch) nothingNew(pos Position) bool {
	ledger := &f.assembly.ledger
	return f.plan.Head && f.plan.Gap == nil && !ledger.Mismatch &&
		ledger.Published == 0 && ledger.Rejected == 0 &&
		f.plan.Window.End.Sub(pos.End) < mergeEmpty
}

// close makes the window's ledger record, checkpoint and notices. The edge is that of the window before it.
func (f *fetch) close(e *edge) *Closed {
	p := f.piece
	now := p.cfg.Now()
	closed := &Closed{Ledger: f.assembly.ledger}
	closed.Ledger.Duration = now.Sub(closed.Ledger.Started)
	closed.Checkpoint, f.nextEdge = f.assembly.checkpoint(e, f.span)
	closed.Checkpoint.SavedAt = now
	closed.joint, closed.jointRejected = f.assembly.jointIDs, f.assembly.jointHashes
	closed.Ledger.Replay, closed.Checkpoint.Replay = p.cfg.Replay, p.cfg.Replay
	if p.past {
		closed.Ledger.PastUntil = p.until
	}
	if gap := f.plan.Gap; gap != nil {
		closed.Notices = append(closed.Notices, Notice{
			Kind: NoticeGap, AppKey: p.cfg.AppKey, Stream: p.stream, Window: *gap, At: now,
			Detail: "this time left the API's history before it was read; its messages are lost",
		})
	}
	closed.Notices = append(closed.Notices, f.milestones(now)...)
	if ledger := &closed.Ledger; ledger.Mismatch {
		rows := f.assembly.different()
		closed.Notices = append(closed.Notices, Notice{
			Kind: NoticeMismatch, AppKey: p.cfg.AppKey, Stream: p.stream, Window: ledger.Window, At: now,
			Total: ledger.Total, Rows: rows,
			Detail: fmt.Sprintf("%d rows came each of %d times, %d were announced", rows, mismatchAttempts, ledger.Total),
		})
	}
	return closed
}

// milestones are the notices of a replay's first and last window.
func (f *fetch) milestones(now time.Time) []Notice {
	p := f.piece
	if p.cfg.Replay == "" {
		return nil
	}
	notice := Notice{
		AppKey: p.cfg.AppKey, Stream: p.stream, Window: Window{Begin: p.cfg.Start.At, End: p.cfg.Until}, At: now, Replay: p.cfg.Replay,
	}
	var all []Notice
	if p.opens {
		notice.Kind, notice.Detail = NoticeReplayStarted, "events of this time come again, marked with the replay's id"
		all = append(all, notice)
	}
	if !f.plan.Window.End.Before(p.cfg.Until) {
		notice.Kind, notice.Detail = NoticeReplayFinished, "the replay has published all of its time"
		all = append(all, notice)
	}
	return all
}
