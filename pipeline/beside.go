package pipeline

import (
	"context"
	"slices"
	"sync"
	"time"
)

// refusals remember the statistics that the app has no right to: that is told once. Safe for concurrent use; the zero value
// is ready.
type refusals struct {
	mu  sync.Mutex
	all map[Stream]error
}

func (r *refusals) of(s Stream) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all[s]
}

func (r *refusals) set(s Stream, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = make(map[Stream]error)
	}
	r.all[s] = err
}

// figures publishes a stream of statistics as they change.
func (s *session) figures(ctx context.Context, cfg *StatisticsConfig) error {
	if err := s.refused.of(cfg.Stream); err != nil {
		return err
	}
	cp, _ := s.positions.of(cfg.Stream)
	own := *cfg
	own.Observer, own.Now = s.cfg.Observer, s.cfg.Now
	statistics := NewStatistics(own, cp)
	for {
		update, err := statistics.Next(ctx)
		if ClassOf(err) == Drop { // It is told now, even if the session is about to end: no other asks again.
			s.refused.set(cfg.Stream, err)
			s.cfg.Observer.Dropped(cfg.Stream, err)
		}
		if err != nil {
			return err
		}
		if err := s.commit(ctx, func() *Update { return update }); err != nil {
			return err
		}
	}
}

// found is a stream that is read because a list has it.
type found struct {
	cancel context.CancelFunc
	done   chan struct{}
	// gone tells, once done is closed, that the API knew it no longer, and that this was told.
	gone bool
}

// discover reads every stream that the lists have, for as long as they have it.
func (s *session) discover(ctx context.Context, all *crew) error {
	own := *s.cfg.Discovery
	own.Observer = s.cfg.Observer
	before := slices.DeleteFunc(s.positions.listed(own.Kinds), s.named)
	lists := NewDiscovery(own, before...)
	reading := make(map[Stream]*found)
	for _, stream := range before {
		reading[stream] = s.read(ctx, all, lists, stream)
	}
	for {
		change, err := lists.Next(ctx)
		if err != nil {
			return err // Of a list that is dropped it has told.
		}
		for _, stream := range change.Removed {
			if err := s.stop(ctx, reading[stream], stream); err != nil {
				return err
			}
			delete(reading, stream)
		}
		for _, stream := range slices.DeleteFunc(change.Added, s.named) {
			if f := reading[stream]; f != nil {
				<-f.done // The API knew it no longer when a list had it last.
			}
			reading[stream] = s.read(ctx, all, lists, stream)
		}
		s.turns.Share(lists.Streams())
		s.cfg.Observer.Discovered(lists.Streams(), s.turns.Sweep())
	}
}

// stop ends the reading of a stream that the lists have no longer, and tells of it; nothing if it is read because it was named.
func (s *session) stop(ctx context.Context, f *found, stream Stream) error {
	if f == nil {
		return nil
	}
	f.cancel()
	select {
	case <-f.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if f.gone {
		return nil
	}
	return s.remove(ctx, stream)
}

// named tells that a stream is read because it was named.
func (s *session) named(stream Stream) bool { return slices.Contains(s.cfg.Streams, stream) }

// read starts reading a stream that was found. If the API knows it no longer, that is told by a notice.
func (s *session) read(ctx context.Context, all *crew, lists *Discovery, stream Stream) *found {
	f := &found{done: make(chan struct{})}
	own, cancel := context.WithCancel(ctx)
	f.cancel = cancel
	all.add(func() error {
		defer close(f.done)
		defer cancel()
		err := s.follow(own, stream)
		switch {
		case ctx.Err() != nil || own.Err() == nil && ClassOf(err) != Drop:
			return err
		case own.Err() != nil:
			return nil // It was removed from its list.
		}
		f.gone = true
		lists.Gone(stream)
		return s.remove(ctx, stream)
	})
	return f
}

// remove tells consumers, once, that a stream is read no longer.
func (s *session) remove(ctx context.Context, stream Stream) error {
	now, err := s.source.Now(ctx, stream)
	if err != nil {
		return err
	}
	if cp, _ := s.positions.of(stream); cp.Removed {
		return nil
	}
	return s.commit(ctx, func() *Update { // Its last window may be being committed now.
		cp, known := s.positions.of(stream)
		if !known {
			cp.End = now.UTC().Truncate(time.Second)
		}
		cp.AppKey, cp.Stream = s.cfg.AppKey, stream
		return RemovedUpdate(&cp, now)
	})
}
