package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmpub/jmpub/pipeline/event"
)

// Commit is what commits together, besides the events and rejected rows that stand in the transaction already.
type Commit struct {
	// Windows are ledger records, in order.
	Windows []*Ledger
	// Positions are the new checkpoints, one a stream. Deleted are streams whose position is forgotten.
	Positions []*Checkpoint
	Deleted   []Stream
	Notices   []Notice
	// Pause is what is paused from now on; nil where that does not change.
	Pause *Pause
	// Coverage is that of the days that windows changed.
	Coverage []*Coverage
	// Records are of topics that the core knows nothing of.
	Records []Record
}

func (c *Commit) empty() bool {
	return len(c.Windows)+len(c.Positions)+len(c.Deleted)+len(c.Notices)+len(c.Records) == 0 && c.Pause == nil
}

// Fill puts what has to commit together into a draft. It is called by whoever writes, with the positions as they are committed
// at that moment. After an error nothing of it is committed.
type Fill func(ctx context.Context, d *Draft) error

// Draft is a commit in the making, within its transaction. It is used by one goroutine.
type Draft struct {
	tx       Transaction
	streams  *streamTable
	coverage CoverageReader
	commit   Commit
	// rows is what was published since the last window was closed.
	rows publishedRows
	// committed are observations that are made once the commit is done.
	committed []Observation
}

// Position is a stream's position: as this draft leaves it, or else as it is committed, or where its reading began if nothing is
// committed yet. One that cannot be read is not known, and has its Damage.
func (d *Draft) Position(s Stream) (cp Checkpoint, known bool) {
	if i := slices.IndexFunc(d.commit.Positions, func(cp *Checkpoint) bool { return cp.Stream == s }); i >= 0 {
		return unlessForgotten(d.commit.Positions[i])
	}
	if slices.Contains(d.commit.Deleted, s) {
		return Checkpoint{}, false
	}
	return d.streams.position(s)
}

// unlessForgotten is a position that counts; of one that is forgotten only the number of the stream's newest ledger record is left.
func unlessForgotten(cp *Checkpoint) (Checkpoint, bool) {
	if cp.Forgotten {
		return Checkpoint{Stream: cp.Stream, Sequence: cp.Sequence}, false
	}
	return *cp, true
}

// SetPosition sets a stream's position.
func (d *Draft) SetPosition(cp *Checkpoint) {
	own := *cp
	d.commit.Deleted = slices.DeleteFunc(d.commit.Deleted, func(s Stream) bool { return s == cp.Stream })
	if i := slices.IndexFunc(d.commit.Positions, func(cp *Checkpoint) bool { return cp.Stream == own.Stream }); i >= 0 {
		d.commit.Positions[i] = &own
		return
	}
	d.commit.Positions = append(d.commit.Positions, &own)
}

// DeletePosition forgets a stream's position. What is left of a live one says so; nothing is left of a replay's.
func (d *Draft) DeletePosition(s Stream) {
	if cp, there := d.Position(s); there && cp.Replay == "" {
		d.SetPosition(&Checkpoint{
			AppKey: cp.AppKey, Stream: s, End: cp.End, Sequence: cp.Sequence, SavedAt: time.Now(), Forgotten: true,
		})
		return
	}
	d.commit.Positions = slices.DeleteFunc(d.commit.Positions, func(cp *Checkpoint) bool { return cp.Stream == s })
	d.commit.Deleted = append(d.commit.Deleted, s)
}

// Notify adds a notice.
func (d *Draft) Notify(n Notice) {
	d.commit.Notices = append(d.commit.Notices, n)
	d.committed = append(d.committed, NoticePublished{n})
}

// SetPause sets what is paused.
func (d *Draft) SetPause(p Pause) { d.commit.Pause = &p }

// Append adds records of other topics.
func (d *Draft) Append(records ...Record) { d.commit.Records = append(d.commit.Records, records...) }

// Publish writes rows of the window that [Draft.CloseWindow] closes next.
func (d *Draft) Publish(ctx context.Context, b *Batch) error {
	if len(b.Events) == 0 && len(b.Rejected) == 0 {
		return nil
	}
	published, err := d.tx.Publish(ctx, b)
	if err != nil {
		return err
	}
	d.rows.add(b, &published)
	return nil
}

