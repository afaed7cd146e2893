package pipeline

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// shortestRecheck is the least time after which windows are asked again: what is near a position belongs to the reader.
	shortestRecheck = time.Minute
	// recheckPart is the part of its delay after which a recheck is repeated: as many windows share a request.
	recheckPart = 5
	// recheckContext is how much of the ledger before a range is read too: rows near its begin may stand there.
	recheckContext = 10 * time.Minute
)

// rechecks know up to where each stream was asked for late rows. Safe for concurrent use; the zero value is ready.
type rechecks struct {
	mu  sync.Mutex
	all map[Stream][]Rechecked
}

// begin takes in what a checkpoint says. A delay that it does not have begins at its end.
func (r *rechecks) begin(s Stream, cp *Checkpoint, delays []time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = make(map[Stream][]Rechecked)
	}
	var own []Rechecked
	for _, after := range delays {
		one := Rechecked{After: after, End: cp.End}
		for _, before := range cp.Rechecked {
			if before.After == after && before.End.Before(cp.End) { // It is later after a reset.
				one.End = before.End
			}
		}
		own = append(own, one)
	}
	r.all[s] = own
}

func (r *rechecks) of(s Stream) []Rechecked {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all[s])
}

// forget takes out a stream that is read no longer.
func (r *rechecks) forget(s Stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, s)
}

// ends tells, of every stream, up to where it was asked after a delay.
func (r *rechecks) ends(after time.Duration) map[Stream]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	ends := make(map[Stream]time.Time, len(r.all))
	for stream, all := range r.all {
		for _, one := range all {
			if one.After == after {
				ends[stream] = one.End
			}
		}
	}
	return ends
}

func (r *rechecks) move(s Stream, after time.Duration, end time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.all[s] {
		if one := &r.all[s][i]; one.After == after {
			one.End = end
		}
	}
}

// recheck asks closed windows for late rows until the context is done. Nothing that goes wrong with it stops the reading:
// it is tried again with the next round.
func (s *session) recheck(ctx context.Context) {
	next := make([]time.Time, len(s.cfg.Recheck))
	start := s.cfg.Now()
	for i, after := range s.cfg.Recheck {
		next[i] = start.Add(max(shortestRecheck, after/recheckPart))
	}
	for {
		i := 0
		for j := range next {
			if next[j].Before(next[i]) {
				i = j
			}
		}
		if Sleep(ctx, next[i].Sub(s.cfg.Now())) != nil {
			return
		}
		after := s.cfg.Recheck[i]
		every := max(shortestRecheck, after/recheckPart)
		if err := s.recheckOnce(ctx, after); err != nil && ctx.Err() == nil {
			s.cfg.Observer.Retry("look for late rows", err, every)
		}
		next[i] = s.cfg.Now().Add(every)
	}
}

// recheckOnce asks all windows that were closed so long ago and have not been asked yet.
func (s *session) recheckOnce(ctx context.Context, after time.Duration) error {
	ends := s.rechecks.ends(after)
	if len(ends) == 0 {
		return nil
	}
	now, err := s.source.Now(ctx, Stream{Kind: StreamMessages})
	if err != nil {
		return err
	}
	since := now
	for _, end := range ends {
		if end.Before(since) {
			since = end
		}
	}
	var records []Ledger
	err = s.cfg.Archive.Windows(ctx, since.Add(-recheckContext), func(l *Ledger) error {
		if l.End.After(since.Add(-recheckContext)) {
			records = append(records, *l)
		}
		return nil
	})
	if err != nil {
		return err
	}
	audit := &Audit{AppKey: s.cfg.AppKey, Source: s.source, Totals: s.cfg.Totals, Archive: s.cfg.Archive}
	for _, chain := range Chains(records) {
		from, ours := ends[chain.Stream]
		if !ours {
			continue
		}
		err := s.recheckChain(ctx, audit, &chain, after, Window{Begin: from, End: now.Add(-after)})
		if err != nil && ClassOf(err) != Drop { // Its reader tells of a stream that is not there any more.
			return err
		}
	}
	return nil
}

// recheckChain asks the windows of a chain that end within a time, but not at its begin: that was asked before.
func (s *session) recheckChain(ctx context.Context, audit *Audit, c *Chain, after time.Duration, within Window) error {
	begin, end := len(c.Windows), 0
	for i := range c.Windows {
		// One that was read late enough has shown what came late by then.
		w := &c.Windows[i]
		if joint, joins := s.joints.of(c.Stream); joins && nearJoint(joint, w.Begin) {
			continue // Its late rows may be the past's, which reads them later.
		}
		if w.End.After(within.Begin) && !w.End.After(within.End) && w.Started.Sub(w.End) < after {
			begin, end = min(begin, i), i+1
		}
	}
	if begin < end {
		part := c.part(begin, end)
		if err := audit.Check(ctx, &part, func(d *Difference) error { return s.publishLate(ctx, d) }); err != nil {
			return err
		}
		s.rechecks.move(c.Stream, after, c.Windows[end-1].End)
	}
	return nil
}

// publishLate publishes what a difference is missing, and waits until that is committed: the next look must see it.
func (s *session) publishLate(ctx context.Context, d *Difference) error {
	if d.Batch() == nil {
		return nil
	}
	delivery := &delivery{
		stream: d.Stream, window: d.Window, closed: d.Late(s.cfg.Now()), batch: d.Batch(), release: func() {},
		committed: make(chan struct{}),
	}
	select {
	case s.queue <- delivery:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-delivery.committed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
