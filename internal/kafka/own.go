package kafka

import (
	"context"
	"fmt"
	"slices"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/pipeline"
)

// Own calls fn with each record within bounds that was committed and whose key has the log's prefix, in order. It waits while a transaction is
// open that has written such a record: to take what is found before it for all there is would overlook what is committed later. What others have
// open there does not matter, although a read_committed consumer stops before it: how the log's own transactions have ended is read from
// their markers.
func (l *Log) Own(ctx context.Context, partition int, b Bounds, fn func(*LogRecord) error) error {
	decided, behind, err := l.awaitOwn(ctx, partition, b)
	if err != nil {
		return err
	}
	if err = l.Committed(ctx, partition, Bounds{b.First, min(decided, b.End)}, fn); err != nil || len(behind) == 0 {
		return err
	}
	return l.Known(ctx, partition, Bounds{behind[0], behind[len(behind)-1] + 1}, func(r *LogRecord) error {
		if _, ok := slices.BinarySearch(behind, r.Offset); !ok {
			return nil
		}
		return fn(r)
	})
}

// awaitOwn waits until all of the log's own records within bounds are decided. It returns the last stable offset, and the offsets of those behind
// it that were committed, in order.
func (l *Log) awaitOwn(ctx context.Context, partition int, b Bounds) (decided int64, behind []int64, err error) {
	op := fmt.Sprintf("read %s/%d", l.Topic, partition)
	err = l.Retry.Do(ctx, op, func(ctx context.Context) error {
		var end int64
		var cause error
		behind = nil
		if decided, cause = l.end(ctx, partition, kafkago.ReadCommitted, 0); cause == nil && decided < b.End {
			end, cause = l.end(ctx, partition, kafkago.ReadUncommitted, b.End)
		}
		if cause != nil || decided >= b.End {
			return Needs(Fault(op, cause), Describe.On(l.Topic)...)
		}
		var open string // What a broker refuses for a moment is repeated in there; here it is only looked again whether the transaction has ended.
		if behind, open, cause = l.outcomes(ctx, partition, Bounds{max(decided, b.First), end}, b.End); cause != nil || open == "" {
			return cause
		}
		return &pipeline.Fault{
			Class: pipeline.Transient, Op: op, Err: fmt.Errorf("a transaction is open there: it is that of %s", open),
			Hint: "it ends when its writer ends it or at its transaction.timeout.ms; kafka-transactions.sh find-hanging shows one that does not",
		}
	})
	return decided, behind, err
}

// outcomes finds the log's own records within bounds and before until, by how the transactions have ended that they are of: the offsets of
// those that were committed, in order, and whose transaction is open, if one is. No transaction that is open before the bounds has any.
func (l *Log) outcomes(ctx context.Context, partition int, b Bounds, until int64) (committedAt []int64, open string, err error) {
	type written struct {
		offsets []int64
		key     string
	}
	pending := make(map[int64]*written) // By producer, which has one transaction at a time.
	at := l.at(partition, kafkago.ReadUncommitted)
	at.markers = true
	err = l.each(ctx, at, b, func(r *LogRecord) error {
		switch p := pending[r.producer]; {
		case r.end == committed && p != nil:
			committedAt = append(committedAt, p.offsets...)
			delete(pending, r.producer)
		case r.end != notEnded:
			delete(pending, r.producer)
		case r.Offset >= until:
		case !r.transactional:
			committedAt = append(committedAt, r.Offset)
		case p == nil:
			pending[r.producer] = &written{[]int64{r.Offset}, string(r.Key)}
		default:
			p.offsets = append(p.offsets, r.Offset)
		}
		return nil
	})
	for producer, p := range pending {
		open = fmt.Sprintf("producer %d, which wrote the key %q", producer, p.key)
	}
	slices.Sort(committedAt)
	return committedAt, open, err
}
