package pipeline

import (
	"cmp"
	"context"
	"errors"
)

// proposal is something to commit, on its way to the publisher: a window, a streamed window, or a change.
type proposal interface {
	// fill publishes its rows and puts the rest into the draft.
	fill(ctx context.Context, d *Draft) error
	// shares tells whether it may share a transaction with others, and how many bytes it brings.
	shares() (bytes int, ok bool)
	// done takes how its commit ended. It returns what the session ends with; nil if it goes on.
	done(err error) error
}

// joinedProposal are proposals of one stream, in their order, that commit together. All of them may share a transaction.
type joinedProposal []proposal

func (j joinedProposal) fill(ctx context.Context, d *Draft) error {
	for _, one := range j {
		if err := one.fill(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func (j joinedProposal) shares() (bytes int, ok bool) {
	for _, one := range j {
		more, _ := one.shares()
		bytes += more
	}
	return bytes, true
}

func (j joinedProposal) done(err error) (ending error) {
	for _, one := range j {
		ending = cmp.Or(one.done(err), ending)
	}
	return ending
}

// change is a proposal that brings no window of a reader.
type change struct {
	fillDraft Fill
	// result takes how it ended; it has room for one.
	result chan error
}

func (c *change) fill(ctx context.Context, d *Draft) error { return c.fillDraft(ctx, d) }

func (*change) shares() (int, bool) { return 0, false }

// done leaves the fill's own error to whoever proposed it.
func (c *change) done(err error) error {
	c.result <- err
	if _, own := errors.AsType[*fillError](err); own {
		return nil
	}
	return err
}

// publisher commits what is proposed, one transaction at a time.
type publisher struct {
	writer    *writer
	proposals <-chan proposal
	// bounds may be shared with other pipelines.
	bounds *Bounds
	// pings are taken and not answered: that they are taken shows that nothing holds the publisher up.
	pings <-chan struct{}
	// shareBytes is up to how many bytes windows of different streams share a transaction.
	shareBytes int
	// next is a proposal that ended the collecting of a group.
	next proposal
	// committed tells that something was committed.
	committed bool
}

// run commits what is proposed until the channel is closed or soft is done. What is being committed then is finished
// under hard, which outlives soft by the time that a stop may take.
func (p *publisher) run(soft, hard context.Context) error {
	for soft.Err() == nil {
		select {
		case first, ok := <-p.proposals:
			if !ok {
				return nil
			}
			if err := p.publish(hard, p.collect(first)); err != nil {
				return err
			}
		case <-p.pings:
		case <-soft.Done():
		}
	}
	return nil
}

// collect adds to a proposal those that others have ready, so that they share its transaction. What may have to be aborted has
// one of its own.
func (p *publisher) collect(first proposal) []proposal {
	group := []proposal{first}
	bytes, shares := first.shares()
	for shares && bytes < p.shareBytes {
		select {
		case next, ok := <-p.proposals:
			if !ok {
				return group
			}
			more, shares := next.shares()
			if !shares {
				p.next = next
				return group
			}
			group = append(group, next)
			bytes += more
		default:
			return group
		}
	}
	return group
}

// publish commits a group, and then the proposal that ended the collecting, if any.
func (p *publisher) publish(ctx context.Context, group []proposal) error {
	if err := p.commit(ctx, group); err != nil {
		if streamed, is := p.next.(*streamedProposal); is { // It is not begun any more.
			_ = streamed.done(err)
		}
		return err
	}
	if next := p.next; next != nil {
		p.next = nil
		return p.commit(ctx, []proposal{next})
	}
	return nil
}

func (p *publisher) commit(ctx context.Context, group []proposal) error {
	fills := make([]Fill, len(group))
	for i, one := range group {
		fills[i] = one.fill
	}
	commit := func() error { return p.writer.commit(ctx, fills...) }
	bounds := p.bounds
	if _, whole := group[0].shares(); !whole {
		bounds = nil
	}
	err := bounds.commit(ctx, commit)
	p.committed = p.committed || err == nil
	var ending error
	for _, one := range group {
		if cause := one.done(err); cause != nil {
			ending = cause
		}
	}
	return ending
}
