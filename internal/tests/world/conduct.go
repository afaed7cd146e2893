package world

import (
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/endtxn"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/produce"

	"github.com/jmpub/jmpub/internal/tests/world/kafkamodel"
)

// answered looks at how a process uses Kafka: what is against the protocol would be seen there, although it may go well.
func (l *link) answered(m *kafkamodel.Message, res protocol.Message) {
	switch res := res.(type) {
	case *initproducerid.Response:
		if req, ok := m.Request.(*initproducerid.Request); ok && res.ErrorCode == 0 {
			l.world.taken(req.TransactionalID, l)
		}
	case *endtxn.Response:
		if req, ok := m.Request.(*endtxn.Request); ok && req.Committed { // One that is to be aborted may have none.
			l.misused("commits", res.ErrorCode)
		}
	case *produce.Response:
		for _, t := range res.Topics {
			for _, p := range t.Partitions {
				l.misused("writes to "+t.Topic, p.ErrorCode)
			}
		}
	default:
	}
}

// misused notes what only a writer does who has not begun a transaction, or has not added the partition to it; unless what it sent before can
// arrive so late that it ends another one.
func (l *link) misused(what string, code int16) {
	if kafkago.Error(code) == kafkago.InvalidTransactionState && !l.world.mayBeLate() {
		l.world.found("a process %s, which is not in its transaction", what)
	}
}

// mayBeLate tells whether messages can arrive after their senders have given up.
func (w *World) mayBeLate() bool {
	for i := range w.plan.Events {
		if e := &w.plan.Events[i]; e.Kind == Pause || e.Kind == SlowStart || e.Kind == Slow || e.Network == Slow {
			return true
		}
	}
	return false
}

// taking is who has taken a transactional id, and when; by is not set where it was a command.
type taking struct {
	by *link
	at time.Time
}

// takings are the last ones of a transactional id.
type takings struct {
	last, before taking
	// returns counts how often a process has taken it back from another one that had just taken it.
	returns int
}

const (
	// soon is how soon after another process has taken a place no other takes it back that had it: it waits for the group's word for longer.
	soon = 8 * time.Second
	// mostReturns is how often that happens by the group's word.
	mostReturns = 3
)

// taken notes that a process, or a command, has taken a transactional id.
func (w *World) taken(id string, by *link) {
	now := taking{by, time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.takings[id]
	if t == nil {
		t = &takings{}
		w.takings[id] = t
	}
	if t.last.by == by {
		t.last.at = now.at
		return
	}
	if by.fleet != nil && t.last.by.isAlive() && t.before.by == by && now.at.Sub(t.last.at) < soon {
		t.returns++
	}
	t.before, t.last = t.last, now
}

// isAlive tells whether it is that of a process which was not killed.
func (l *link) isAlive() bool { return l != nil && l.fleet != nil && !l.killed.Load() }

// checkTaken expects no processes to have taken a place from one another again and again.
func (w *World) checkTaken() {
	for id, t := range w.takings {
		if t.returns > mostReturns {
			w.found("processes took the transactional id %s from one another %d times", id, t.returns)
		}
	}
}
