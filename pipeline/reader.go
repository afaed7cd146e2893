package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	// mismatchAttempts is how often a window whose rows do not add up to its total is read before it is closed all the
	// same, with a notice. Each attempt must have brought the same rows.
	mismatchAttempts = 3
	// mergeEmpty is how long a window at the head may get while it brings nothing new, before it is committed: an idle
	// stream would otherwise cost a transaction each poll.
	mergeEmpty = 30 * time.Second
	// streamPart is the size of the parts in which a window is streamed that is too large to be held.
	streamPart = 4 << 20
)

// delivery is one window on its way from a reader to the publisher.
type delivery struct {
	stream Stream
	window Window
	// closed belongs to the publisher once the window is whole: at once, or when rest is closed.
	closed *Closed
	batch  *Batch
	// rest, where it is not nil, carries the further parts of a window that is too large to be held whole. It is closed
	// at the end; err then tells whether the window is whole (nil) or must not be committed.
	rest chan *Batch
	err  error
	// release gives the batch's memory back to the budget.
	release func()
}

// reader reads one stream, one window after another.
type reader struct {
	*session
	stream Stream
	pos    Position
	edge   *edge
	norm   *Normalizer
	zone   zoneProof
	// mismatches counts how often in a row the window at hand brought the set of rows lastSet, which is not its total.
	mismatches int
	lastSet    uint64
	// mismatched tells that the last reading ended so.
	mismatched bool
}

func newReader(s *session, stream Stream, cp Checkpoint) *reader {
	return &reader{
		session: s, stream: stream,
		pos:  Position{End: cp.End, Span: cp.Span},
		edge: newEdge(s.cfg.Overlap, cp),
		norm: NewNormalizer(s.cfg.AppKey),
	}
}

// run reads until the context is done or an error that no reading anew can mend.
func (r *reader) run(ctx context.Context) error {
	for {
		if err := r.next(ctx); err != nil {
			return err
		}
	}
}

// next reads the window that follows the position and hands it to the publisher. A window that must be read anew is read
// anew here, as often as it takes, with the waits of the retry policy.
func (r *reader) next(ctx context.Context) error {
	r.mismatches, r.lastSet = 0, 0
	var plan Plan
	restarts := 0
	again := r.cfg.Retry
	again.Notify = nil // Each restart is reported as such.
	return again.Do(ctx, "read window", func(ctx context.Context) error {
		for {
			// Only a window that does not add up is asked for exactly as before. Otherwise the plan is made anew, because
			// the history that the API holds moves on while a fault lasts.
			if r.mismatches == 0 {
				var err error
				if plan, err = r.source.Plan(ctx, r.stream, r.pos); err != nil {
					return err
				}
				r.cfg.Observer.Planned(r.stream, plan)
			}
			r.mismatched = false
			err := r.read(ctx, plan, restarts)
			if err == nil || ClassOf(err) != Restart || ctx.Err() != nil {
				return err
			}
			restarts++
			r.cfg.Observer.Restart(r.stream, plan.Window, err)
			if !r.mismatched {
				r.mismatches = 0
			}
			fault, _ := errors.AsType[*Fault](err)
			if fault.Span <= 0 {
				return &Fault{Class: Transient, Op: "read " + r.stream.String(), Err: err, After: fault.After}
			}
			r.pos.Span = fault.Span // A window of another length starts without a wait.
		}
	})
}

// read fetches the window once and, if it is whole, moves the position behind it.
func (r *reader) read(ctx context.Context, plan Plan, restarts int) error {
	if err := r.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer r.slots.Release(1)
	f := &fetch{
		reader: r, plan: plan,
		assembly: newAssembly(plan.Window, r.edge, r.norm, &r.zone, r.cfg.AppKey, r.stream),
	}
	f.assembly.ledger.Restarts = restarts
	f.assembly.ledger.Started = r.cfg.Now()
	err := f.pages(ctx)
	if err == nil {
		err = f.check()
	}
	if f.streaming != nil {
		if err = f.endStream(ctx, err); err == nil {
			r.moveTo(f)
		}
		return err
	}
	if err != nil {
		f.releaseAll()
		return err
	}
	if f.nothingNew() {
		f.releaseAll()
		r.cfg.Observer.Head(r.stream, plan.Window.End)
		return nil
	}
	d := f.delivery(f.close())
	if err := r.send(ctx, d); err != nil {
		return err
	}
	r.moveTo(f)
	return nil
}

// send hands a window to the publisher; it waits while the publisher is busy.
func (r *reader) send(ctx context.Context, d *delivery) error {
	select {
	case r.queue <- d:
		return nil
	case <-ctx.Done():
		d.release()
		r.cfg.Observer.Cut(r.stream, d.window)
		return ctx.Err()
	}
}

func (r *reader) moveTo(f *fetch) {
	r.edge = f.nextEdge
	r.pos = Position{End: f.plan.Window.End, Span: f.span}
	r.cfg.Observer.Head(r.stream, r.pos.End)
}

