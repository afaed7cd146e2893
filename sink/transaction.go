package sink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// transaction is the sink's open transaction.
type transaction struct {
	*Sink
	// joined tells that the broker knows of the transaction.
	joined bool
}

// join adds the partitions that the transaction does not have yet.
func (t *transaction) join(ctx context.Context, places []place) error {
	if !t.ExactlyOnce() {
		return nil
	}
	topics := make(map[string][]kafkago.AddPartitionToTxn)
	var added []*partition
	for _, p := range places {
		state := t.at(p)
		if state.joined {
			continue
		}
		state.joined = true // Taken back below if it fails; until then it guards against naming it twice.
		added = append(added, state)
		topics[p.topic] = append(topics[p.topic], kafkago.AddPartitionToTxn{Partition: int(p.partition)})
	}
	if len(added) == 0 {
		return nil
	}
	const op = "add partitions to the transaction"
	err := t.quick.Do(ctx, op, func(ctx context.Context) error {
		res, err := t.cfg.Client.AddPartitionsToTxn(ctx, &kafkago.AddPartitionsToTxnRequest{
			TransactionalID: t.cfg.TransactionalID,
			ProducerID:      int(t.producer.id), ProducerEpoch: int(t.producer.epoch),
			Topics: topics,
		})
		if err != nil {
			return t.idFault(op, err)
		}
		return t.joinFault(res, topics)
	})
	if err != nil {
		for _, state := range added {
			state.joined = false
		}
		return err
	}
	t.joined = true
	return nil
}

// errNotAttempted is OPERATION_NOT_ATTEMPTED; kafka-go has that code under a wrong name.
const errNotAttempted = kafkago.Error(55)

// joinFault finds the error that says most: OPERATION_NOT_ATTEMPTED (55) only says that another partition has one.
func (t *transaction) joinFault(res *kafkago.AddPartitionsToTxnResponse, asked map[string][]kafkago.AddPartitionToTxn) error {
	var first error
	for _, topic := range slices.Sorted(maps.Keys(asked)) {
		results := res.Topics[topic]
		if len(results) != len(asked[topic]) {
			return &pipeline.Fault{
				Class: pipeline.Abort, Op: "add " + topic + " to the transaction",
				Err: fmt.Errorf("the broker answered for %d of %d partitions", len(results), len(asked[topic])),
			}
		}
		for _, result := range results {
			err := t.idFault(fmt.Sprintf("add %s/%d to the transaction", topic, result.Partition), result.Error)
			err = kafka.Needs(err, kafka.Write.On(topic)...)
			if err != nil && (first == nil || !errors.Is(result.Error, errNotAttempted)) {
				first = err
			}
		}
	}
	return first
}

// Commit ends the transaction; see [pipeline.Transaction].
func (t *transaction) Commit(ctx context.Context) error { return t.end(ctx, true) }

// Abort ends the transaction; see [pipeline.Transaction].
func (t *transaction) Abort(ctx context.Context) error { return t.end(ctx, false) }

// end asks for the verdict until it is known to be taken. Asked again with the same verdict, the broker answers as it did
// the first time (KIP-98, EndTxn), so a lost reply is no doubt.
func (t *transaction) end(ctx context.Context, commit bool) error {
	if !t.ExactlyOnce() || !t.joined {
		return nil
	}
	op := "abort the transaction"
	if commit {
		op = "commit the transaction"
	}
	return t.quick.Do(ctx, op, func(ctx context.Context) error {
		res, err := t.cfg.Client.EndTxn(ctx, &kafkago.EndTxnRequest{
			TransactionalID: t.cfg.TransactionalID,
			ProducerID:      int(t.producer.id), ProducerEpoch: int(t.producer.epoch),
			Committed: commit,
		})
		if err == nil {
			err = res.Error
		}
		return t.idFault(op, err)
	})
}
