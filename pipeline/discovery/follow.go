package discovery

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/jmpub/jmpub/pipeline"
)

// following is the reading of the listed streams in one session.
type following struct {
	cfg     *Config
	session pipeline.Session
	lists   *lists
	group   *errgroup.Group
	reading map[pipeline.Stream]*found
}

// found is a stream that is read because a list has it.
type found struct {
	cancel context.CancelFunc
	done   chan struct{}
	// gone tells, once done is closed, that the API knew it no longer, and that this was reported.
	gone bool
}

// Run reads every stream that the lists have, for as long as they have it; see [pipeline.Member].
func (d *Discovery) Run(ctx context.Context, s pipeline.Session) error {
	before := d.listedBefore(s.Positions())
	group, ctx := errgroup.WithContext(ctx)
	f := &following{cfg: &d.cfg, session: s, lists: newLists(&d.cfg, before), group: group, reading: make(map[pipeline.Stream]*found)}
	for _, stream := range before {
		f.reading[stream] = f.read(ctx, stream)
	}
	var dropped error
	group.Go(func() error {
		err := f.keepUp(ctx)
		if pipeline.ClassOf(err) == pipeline.Drop { // The streams that were found are read on.
			dropped = err
			return nil
		}
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return dropped
}

// listedBefore are the streams that a list once had and that were not removed, in a fixed order.
func (d *Discovery) listedBefore(positions map[pipeline.Stream]pipeline.Checkpoint) []pipeline.Stream {
	maps.DeleteFunc(positions, func(s pipeline.Stream, cp pipeline.Checkpoint) bool {
		return !slices.Contains(d.cfg.Kinds, s.Kind) || cp.Removed || slices.Contains(d.cfg.Named, s)
	})
	return slices.SortedFunc(maps.Keys(positions), func(a, b pipeline.Stream) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
}

// keepUp reads the lists and starts and stops the reading of streams.
func (f *following) keepUp(ctx context.Context) error {
	named := func(s pipeline.Stream) bool { return slices.Contains(f.cfg.Named, s) }
	for {
		news, err := f.lists.next(ctx)
		if err != nil {
			return err // A list that is dropped was reported.
		}
		for _, stream := range news.removed {
			if err := f.stop(ctx, stream); err != nil {
				return err
			}
			delete(f.reading, stream)
		}
		for _, stream := range slices.DeleteFunc(news.added, named) {
			if before := f.reading[stream]; before != nil {
				<-before.done // The API knew it no longer when a list had it last.
			}
			f.reading[stream] = f.read(ctx, stream)
		}
		streams := len(f.lists.known)
		f.cfg.Observer.Tell(pipeline.StreamsDiscovered{Streams: streams, Sweep: f.session.Sweep(streams), LeftOut: news.leftOut})
	}
}

// stop ends the reading of a stream that the lists have no longer, and tells of it; nothing if it is read because it was named.
func (f *following) stop(ctx context.Context, stream pipeline.Stream) error {
	own := f.reading[stream]
	if own == nil {
		return nil
	}
	own.cancel()
	select {
	case <-own.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if own.gone {
		return nil
	}
	return f.remove(ctx, stream)
}

// read starts reading a stream that was found. If the API knows it no longer, a notice says so.
func (f *following) read(ctx context.Context, stream pipeline.Stream) *found {
	own := &found{done: make(chan struct{})}
	reading, cancel := context.WithCancel(ctx)
	own.cancel = cancel
	f.group.Go(func() error {
		defer close(own.done)
		defer cancel()
		err := f.session.Follow(reading, stream)
		switch {
		case ctx.Err() != nil || reading.Err() == nil && pipeline.ClassOf(err) != pipeline.Drop:
			return err
		case reading.Err() != nil:
			return nil // It was removed from its list.
		case errors.Is(err, pipeline.ErrUnreadable):
			f.cfg.Observer.Tell(pipeline.StreamDropped{Stream: stream, Err: err})
			return nil
		}
		own.gone = true
		f.lists.gone(stream)
		return f.remove(ctx, stream)
	})
	return own
}

// remove tells consumers, once, that a stream is read no longer because its user, group or room was deleted, with its position,
// which remembers that. What was written since it was last read may be lost.
func (f *following) remove(ctx context.Context, stream pipeline.Stream) error {
	now, err := f.cfg.Clock.Now(ctx, stream)
	if err != nil {
		return err
	}
	return f.session.Commit(ctx, func(_ context.Context, d *pipeline.Draft) error {
		cp, known := d.Position(stream) // Behind its last window, which may have been on its way.
		if cp.Removed || cp.Damage != nil {
			return nil //nolint:nilerr // It was told when it was to be read.
		}
		if !known {
			cp.End = now.UTC().Truncate(time.Second)
		}
		cp.AppKey, cp.Stream, cp.Removed, cp.SavedAt = f.cfg.AppKey, stream, true, now
		d.SetPosition(&cp)
		w := pipeline.Window{Begin: cp.Unread().UTC().Truncate(time.Second), End: now.UTC().Truncate(time.Second)}
		if w.End.Before(w.Begin) {
			w.End = w.Begin
		}
		d.Notify(pipeline.Notice{
			Kind: pipeline.NoticeRemoved, AppKey: cp.AppKey, Stream: cp.Stream, Window: w, At: now,
			Detail: "it was deleted, so it is read no longer; what was written since it was last read may be missing here",
		})
		return nil
	})
}
