package checkpoint

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// Evidence tells from the ledger and the coverage how far an app's streams were published. It is used by one goroutine at a time.
type Evidence struct {
	Archive  *Archive
	Coverage *Coverage
	// Named and Discovered are the streams whose positions are needed: these, and all of these kinds that there are.
	Named      []pipeline.Stream
	Discovered []pipeline.StreamKind
	// AtLeastOnce tells that positions are saved after what was published is committed: they may be one commit behind.
	AtLeastOnce bool
}

var _ pipeline.Evidence = (*Evidence)(nil)

// Lost are the streams of which more was published than their positions say; see [pipeline.Evidence].
func (e *Evidence) Lost(ctx context.Context, positions map[pipeline.Stream]pipeline.Checkpoint) ([]pipeline.LostPosition, error) {
	older, err := e.older(ctx, positions)
	if err != nil {
		return nil, err
	}
	gone, err := e.gone(ctx, positions)
	if err == nil && e.AtLeastOnce && len(gone) > 0 {
		gone, err = e.behindFirst(ctx, gone)
	}
	return slices.Concat(older, gone), err
}

// behindFirst leaves out the streams of which nothing but their first commit was published: its positions may not have been saved.
func (e *Evidence) behindFirst(ctx context.Context, gone []pipeline.LostPosition) ([]pipeline.LostPosition, error) {
	streams := make([]pipeline.Stream, len(gone))
	for i := range gone {
		streams[i] = gone[i].Stream
	}
	found := newestCommits{again: true}
	_, err := e.Archive.Ledger(ctx, audit.Query{Streams: streams}, found.add)
	return slices.DeleteFunc(gone, func(l pipeline.LostPosition) bool { return found.of[l.Stream].first == 1 }), err
}

// follows tells whether a stream's position is needed.
func (e *Evidence) follows(s pipeline.Stream) bool {
	return slices.Contains(e.Named, s) || slices.Contains(e.Discovered, s.Kind)
}

// older finds positions behind which the ledger has records. A stream is read for as long as it is followed, so what was written
// since the position was saved that is the oldest of them is not much, unless that one was lost.
func (e *Evidence) older(ctx context.Context, positions map[pipeline.Stream]pipeline.Checkpoint) ([]pipeline.LostPosition, error) {
	var since time.Time
	var compared []pipeline.Stream
	for s, cp := range positions {
		if !e.follows(s) || cp.Damage != nil {
			continue
		}
		compared = append(compared, s)
		if !cp.Removed && !cp.Forgotten && (since.IsZero() || cp.SavedAt.Before(since)) {
			since = cp.SavedAt
		}
	}
	if since.IsZero() {
		return nil, nil
	}
	newest, err := e.newest(ctx, since, compared, positions)
	var lost []pipeline.LostPosition
	for _, s := range compared {
		cp, c := positions[s], newest.of[s]
		behind := c.last > cp.Sequence
		if e.AtLeastOnce {
			behind = c.first > cp.Sequence+1
		}
		if behind {
			lost = append(lost, pipeline.LostPosition{Stream: s, End: cp.End, Published: c.to})
		}
	}
	return lost, err
}

// newest are the newest commits of streams since a time at which a position was saved.
//
// A position was committed together with the ledger record that has its number, at about the time at which it was saved, and every newer
// record of the stream stands behind that one in the same partition. So where that one is found, all are, whatever the clocks of their
// writers said. Where it is not, because the topic was given more partitions since, its records have been deleted, or the position was
// set by a command, all partitions are read, and from so early on as clocks may differ.
func (e *Evidence) newest(
	ctx context.Context, since time.Time, streams []pipeline.Stream, positions map[pipeline.Stream]pipeline.Checkpoint,
) (newestCommits, error) {
	found := newestCommits{again: e.AtLeastOnce}
	if err := e.Archive.recent(ctx, since, streams, found.add); err != nil {
		return found, err
	}
	missing := func(s pipeline.Stream) bool {
		return !positions[s].Removed && (found.of[s].least == 0 || found.of[s].least > positions[s].Sequence)
	}
	if !slices.ContainsFunc(streams, missing) {
		return found, nil
	}
	clear(found.of)
	_, err := e.Archive.Ledger(ctx, audit.Query{Since: since}, found.add)
	return found, err
}

