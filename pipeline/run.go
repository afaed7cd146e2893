package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// Config is what a pipeline is made of. AppKey, Streams, Source, Sink and Checkpoints are required; the rest works when
// zero.
type Config struct {
	AppKey      string
	Streams     []Stream
	Source      Source
	Sink        Sink
	Checkpoints Checkpoints
	// Start is where a stream without a checkpoint begins.
	Start Start
	// LiveFirst follows the head at once where a position is behind, and publishes the time in between beside that.
	LiveFirst bool
	// Until, where it is not zero, is where every stream ends; the run ends when all of them have been read up to it.
	Until time.Time
	// Recheck tells how long after they were closed windows are asked for rows that came late; each at least a minute.
	// It needs Archive and Totals.
	Recheck []time.Duration
	Archive Archive
	Totals  Totals
	// Replay is the id that marks everything that a replay publishes; empty for a live run.
	Replay string
	// Overlap is how far the source's windows reach back before the position; default 2 s.
	Overlap time.Duration
	// WindowBytes is the most memory that one window's events may take; a larger window is published in parts, into its
	// open transaction. Default 16 MiB.
	WindowBytes int
	// MemoryBytes is the most that all windows together may take while they wait; default 12 MiB for each that may be
	// fetched at the same time, at least 32 MiB. With less, fewer are.
	MemoryBytes int
	// Parallel is how many windows may be fetched at the same time, of all streams together; default 4.
	Parallel int
	// Grace is how long a window that is being committed may take once the run was asked to stop; default 8 s.
	Grace time.Duration
	// Retry is the policy by which windows are read anew and sessions begun again.
	Retry Retry
	// Observer is told what happens; may be nil.
	Observer *Observer
	// Now is the local clock, for durations and records; default time.Now.
	Now Clock
}

// Start is a point in time: At, or Back from the server's clock where At is zero.
type Start struct {
	At   time.Time
	Back time.Duration
}

// The defaults of Config.
const (
	defaultOverlap     = 2 * time.Second
	defaultWindowBytes = 16 << 20
	defaultMemoryBytes = 32 << 20
	parallelBytes      = 12 << 20
	defaultParallel    = 4
	defaultGrace       = 8 * time.Second
)

// Pipeline publishes the streams of one app.
type Pipeline struct {
	cfg Config
	// resets are those that a session has begun from; positioned are the streams that have a checkpoint.
	resets     map[string]bool
	positioned map[Stream]bool
}

// New checks the configuration and fills in the defaults.
func New(cfg Config) (*Pipeline, error) {
	var errs []error
	for _, missing := range []struct {
		is   bool
		name string
	}{
		{cfg.AppKey == "", "app key"},
		{len(cfg.Streams) == 0, "streams"},
		{cfg.Source == nil, "source"},
		{cfg.Sink == nil, "sink"},
		{cfg.Checkpoints == nil, "checkpoints"},
	} {
		if missing.is {
			errs = append(errs, fmt.Errorf("pipeline needs %s", missing.name))
		}
	}
	for _, after := range cfg.Recheck {
		if after < shortestRecheck || cfg.Archive == nil || cfg.Totals == nil {
			errs = append(errs, fmt.Errorf("pipeline can recheck after %v at the soonest, with an archive and totals", shortestRecheck))
		}
	}
	setDefault(&cfg.Overlap, defaultOverlap)
	setDefault(&cfg.WindowBytes, defaultWindowBytes)
	setDefault(&cfg.Parallel, defaultParallel)
	setDefault(&cfg.MemoryBytes, max(defaultMemoryBytes, cfg.WindowBytes, cfg.Parallel*parallelBytes))
	setDefault(&cfg.Grace, defaultGrace)
	cfg.Observer = cfg.Observer.Complete()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Pipeline{cfg: cfg, resets: make(map[string]bool), positioned: make(map[Stream]bool)}, errors.Join(errs...)
}

