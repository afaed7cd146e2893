package pipeline

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// Committer commits what its users bring. Safe for concurrent use.
type Committer interface {
	// Commit has fill called by the one who writes, with the positions as they are committed at that moment, and commits what
	// it put into the draft, in one transaction. It returns once that is committed. fill's own error is returned as it is, and
	// nothing is committed; any other error is the end of the session.
	Commit(ctx context.Context, fill Fill) error
	// Positions are the positions of all streams: committed, or where their reading began.
	Positions() map[Stream]Checkpoint
}

// Session is what a [Member] works with.
type Session interface {
	Committer
	// Follow reads a stream from its position on until ctx is done, or the stream's range is read. An error of class [Drop]
	// means that the API knows nothing of the stream.
	Follow(ctx context.Context, s Stream) error
	// Sweep is about how long it takes until a window of each of so many streams was read.
	Sweep(streams int) time.Duration
}

// Member is anything that brings something to publish besides the streams that are named.
type Member interface {
	// Run works until ctx is done or there is nothing left to do. It is called once a session, one call at a time, so what a
	// member remembers outlives sessions. An error of class [Drop] ends this member alone, and was reported to the observer; any
	// other one ends the session.
	Run(ctx context.Context, s Session) error
}

// Attendant attends to what streams and members bring, now and then, such as a search for late rows.
type Attendant interface {
	// Attend does what is due, and returns when it is to be called again; the zero time is never. It is called when a session begins and
	// from then on when it wants to be, one call at a time, so what it remembers outlives sessions. An error of class [Drop] ends
	// its calls with this [Session], and was reported to the observer; any other one ends the session.
	Attend(ctx context.Context, s Session) (time.Time, error)
}

// session is the time between two readings of the committed positions.
type session struct {
	cfg       *Config
	streams   *streamTable
	proposals chan proposal
	res       resources
	pause     Pause
	// beginning bounds how many streams begin at the same time.
	beginning *queue
}

var _ Session = (*session)(nil)

// session opens the sink, reads the positions and works from there until something ends it. It tells whether anything was
// committed.
func (p *Pipeline) session(ctx context.Context) (progressed bool, err error) {
	// Order matters: opening the sink decides what the last writer left open, and only then are the positions final.
	if err = p.cfg.Sink.Open(ctx); err != nil {
		return false, err
	}
	if err = p.cfg.Checkpoints.Open(ctx); err != nil {
		return false, err
	}
	if err = p.own(ctx); err != nil {
		return false, err
	}
	if err = p.load(ctx); err != nil {
		return false, err
	}
	pause, err := p.paused(ctx)
	if err != nil {
		return false, err
	}
	proposals := make(chan proposal)
	bounds := p.cfg.Bounds
	if bounds == nil {
		bounds = singleBounds(&p.cfg)
	}
	own := int64(p.cfg.MemoryBytes)
	s := &session{
		pause: pause, beginning: newQueue(mostBeginning),
		cfg: &p.cfg, streams: p.streams,
		// It has no buffer: a reader keeps its windows until the publisher takes them, in their order.
		proposals: proposals,
		res: resources{
			source: p.cfg.Source, proposals: proposals, observer: p.cfg.Observer, now: p.cfg.Now,
			memory: &memory{own: semaphore.NewWeighted(own), ownBytes: own, shared: bounds, observer: p.cfg.Observer},
			slots:  newFetchSlots(p.cfg.Parallel, p.cfg.Pace, bounds),
			bounds: bounds, pace: p.cfg.Pace,
		},
	}
	pub := &publisher{
		writer: &writer{
			sink: p.cfg.Sink, checkpoints: p.cfg.Checkpoints, coverage: p.cfg.Coverage, streams: p.streams, observer: p.cfg.Observer,
		},
		proposals: proposals, pings: p.pings, bounds: bounds, shareBytes: p.cfg.WindowBytes,
	}
	err = s.work(ctx, pub)
	return pub.committed, err
}

// paused is what is paused, and tells it.
func (p *Pipeline) paused(ctx context.Context) (pause Pause, err error) {
	if p.cfg.Pauses == nil {
		return pause, nil
	}
	if pause, err = p.cfg.Pauses.Paused(ctx); err == nil {
		p.cfg.Observer.Tell(PauseRead{pause})
	}
	return pause, err
}

// ErrReplayDeleted is in the error of a replay whose position was deleted while it was running. Nothing was published after that.
var ErrReplayDeleted = errors.New("it was deleted while the replay was running")

// load reads the committed positions.
func (p *Pipeline) load(ctx context.Context) error {
	loaded, err := p.cfg.Checkpoints.Load(ctx)
	if err != nil {
		return err
	}
	if p.cfg.Replay != "" {
		for _, s := range p.cfg.Streams {
			if _, there := loaded[s]; !there && p.streams.isCommitted(s) {
				return &Fault{
					Class: Permanent, Op: "read the position of the replay " + p.cfg.Replay,
					Err:  ErrReplayDeleted,
					Hint: "start the replay again to publish its range from the beginning",
				}
			}
		}
	}
	if p.cfg.Replay == "" {
		if err := p.compare(ctx, loaded); err != nil {
			return err
		}
	}
	p.streams.load(loaded)
	return nil
}

