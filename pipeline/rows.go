package pipeline

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
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

// Each calls fn with all rows of a range of time; with some of them several times, if it has to be read anew or in parts. Like a
// window, a range has to add up to its total; a difference that stays the same is the API's. What fn is given is valid during the call.
// A range that has to be read anew again and again is given up with an error of class [Abort].
func (r *RowReader) Each(ctx context.Context, s Stream, w Window, fn func(row []byte)) error {
	policy := r.Retry
	policy.Notify = nil
	g := &rangeReading{reader: r, stream: s, part: w, seed: maphash.MakeSeed(), op: "read " + s.String() + " " + w.String()}
	for {
		err := policy.Do(ctx, g.op, func(ctx context.Context) error { return g.attempt(ctx, fn) })
		if err != nil || !g.part.End.Before(w.End) {
			return err
		}
		// The parts overlap, because nobody knows how the API takes their bounds. Each one ends later than the one before it.
		done := g.part.End
		part := Window{Begin: later(w.Begin, done.Add(-overlapMargin)), End: w.End}
		if next := later(part.Begin.Add(g.span), done.Add(time.Second)); next.Before(w.End) {
			part.End = next
		}
		g.take(part)
	}
}

// rangeReading reads a range part by part.
type rangeReading struct {
	reader *RowReader
	stream Stream
	op     string
	seed   maphash.Seed
	// part is what is read now, and span how long parts are; zero while the range is one.
	part Window
	span time.Duration
	// attempts counts the readings of the part, mismatches those in a row that brought the same rows, with lastChecksum, which are not
	// its total.
	attempts, mismatches int
	lastChecksum         uint64
}

func (g *rangeReading) take(part Window) {
	g.part = part
	g.attempts, g.mismatches, g.lastChecksum = 0, 0, 0
}

// attempt reads the part once. It may shorten it.
func (g *rangeReading) attempt(ctx context.Context, fn func(row []byte)) error {
	err := g.read(ctx, fn)
	if err == nil || ClassOf(err) != Restart {
		return err
	}
	if !errors.Is(err, ErrTooManyRows) {
		g.reader.Observer.Tell(WindowRestarted{g.stream, g.part, err})
	}
	fault, _ := errors.AsType[*Fault](err)
	g.attempts++
	if length := g.part.End.Sub(g.part.Begin); fault.Span > 0 && fault.Span < length && length > time.Second {
		g.span = max(fault.Span.Truncate(time.Second), time.Second)
		g.take(Window{Begin: g.part.Begin, End: g.part.Begin.Add(g.span)})
	}
	if g.attempts == rowAttempts {
		return &Fault{Class: Abort, Op: g.op, Err: fmt.Errorf("it had to be read anew %d times: %w", g.attempts, err)}
	}
	return &Fault{Class: Transient, Op: g.op, Err: err, After: fault.After}
}

// read reads the part once and holds it against its total.
func (g *rangeReading) read(ctx context.Context, fn func(row []byte)) error {
	t, err := g.reader.once(ctx, g.stream, g.part, g.seed, fn)
	if err != nil || t.addsUp() {
		return err
	}
	// Only a difference that stays is the API's: rows that are passed over by accident are others each time.
	if t.checksum != g.lastChecksum {
		g.mismatches = 0
	}
	g.mismatches++
	g.lastChecksum = t.checksum
	if g.mismatches == mismatchAttempts {
		return nil
	}
	fault := &Fault{Class: Restart, Op: g.op, Err: t.mismatch()}
	if g.attempts+1 >= mismatchAttempts { // The longer it is, the less likely it is read without an error.
		fault.Span = max(time.Second, g.part.End.Sub(g.part.Begin)/mismatchParts)
	}
	return fault
}

// tally are the different rows of one reading, to be held against the total that its pages state.
type tally struct {
	rows     map[uint64]struct{}
	checksum uint64
	total    int64
	pages    int
	unsteady bool
}

func (t *tally) add(page Page, seed maphash.Seed) {
	t.unsteady = t.unsteady || t.pages > 0 && t.total >= 0 && page.Total != t.total
	t.pages++
	t.total = page.Total
	for _, row := range page.Rows {
		sum := maphash.Bytes(seed, row)
		if _, again := t.rows[sum]; !again {
			t.rows[sum] = struct{}{}
			t.checksum += sum
		}
	}
}

// addsUp tells whether as many rows came as were announced, if any number was.
func (t *tally) addsUp() bool { return t.total < 0 || !t.unsteady && int64(len(t.rows)) == t.total }

func (t *tally) mismatch() error { return mismatchError(int64(len(t.rows)), t.total, t.unsteady) }

func mismatchError(rows, total int64, unsteady bool) error {
	return fmt.Errorf("%d different rows came, %d were announced (the pages agree on that: %t)", rows, total, !unsteady)
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

func (r *RowReader) once(ctx context.Context, s Stream, w Window, seed maphash.Seed, fn func(row []byte)) (*tally, error) {
	t := &tally{rows: make(map[uint64]struct{}), total: -1}
	pages, err := r.Source.Open(ctx, s, w)
	if err != nil {
		return nil, err
	}
	defer pages.Free()
	for {
		page, err := pages.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return t, nil
		case err != nil:
			return nil, err
		}
		t.add(page, seed)
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
