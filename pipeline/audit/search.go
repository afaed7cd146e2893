package audit

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

const (
	// shortestDelay is the least time after which windows are asked again: what is near a position belongs to its reader.
	shortestDelay = time.Minute
	// roundPart is the part of its delay after which a search is repeated: as many windows share a request.
	roundPart = 5
	// firstRound is when the first round of a long delay is made: what an earlier process has left is not left for hours.
	firstRound = 10 * time.Minute
	// searchContext is how much of the ledger before a range is read too: rows near its begin may stand there.
	searchContext = 10 * time.Minute
)

// LateRows asks windows again, some time after they were read, whether rows have appeared in them, and publishes those. What it
// knows outlives sessions.
type LateRows struct {
	AppKey  string
	Source  pipeline.Source
	Rows    *pipeline.RowReader
	Totals  Totals
	Archive Archive
	// Delays are how long after they ended windows are asked; each at least a minute.
	Delays []time.Duration
	// Named tells which streams are asked after each delay; the others, of which there may be very many, are asked after the
	// longest alone. Nil is all.
	Named func(pipeline.Stream) bool
	// Observer learns of each failure: none ends the search, nor keeps it from the streams behind.
	Observer pipeline.Observer
	// Now is the local clock.
	Now pipeline.Clock

	rounds []round
	// marks are up to where each stream's windows were asked, after each delay.
	marks map[pipeline.Stream][]pipeline.Rechecked
}

var _ pipeline.Attendant = (*LateRows)(nil)

// round is when the windows of a delay are asked next.
type round struct {
	delay, every time.Duration
	next         time.Time
}

// Attend asks the windows of each delay whose round is due; see [pipeline.Attendant]. Of the others it takes in the streams that are new,
// so that they are met where they stand, and not where they are when a round is due.
func (l *LateRows) Attend(ctx context.Context, session pipeline.Session) (time.Time, error) {
	if l.rounds == nil {
		for _, delay := range l.Delays {
			every := max(shortestDelay, delay/roundPart)
			l.rounds = append(l.rounds, round{delay, every, l.Now().Add(min(every, firstRound))})
		}
	}
	var next time.Time
	for i := range l.rounds {
		r := &l.rounds[i]
		if r.next.After(l.Now()) {
			l.update(session.Positions(), r)
		} else {
			l.round(ctx, session, r)
			r.next = l.Now().Add(r.every)
		}
		if next.IsZero() || r.next.Before(next) {
			next = r.next
		}
	}
	return next, nil
}

// round asks all windows that ended so long ago and were not asked yet.
func (l *LateRows) round(ctx context.Context, c pipeline.Committer, r *round) {
	failed := func(what string, err error) {
		// A stream that is gone is its reader's to tell.
		if err != nil && ctx.Err() == nil && pipeline.ClassOf(err) != pipeline.Drop {
			l.Observer.Retry(what, err, r.every)
		}
	}
	positions := c.Positions()
	asked := l.update(positions, r)
	if len(asked) == 0 {
		return
	}
	now, err := l.Source.Now(ctx, pipeline.Stream{Kind: pipeline.StreamMessages})
	if err != nil {
		failed("search for late rows", err)
		return
	}
	search := &lateSearch{LateRows: l, committer: c, positions: positions, delay: r.delay, until: now.Add(-r.delay), asked: asked}
	if err := search.read(ctx); err != nil {
		failed("search for late rows", err)
		return
	}
	for _, s := range search.streams {
		if ctx.Err() != nil {
			return
		}
		failed("search for late rows of "+s.String(), search.stream(ctx, s))
	}
	failed("save up to where late rows were searched", search.save(ctx))
}

// update takes in what the positions say of streams that are new, forgets those that are gone, and returns up to where each was
// asked after the round's delay.
func (l *LateRows) update(positions map[pipeline.Stream]pipeline.Checkpoint, r *round) map[pipeline.Stream]time.Time {
	if l.marks == nil {
		l.marks = make(map[pipeline.Stream][]pipeline.Rechecked)
	}
	maps.DeleteFunc(l.marks, func(s pipeline.Stream, _ []pipeline.Rechecked) bool {
		_, read := positions[s]
		return !read
	})
	asked := make(map[pipeline.Stream]time.Time)
	for s, cp := range positions {
		if s.Kind == pipeline.StreamStatistics {
			continue
		}
		if l.marks[s] == nil {
			l.marks[s] = l.marksOf(s, &cp)
		}
		for i := range l.marks[s] {
			mark := &l.marks[s][i]
			mark.End = earlier(mark.End, cp.End) // The position may have been set back.
			if mark.After == r.delay {
				asked[s] = mark.End
			}
		}
	}
	return asked
}