// CloseWindow records a window whose rows were published, with the position of its stream after it and its notices. What
// follows from other records it fills in: offsets, sequence number, sums and coverage.
func (d *Draft) CloseWindow(ctx context.Context, l Ledger, next Checkpoint, notices ...Notice) error {
	before, _ := d.Position(l.Stream)
	if before.Damage != nil {
		return before.Damage
	}
	rows := d.rows
	d.rows = publishedRows{}
	l.Offsets = mergeRanges(rows.offsets)
	l.Published -= rows.tooLarge
	l.Rejected += rows.tooLarge
	if next.Sequence = before.Sequence; l.Replay == "" {
		next.Sequence++
		l.Sequence = next.Sequence
	}
	next.Counts = before.Counts
	next.Counts.add(&l)
	d.commit.Windows = append(d.commit.Windows, &l)
	for _, n := range notices {
		switch n.Kind {
		case NoticeGap:
			next.Counts.GapSeconds += int64(n.End.Sub(n.Begin) / time.Second)
		case NoticeReplayFinished:
			n.Rows = next.Counts.Published + next.Counts.Rejected
		default:
		}
		d.Notify(n)
	}
	if l.Replay == "" && l.Stream.Kind != StreamStatistics {
		if err := d.cover(ctx, &l, &next, &rows); err != nil {
			return err
		}
	}
	d.SetPosition(&next)
	d.committed = append(d.committed, WindowCommitted{Ledger: &l, Checkpoint: &next, Events: rows.events})
	for _, r := range rows.rejected {
		d.committed = append(d.committed, RowRejected{l.Stream, r})
	}
	return nil
}

// CloseLate records rows that appeared in a window after it had been read, and were published now. They move no position, but from now on it
// knows them, as far as what is read next could bring them again. If their stream has no position any more, none is made.
func (d *Draft) CloseLate(ctx context.Context, b *Batch, l Ledger, notice Notice) error {
	before, known := d.Position(l.Stream)
	if err := d.CloseWindow(ctx, l, before.know(l.Window, b), notice); err != nil {
		return err
	}
	if !known { // What its number would be is not known either.
		d.commit.Positions = slices.DeleteFunc(d.commit.Positions, func(cp *Checkpoint) bool { return cp.Stream == l.Stream })
		d.commit.Windows[len(d.commit.Windows)-1].Sequence = 0
	}
	return nil
}

// publishedRows is what batches became in Kafka.
type publishedRows struct {
	offsets  []OffsetRange
	events   [event.TargetCount]int
	rejected []event.Rejection
	// tooLarge counts the events among the rejected.
	tooLarge int64
	hours    hourly
}

func (p *publishedRows) add(b *Batch, published *Published) {
	p.offsets = append(p.offsets, published.Offsets...)
	for target, n := range published.Events {
		p.events[target] += n
	}
	p.tooLarge += int64(len(published.Rejected))
	if p.hours == nil {
		p.hours = make(hourly)
	}
	p.hours.addBatch(b, published.Rejected)
	for _, r := range slices.Concat(b.Rejected, published.Rejected) {
		r.Row = nil // Only the fact is reported; the row stands in its topic.
		p.rejected = append(p.rejected, r)
	}
}

// writer makes commits: begin, fill, append, commit or abort, save. It is used by one goroutine.
type writer struct {
	sink        Sink
	checkpoints Checkpoints
	coverage    CoverageReader
	streams     *streamTable
	observer    Observer
}

// fillError is a fill's own error. Its transaction is aborted, and the writer can go on.
type fillError struct{ error }

// Unwrap gives the fill's error.
func (e *fillError) Unwrap() error { return e.error }

// commit commits what the fills bring, in one transaction. An error of type *fillError leaves the writer ready for the next
// commit. After any other error nothing is known of the transaction: the sink has to be opened and the positions to be loaded
// anew.
func (w *writer) commit(ctx context.Context, fills ...Fill) error {
	tx, err := w.sink.Begin(ctx)
	if err != nil {
		return err
	}
	d := &Draft{tx: tx, streams: w.streams, coverage: w.coverage}
	if err := w.fill(ctx, d, fills); err != nil {
		return w.abort(ctx, tx, err)
	}
	if d.commit.empty() {
		return nil // Nothing was written.
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	if err := w.checkpoints.Save(ctx, &d.commit); err != nil {
		return fmt.Errorf("save checkpoints: %w", err)
	}
	w.streams.apply(&d.commit)
	for _, o := range d.committed {
		w.observer.Tell(o)
	}
	return nil
}

// fill calls the fills and writes what they left to be written.
func (w *writer) fill(ctx context.Context, d *Draft, fills []Fill) error {
	for _, fill := range fills {
		if err := fill(ctx, d); err != nil {
			return &fillError{err}
		}
	}
	if d.commit.empty() {
		return nil
	}
	records, err := w.checkpoints.Stage(&d.commit)
	if err != nil {
		return fmt.Errorf("make ledger and checkpoint records: %w", err)
	}
	return d.tx.Append(ctx, slices.Concat(d.commit.Records, records))
}

// abort ends a transaction that must not be committed. After an error of class [Abort] it may be over already, and the broker refuses
// to end it then, which does no harm; who has been fenced has none.
func (*writer) abort(ctx context.Context, tx Transaction, cause error) error {
	class := ClassOf(cause)
	var err error
	if class != Fenced {
		err = tx.Abort(ctx)
	}
	if class == Abort || class == Fenced {
		if own, ok := errors.AsType[*fillError](cause); ok {
			return own.error
		}
		return cause
	}
	if err != nil {
		return errors.Join(err, cause)
	}
	return cause
}
