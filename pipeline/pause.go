package pipeline

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// Pause is what an operator has stopped of an app. It stands beside the positions, and changes as they do, in the writer's place: who publishes
// finds it behind the fence, so nothing that is paused is published after that, by whoever has the app then.
type Pause struct {
	// App is the whole app; Streams are those that are stopped by themselves, sorted.
	App     bool
	Streams []Stream
	// By is who has changed it last, and when; for people.
	By string
	At time.Time
}

// Pauses tell what is paused. They are asked behind [Checkpoints.Load], and then by one goroutine at a time while nothing else is read there.
// All errors are *[Fault] or the context's; transient faults are retried inside.
type Pauses interface {
	// Paused is what is committed now; the zero Pause where nothing is paused.
	Paused(ctx context.Context) (Pause, error)
}

// Any tells whether anything is paused.
func (p *Pause) Any() bool { return p.App || len(p.Streams) > 0 }

// Has tells whether a stream is paused.
func (p *Pause) Has(s Stream) bool { return p.App || slices.Contains(p.Streams, s) }

// With is what is paused once a stream is, or is not any more; the stream without a kind is the whole app, with which everything goes on.
func (p *Pause) With(s Stream, paused bool) Pause {
	next := Pause{App: p.App, Streams: slices.DeleteFunc(slices.Clone(p.Streams), func(one Stream) bool { return one == s })}
	switch {
	case s.Kind == "" && paused:
		next.App = true
	case s.Kind == "":
		next = Pause{}
	case paused:
		next.Streams = append(next.Streams, s)
		slices.SortFunc(next.Streams, func(a, b Stream) int { return strings.Compare(a.String(), b.String()) })
	}
	return next
}

// Same tells whether two are the same but for who made them.
func (p *Pause) Same(q *Pause) bool { return p.App == q.App && slices.Equal(p.Streams, q.Streams) }

// pauseLook is how often a run of which something is paused looks whether it still is: it may commit nothing, and so not notice who takes its
// place.
const pauseLook = 2 * time.Second

// errPauseChanged is why a session begins after something was resumed.
var errPauseChanged = errors.New("what is paused has changed")

// awaitResume returns when another pause is committed than the session's, as an error of class [Abort]; nil when ctx is done.
func (s *session) awaitResume(ctx context.Context) error {
	for Sleep(ctx, pauseLook) == nil {
		now, err := s.cfg.Pauses.Paused(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // Nobody waits for it any more.
		}
		if err != nil {
			return err
		}
		if !now.Same(&s.pause) {
			return &Fault{Class: Abort, Op: "publish", Err: errPauseChanged}
		}
	}
	return nil
}
