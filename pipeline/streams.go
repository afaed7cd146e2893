package pipeline

import (
	"context"
	"sync"
	"time"
)

// streamTable is what is known of each stream, shared by those who read and the one who writes. It outlives sessions. Safe for
// concurrent use.
type streamTable struct {
	mu  sync.Mutex
	all map[Stream]*streamState
}

// streamState is what is known of one stream.
type streamState struct {
	// position is the committed one, or where the stream's reading began; nil where neither is known yet.
	position *Checkpoint
	// committed tells that the position is a committed one.
	committed bool
	// damage is why the committed position cannot be read.
	damage error
	// sequence is the number of the newest ledger record of a stream whose position is forgotten.
	sequence int64
	// start is where the stream began that has committed nothing yet: given as a duration back, the start would move on with the
	// clock from session to session.
	start time.Time
	// moved, where somebody waits, is closed with the next commit of the stream.
	moved chan struct{}
}

func newStreamTable() *streamTable { return &streamTable{all: make(map[Stream]*streamState)} }

// state is a stream's, made if it is not there. The caller holds the lock.
func (t *streamTable) state(s Stream) *streamState {
	own := t.all[s]
	if own == nil {
		own = &streamState{}
		t.all[s] = own
	}
	return own
}

// load begins a session with what is committed.
func (t *streamTable) load(loaded map[Stream]Checkpoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, own := range t.all {
		own.position, own.committed, own.sequence, own.damage = nil, false, 0, nil
		if own.start.IsZero() {
			delete(t.all, s)
		}
	}
	for s, cp := range loaded {
		own := t.state(s)
		switch {
		case cp.Damage != nil:
			own.damage = cp.Damage
		case cp.Forgotten:
			own.sequence = cp.Sequence
		default:
			own.position, own.committed = &cp, true
		}
	}
}

// position is a stream's position, or where its reading began.
func (t *streamTable) position(s Stream) (cp Checkpoint, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.all[s]
	switch {
	case own == nil:
		return Checkpoint{Stream: s}, false
	case own.position == nil:
		return Checkpoint{Stream: s, Sequence: own.sequence, Damage: own.damage}, false
	default:
		return *own.position, true
	}
}

// lost are the streams of which more was committed in this process than what was loaded knows.
func (t *streamTable) lost(loaded map[Stream]Checkpoint) []LostPosition {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []LostPosition
	for s, own := range t.all {
		if cp, there := loaded[s]; own.committed && cp.Damage == nil && cp.Sequence < own.position.Sequence {
			all = append(all, LostPosition{Stream: s, Gone: !there, End: cp.End, Published: own.position.End})
		}
	}
	return all
}

// isCommitted tells that something was committed of a stream.
func (t *streamTable) isCommitted(s Stream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.all[s]
	return own != nil && own.committed
}

// startOf is where a stream began that has committed nothing yet.
func (t *streamTable) startOf(s Stream) (start time.Time, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.all[s]
	if own == nil || own.start.IsZero() {
		return time.Time{}, false
	}
	return own.start, true
}

// begin takes in from where a stream is read; start is where it began if nothing of it is committed.
func (t *streamTable) begin(cp *Checkpoint, start time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.state(cp.Stream)
	begun := *cp
	own.position = &begun
	if !own.committed {
		own.start = start
	}
}

// await waits until a stream's position is as it should be, and returns it.
func (t *streamTable) await(ctx context.Context, s Stream, ok func(*Checkpoint) bool) (Checkpoint, error) {
	for {
		cp, moved := t.watch(s)
		if ok(&cp) {
			return cp, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return Checkpoint{}, ctx.Err()
		}
	}
}

// watch is a stream's position, and what is closed when another one is committed.
func (t *streamTable) watch(s Stream) (Checkpoint, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.state(s)
	if own.moved == nil {
		own.moved = make(chan struct{})
	}
	if own.position == nil {
		return Checkpoint{Stream: s}, own.moved
	}
	return *own.position, own.moved
}

// positions are those of all streams.
func (t *streamTable) positions() map[Stream]Checkpoint {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[Stream]Checkpoint, len(t.all))
	for s, own := range t.all {
		if own.position != nil {
			all[s] = *own.position
		}
	}
	return all
}

// apply takes in what was committed.
func (t *streamTable) apply(c *Commit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, cp := range c.Positions {
		if cp.Forgotten {
			t.all[cp.Stream] = &streamState{sequence: cp.Sequence}
			continue
		}
		own := t.state(cp.Stream)
		own.position, own.committed, own.start, own.damage = cp, true, time.Time{}, nil
		if own.moved != nil {
			close(own.moved)
			own.moved = nil
		}
	}
	for _, s := range c.Deleted {
		delete(t.all, s)
	}
}
