package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jmpub/jmpub/pipeline/event"
)

// RowReader reads the rows of a range of time that is no window of its stream: to compare them, or to know their ids. Safe for
// concurrent use, if the source is.
type RowReader struct {
	Source Source
	// Retry is the policy of the waits between two attempts; its Notify is not used.
	Retry Retry
	// Observer learns when a range has to be read anew, and why; may be nil.
	Observer Observer
}

// rowAttempts is how often a range is asked for before it is given up.
const rowAttempts = 8

// Each calls fn with all rows of a range of time; with some of them several times, if it has to be read anew or in parts. What
// fn is given is valid during the call. A range that has to be read anew again and again is given up with an error of class
// [Abort].
func (r *RowReader) Each(ctx context.Context, s Stream, w Window, fn func(row []byte)) error {
	policy := r.Retry
	policy.Notify = nil
	op := "read " + s.String() + " " + w.String()
	part, span, attempts := w, time.Duration(0), 0
	for {
		err := policy.Do(ctx, op, func(ctx context.Context) error {
			err := r.once(ctx, s, part, fn)
			if err == nil || ClassOf(err) != Restart {
				return err
			}
			if !errors.Is(err, ErrTooManyRows) {
				r.Observer.Tell(WindowRestarted{s, part, err})
			}
			fault, _ := errors.AsType[*Fault](err)
			if fault.Span > 0 && fault.Span < part.End.Sub(part.Begin) && part.End.Sub(part.Begin) > time.Second {
				span = max(fault.Span.Truncate(time.Second), time.Second)
				part.End = part.Begin.Add(span)
				attempts = 0 // It is another range now.
			}
			if attempts++; attempts == rowAttempts {
				return &Fault{Class: Abort, Op: op, Err: fmt.Errorf("it had to be read anew %d times: %w", attempts, err)}
			}
			return &Fault{Class: Transient, Op: op, Err: err, After: fault.After}
		})
		if err != nil || !part.End.Before(w.End) {
			return err
		}
		// The parts overlap, because nobody knows how the API takes their bounds. Each one ends later than the one before it.
		done := part.End
		part = Window{Begin: later(w.Begin, done.Add(-overlapMargin)), End: w.End}
		if next := later(part.Begin.Add(span), done.Add(time.Second)); next.Before(w.End) {
			part.End = next
		}
		attempts = 0
	}
}

func earlier(a, b time.Time) time.Time {
	if a.After(b) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func (r *RowReader) once(ctx context.Context, s Stream, w Window, fn func(row []byte)) error {
	pages, err := r.Source.Open(ctx, s, w)
	if err != nil {
		return err
	}
	for {
		page, err := pages.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		for _, row := range page.Rows {
			fn(row)
		}
	}
}

// RowsBefore are the rows that stand just before a time: those that the API counts to the seconds before it, and those both of
// whose clocks are before it. A position that is set to that time, or begins there, has to know them, because the window that
// follows reaches back by the overlap and would publish them. Where the API no longer holds that time, there are none.
func (r *RowReader) RowsBefore(ctx context.Context, appKey string, s Stream, at time.Time) (RowSet, error) {
	norm := event.NewNormalizer(appKey)
	var found RowSet
	for _, end := range []time.Time{at.Add(-time.Second), at} {
		plan, err := r.Source.Plan(ctx, s, Position{End: at.Add(-overlapMargin), Until: end})
		if err != nil {
			return RowSet{}, err
		}
		if plan.Window.End.After(end) {
			continue
		}
		err = r.Each(ctx, s, plan.Window, func(row []byte) {
			e, rejection := norm.Normalize(row)
			switch {
			case rejection == nil && (end.Before(at) || bothBefore(at, e.ServerTime, e.ClientTime)):
				found.Add(eventKey(&e))
				found.Add(contentKey(&e))
			case rejection != nil && end.Before(at): // What is rejected has no clock that could be trusted.
				found.Add(rejectedKey(rejection))
			}
		})
		if err != nil {
			return RowSet{}, err
		}
	}
	return found, nil
}

// bothBefore tells whether both clocks of a row are before a time. Of one that lacks one of them nobody knows: that may be the
// one that the API goes by.
func bothBefore(at time.Time, server, client int64) bool {
	return min(server, client) > 0 && max(server, client) < at.UnixMilli()
}
