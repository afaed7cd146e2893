package audit

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

const (
	// ShortestDelay is the least time after which windows are asked again: what is near a position belongs to its reader.
	ShortestDelay = time.Minute
	// roundPart is the part of its delay after which a search is repeated: as many windows share a request.
	roundPart = 5
	// searchContext is how much of the ledger before a range is read too: rows near its begin may stand there.
	searchContext = 10 * time.Minute
)

// Committer is what a search needs of the pipeline.
type Committer interface {
	// Commit calls fill in the goroutine of the writer, when everything that was handed on before is committed, and commits in
	// one transaction what it has put into the draft; nothing, if that is nothing. It returns when that is done, and never
	// while fill is running.
	Commit(ctx context.Context, fill func(ctx context.Context, d Draft) error) error
	// Positions are the committed positions of the streams that are read now. The map is the caller's.
	Positions() map[pipeline.Stream]pipeline.Checkpoint
}

// LateRows asks windows again, some time after they were read, whether rows have appeared in them, and publishes those. It is
// safe for concurrent use.
type LateRows struct {
	AppKey  string
	Source  pipeline.Source
	Rows    *pipeline.RowReader
	Totals  Totals
	Archive Archive
	// Delays are how long after they ended windows are asked; each at least [ShortestDelay].
	Delays []time.Duration
	// Named tells which streams are asked after each delay; the others, of which there may be very many, are asked after the
	// longest alone. Nil is all.
	Named func(pipeline.Stream) bool
	// Failed is told of each failure, and how long it takes until the search is tried again: none ends the search, nor keeps
	// it from the streams behind. May be nil.
	Failed func(s pipeline.Stream, err error, wait time.Duration)
	// Now is the local clock.
	Now pipeline.Clock

	mu    sync.Mutex
	marks map[pipeline.Stream][]pipeline.Rechecked
}

// Marks tells up to where a stream's windows were asked, after each delay: what the checkpoint has to say of it that is committed
// with a window. before is the checkpoint that the window moves, and which says where the search begins or goes on that did not
// know the stream yet.
func (l *LateRows) Marks(before *pipeline.Checkpoint, w *pipeline.Ledger) []pipeline.Rechecked {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.marks[w.Stream] == nil && !w.MovedTo.IsZero() {
		begin := *before
		if begin.End.IsZero() {
			begin.End = w.MovedFrom
		}
		l.begin(w.Stream, &begin)
	}
	return slices.Clone(l.marks[w.Stream])
}

