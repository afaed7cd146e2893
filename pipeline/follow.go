package pipeline

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// Follow reads a stream from its position on: live and, one after another, the ranges of its backlog. See [Session].
func (s *session) Follow(ctx context.Context, stream Stream) error {
	ended := make(chan error, 1)
	s.follow(ctx, stream, func(err error) { ended <- err })
	return <-ended
}

// mostBeginning is how many streams begin at the same time.
const mostBeginning = 16

// follow does what Follow does, and calls ended, once, with what that returns. It returns at once.
func (s *session) follow(ctx context.Context, stream Stream, ended func(error)) {
	if s.pause.Has(stream) {
		context.AfterFunc(ctx, func() { ended(ctx.Err()) })
		return
	}
	s.beginning.ask(func() bool {
		go s.begun(ctx, stream, func(err error) {
			s.res.source.Forget(stream)
			ended(err)
		})
		return true
	})
}

// begun begins with a stream, and gives back the place that it has for that.
func (s *session) begun(ctx context.Context, stream Stream, ended func(error)) {
	live, err := s.liveReader(ctx, stream)
	s.beginning.giveBack()
	switch {
	case err != nil:
		ended(err)
	case len(live.backlogEnds) > 0:
		ended(s.followBoth(ctx, live))
	default:
		live.work(ctx, ended)
	}
}

// followBoth reads a stream's live position and its backlog side by side.
func (s *session) followBoth(ctx context.Context, live *reader) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return live.run(ctx) })
	group.Go(func() error { return s.followBacklog(ctx, live.stream) })
	return group.Wait()
}

// liveReader reads a stream from its position on, which it is given if it has none.
func (s *session) liveReader(ctx context.Context, stream Stream) (*reader, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	cp, committed := s.streams.position(stream)
	if cp.Damage != nil {
		return nil, cp.Damage
	}
	cp.AppKey = s.cfg.AppKey
	if err := s.begin(ctx, &cp, committed); err != nil {
		return nil, err
	}
	s.cfg.Observer.Tell(StreamStarted{&cp})
	live := s.reading(stream)
	if s.cfg.Replay != "" {
		live.replay = &replayRange{id: s.cfg.Replay, Window: Window{Begin: s.cfg.Start.At, End: s.cfg.Until}, starts: !committed}
	}
	for _, b := range cp.Backlog {
		live.backlogEnds = append(live.backlogEnds, b.Until)
	}
	known := newOverlapIDs(s.cfg.Overlap, cp.End, cp.OverlapFrom, cp.OverlapIDs, cp.OverlapHashes)
	known.addEarly(cp.End, cp.EarlyIDs, cp.EarlyHashes)
	return newReader(live, &s.res, Position{End: cp.End, Span: cp.Span}, known), nil
}

// reading is what a reader of a stream has of the configuration.
func (s *session) reading(stream Stream) reading {
	return reading{
		appKey: s.cfg.AppKey, stream: stream, early: s.cfg.Early, until: s.cfg.Until, overlap: s.cfg.Overlap,
		windowBytes: s.cfg.WindowBytes, parallel: s.cfg.Parallel, retry: s.cfg.Retry,
		stagger: staggerOf(s.cfg.AppKey, stream, s.cfg.HourSpread),
	}
}

// followBacklog reads the ranges of a stream's backlog, from the oldest on, each when the live position has left its
// neighbourhood.
func (s *session) followBacklog(ctx context.Context, stream Stream) error {
	for {
		cp, err := s.streams.await(ctx, stream, func(cp *Checkpoint) bool {
			return len(cp.Backlog) == 0 || cp.hasLeft(s.cfg.Overlap)
		})
		if err != nil || len(cp.Backlog) == 0 {
			return err
		}
		oldest := cp.Backlog[0]
		r := s.reading(stream)
		r.backlog, r.until = true, oldest.Until
		known := newOverlapIDs(s.cfg.Overlap, oldest.End, oldest.OverlapFrom, oldest.OverlapIDs, oldest.OverlapHashes)
		known.addEarly(oldest.End, oldest.EarlyIDs, oldest.EarlyHashes)
		known.live = NewRowSet(oldest.LiveIDs, oldest.LiveHashes)
		known.idsOnly = known.idsOnly || len(oldest.LiveHashes) < len(oldest.LiveIDs)
		if err = newReader(r, &s.res, Position{End: oldest.End, Span: oldest.Span}, known).run(ctx); err != nil {
			return err
		}
		// Its last window is handed on; what follows builds on its commit.
		_, err = s.streams.await(ctx, stream, func(cp *Checkpoint) bool {
			return len(cp.Backlog) == 0 || !cp.Backlog[0].Until.Equal(oldest.Until)
		})
		if err != nil {
			return err
		}
	}
}

// begin completes the position from which a stream is read; committed tells that it is one.
func (s *session) begin(ctx context.Context, cp *Checkpoint, committed bool) error {
	if !committed {
		cp.End = s.cfg.Start.At
		if start, ok := s.streams.startOf(cp.Stream); ok {
			cp.End = start
		}
	}
	ahead := s.cfg.LiveFirst && s.cfg.Until.IsZero()
	var now time.Time
	if cp.End.IsZero() || ahead {
		var err error
		if now, err = s.res.source.Now(ctx, cp.Stream); err != nil {
			return err
		}
	}
	if cp.End.IsZero() {
		cp.End = now.Add(-s.cfg.Start.Back).Truncate(time.Second).UTC()
	}
	start := cp.End
	if s.cfg.Replay != "" && !committed {
		rows := RowReader{Source: s.res.source, Retry: s.cfg.Retry, Observer: s.cfg.Observer}
		before, err := rows.RowsBefore(ctx, s.cfg.AppKey, cp.Stream, cp.End)
		if err != nil {
			return err
		}
		cp.OverlapIDs, cp.OverlapHashes = before.Sorted()
	}
	if ahead {
		cp.split(now)
	}
	s.streams.begin(cp, start)
	return nil
}
