package pipeline

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A window at the head that brings nothing new stays open, and grows with each poll, before it is committed: an idle stream would
// otherwise cost a transaction each poll. It gets as long as a part of the silence, within bounds: the longest is what a restart reads
// again, and how late a run that stands still may find that a command has taken its place.
const (
	shortestMerge = 30 * time.Second
	longestMerge  = 5 * time.Minute
	silentParts   = 12
)

// mergeOf is how long a window may stay open of a stream that has brought nothing for so long.
func mergeOf(silence time.Duration) time.Duration {
	return min(max(shortestMerge, silence/silentParts), longestMerge)
}

// stagger keeps the streams of many apps from committing at the same moments that they have brought nothing, which they would if they began
// together. The zero value keeps none.
type stagger struct {
	// share is the stream's own, from 0 to 1: by up to a quarter its windows stay open for less long, and by its share of hours it ends an
	// hour later.
	share float64
	hours time.Duration
}

// staggerOf is the same each time. hours is over how much time the ends of hours are spread; nothing is without any.
func staggerOf(appKey string, s Stream, hours time.Duration) stagger {
	if hours <= 0 {
		return stagger{}
	}
	hash := fnv.New32a()
	fmt.Fprintf(hash, "%s/%s", appKey, s)
	return stagger{float64(hash.Sum32()) / math.MaxUint32, hours}
}

func (s stagger) merge(silence time.Duration) time.Duration {
	return time.Duration(float64(mergeOf(silence)) * (1 - s.share/4))
}

// mayStayOpen tells that a window need not be committed yet that reaches from a position to an end and has brought nothing: it is short for a
// silence of that length, and no hour has ended, for consumers wait for hours that were read to their end.
func (s stagger) mayStayOpen(pos Position, end time.Time, silence time.Duration) bool {
	return end.Sub(pos.End) < s.merge(silence) && !end.Add(-s.hourDelay()).Truncate(time.Hour).After(pos.End)
}

func (s stagger) hourDelay() time.Duration { return time.Duration(s.share * float64(s.hours)) }

// resources are what all readers of a session share.
type resources struct {
	source    Source
	proposals chan<- proposal
	// memory counts bytes of windows held; slots bound the windows being fetched; bounds may be shared with other pipelines.
	memory   *memory
	slots    *fetchSlots
	bounds   *Bounds
	observer Observer
	now      Clock
	// pace is the time between two requests that the quota allows.
	pace time.Duration
}

// reading is what one reader reads.
type reading struct {
	appKey string
	stream Stream
	// until is where it ends; zero where it does not.
	until time.Time
	// backlog tells that it is a range of the backlog.
	backlog bool
	// backlogEnds are, for the live position, where the ranges of the backlog end.
	backlogEnds []time.Time
	// replay, where it is not nil, is the replay that this is.
	replay *replayRange
	// overlap is how far windows reach back, windowBytes the most memory that one may take, parallel how many may be fetched.
	overlap     time.Duration
	windowBytes int
	parallel    int
	// early tells that rows are published before they have settled.
	early   bool
	retry   Retry
	stagger stagger
}

// replayRange is what a replay publishes.
type replayRange struct {
	id string
	Window
	// starts tells that nothing of it is committed yet.
	starts bool
}

