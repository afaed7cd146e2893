package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jmpub/jmpub/pipeline/event"
)

// Update is what commits together, beside windows.
type Update struct {
	// Closed has the ledger record, the checkpoint and the notices.
	Closed *Closed
	// Records are the events.
	Records []Record
}

// Commit publishes an update in one transaction, with its ledger record and checkpoint. It has to be called by the goroutine
// that uses the sink. An error is the end of the session, as with a window.
func (u *Update) Commit(ctx context.Context, sink Sink, checkpoints Checkpoints) error {
	closed := []*Closed{u.Closed}
	tx, err := sink.Begin(ctx)
	if err != nil {
		return err
	}
	records, err := checkpoints.Stage(closed)
	if err != nil {
		err = fmt.Errorf("make ledger and checkpoint records: %w", err)
	} else {
		err = tx.Append(ctx, slices.Concat(u.Records, records))
	}
	if err == nil {
		err = tx.Commit(ctx)
	} else if class := ClassOf(err); class != Abort && class != Fenced {
		err = errors.Join(err, tx.Abort(ctx))
	}
	if err != nil {
		return err
	}
	if err := checkpoints.Save(ctx, closed); err != nil {
		return fmt.Errorf("save checkpoints: %w", err)
	}
	return nil
}

// updating is an update on its way to the publisher, which has it made when everything that was handed on before is
// committed.
type updating struct {
	update    func() *Update
	committed chan struct{}
}

// commit hands an update to the publisher and waits until it is committed: what comes after it builds on that.
func (s *session) commit(ctx context.Context, update func() *Update) error {
	on := &updating{update: update, committed: make(chan struct{})}
	select {
	case s.updates <- on:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-on.committed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// update commits what is no window and tells of it.
func (p *publisher) update(ctx context.Context, u *updating) error {
	update := u.update()
	if err := update.Commit(ctx, p.sink, p.checkpoints); err != nil {
		return err
	}
	c := update.Closed
	if c.Checkpoint.AppKey != "" {
		p.moved[c.Checkpoint.Stream] = true
		p.positions.set(&c.Checkpoint)
		p.cfg.Observer.Committed(c, [event.TargetCount]int{})
	}
	for _, n := range c.Notices {
		p.cfg.Observer.Notice(n)
	}
	close(u.committed)
	return nil
}