// fetch is one attempt at one window.
type fetch struct {
	*reader
	plan     Plan
	assembly *assembly
	span     time.Duration
	nextEdge *edge
	// held is what the window has taken from the memory budget.
	held int64
	// streaming is the delivery in progress once the window has outgrown its memory.
	streaming *delivery
}

type pageResult struct {
	page Page
	err  error
}

// pages reads the window's pages to the end. The next page is asked for while the last one is normalized, so that
// neither waits for the other.
func (f *fetch) pages(ctx context.Context) error {
	pages, err := f.source.Open(ctx, f.stream, f.plan.Window)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan pageResult, 1)
	go func() {
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
	}()
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
		f.span = result.page.Span
		f.assembly.add(result.page)
		if err := f.account(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// account charges the batch to the memory budget. A window that finds no room is handed to the publisher part by part.
func (f *fetch) account(ctx context.Context) error {
	size := int64(f.assembly.batch.Bytes)
	if f.streaming == nil {
		if size <= int64(f.cfg.WindowBytes) && f.budget.TryAcquire(size-f.held) {
			f.held = size
			return nil
		}
		d := f.delivery(&Closed{})
		d.rest = make(chan *Batch)
		if err := f.send(ctx, d); err != nil {
			return err
		}
		f.streaming = d
		return nil
	}
	if size < streamPart {
		return nil
	}
	return f.sendPart(ctx)
}

func (f *fetch) sendPart(ctx context.Context) error {
	select {
	case f.streaming.rest <- f.assembly.take():
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
		*f.streaming.closed = *f.close()
	}
	f.streaming.err = err
	close(f.streaming.rest)
	return err
}

func (f *fetch) delivery(closed *Closed) *delivery {
	return &delivery{
		stream: f.stream, window: f.plan.Window,
		closed: closed, batch: f.assembly.take(), release: f.releaseAll,
	}
}

func (f *fetch) releaseAll() {
	if f.held > 0 {
		f.budget.Release(f.held)
		f.held = 0
	}
}

// check holds the window against the reply's total and the configured time zone.
func (f *fetch) check() error {
	if f.zone.wrong() {
		return &Fault{
			Class: Permanent, Op: fmt.Sprintf("read %s %s", f.stream, f.plan.Window),
			Err:  fmt.Errorf("none of the first %d messages lies in the time that was asked for", zoneSamples),
			Hint: "the API seems to use another time zone: set JMPUB_API_TIME_ZONE",
		}
	}
	ledger := &f.assembly.ledger
	rows := f.assembly.different()
	if rows == ledger.Total && !f.assembly.unsteady {
		return nil
	}
	// Only a difference that stays is the API's: rows that are missing by accident are others each time.
	if f.assembly.set != f.lastSet {
		f.mismatches = 0
	}
	f.mismatches++
	f.lastSet, f.mismatched = f.assembly.set, true
	if f.mismatches >= mismatchAttempts {
		ledger.Mismatch = true
		return nil
	}
	return &Fault{
		Class: Restart, Op: fmt.Sprintf("read %s %s", f.stream, f.plan.Window),
		Err: fmt.Errorf("%d different rows came, %d were announced (the pages agree on that: %t)",
			rows, ledger.Total, !f.assembly.unsteady),
	}
}

// nothingNew tells that the window may stay open: it reaches up to now and brought nothing to publish.
func (f *fetch) nothingNew() bool {
	ledger := &f.assembly.ledger
	return f.plan.Head && f.plan.Gap == nil && !ledger.Mismatch &&
		ledger.Published == 0 && ledger.Rejected == 0 &&
		f.plan.Window.End.Sub(f.pos.End) < mergeEmpty
}

// close makes the window's ledger record, checkpoint and notices.
func (f *fetch) close() *Closed {
	now := f.cfg.Now()
	closed := &Closed{Ledger: f.assembly.ledger}
	closed.Ledger.Duration = now.Sub(closed.Ledger.Started)
	closed.Checkpoint, f.nextEdge = f.assembly.checkpoint(f.span)
	closed.Checkpoint.SavedAt = now
	if gap := f.plan.Gap; gap != nil {
		closed.Notices = append(closed.Notices, Notice{
			Kind: NoticeGap, AppKey: f.cfg.AppKey, Stream: f.stream, Window: *gap, At: now,
			Detail: "this time left the API's history before it was read; its messages are lost",
		})
	}
	if ledger := &closed.Ledger; ledger.Mismatch {
		rows := f.assembly.different()
		closed.Notices = append(closed.Notices, Notice{
			Kind: NoticeMismatch, AppKey: f.cfg.AppKey, Stream: f.stream, Window: ledger.Window, At: now,
			Total: ledger.Total, Rows: rows,
			Detail: fmt.Sprintf("%d rows came each of %d times, %d were announced", rows, mismatchAttempts, ledger.Total),
		})
	}
	return closed
}
