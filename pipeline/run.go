package pipeline

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// Config is what a pipeline is made of. AppKey, Source, Sink, Checkpoints and something to read (Streams or Members) are
// required; the rest works when zero.
type Config struct {
	AppKey      string
	Streams     []Stream
	Source      Source
	Sink        Sink
	Checkpoints Checkpoints
	// Members bring what else is published; the run ends when all streams and members have come to their end. Attendants attend to
	// what they bring, and end with them.
	Members    []Member
	Attendants []Attendant
	// Claims tell of commands that take the writer's place for a moment; nil where there are none, and a run that is fenced ends.
	Claims Claims
	// Owners tell of other runs that take the place; nil where there are no claims. Name is what this run is called there, for people.
	Owners Owners
	Name   string
	// Pauses tell what is paused; nil where nothing can be.
	Pauses Pauses
	// Coverage reads back what is known of days that the checkpoints do not have; nil knows nothing of them.
	Coverage CoverageReader
	// Evidence is asked once whether the positions agree with what was published; nil agrees with all of them.
	Evidence Evidence
	// Start is where a stream without a checkpoint begins.
	Start Start
	// LiveFirst follows the head at once where a position is behind, and publishes the time in between meanwhile.
	LiveFirst bool
	// Early publishes the rows of a stream that is followed at the head when they are first seen, and not once they have settled. Within a
	// partition they stand in the order in which they were seen.
	Early bool
	// Until, where it is not zero, is where every stream ends; the run ends when all of them have been read up to it.
	Until time.Time
	// Replay is the id that marks everything that a replay publishes; empty for a live run.
	Replay string
	// Overlap is how far the source's windows reach back before the position; default 2 s.
	Overlap time.Duration
	// WindowBytes is the most memory that one window's events may take; a larger window is published in parts, into its
	// open transaction. Default 8 MiB.
	WindowBytes int
	// MemoryBytes is the most that all windows together may take while they are read or wait; default 5 MiB for each that may be
	// fetched at the same time, at least WindowBytes. With less, fewer are.
	MemoryBytes int
	// Bounds are shared with other pipelines; nil where there are none, and this one is bound by Parallel and MemoryBytes alone.
	Bounds *Bounds
	// HourSpread is over how much time after a full hour those streams are spread, by app and name, that have brought nothing and are
	// committed all the same because an hour was read to its end; default none. Many apps would otherwise commit at the same moment.
	HourSpread time.Duration
	// Parallel is how many windows may be fetched at the same time, of all streams together; default 4.
	Parallel int
	// Pace is the time between two requests that the quota allows, by which a sweep over many streams is estimated at first.
	Pace time.Duration
	// Grace is how long a window that is being committed may take once the run was asked to stop; default 8 s.
	Grace time.Duration
	// Retry is the policy by which windows are read anew and sessions begun again.
	Retry Retry
	// Observer takes what happens; may be nil.
	Observer Observer
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
	defaultWindowBytes = 8 << 20
	parallelBytes      = 5 << 20
	defaultParallel    = 4
	defaultGrace       = 8 * time.Second
)

// Pipeline publishes the streams of one app.
type Pipeline struct {
	cfg     Config
	streams *streamTable
	pings   chan struct{}
	// expired is the claim whose time was over before it was done.
	expired string
	// id is this run's among the owners; owns tells that it has said so, and predecessor is the run that had the place before.
	id, predecessor string
	owns            bool
	// compared tells that the positions were held against what was published. acceptLost lets those pass that are lost; accepted
	// are the newest ledger records of their streams.
	compared, acceptLost bool
	accepted             map[Stream]int64
}

// New checks the configuration and fills in the defaults.
func New(cfg Config) (*Pipeline, error) {
	var errs []error
	for _, missing := range []struct {
		is   bool
		name string
	}{
		{cfg.AppKey == "", "app key"},
		{len(cfg.Streams)+len(cfg.Members) == 0, "streams"},
		{cfg.Source == nil, "source"},
		{cfg.Sink == nil, "sink"},
		{cfg.Checkpoints == nil, "checkpoints"},
	} {
		if missing.is {
			errs = append(errs, fmt.Errorf("pipeline needs %s", missing.name))
		}
	}
	setDefault(&cfg.Overlap, defaultOverlap)
	setDefault(&cfg.WindowBytes, defaultWindowBytes)
	setDefault(&cfg.Parallel, defaultParallel)
	setDefault(&cfg.MemoryBytes, max(cfg.WindowBytes, cfg.Parallel*parallelBytes))
	setDefault(&cfg.Grace, defaultGrace)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Pipeline{cfg: cfg, streams: newStreamTable(), pings: make(chan struct{}), id: rand.Text()}, errors.Join(errs...)
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
			p.cfg.Observer.Tell(SessionStarted{last})
			var err error
			progressed, err = p.session(ctx)
			last = err
			if err != nil && !progressed && ClassOf(err) == Abort && !errors.Is(err, errPauseChanged) {
				return &Fault{Class: Transient, Op: "publish", Err: err}
			}
			return err
		})
		switch {
		case ctx.Err() != nil:
			return unlessStopped(err)
		case err == nil:
			return nil
		case errors.Is(err, errPauseChanged):
			last = nil // It is as it should be.
		case ClassOf(err) == Fenced:
			if end := p.afterFence(ctx, err); end != nil && ctx.Err() == nil { // Whoever is asked to stop was not replaced.
				return end
			}
			last = errFenced
			p.cfg.Sink.Forget()
		case ClassOf(err) != Abort:
			return err
		}
	}
}

// Ping returns nil once what publishes is free to do so. While it commits, waits for Kafka or is about to begin anew, it is not: then it
// makes observations instead, and Ping returns the context's error in the end. Safe for concurrent use.
func (p *Pipeline) Ping(ctx context.Context) error {
	select {
	case p.pings <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unlessStopped keeps, of what a run ended with when it was asked to stop, what would also have ended it otherwise. Who was fenced may
// have gone on.
func unlessStopped(err error) error {
	if fault, ok := errors.AsType[*Fault](err); ok && fault.Class == Permanent {
		return err
	}
	return nil
}