func setDefault[T ~int | ~int64](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Run publishes until ctx is done, which is no error: the window that is being committed then is finished if that takes
// no longer than Grace, everything else is left for the next start. It returns an error of class [Permanent] or [Fenced]
// when it cannot go on. Run may be called once.
func (p *Pipeline) Run(ctx context.Context) error {
	var last error
	for {
		var progressed bool
		err := p.cfg.Retry.Do(ctx, "publish", func(ctx context.Context) error {
			p.cfg.Observer.Session(last)
			var err error
			progressed, err = p.session(ctx)
			last = err
			if err != nil && !progressed && ClassOf(err) == Abort {
				return &Fault{Class: Transient, Op: "publish", Err: err}
			}
			return err
		})
		switch {
		case ctx.Err() != nil:
			return unlessStopped(err)
		case err == nil:
			return nil
		case ClassOf(err) == Fenced:
			if !p.wasReset(ctx) {
				return err
			}
			last = errReset
			p.cfg.Sink.Forget()
		case ClassOf(err) != Abort:
			return err
		}
	}
}

// errReset is why a session begins after an operator has set the position anew.
var errReset = errors.New("the position was set anew from outside")

// A reset takes the right to write before it writes the position; resetLooks times, resetWait apart, a run that was fenced
// looks whether that is what happened.
const (
	resetLooks = 10
	resetWait  = 500 * time.Millisecond
)

// wasReset tells, of a run that was fenced, that it was fenced by somebody who set its position anew and left, not by a run
// that takes its place: there is a reset that this run has not begun from, or a position was deleted.
func (p *Pipeline) wasReset(ctx context.Context) bool {
	if p.cfg.Replay != "" {
		return false
	}
	for range resetLooks {
		positions, err := p.cfg.Checkpoints.Load(ctx)
		if err != nil {
			return false // Fenced it is in any case.
		}
		for _, stream := range p.cfg.Streams {
			cp, ok := positions[stream]
			if !ok && p.positioned[stream] || cp.Reset != "" && !p.resets[cp.Reset] {
				return true
			}
		}
		if Sleep(ctx, resetWait) != nil {
			return false
		}
	}
	return false
}

// unlessStopped keeps, of what a run ended with when it was asked to stop, what would also have ended it otherwise.
func unlessStopped(err error) error {
	if fault, ok := errors.AsType[*Fault](err); ok && (fault.Class == Fenced || fault.Class == Permanent) {
		return err
	}
	return nil
}

// session is the time between two readings of the committed position. Its parts share the way to the publisher and the
// limits of memory.
type session struct {
	cfg         *Config
	source      Source
	sink        Sink
	checkpoints Checkpoints
	// queue has no buffer: a reader keeps its closed windows until the publisher takes them, in their order.
	queue    chan *delivery
	rechecks rechecks
	// pasts are the histories behind live positions that wait to be begun; joints are where those end that the session
	// found. The publisher owns pasts once it runs.
	pasts  map[Stream]*past
	joints map[Stream]time.Time
	// budget counts bytes of windows held; slots count windows being fetched.
	budget, slots *semaphore.Weighted
}

// session opens the sink, reads the position and works from there until something ends it. It tells whether anything was
// committed.
func (p *Pipeline) session(ctx context.Context) (progressed bool, err error) {
	s := &session{
		cfg: &p.cfg, source: p.cfg.Source, sink: p.cfg.Sink, checkpoints: p.cfg.Checkpoints,
		queue:  make(chan *delivery),
		pasts:  make(map[Stream]*past),
		joints: make(map[Stream]time.Time),
		budget: semaphore.NewWeighted(int64(p.cfg.MemoryBytes)),
		slots:  semaphore.NewWeighted(int64(p.cfg.Parallel)),
	}
	// Order matters: opening the sink decides what the last writer left open, and only then is the position final.
	if err = s.sink.Open(ctx); err != nil {
		return false, err
	}
	positions, err := s.checkpoints.Load(ctx)
	if err != nil {
		return false, err
	}
	for stream, cp := range positions {
		p.resets[cp.Reset] = true
		p.positioned[stream] = true
	}
	readers, state, err := s.readers(ctx, positions)
	if err != nil {
		return false, err
	}
	pub := &publisher{session: s, state: state, moved: make(map[Stream]bool)}
	err = s.work(ctx, readers, pub)
	for stream := range pub.moved {
		p.positioned[stream] = true
	}
	return len(pub.moved) > 0, err
}

// readers makes a reader for each stream. A stream without a checkpoint begins at the configured start.
func (s *session) readers(ctx context.Context, positions map[Stream]Checkpoint) ([]*reader, map[Stream]Checkpoint, error) {
	readers := make([]*reader, 0, len(s.cfg.Streams))
	state := make(map[Stream]Checkpoint)
	for _, stream := range s.cfg.Streams {
		cp, ok := positions[stream]
		if err := s.begin(ctx, stream, &cp, ok); ClassOf(err) == Drop {
			s.cfg.Observer.Dropped(stream, err)
			continue
		} else if err != nil {
			return nil, nil, err
		}
		state[stream] = cp
		s.cfg.Observer.Begun(stream, &cp)
		s.rechecks.begin(stream, &cp, s.cfg.Recheck)
		opens := s.cfg.Replay != "" && !ok
		if opens {
			var err error
			if cp.Seen, cp.SeenRejected, err = IDsBefore(ctx, s.source, s.cfg.AppKey, stream, cp.End); err != nil {
				return nil, nil, err
			}
		}
		r := newReader(s, stream, cp)
		if opens {
			r.opening = cp.End
		}
		if cp.Past != nil {
			r.joint, s.joints[stream] = cp.Past.Until, cp.Past.Until
			s.pasts[stream] = &past{session: s, stream: stream, joined: make(chan Checkpoint, 1)}
		}
		readers = append(readers, r)
	}
	return readers, state, nil
}

// begin completes the position from which a stream is read: known tells that it is a committed one.
func (s *session) begin(ctx context.Context, stream Stream, cp *Checkpoint, known bool) error {
	if !known {
		cp.End = s.cfg.Start.At
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

// work runs readers and publisher until one of them fails or ctx is done.
func (s *session) work(ctx context.Context, readers []*reader, pub *publisher) error {
	group, soft := errgroup.WithContext(ctx)
	hard, cancel := graceful(soft, s.cfg.Grace)
	defer cancel()
	var reading, checking sync.WaitGroup
	var dropped atomic.Int64
	for _, r := range readers {
		reading.Add(1)
		group.Go(func() error {
			defer reading.Done()
			err := r.run(soft)
			if ClassOf(err) == Drop && soft.Err() == nil {
				s.cfg.Observer.Dropped(r.stream, err)
				dropped.Add(1)
				return nil
			}
			return err
		})
	}
	for stream, p := range s.pasts {
		reading.Add(1)
		group.Go(func() error {
			defer reading.Done()
			if err := p.run(soft); ClassOf(err) != Drop { // Its live reader tells of that.
				return err
			}
			return nil
		})
		pub.join(stream)
	}
	looking, stopLooking := context.WithCancel(soft)
	defer stopLooking()
	if len(s.cfg.Recheck) > 0 {
		checking.Go(func() { s.recheck(looking) })
	}
	group.Go(func() error {
		reading.Wait()
		stopLooking() // Nothing is left that could be late.
		checking.Wait()
		close(s.queue)
		if int(dropped.Load()) == len(readers) {
			return noStream()
		}
		return nil
	})
	group.Go(func() error { return pub.run(soft, hard) })
	return group.Wait()
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