// Run searches until the context is done.
func (l *LateRows) Run(ctx context.Context, c Committer) error {
	type round struct {
		delay, every time.Duration
		next         time.Time
	}
	var rounds []round
	for _, delay := range l.Delays {
		every := max(ShortestDelay, delay/roundPart)
		rounds = append(rounds, round{delay, every, l.Now().Add(every)})
	}
	l.update(c.Positions(), 0)
	for len(rounds) > 0 {
		next := slices.MinFunc(rounds, func(a, b round) int { return a.next.Compare(b.next) })
		if err := pipeline.Sleep(ctx, next.next.Sub(l.Now())); err != nil {
			return err
		}
		l.round(ctx, c, next.delay, next.every)
		for i := range rounds {
			if rounds[i].delay == next.delay {
				rounds[i].next = l.Now().Add(next.every)
			}
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// round asks all windows that ended so long ago and were not asked yet.
func (l *LateRows) round(ctx context.Context, c Committer, delay, every time.Duration) {
	failed := func(s pipeline.Stream, err error) {
		// A stream that is gone is its reader's to tell.
		if err != nil && ctx.Err() == nil && pipeline.ClassOf(err) != pipeline.Drop && l.Failed != nil {
			l.Failed(s, err, every)
		}
	}
	positions := c.Positions()
	marks := l.update(positions, delay)
	if len(marks) == 0 {
		return
	}
	now, err := l.Source.Now(ctx, pipeline.Stream{Kind: pipeline.StreamMessages})
	if err != nil {
		failed(pipeline.Stream{}, err)
		return
	}
	search := &lateSearch{LateRows: l, committer: c, positions: positions, delay: delay, until: now.Add(-delay), marks: marks}
	if err := search.read(ctx); err != nil {
		failed(pipeline.Stream{}, err)
		return
	}
	for _, s := range search.streams {
		if ctx.Err() != nil {
			return
		}
		failed(s, search.stream(ctx, s))
	}
}

// update takes in what the positions say of streams that are new, forgets those that are gone, and returns up to where each was
// asked after a delay. A stream that was never asked after it begins at its position.
func (l *LateRows) update(positions map[pipeline.Stream]pipeline.Checkpoint, delay time.Duration) map[pipeline.Stream]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.marks {
		if _, read := positions[s]; !read {
			delete(l.marks, s)
		}
	}
	asked := make(map[pipeline.Stream]time.Time)
	for s, cp := range positions {
		if s.Kind == pipeline.StreamStatistics {
			continue
		}
		if l.marks[s] == nil {
			l.begin(s, &cp)
		}
		for i := range l.marks[s] {
			mark := &l.marks[s][i]
			if mark.End.After(cp.End) { // The position was set back.
				mark.End = cp.End
			}
			if mark.After == delay {
				asked[s] = mark.End
			}
		}
	}
	return asked
}

// begin takes in where a stream is to be asked from.
func (l *LateRows) begin(s pipeline.Stream, cp *pipeline.Checkpoint) {
	if l.marks == nil {
		l.marks = make(map[pipeline.Stream][]pipeline.Rechecked)
	}
	delays := l.Delays
	if l.Named != nil && !l.Named(s) {
		delays = []time.Duration{slices.Max(delays)}
	}
	var marks []pipeline.Rechecked
	for _, delay := range delays {
		mark := pipeline.Rechecked{After: delay, End: cp.End}
		for _, before := range cp.Rechecked {
			if before.After == delay {
				mark.End = before.End
			}
		}
		marks = append(marks, mark)
	}
	l.marks[s] = marks
}

// move notes that a stream was asked up to a time.
func (l *LateRows) move(s pipeline.Stream, delay time.Duration, end time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.marks[s] {
		if mark := &l.marks[s][i]; mark.After == delay && mark.End.Before(end) {
			mark.End = end
		}
	}
}

// lateSearch is one round.
type lateSearch struct {
	*LateRows

	committer Committer
	positions map[pipeline.Stream]pipeline.Checkpoint
	delay     time.Duration
	// until is where the windows end that were closed so long ago; marks are where those end that were asked before.
	until   time.Time
	marks   map[pipeline.Stream]time.Time
	streams []pipeline.Stream
	chains  map[pipeline.Stream][]Chain
	audit   *Audit
}

// read reads the ledger of the streams that have something to be asked, from the oldest mark on.
func (s *lateSearch) read(ctx context.Context) error {
	since := s.until
	for stream, mark := range s.marks {
		if mark.Before(s.until) {
			s.streams = append(s.streams, stream)
			since = earlier(since, mark)
		}
	}
	if len(s.streams) == 0 {
		return nil
	}
	slices.SortFunc(s.streams, func(a, b pipeline.Stream) int { return cmp.Compare(a.String(), b.String()) })
	var lineage Lineage
	frontier, err := s.Archive.Ledger(ctx, Query{Streams: s.streams, Since: since.Add(-searchContext)}, func(l *pipeline.Ledger, at Place) error {
		if l.End.After(s.marks[l.Stream].Add(-searchContext)) {
			lineage.Add(l, at)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.chains = make(map[pipeline.Stream][]Chain)
	for _, c := range lineage.Chains(func(pipeline.Stream, pipeline.Window) bool { return true }) {
		s.chains[c.Stream] = append(s.chains[c.Stream], c)
	}
	s.audit = &Audit{AppKey: s.AppKey, Rows: s.Rows, Totals: s.Totals, Archive: s.Archive, Frontier: frontier}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// stream asks the windows of a stream that end behind its mark.
func (s *lateSearch) stream(ctx context.Context, stream pipeline.Stream) error {
	for _, c := range s.chains[stream] {
		part := c.cut(func(r *record) bool { return s.wanted(stream, r) })
		if part.n > 0 {
			if err := s.audit.Check(ctx, &part, func(d *Difference) error { return s.publish(ctx, d) }); err != nil {
				return err
			}
		}
		for r := range c.records() {
			if end := timeOf(r.end); !end.After(s.until) {
				s.move(stream, s.delay, end)
			}
		}
	}
	return nil
}

// wanted tells whether a window is to be asked: it ends within the range, and was read so early that rows can have come since.
func (s *lateSearch) wanted(stream pipeline.Stream, r *record) bool {
	begin, end := timeOf(r.begin), timeOf(r.end)
	for _, b := range s.positions[stream].Backlog {
		if !begin.After(b.Until.Add(backlogMargin)) && !end.Before(b.End.Add(-backlogMargin)) {
			return false // What is late there may be the backlog's, which is still to be read.
		}
	}
	return end.After(s.marks[stream]) && !end.After(s.until) && timeOf(r.started).Sub(end) < s.delay
}

// backlogMargin is how far from a range of the backlog a window may lie that brings rows of it.
const backlogMargin = 2 * time.Second

func (s *lateSearch) publish(ctx context.Context, d *Difference) error {
	if !d.Repairable() {
		return nil
	}
	return s.committer.Commit(ctx, func(ctx context.Context, draft Draft) error {
		_, err := d.Publish(ctx, s.Archive, draft, s.Now())
		return err
	})
}
