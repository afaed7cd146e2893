package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline/event"
)

// publisher commits windows, one transaction at a time.
type publisher struct {
	*session
	// next is a streamed window that ended the collecting of a group.
	next *delivery
	// moved are the streams that the session has moved forward.
	moved map[Stream]bool
}

// run commits what the readers send until the queue is closed or soft is done. What is being committed then is finished
// under hard, which outlives soft by the time that a stop may take.
func (p *publisher) run(soft, hard context.Context) error {
	for {
		select {
		case <-soft.Done():
			return nil
		default:
		}
		select {
		case d, ok := <-p.queue:
			if !ok {
				return nil
			}
			if err := p.publish(hard, p.collect(d)); err != nil {
				return err
			}
		case u := <-p.updates:
			if err := p.update(hard, u); err != nil {
				return err
			}
		case <-soft.Done():
			return nil
		}
	}
}

// collect adds to a window those that other readers have ready, so that they share its transaction. A window that is
// streamed has one of its own, because it may have to be aborted.
func (p *publisher) collect(first *delivery) []*delivery {
	group := []*delivery{first}
	bytes := first.batch.Bytes
	for first.rest == nil && bytes < p.cfg.WindowBytes {
		select {
		case d, ok := <-p.queue:
			if !ok {
				return group
			}
			if d.rest != nil {
				p.next = d
				return group
			}
			group = append(group, d)
			bytes += d.batch.Bytes
		default:
			return group
		}
	}
	return group
}

// publish commits a group, and then the streamed window that ended the collecting, if any.
func (p *publisher) publish(ctx context.Context, group []*delivery) error {
	if err := p.commit(ctx, group); err != nil {
		return err
	}
	if d := p.next; d != nil {
		p.next = nil
		return p.commit(ctx, []*delivery{d})
	}
	return nil
}

// errIncomplete marks a streamed window whose reader did not get it whole.
var errIncomplete = errors.New("window is not whole")

// commit publishes the windows in one transaction. A streamed window that turns out not to be whole is aborted, and that is
// no error: its reader reads it again.
func (p *publisher) commit(ctx context.Context, group []*delivery) error {
	tx, err := p.sink.Begin(ctx)
	if err != nil {
		return err
	}
	closed, written, err := p.write(ctx, tx, group)
	if err == nil {
		err = tx.Commit(ctx)
	} else if class := ClassOf(err); class != Abort && class != Fenced {
		abortErr := tx.Abort(ctx)
		if errors.Is(err, errIncomplete) {
			return abortErr
		}
		err = errors.Join(err, abortErr)
	}
	if err != nil {
		for _, d := range group {
			p.cfg.Observer.Cut(d.stream, d.window)
		}
		return err
	}
	if err := p.checkpoints.Save(ctx, closed); err != nil {
		return fmt.Errorf("save checkpoints: %w", err)
	}
	p.report(closed, written)
	for _, d := range group {
		if d.committed != nil {
			close(d.committed)
		}
	}
	return nil
}

// report tells of committed windows.
func (p *publisher) report(closed []*Closed, written []written) {
	for i, c := range closed {
		p.moved[c.Ledger.Stream] = true
		p.positions.set(&c.Checkpoint)
		p.joints.join(&c.Checkpoint, p.cfg.Overlap)
		p.cfg.Observer.Committed(c, written[i].events)
		for _, r := range written[i].rejected {
			p.cfg.Observer.Rejected(c.Ledger.Stream, r)
		}
		for _, n := range c.Notices {
			p.cfg.Observer.Notice(n)
		}
	}
}

