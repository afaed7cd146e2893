package pipeline

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// mergeEmpty is how long a window at the head may get while it brings nothing new, before it is committed: an idle stream
// would otherwise cost a transaction each poll.
const mergeEmpty = 30 * time.Second

// delivery is one window on its way from a reader to the publisher.
type delivery struct {
	stream Stream
	window Window
	// closed belongs to the publisher once the window is whole: at once, or when rest is closed.
	closed *Closed
	batch  *Batch
	// past tells that the window lies before the live position.
	past bool
	// rest, where it is not nil, carries the further parts of a window that is too large to be held whole. It is closed
	// at the end; err then tells whether the window is whole (nil) or must not be committed.
	rest chan *Batch
	err  error
	// release gives the batch's memory back to the budget.
	release func()
	// committed, where it is not nil, is closed when the window is committed.
	committed chan struct{}
}

// reader reads one stream. Several windows are fetched at the same time where there is enough history and memory; they
// go to the publisher in the order of time, one after another, because each needs the edge of the one before it.
type reader struct {
	*session
	stream Stream
	// pos is behind the last window that was handed on, edge knows its rows near the end.
	pos  Position
	edge *edge
	zone zoneProof
	// pieces are the windows under way, in the order of time. The first one's turn has come.
	pieces []*piece
	// ready is the first one's delivery, while the publisher is busy.
	ready *delivery
	// until is where the stream ends; zero where it does not.
	until time.Time
	// past tells that what is read lies before the live position. joint is where that past ends, in the reader of the live
	// position; zero where there is none.
	past  bool
	joint time.Time
	// opening is where a replay's first window begins, in the run that reads it; zero otherwise.
	opening time.Time
	// steps are what the pieces have to tell; room tells that memory was given back.
	steps   chan step
	room    chan struct{}
	density density
	working sync.WaitGroup
}

// density is what the windows asked for last showed. It decides how long the next windows are and whether to fetch ahead.
type density struct {
	// seen is where the window begins that showed it.
	seen time.Time
	span time.Duration
	// steady tells that a window's length is what suits the density, not one that is still growing: fetching ahead with
	// windows that are too short would cost requests.
	steady bool
	// single tells that the window was one page: to ask for less at a time would only cost requests.
	single bool
	// bytes is about what a window takes in memory.
	bytes int64
}

// leastEstimate is the least memory that a window fetched ahead is taken to need.
const leastEstimate = 256 << 10

// learn takes in the reply to a window's first request. bytes is what one row takes; single tells that it has all of them.
func (d *density) learn(w Window, page Page, bytes int, single bool) {
	if w.Begin.Before(d.seen) {
		return
	}
	d.seen, d.span, d.single = w.Begin, page.Span, single
	// A window that could be twice as long grows still. The overlap and whole seconds blur it a little.
	d.steady = page.Span > 0 && page.Span < w.End.Sub(w.Begin)*9/5
	rows := float64(page.Total)
	if length := w.End.Sub(w.Begin); length > 0 && page.Span > 0 {
		rows *= float64(page.Span) / float64(length)
	}
	const margin = 1.25 // Windows differ.
	d.bytes = max(leastEstimate, int64(rows*float64(bytes)*margin))
}

func newReader(s *session, stream Stream, cp Checkpoint) *reader {
	return &reader{
		session: s, stream: stream,
		pos:     Position{End: cp.End, Span: cp.Span},
		edge:    newEdge(s.cfg.Overlap, cp),
		until:   s.cfg.Until,
		steps:   make(chan step),
		room:    make(chan struct{}, 1),
		density: density{span: cp.Span, bytes: leastEstimate},
	}
}

// run reads until the context is done, the stream's range is read, or an error comes that no reading anew can mend.
func (r *reader) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		r.working.Wait()
		for _, p := range r.pieces {
			if p.fetched != nil {
				p.fetched.release()
			}
		}
		if r.ready != nil {
			r.cfg.Observer.Cut(r.stream, r.ready.window)
		}
	}()
	for {
		for r.startNext(ctx) {
		}
		if len(r.pieces) == 0 {
			return nil
		}
		if err := r.step(ctx); err != nil {
			return err
		}
	}
}