// reader reads one stream, live or a range of its backlog. Several windows are fetched at the same time where there is enough
// history and memory; they go to the publisher in the order of time, one after another, because each needs the overlap ids of
// the one before it. All of it belongs to the goroutine that runs it; the fetches tell it what happens by messages.
type reader struct {
	reading

	res   *resources
	early earlyReading
	dense denseReading
	// pos is behind the last window that was handed on, overlapIDs knows its rows near the end.
	pos        Position
	overlapIDs *overlapIDs
	// active is where the last window ends that brought something, or where reading began.
	active  time.Time
	zone    zoneProof
	density density
	// mismatchedSeconds counts the shortest windows in a row that did not add up to their totals.
	mismatchedSeconds atomic.Int32
	// fetches are the windows under way, in the order of time. All windows before the first one are handed on.
	fetches []*windowFetch
	// wait is how long it takes until the next window can be asked for, where none is under way until then. waited tells that this is over: what
	// is left then, the window waits for itself.
	wait   time.Duration
	waited bool
	// wantsTurn tells that the first window waits for its turn, or what else task says, entered that its time in the queue is over; held and slot
	// are what it has then.
	wantsTurn, entered bool
	task               task
	held               int64
	slot               *fetchSlot
	// ready is the first one's proposal, while the publisher is busy.
	ready *windowProposal
	// messages are what the fetches tell, there like those of the looks while the reader is not idle. freed tells that memory was given back, which
	// the publisher does too.
	messages chan fetchMessage
	freed    chan struct{}
	working  sync.WaitGroup
}

// newReader reads from a position, whose overlap ids are given.
func newReader(r reading, res *resources, from Position, known *overlapIDs) *reader {
	return &reader{
		reading: r, res: res, pos: from, overlapIDs: known, active: from.End,
		freed:   make(chan struct{}, 1),
		early:   earlyReading{on: r.early && !r.backlog && r.replay == nil && r.until.IsZero()},
		density: density{span: from.Span, bytes: leastEstimate},
	}
}

// read reads until the context is done, the stream's range is read, or an error comes that reading again does not help; or until it is idle,
// because there is nothing to do but to wait for its turn, or until the next window can be asked for.
func (r *reader) read(ctx context.Context) (idle bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	r.messages, r.early.looks = make(chan fetchMessage), make(chan *look)
	defer func() {
		cancel()
		r.working.Wait()
		r.messages, r.early.looks = nil, nil
		for _, f := range r.fetches {
			f.discard()
		}
		if r.ready != nil {
			r.res.observer.Tell(WindowAbandoned{r.stream, r.ready.window})
		}
		if p := r.early.ready; p != nil {
			_ = p.done(ctx.Err())
		}
	}()
	for {
		for more := true; more; {
			more = r.takeTurn(ctx) || r.startNext(ctx)
		}
		if len(r.fetches) == 0 && r.early.busy == nil && r.early.ready == nil && ctx.Err() == nil {
			return r.wait > 0 || r.wantsTurn, nil
		}
		if err := r.step(ctx); err != nil {
			return false, err
		}
	}
}

