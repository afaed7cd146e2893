package pipeline

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// session is the time between two readings of the committed position. Its parts share the way to the publisher and the
// limits of memory.
type session struct {
	cfg         *Config
	source      Source
	sink        Sink
	checkpoints Checkpoints
	// queue has no buffer: a reader keeps its closed windows until the publisher takes them, in their order. updates is
	// the same for what is no window.
	queue     chan *delivery
	updates   chan *updating
	positions positions
	rechecks  rechecks
	joints    joints
	refused   *refusals
	starts    *positions
	// budget counts bytes of windows held; turns bound the windows being fetched.
	budget *semaphore.Weighted
	turns  *Turns
}

// session opens the sink, reads the position and works from there until something ends it. It tells whether anything was
// committed.
func (p *Pipeline) session(ctx context.Context) (progressed bool, err error) {
	s := &session{
		cfg: &p.cfg, source: p.cfg.Source, sink: p.cfg.Sink, checkpoints: p.cfg.Checkpoints,
		queue: make(chan *delivery), updates: make(chan *updating), refused: &p.refused,
		starts: &p.starts,
		budget: semaphore.NewWeighted(int64(p.cfg.MemoryBytes)),
		turns:  NewTurns(p.cfg.Parallel, p.cfg.pace()),
	}
	// Order matters: opening the sink decides what the last writer left open, and only then is the position final.
	if err = s.sink.Open(ctx); err != nil {
		return false, err
	}
	loaded, err := s.checkpoints.Load(ctx)
	if err != nil {
		return false, err
	}
	clear(p.positioned) // One that was deleted meanwhile is positioned no longer.
	for stream, cp := range loaded {
		p.resets[cp.Reset] = true
		p.positioned[stream] = true
		s.positions.set(&cp)
	}
	pub := &publisher{session: s, moved: make(map[Stream]bool)}
	err = s.work(ctx, pub)
	for stream := range pub.moved {
		p.positioned[stream] = true
		p.starts.forget(stream)
	}
	return len(pub.moved) > 0, err
}

// pace is the time between two requests, as far as it is known before any was sent.
func (c *Config) pace() time.Duration {
	if c.Discovery == nil {
		return 0
	}
	return c.Discovery.Pace
}

// crew are the goroutines that bring something to publish. One that is dropped leaves the others; the run ends when all
// of them are.
type crew struct {
	*errgroup.Group

	working          sync.WaitGroup
	members, dropped atomic.Int64
}

// add lets one work for a stream. It must not be called once all others have come to their end.
func (c *crew) add(run func() error) {
	c.working.Add(1)
	c.members.Add(1)
	c.Go(func() error {
		defer c.working.Done()
		err := run()
		if ClassOf(err) == Drop {
			c.dropped.Add(1)
			return nil
		}
		return err
	})
}

// work runs readers and publisher until one of them fails or ctx is done.
func (s *session) work(ctx context.Context, pub *publisher) error {
	group, soft := errgroup.WithContext(ctx)
	hard, cancel := graceful(soft, s.cfg.Grace)
	defer cancel()
	all := &crew{Group: group}
	for _, stream := range s.cfg.Streams {
		all.add(func() error { return s.told(soft, stream, s.follow(soft, stream)) })
	}
	for i := range s.cfg.Statistics {
		all.add(func() error { return s.figures(soft, &s.cfg.Statistics[i]) })
	}
	if s.cfg.Discovery != nil {
		all.add(func() error { return s.discover(soft, all) })
	}
	looking, stopLooking := context.WithCancel(soft)
	defer stopLooking()
	var checking sync.WaitGroup
	if len(s.cfg.Recheck) > 0 {
		checking.Go(func() { s.recheck(looking) })
	}
	group.Go(func() error {
		all.working.Wait()
		stopLooking() // Nothing is left that could be late.
		checking.Wait()
		close(s.queue)
		if all.dropped.Load() == all.members.Load() {
			return noStream()
		}
		return nil
	})
	group.Go(func() error { return pub.run(soft, hard) })
	return group.Wait()
}

// told tells the observer of a stream that is dropped.
func (s *session) told(ctx context.Context, stream Stream, err error) error {
	if ClassOf(err) == Drop && ctx.Err() == nil {
		s.cfg.Observer.Dropped(stream, err)
	}
	return err
}

// follow reads a stream from its position on, live and what lies behind that.
func (s *session) follow(ctx context.Context, stream Stream) error {
	cp, known := s.positions.of(stream)
	if err := s.begin(ctx, stream, &cp, known); err != nil {
		return err
	}
	s.positions.set(&cp)
	s.cfg.Observer.Begun(stream, &cp)
	s.rechecks.begin(stream, &cp, s.rechecksOf(stream))
	defer s.rechecks.forget(stream)
	opens := s.cfg.Replay != "" && !known
	if opens {
		var err error
		rows := RowReader{Source: s.source, Retry: s.cfg.Retry, Restarted: s.cfg.Observer.Restart}
		if cp.Seen, cp.SeenRejected, err = rows.IDsBefore(ctx, s.cfg.AppKey, stream, cp.End); err != nil {
			return err
		}
	}
	live := newReader(s, stream, cp)
	if opens {
		live.opening = cp.End
	}
	if cp.Past == nil {
		return live.run(ctx)
	}
	live.joint = cp.Past.Until
	joined := s.joints.open(stream, cp.Past.Until)
	s.joints.join(&cp, s.cfg.Overlap)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return live.run(ctx) })
	group.Go(func() error { return s.followPast(ctx, stream, joined) })
	return group.Wait()
}

// rechecksOf is after which delays a stream is asked for late rows. Each round takes a request a stream, so one of the many
// that the lists have is asked after the longest alone.
func (s *session) rechecksOf(stream Stream) []time.Duration {
	if len(s.cfg.Recheck) == 0 || s.named(stream) {
		return s.cfg.Recheck
	}
	return []time.Duration{slices.Max(s.cfg.Recheck)}
}

// begin completes the position from which a stream is read: known tells that it is a committed one.
func (s *session) begin(ctx context.Context, stream Stream, cp *Checkpoint, known bool) error {
	if !known {
		cp.Stream, cp.End = stream, s.cfg.Start.At
		if begun, ok := s.starts.of(stream); ok {
			cp.End = begun.End
		}
	}
	ahead := s.cfg.LiveFirst && s.cfg.Until.IsZero()
	if !cp.End.IsZero() && !ahead {
		return nil
	}
	now, err := s.source.Now(ctx, stream)
	if err != nil {
		return err
	}
	if cp.End.IsZero() {
		cp.End = now.Add(-s.cfg.Start.Back).Truncate(time.Second).UTC()
		s.starts.set(cp)
	}
	if ahead {
		cp.split(now)
	}
	return nil
}

// noStream ends a run in which the API knows none of the streams.
func noStream() error {
	return &Fault{
		Class: Permanent, Op: "read", Err: errors.New("no stream is left: the API knows none of those that were named"),
		Hint: "see JMPUB_STREAMS",
	}
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