// newestCommits are the newest commits of streams. again tells that a commit that was not saved is made again, with the same numbers.
type newestCommits struct {
	of    map[pipeline.Stream]newestCommit
	again bool
}

func (n *newestCommits) add(l *pipeline.Ledger, _ audit.Place) error {
	if n.of == nil {
		n.of = make(map[pipeline.Stream]newestCommit)
	}
	c := n.of[l.Stream]
	c.add(l, n.again)
	n.of[l.Stream] = c
	return nil
}

// newestCommit are the numbers of the ledger records of a stream that were committed together, and last. to is up to where the
// stream was published, least the lowest number of all; 0 where there is none.
type newestCommit struct {
	at          time.Time
	first, last int64
	least       int64
	to          time.Time
}

func (c *newestCommit) add(l *pipeline.Ledger, again bool) {
	if l.Sequence == 0 { // It has no part in the stream's position.
		return
	}
	if c.least == 0 || l.Sequence < c.least {
		c.least = l.Sequence
	}
	switch {
	case l.Committed.Equal(c.at):
		c.first, c.last = min(c.first, l.Sequence), max(c.last, l.Sequence)
	case l.Sequence > c.last, again && l.Committed.After(c.at):
		c.at, c.first, c.last = l.Committed, l.Sequence, l.Sequence
	}
	if l.MovedTo.After(c.to) {
		c.to = l.MovedTo
	}
}

// gone finds streams that were read, by the coverage, and have no position. The coverage is that of all days of all apps, so it is not
// read where every stream is known and has its position.
func (e *Evidence) gone(ctx context.Context, positions map[pipeline.Stream]pipeline.Checkpoint) ([]pipeline.LostPosition, error) {
	lacks := func(s pipeline.Stream) bool {
		_, known := positions[s]
		return !known
	}
	if len(e.Discovered) == 0 && !slices.ContainsFunc(e.Named, lacks) {
		return nil, nil
	}
	published := make(map[pipeline.Stream]time.Time)
	for partition := range e.Coverage.partitions() {
		b, err := e.Coverage.log.Decided(ctx, partition)
		if err != nil {
			return nil, err
		}
		err = e.Coverage.log.Committed(ctx, partition, b, func(r *kafka.LogRecord) error {
			s, other := pipeline.ParseStream(string(e.Archive.streamOf(r.Key)))
			if other != nil || !lacks(s) || r.Value == nil || !e.follows(s) {
				return nil //nolint:nilerr // It is no stream of this app.
			}
			day, damage := e.Coverage.decode(r)
			if errors.Is(damage, errForeign) {
				e.Coverage.skip(damage)
				return nil
			}
			if n := len(day.Read); n > 0 && day.Read[n-1].End.After(published[s]) {
				published[s] = day.Read[n-1].End
			}
			return damage
		})
		if err != nil {
			return nil, err
		}
	}
	lost := make([]pipeline.LostPosition, 0, len(published))
	for s, to := range published {
		lost = append(lost, pipeline.LostPosition{Stream: s, Gone: true, Published: to})
	}
	return lost, nil
}

// Sequences are the numbers of the newest ledger records of streams; see [pipeline.Evidence]. They are looked for in what was written
// last, and further and further back as long as some are not found.
func (e *Evidence) Sequences(ctx context.Context, streams []pipeline.Stream) (map[pipeline.Stream]int64, error) {
	found := make(map[pipeline.Stream]int64, len(streams))
	left := make(map[pipeline.Stream]bool, len(streams))
	for _, s := range streams {
		left[s] = true
	}
	const further = 8
	for back := time.Hour; len(left) > 0; back *= further {
		q := audit.Query{Streams: slices.Collect(maps.Keys(left))}
		if back < pipeline.History {
			q.Since = time.Now().Add(-back)
		}
		_, err := e.Archive.Ledger(ctx, q, func(l *pipeline.Ledger, _ audit.Place) error {
			found[l.Stream] = max(found[l.Stream], l.Sequence)
			return nil
		})
		if err != nil || q.Since.IsZero() {
			return found, err
		}
		maps.DeleteFunc(left, func(s pipeline.Stream, _ bool) bool { return found[s] > 0 })
	}
	return found, nil
}