// step waits for one thing to happen.
func (r *reader) step(ctx context.Context) error {
	var publisher chan<- proposal
	next := proposal(r.ready)
	if r.early.ready != nil {
		next = r.early.ready
	}
	if r.ready != nil || r.early.ready != nil {
		publisher = r.res.proposals
	}
	select {
	case m := <-r.messages:
		return r.handle(ctx, m)
	case l := <-r.early.looks:
		r.handleLook(l)
		return nil
	case publisher <- next:
		if r.early.ready != nil {
			r.tellHead(r.early.readyTo)
			r.early.ready = nil
			return nil
		}
		r.tellHead(r.ready.window.End)
		r.ready = nil
		return r.advance()
	case <-r.freed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startNext starts the window behind those under way, if that makes sense now, and tells whether it did.
func (r *reader) startNext(ctx context.Context) bool {
	from := Position{End: r.pos.End, Span: r.density.span, Until: r.until, From: r.overlapIDs.from}
	if n := len(r.fetches); n > 0 {
		last := r.fetches[n-1]
		if last.planned == nil || last.planned.Head || !r.density.steady || n >= aheadOf(r.parallel) {
			return false
		}
		from.End = last.planned.Window.End
		from.Span = r.share(ctx, from)
	}
	if !from.Until.IsZero() && !from.End.Before(from.Until) {
		return false
	}
	if len(r.fetches) == 0 && r.slot == nil {
		r.wantsTurn = r.isDue(from)
		return false
	}
	next, head := readWindow, time.Time{}
	if r.task != readWindow && len(r.fetches) == 0 {
		head = r.dueAt(from).Head
		next = r.nextTask(head, from) // It may have waited for long.
	}
	if next != lookEarly && r.handOnClosed() {
		return false
	}
	held := int64(0) // The first one waits for the head, maybe; it takes memory when it is fetched.
	if len(r.fetches) > 0 {
		if held = r.needs(); !r.res.memory.tryTake(held) {
			return false
		}
	}
	slot := r.slot
	held, r.held, r.slot = held+r.held, 0, nil
	switch next {
	case lookEarly:
		r.look(ctx, head, from, held, slot)
	case askTotal:
		r.askTotal(ctx, head, from, held, slot)
	case readWindow:
		r.start(ctx, len(r.fetches), from, held, slot)
	}
	return true
}

// takeTurn waits for what else the first window, or a look, needs to be read whose time in the queue is over, and tells whether it is there.
func (r *reader) takeTurn(ctx context.Context) bool {
	if !r.entered {
		return false
	}
	r.wantsTurn, r.entered = false, false
	needs := r.needs()
	slot, err := r.res.slots.takeRest(ctx, r.stream, r.backlog)
	if err != nil {
		return false
	}
	if r.res.memory.tryTake(needs) {
		r.held, r.slot = needs, slot // The next window is begun with them at once.
		return true
	}
	slot.giveBack()
	held, err := r.res.memory.await(ctx, r.stream, needs)
	if err != nil {
		return false
	}
	if slot, err = r.res.slots.take(ctx, r.stream, r.backlog); err != nil {
		if held > 0 {
			r.res.memory.giveBack(held)
		}
		return false
	}
	r.held, r.slot = held, slot
	return true
}

// isDue tells whether it is time to ask for what follows a position: for the window or, for a look, for what has not settled. If it is not, the
// reader waits for that.
func (r *reader) isDue(from Position) bool {
	if r.early.busy != nil || r.early.ready != nil {
		return false
	}
	due := r.dueAt(from)
	wait, next := due.Plan, r.nextTask(due.Head, from)
	if next != lookEarly && r.handOnClosed() { // While it has nothing yet that others wait for.
		return false
	}
	switch next {
	case lookEarly:
		wait = max(due.Poll, r.dense.untilLook(r.res.now()))
	case askTotal:
		wait = 0
	case readWindow:
	}
	if now := r.waited || next == lookEarly && r.early.soon; wait > 0 && !now {
		r.wait = wait
		return false
	}
	r.waited, r.task = false, next
	return true
}

// needs is about what a window takes in memory.
func (r *reader) needs() int64 { return min(r.density.bytes, int64(r.windowBytes)) }

// share is the length of a window fetched ahead: where little history is left, it is divided among those that can be
// fetched at the same time, so that all of them come to the end together. Windows are divided in halves, for those of other
// lengths end with pages that are almost empty; and only once, for short windows cost requests.
func (r *reader) share(ctx context.Context, from Position) time.Duration {
	if r.density.single {
		return r.density.span
	}
	end := from.Until
	if now, err := r.res.source.Now(ctx, r.stream); end.IsZero() && err == nil {
		end = now
	}
	if left := end.Sub(from.End) / time.Duration(r.parallel); left < r.density.span*3/4 {
		return r.density.span / 2
	}
	return r.density.span
}

// aheadOf is how many windows may be under way: those that are being fetched, and as many that wait for their predecessors.
func aheadOf(parallel int) int { return 2 * parallel }

// start begins to fetch a window and puts it into its place among those under way. slot is the one that it has, if not nil.
func (r *reader) start(ctx context.Context, place int, from Position, held int64, slot *fetchSlot) {
	ctx, cancel := context.WithCancel(ctx)
	f := &windowFetch{
		reading: r.reading, res: r.res, messages: r.messages, freed: r.freed,
		begin: from.End, shortened: from.Span < r.density.span, cancel: cancel,
		reserved: held, needs: r.needs(), predecessors: make(chan struct{}), from: from, slot: slot,
		mismatchedSeconds: &r.mismatchedSeconds, alone: len(r.fetches) == 0,
	}
	r.fetches = slices.Insert(r.fetches, place, f)
	if place == 0 {
		f.predecessorsDone(r.overlapIDs)
	}
	r.working.Go(func() { f.run(ctx) })
}

// handle does what a message asks for. A fetch that was given up has nothing to say.
func (r *reader) handle(ctx context.Context, m fetchMessage) error {
	place := slices.Index(r.fetches, m.sender())
	if place < 0 {
		if read, ok := m.(*windowRead); ok {
			read.content.release()
		}
		return nil
	}
	switch m := m.(type) {
	case *windowPlanned:
		m.fetch.planned = &m.plan
		r.fill(ctx, place)
	case *firstPageRead:
		if !m.fetch.shortened { // One that was made short shows only that.
			r.density.learn(m.fetch.planned.Window, m)
		}
	case *windowRead:
		m.fetch.content = m.content
		if place == 0 {
			return r.handOn(m.content)
		}
	case *fetchFailed:
		return m.err
	}
	return nil
}

// fill keeps the windows under way without a gap between them: one that had to be planned shorter leaves the rest to a
// new one, which is at most twice as long: nothing is known of where in the longer one its rows are, and where all of them are near
// its end, most of it is read in a few steps.
func (r *reader) fill(ctx context.Context, place int) {
	if place+1 == len(r.fetches) {
		return
	}
	end, next := r.fetches[place].planned.Window.End, r.fetches[place+1].begin
	switch {
	case end.Before(next):
		longest := 2 * end.Sub(r.fetches[place].begin)
		rest := Position{End: end, Span: min(next.Sub(end), longest), Until: next, From: r.overlapIDs.from}
		r.start(ctx, place+1, rest, 0, nil)
	case end.After(next): // All of that time is too old for the API by now: begin anew behind it.
		for _, f := range r.fetches[place+1:] {
			f.cancel()
			f.discard()
		}
		r.fetches = r.fetches[:place+1]
	}
}

// handOn hands the first window on. Its rows that an earlier window brought are left out now that all of those are known.
func (r *reader) handOn(c *windowContent) error {
	r.zone.add(&c.rows.zone)
	if err := r.zone.check(r.stream, c.plan.Window); err != nil {
		return err
	}
	r.dense.edges.add(c.rows.edges)
	if r.dense.on() && r.dense.window(c.rows) {
		r.stopLooks(vanishedAgain)
	}
	r.early.soon = c.rows.ledger.Rows > 0
	if c.streamed != nil { // The publisher has it.
		r.active = c.plan.Window.End
		r.moveTo(c)
		r.tellHead(r.pos.End)
		return r.advance()
	}
	c.rows.leaveOut(r.overlapIDs)
	if c.staysOpen(r.pos, c.plan.Window.End.Sub(r.active)) {
		c.release()
		r.tellHead(c.plan.Window.End)
		return r.advance()
	}
	if !c.nothingNew() {
		r.active = later(r.active, c.plan.Window.End)
	}
	r.ready = c.proposal(r.overlapIDs)
	r.moveTo(c)
	return nil
}

// advance makes the next window the first one.
func (r *reader) advance() error {
	r.fetches[0].cancel()
	r.fetches = slices.Delete(r.fetches, 0, 1) // What is left must not keep its rows in memory.
	if len(r.fetches) == 0 {
		return nil
	}
	first := r.fetches[0]
	first.predecessorsDone(r.overlapIDs)
	if first.content != nil {
		return r.handOn(first.content)
	}
	return nil
}

// tellHead tells up to where the stream is read. What is read of a backlog is reported when it is committed.
func (r *reader) tellHead(end time.Time) {
	if !r.backlog {
		r.res.observer.Tell(HeadRead{r.stream, end})
	}
}

func (r *reader) moveTo(c *windowContent) {
	c.rows.freeIDs()
	r.overlapIDs = c.nextOverlap
	r.pos = Position{End: c.plan.Window.End, Span: c.span}
}