// write publishes everything that belongs into the transaction.
func (p *publisher) write(ctx context.Context, tx Transaction, group []*delivery) ([]*Closed, []written, error) {
	closed := make([]*Closed, 0, len(group))
	sums := make([]written, len(group))
	pending := make(map[Stream]Checkpoint, len(group))
	for i, d := range group {
		sum := &sums[i]
		if err := sum.add(ctx, tx, d.batch); err != nil {
			return nil, nil, err
		}
		d.batch = nil
		d.release()
		if d.rest != nil {
			for part := range d.rest {
				if err := sum.add(ctx, tx, part); err != nil {
					return nil, nil, err
				}
			}
			if d.err != nil {
				return nil, nil, errIncomplete
			}
		}
		before, ok := pending[d.stream] // A fast reader may have two windows in one group.
		if !ok {
			before, _ = p.positions.of(d.stream)
		}
		switch {
		case d.closed.Ledger.Late:
			d.closed.Checkpoint = before // Late rows do not move it.
		case d.past:
			d.closed.Checkpoint = before.advanced(&d.closed.Checkpoint)
		default:
			d.closed.Checkpoint.Past = before.Past.joined(d.closed.joint, d.closed.jointRejected)
		}
		d.closed.Checkpoint.Rechecked = p.rechecks.of(d.stream)
		d.closed.numberAfter(&before)
		sum.enter(d.closed, before.Counts)
		pending[d.stream] = d.closed.Checkpoint
		closed = append(closed, d.closed)
	}
	records, err := p.checkpoints.Stage(closed)
	if err != nil {
		return nil, nil, fmt.Errorf("make ledger and checkpoint records: %w", err)
	}
	return closed, sums, tx.Append(ctx, records)
}

// numberAfter gives the ledger record its number and the interval by which it moved a position. before is the position that
// is committed.
func (c *Closed) numberAfter(before *Checkpoint) {
	c.Checkpoint.Sequence = before.Sequence
	if c.Ledger.Replay != "" {
		return
	}
	c.Checkpoint.Sequence++
	c.Ledger.Sequence = c.Checkpoint.Sequence
	if c.Ledger.Late {
		return
	}
	c.Ledger.MovedFrom, c.Ledger.MovedTo = before.End, c.Checkpoint.End
	if !c.Ledger.PastUntil.IsZero() {
		c.Ledger.MovedFrom, c.Ledger.MovedTo = before.Past.End, c.Ledger.End
	}
}

// written is what a window's batches became in Kafka.
type written struct {
	offsets  []OffsetRange
	events   [event.TargetCount]int
	rejected []event.Rejection
	// tooLarge counts the events among the rejected.
	tooLarge int64
}

func (w *written) add(ctx context.Context, tx Transaction, b *Batch) error {
	if len(b.Events) == 0 && len(b.Rejected) == 0 {
		return nil
	}
	published, err := tx.Publish(ctx, b)
	if err != nil {
		return err
	}
	w.offsets = append(w.offsets, published.Offsets...)
	for target, n := range published.Events {
		w.events[target] += n
	}
	w.tooLarge += int64(len(published.Rejected))
	for _, r := range slices.Concat(b.Rejected, published.Rejected) {
		r.Row = nil // Only the fact is reported; the row stands in its topic.
		w.rejected = append(w.rejected, r)
	}
	return nil
}

// enter completes the window's ledger record and checkpoint.
func (w *written) enter(c *Closed, before Counts) {
	ledger := &c.Ledger
	ledger.Offsets = mergeRanges(w.offsets)
	ledger.Published -= w.tooLarge
	ledger.Rejected += w.tooLarge
	counts := &c.Checkpoint.Counts
	*counts = before
	counts.Windows++
	counts.Rows += ledger.Rows
	counts.Published += ledger.Published
	counts.Skipped += ledger.Skipped
	counts.Rejected += ledger.Rejected
	if ledger.Mismatch {
		counts.Mismatches++
	}
	for i := range c.Notices {
		switch n := &c.Notices[i]; n.Kind {
		case NoticeGap:
			counts.GapSeconds += int64(n.End.Sub(n.Begin) / time.Second)
		case NoticeReplayFinished:
			n.Rows = counts.Published + counts.Rejected
		default:
		}
	}
}

// mergeRanges sorts ranges and joins those that touch. Between two parts of a window another writer may have come to a
// partition; then they do not touch and stay two.
func mergeRanges(ranges []OffsetRange) []OffsetRange {
	slices.SortFunc(ranges, func(a, b OffsetRange) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.First, b.First))
	})
	merged := ranges[:0]
	for _, r := range ranges {
		if n := len(merged); n > 0 && merged[n-1].Topic == r.Topic && merged[n-1].Partition == r.Partition &&
			merged[n-1].Last+1 == r.First {
			merged[n-1].Last = r.Last
			continue
		}
		merged = append(merged, r)
	}
	return merged
}