// marksOf are up to where a stream was asked that the search meets for the first time. One that was never asked is asked from so far
// back that it has every window which was read within the delay, since the round before this one or by a process that ended
// before its first round.
func (l *LateRows) marksOf(s pipeline.Stream, cp *pipeline.Checkpoint) []pipeline.Rechecked {
	var marks []pipeline.Rechecked
	longest := slices.Max(l.Delays)
	for _, r := range l.rounds {
		if r.delay != longest && l.Named != nil && !l.Named(s) {
			continue
		}
		mark := pipeline.Rechecked{After: r.delay, End: cp.End.Add(-r.delay - 2*r.every)}
		for _, before := range cp.Rechecked {
			if before.After == r.delay {
				mark.End = before.End
			}
		}
		marks = append(marks, mark)
	}
	return marks
}

// lateSearch is one round.
type lateSearch struct {
	*LateRows

	committer pipeline.Committer
	positions map[pipeline.Stream]pipeline.Checkpoint
	delay     time.Duration
	// until is where the windows end that were closed so long ago; asked are where those end that were asked before.
	until time.Time
	asked map[pipeline.Stream]time.Time
	// streams have something to be asked; moved are those whose marks have moved.
	streams []pipeline.Stream
	moved   []pipeline.Stream
	chains  map[pipeline.Stream][]Chain
	audit   *Audit
}

// read reads the ledger of the streams that have something to be asked, from the oldest mark on.
func (s *lateSearch) read(ctx context.Context) error {
	since := s.until
	for stream, mark := range s.asked {
		if mark.Before(s.end(stream)) {
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
		if !l.End.Before(s.asked[l.Stream].Add(-searchContext)) {
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
	end := s.asked[stream]
	s.audit.Since = end.Add(-searchContext)
	for _, c := range s.chains[stream] {
		part := c.cut(func(r *record) bool { return s.wanted(stream, r) })
		if part.n > 0 {
			if err := s.audit.Check(ctx, &part, func(d *Difference) error { return s.publish(ctx, d) }); err != nil {
				return err
			}
		}
		for r := range c.records() {
			if at := timeOf(r.end); at.After(end) && !at.After(s.end(stream)) {
				end = at
			}
		}
	}
	if !end.After(s.asked[stream]) {
		return nil
	}
	for i := range s.marks[stream] {
		if mark := &s.marks[stream][i]; mark.After == s.delay {
			mark.End = end
		}
	}
	s.moved = append(s.moved, stream)
	return nil
}

// wanted tells whether a window is to be asked: it ends within the range, and was read so early that rows can have come since.
func (s *lateSearch) wanted(stream pipeline.Stream, r *record) bool {
	begin, end := timeOf(r.begin), timeOf(r.end)
	for _, b := range s.positions[stream].Backlog {
		if !begin.After(b.Until.Add(readerMargin)) && !end.Before(reachOf(b.OverlapFrom, b.End)) {
			return false // What is late there may be the backlog's, which is still to be read.
		}
	}
	started := timeOf(r.started)
	if started.After(s.until.Add(s.delay + clockSlack)) { // By a local clock that was wrong: when it was read is not known.
		started = end
	}
	return end.After(s.asked[stream]) && !end.After(s.end(stream)) && started.Sub(end) < s.delay
}

// clockSlack is how far in the future a window may have been read, for clocks may have been set since.
const clockSlack = time.Minute

// readerMargin is how far from what is still to be read a window may lie that brings rows of it.
const readerMargin = 2 * time.Second

// reachOf is a time before which nothing stands that is still to be read from a position at end, which knows since when what was published.
func reachOf(overlapFrom, end time.Time) time.Time {
	if overlapFrom.IsZero() {
		overlapFrom = end
	}
	return overlapFrom.Add(-readerMargin)
}

// end is up to where the windows of a stream are asked. What is near its position belongs to its reader, which reads it again with the next
// window and does not learn of what others publish there meanwhile: a position can stand still for longer than the delay.
func (s *lateSearch) end(stream pipeline.Stream) time.Time {
	cp := s.positions[stream]
	return earlier(s.until, reachOf(cp.OverlapFrom, cp.End))
}

func (s *lateSearch) publish(ctx context.Context, d *Difference) error {
	if !d.Repairable() {
		return nil
	}
	return s.committer.Commit(ctx, func(ctx context.Context, draft *pipeline.Draft) error {
		_, err := d.Publish(ctx, s.Archive, draft, s.Now())
		return err
	})
}

// save commits up to where the streams were asked, so that the next start goes on from there.
func (s *lateSearch) save(ctx context.Context) error {
	if len(s.moved) == 0 {
		return nil
	}
	return s.committer.Commit(ctx, func(_ context.Context, draft *pipeline.Draft) error {
		for _, stream := range s.moved {
			if cp, known := draft.Position(stream); known {
				cp.Rechecked = slices.Clone(s.marks[stream])
				draft.SetPosition(&cp)
			}
		}
		return nil
	})
}