// crew are those who bring something to publish. One that is dropped leaves the others; the run ends when all of them are.
type crew struct {
	*errgroup.Group

	// working counts those that have not come to their end, and who adds them; the last one calls done and closes over.
	working          atomic.Int64
	over             chan struct{}
	done             func()
	members, dropped atomic.Int64
	// cause is why one of them was dropped.
	cause atomic.Pointer[error]
}

// join takes one in, which may have no goroutine, and returns what is called with how it has ended. It must not be called once all others have
// come to their end.
func (c *crew) join() (ended func(error)) {
	c.working.Add(1)
	c.members.Add(1)
	return func(err error) {
		defer c.leave()
		switch {
		case ClassOf(err) == Drop:
			c.cause.Store(&err)
			c.dropped.Add(1)
		case err != nil:
			c.Go(func() error { return err })
		}
	}
}

// add lets one work in a goroutine.
func (c *crew) add(run func() error) {
	ended := c.join()
	c.Go(func() error {
		ended(run())
		return nil
	})
}

func (c *crew) leave() {
	if c.working.Add(-1) == 0 {
		c.done()
		close(c.over)
	}
}

// work runs readers, members and publisher until one of them fails or ctx is done. An app in which nothing happens takes few goroutines: the
// publisher works in the caller's, and attendants have one only while they are at work.
func (s *session) work(ctx context.Context, pub *publisher) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, soft := errgroup.WithContext(ctx)
	hard, cancel := graceful(soft, s.cfg.Grace)
	defer cancel()
	attending := newAttendance(soft, group, s)
	watching, unwatch := context.WithCancel(soft)
	defer unwatch()
	all := &crew{Group: group, over: make(chan struct{}), done: func() {
		unwatch()
		attending.end() // Nothing is left that they could attend to.
		close(s.proposals)
	}}
	all.working.Add(1)
	if s.pause.Any() {
		group.Go(func() error { return s.awaitResume(watching) })
	}
	if s.pause.App {
		all.add(func() error {
			<-soft.Done()
			return nil
		})
	} else {
		s.start(soft, all, attending)
	}
	all.leave()
	failed := pub.run(soft, hard)
	first := soft.Err() == nil
	if failed != nil {
		stop()
	}
	<-all.over // Who has no goroutine may still end the group.
	switch err := group.Wait(); {
	case failed != nil && (first || err == nil):
		return failed
	case err == nil && all.dropped.Load() == all.members.Load():
		return noStream(all.cause.Load())
	default:
		return err
	}
}

// start lets all streams and members work, and has them attended to.
func (s *session) start(soft context.Context, all *crew, attending *attendance) {
	for _, stream := range s.cfg.Streams {
		ended := all.join()
		s.follow(soft, stream, func(err error) { ended(s.tellDropped(soft, stream, err)) })
	}
	for _, member := range s.cfg.Members {
		all.add(func() error { return member.Run(soft, s) })
	}
	for _, one := range s.cfg.Attendants {
		attending.call(one)
	}
}

// tellDropped tells that a stream that was named is read no more, if that is what its reading ended with, and returns that.
func (s *session) tellDropped(soft context.Context, stream Stream, err error) error {
	if ClassOf(err) == Drop && soft.Err() == nil {
		s.cfg.Observer.Tell(StreamDropped{stream, err})
	}
	return err
}

// Commit implements [Committer].
func (s *session) Commit(ctx context.Context, fill Fill) error {
	c := &change{fillDraft: fill, result: make(chan error, 1)}
	select {
	case s.proposals <- c:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-c.result:
		if own, ok := errors.AsType[*fillError](err); ok {
			return own.error
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Positions implements [Committer]. What is paused has none: nothing of it is to be published.
func (s *session) Positions() map[Stream]Checkpoint {
	all := s.streams.positions()
	maps.DeleteFunc(all, func(stream Stream, _ Checkpoint) bool { return s.pause.Has(stream) })
	return all
}

// Sweep implements [Session].
func (s *session) Sweep(streams int) time.Duration { return s.res.slots.sweep(streams) }

// noStream ends a run in which none of the streams can be read. cause is what ended the last of them.
func noStream(cause *error) error {
	if own, ok := asFault(cause); ok && errors.Is(own, ErrUnreadable) {
		return &Fault{Class: Permanent, Op: own.Op, Err: own.Err, Hint: own.Hint}
	}
	return &Fault{
		Class: Permanent, Op: "read", Err: errors.New("no stream is left: the API knows none of those that were named"),
		Hint: "see JMPUB_STREAMS",
	}
}

// asFault is the fault that an error is, where there is one.
func asFault(err *error) (*Fault, bool) {
	if err == nil {
		return nil, false
	}
	return errors.AsType[*Fault](*err)
}

// graceful is a context that ends grace after ctx does. Its values are ctx's; its own end is not, because a transaction
// that is being committed has to be decided, or the next start would find it in doubt.
func graceful(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var timer *time.Timer
	var mu sync.Mutex // Guards timer against a cancel that comes while it is set.
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		timer = time.AfterFunc(grace, cancel)
	})
	return hard, func() {
		stop()
		mu.Lock()
		defer mu.Unlock()
		if timer != nil {
			timer.Stop()
		}
		cancel()
	}
}
