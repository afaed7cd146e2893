package sink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// producer is the identity under which batches are written, and what the transaction's coordinator knows of it. Without a
// transactional id it is none, and asks the coordinator for nothing.
type producer struct {
	client          *kafkago.Client
	transactionalID string
	timeout         time.Duration
	// retry is quick: the coordinator is often busy for a moment with the last transaction's end.
	retry pipeline.Retry

	// id is negative until it is known.
	id    int64
	epoch int16
	// partitions hold the next sequence of each partition, which begins at 0 with each epoch.
	partitions map[topicPartition]*partition
	// begun is when the broker was first asked for the open transaction, whether the answer came or not; zero where it knows of none.
	begun time.Time
}

// topicPartition is a partition of a topic.
type topicPartition struct {
	topic     string
	partition int32
}

type partition struct {
	topicPartition
	sequence int32
	// joined is set once the open transaction has the partition.
	joined bool
}

func newProducer(client *kafkago.Client, retry pipeline.Retry, transactionalID string, timeout time.Duration) *producer {
	retry.Initial, retry.Max = 20*time.Millisecond, 2*time.Second
	p := &producer{client: client, retry: retry, transactionalID: transactionalID, timeout: timeout}
	p.forget()
	return p
}

func (p *producer) transactional() bool { return p.transactionalID != "" }

func (p *producer) known() bool { return p.id >= 0 }

// open asks for the transactional id.
//
// The first call names no producer: the broker aborts what the last holder left open and fences it. Later calls name their
// own producer and epoch (KIP-360), so that the broker tells a writer whose transaction timed out, which may go on, from one
// that was replaced, which may not; unless its coordinator was restarted since, or it is older than 4.0: then it refuses both.
func (p *producer) open(ctx context.Context) error {
	if !p.transactional() {
		return nil
	}
	op := "take the transactional id " + p.transactionalID
	return p.retry.Do(ctx, op, func(ctx context.Context) error {
		res, err := p.client.InitProducerID(ctx, &kafkago.InitProducerIDRequest{
			TransactionalID:      p.transactionalID,
			TransactionTimeoutMs: int(p.timeout.Milliseconds()),
			ProducerID:           int(p.id), ProducerEpoch: int(p.epoch),
		})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			return p.openFault(op, err)
		}
		p.id, p.epoch = int64(res.Producer.ProducerID), int16(res.Producer.ProducerEpoch) //nolint:gosec // The wire's type.
		p.partitions = make(map[topicPartition]*partition)
		return nil
	})
}

// forget makes the next open like the first one.
func (p *producer) forget() {
	p.id, p.epoch, p.partitions = -1, -1, make(map[topicPartition]*partition)
}

// openFault reads the broker's refusal to renew a producer as what it most likely is: another writer has the id.
func (p *producer) openFault(op string, err error) error {
	if p.known() && (errors.Is(err, kafkago.ProducerFenced) || errors.Is(err, kafkago.InvalidProducerEpoch)) {
		return &pipeline.Fault{
			Class: pipeline.Fenced, Op: op, Err: err,
			Hint: "another writer with the same JMPUB_GROUP may have taken over",
		}
	}
	return p.fault(op, err)
}

// fault is [kafka.Fault] for requests that name the transactional id.
func (p *producer) fault(op string, err error) error {
	return kafka.Needs(kafka.Fault(op, err), kafka.Write.OnID(p.transactionalID))
}

// overdue adds to an error that ended a transaction what is to be done if the transaction was open for too long.
func (p *producer) overdue(err error) error {
	fault, ok := errors.AsType[*pipeline.Fault](err)
	if !ok || fault.Class != pipeline.Abort || fault.Hint != "" || p.begun.IsZero() || time.Since(p.begun) < p.timeout {
		return err
	}
	late := *fault
	late.Hint = fmt.Sprintf("the transaction was open for %s, and JMPUB_KAFKA_TRANSACTION_TIMEOUT is %s: if that goes on, raise it, "+
		"or have windows read sooner by larger pages (JMPUB_API_PAGE_SIZE)", time.Since(p.begun).Round(time.Second), p.timeout)
	return &late
}

// begin starts a transaction that has no partition yet.
func (p *producer) begin() {
	p.begun = time.Time{}
	for _, one := range p.partitions {
		one.joined = false
	}
}

// at returns the state of a partition.
func (p *producer) at(where topicPartition) *partition {
	state, ok := p.partitions[where]
	if !ok {
		state = &partition{topicPartition: where}
		p.partitions[where] = state
	}
	return state
}

// join adds the partitions, each named once, that the transaction does not have yet.
func (p *producer) join(ctx context.Context, wanted []*partition) error {
	if !p.transactional() {
		return nil
	}
	topics := make(map[string][]kafkago.AddPartitionToTxn)
	for _, state := range wanted {
		if !state.joined {
			topics[state.topic] = append(topics[state.topic], kafkago.AddPartitionToTxn{Partition: int(state.partition)})
		}
	}
	if len(topics) == 0 {
		return nil
	}
	const op = "add partitions to the transaction"
	if p.begun.IsZero() {
		p.begun = time.Now()
	}
	err := p.retry.Do(ctx, op, func(ctx context.Context) error {
		res, err := p.client.AddPartitionsToTxn(ctx, &kafkago.AddPartitionsToTxnRequest{
			TransactionalID: p.transactionalID,
			ProducerID:      int(p.id), ProducerEpoch: int(p.epoch),
			Topics: topics,
		})
		if err != nil {
			return p.fault(op, err)
		}
		return p.joinFault(res, topics)
	})
	if err != nil {
		return err
	}
	for _, state := range wanted {
		state.joined = true
	}
	return nil
}

// errNotAttempted is OPERATION_NOT_ATTEMPTED; kafka-go has that code under a wrong name.
const errNotAttempted = kafkago.Error(55)

// joinFault finds the error that says most: OPERATION_NOT_ATTEMPTED (55) only says that another partition has one.
func (p *producer) joinFault(res *kafkago.AddPartitionsToTxnResponse, asked map[string][]kafkago.AddPartitionToTxn) error {
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
			err := p.fault(fmt.Sprintf("add %s/%d to the transaction", topic, result.Partition), result.Error)
			err = kafka.Needs(err, kafka.Write.On(topic)...)
			if err != nil && (first == nil || !errors.Is(result.Error, errNotAttempted)) {
				first = err
			}
		}
	}
	return first
}

// end asks for the verdict until it is known to be taken. Asked again with the same verdict, the broker answers as it did
// the first time (KIP-98, EndTxn), so a lost reply is no doubt, unless the last word is that somebody else has the transactional id by
// then, or there is none.
func (p *producer) end(ctx context.Context, commit bool) error {
	if p.begun.IsZero() {
		return nil
	}
	op := "abort the transaction"
	if commit {
		op = "commit the transaction"
	}
	inDoubt := false
	err := p.retry.Do(ctx, op, func(ctx context.Context) error {
		res, err := p.client.EndTxn(ctx, &kafkago.EndTxnRequest{
			TransactionalID: p.transactionalID,
			ProducerID:      int(p.id), ProducerEpoch: int(p.epoch),
			Committed: commit,
		})
		if err == nil {
			err = res.Error
		}
		if !commit && errors.Is(err, kafkago.InvalidTransactionState) {
			return nil // None is open: the broker took none of the partitions.
		}
		_, answered := errors.AsType[kafkago.Error](err)
		inDoubt = inDoubt || commit && err != nil && !answered
		return p.fault(op, err)
	})
	if err != nil && inDoubt {
		return fmt.Errorf("%w: %w", pipeline.ErrInDoubt, err)
	}
	return err
}