// step waits for one thing to happen.
func (r *reader) step(ctx context.Context) error {
	var queue chan<- *delivery
	if r.ready != nil {
		queue = r.queue
	}
	select {
	case s := <-r.steps:
		return r.handle(ctx, s)
	case queue <- r.ready:
		r.head(r.ready.window.End)
		r.ready = nil
		return r.advance()
	case <-r.room:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startNext starts the window behind those under way, if that makes sense now, and tells whether it did.
func (r *reader) startNext(ctx context.Context) bool {
	from := Position{End: r.pos.End, Span: r.density.span, Until: r.until}
	if n := len(r.pieces); n > 0 {
		last := r.pieces[n-1]
		if last.plan == nil || last.plan.Head || !r.density.steady || n >= aheadOf(r.cfg.Parallel) {
			return false
		}
		from.End = last.plan.Window.End
		from.Span = r.share(ctx, from)
	}
	if !from.Until.IsZero() && !from.End.Before(from.Until) {
		return false
	}
	held := int64(0) // The first one waits for the head, maybe; it takes memory when it is fetched.
	if len(r.pieces) > 0 {
		if held = r.needs(); !r.budget.TryAcquire(held) {
			return false
		}
	}
	r.start(ctx, len(r.pieces), from, held)
	return true
}

// needs is about what a window takes in memory.
func (r *reader) needs() int64 { return min(r.density.bytes, int64(r.cfg.WindowBytes)) }

// share is the length of a window fetched ahead: where little history is left, it is divided among those that can be
// fetched at the same time, so that all of them come to the end together. Short windows cost requests, so there is a
// limit to that.
func (r *reader) share(ctx context.Context, from Position) time.Duration {
	if r.density.single {
		return r.density.span
	}
	const shortest = 3 // Tenths of what suits the density.
	end := from.Until
	if now, err := r.source.Now(ctx, r.stream); end.IsZero() && err == nil {
		end = now
	}
	left := end.Sub(from.End) / time.Duration(r.cfg.Parallel)
	return min(r.density.span, max(left, r.density.span*shortest/10))
}

// aheadOf is how many windows may be under way: those that are being fetched, and as many that wait for their turn.
func aheadOf(parallel int) int { return 2 * parallel }

// start puts a piece into its place and lets it work.
func (r *reader) start(ctx context.Context, place int, from Position, held int64) {
	ctx, cancel := context.WithCancel(ctx)
	p := &piece{
		session: r.session, stream: r.stream, begins: from.End, opens: from.End.Equal(r.opening), short: from.Span < r.density.span, from: from,
		past: r.past, joint: r.joint, until: r.until,
		steps: r.steps, gaveBack: r.gaveBack, reserved: held, needs: r.needs(), turn: make(chan struct{}), cancel: cancel,
	}
	r.pieces = slices.Insert(r.pieces, place, p)
	if place == 0 {
		p.goAhead(r.edge)
	}
	r.working.Go(func() { p.run(ctx) })
}

// handle does what a piece's step asks for.
func (r *reader) handle(ctx context.Context, s step) error {
	p := s.piece
	place := slices.Index(r.pieces, p)
	if place < 0 { // It was given up.
		if s.fetched != nil {
			s.fetched.release()
		}
		return nil
	}
	switch {
	case s.err != nil:
		return s.err
	case s.plan != nil:
		p.plan = s.plan
		r.fill(ctx, place)
		return nil
	case s.page != nil:
		if !p.short { // One that was made short shows only that.
			r.density.learn(p.plan.Window, *s.page, s.bytes, s.single)
		}
		return nil
	}
	p.fetched = s.fetched
	if place > 0 {
		return nil
	}
	return r.settle(p)
}

// fill keeps the windows under way without a gap between them: one that had to be planned shorter leaves the rest to a
// new one.
func (r *reader) fill(ctx context.Context, place int) {
	if place+1 == len(r.pieces) {
		return
	}
	end, next := r.pieces[place].plan.Window.End, r.pieces[place+1].begins
	switch {
	case end.Before(next):
		rest := Position{End: end, Span: next.Sub(end), Until: next}
		r.start(ctx, place+1, rest, 0)
	case end.After(next): // All of that time is too old for the API by now: begin anew behind it.
		for _, p := range r.pieces[place+1:] {
			p.cancel()
			if p.fetched != nil {
				p.fetched.release()
			}
		}
		r.pieces = r.pieces[:place+1]
	}
}

// settle hands the first window on. Its rows that an earlier window brought are left out now that all of those are known.
func (r *reader) settle(p *piece) error {
	f := p.fetched
	r.zone.add(&f.assembly.zone)
	if err := r.zone.check(f); err != nil {
		return err
	}
	if f.streamed != nil { // The publisher has it.
		r.moveTo(f)
		r.head(r.pos.End)
		return r.advance()
	}
	f.assembly.leaveOut(p.edge)
	if f.nothingNew(r.pos) {
		f.release()
		r.head(f.plan.Window.End)
		return r.advance()
	}
	r.ready = f.delivery(f.close(p.edge))
	r.moveTo(f)
	return nil
}

// advance gives the next window its turn.
func (r *reader) advance() error {
	r.pieces[0].cancel()
	r.pieces = r.pieces[1:]
	if len(r.pieces) == 0 {
		return nil
	}
	first := r.pieces[0]
	first.goAhead(r.edge)
	if first.fetched != nil {
		return r.settle(first)
	}
	return nil
}

// head tells up to where the stream is read. What is read of a past is told when it is committed.
func (r *reader) head(end time.Time) {
	if !r.past {
		r.cfg.Observer.Head(r.stream, end)
	}
}

func (r *reader) moveTo(f *fetch) {
	r.edge = f.nextEdge
	r.pos = Position{End: f.plan.Window.End, Span: f.span}
}

// gaveBack tells that there is memory again.
func (r *reader) gaveBack() {
	select {
	case r.room <- struct{}{}:
	default:
	}
}

// check tells whether the configured time zone is wrong.
func (z *zoneProof) check(f *fetch) error {
	if !z.wrong() {
		return nil
	}
	return &Fault{
		Class: Permanent, Op: fmt.Sprintf("read %s %s", f.piece.stream, f.plan.Window),
		Err:  fmt.Errorf("none of the first %d messages lies in the time that was asked for", zoneSamples),
		Hint: "the API seems to use another time zone: set JMPUB_API_TIME_ZONE",
	}
}
