package checkpoint

import (
	"context"
	"errors"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/listoffsets"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// log reads a topic as a table: the newest committed value of each key.
type log struct {
	client *kafkago.Client
	topic  string
	retry  pipeline.Retry
}

// value is the newest value of a key, and where it stands.
type value struct {
	bytes []byte
	where string
}

// The bounds of one fetch; a single batch may exceed them. The whole reply may be larger than the only partition in it, so
// that it is never that bound which ends it: the embedded broker then leaves out the list of aborted transactions.
const (
	fetchBytes  = 4 << 20
	replyBytes  = 2 * fetchBytes
	fetchWaitMs = 500
)

// read returns the table of a partition, with the keys that keep wants, as it is when nothing in it is undecided that was
// so at the call. A read_committed reader stops before the oldest open transaction: to take what it finds for all there is
// would overlook newer values behind it.
func (l *log) read(ctx context.Context, partition int, keep func(key []byte) bool) (map[string]value, error) {
	all, err := l.bounds(ctx, partition, kafkago.ReadUncommitted)
	if err != nil {
		return nil, err
	}
	op := fmt.Sprintf("read %s/%d", l.topic, partition)
	err = l.retry.Do(ctx, op, func(ctx context.Context) error {
		decided, cause := l.offsets(ctx, partition, kafkago.ReadCommitted)
		if cause == nil && decided.end < all.end {
			return l.undecided(ctx, op, partition, decided.end, all.end)
		}
		return kafka.Needs(kafka.Fault(op, cause), kafka.Describe.On(l.topic)...)
	})
	if err != nil {
		return nil, err
	}
	return l.scan(ctx, partition, all, keep)
}

// readDecided returns the table of a partition as far as it is decided now.
func (l *log) readDecided(ctx context.Context, partition int, keep func(key []byte) bool) (map[string]value, error) {
	decided, err := l.bounds(ctx, partition, kafkago.ReadCommitted)
	if err != nil {
		return nil, err
	}
	return l.scan(ctx, partition, decided, keep)
}

// scan reads the offsets within bounds; they are decided.
func (l *log) scan(ctx context.Context, partition int, b bounds, keep func(key []byte) bool) (map[string]value, error) {
	found := make(map[string]value)
	take := func(r *protocol.Record) error {
		key, err := protocol.ReadAll(r.Key)
		if err != nil || !keep(key) {
			return err
		}
		bytes, err := protocol.ReadAll(r.Value)
		if err != nil {
			return err
		}
		if bytes == nil {
			delete(found, string(key))
			return nil
		}
		found[string(key)] = value{bytes, fmt.Sprintf("%s/%d at offset %d", l.topic, partition, r.Offset)}
		return nil
	}
	for offset := b.first; offset < b.end; {
		reply, err := l.fetch(ctx, partition, offset, kafkago.ReadCommitted)
		if err != nil {
			return nil, err
		}
		next, err := eachCommitted(reply, offset, take)
		if err != nil {
			return nil, fmt.Errorf("read %s/%d from %d: %w", l.topic, partition, offset, err)
		}
		// Compaction takes records out of a batch, which keeps its place: the last ones of this reply may be gone.
		offset = max(next, offset+1)
	}
	return found, nil
}

// bounds are the partition's first offset and the one behind its last.
type bounds struct{ first, end int64 }

// bounds looks the bounds up: to the high watermark, or to the last stable offset.
func (l *log) bounds(ctx context.Context, partition int, level kafkago.IsolationLevel) (b bounds, err error) {
	op := fmt.Sprintf("look up the offsets of %s/%d", l.topic, partition)
	err = l.retry.Do(ctx, op, func(ctx context.Context) error {
		b, err = l.offsets(ctx, partition, level)
		return kafka.Needs(kafka.Fault(op, err), kafka.Describe.On(l.topic)...)
	})
	return b, err
}

// offsets asks once. It goes below kafka-go's Client.ListOffsets, which takes a partition that is not in the reply for an
// empty one.
func (l *log) offsets(ctx context.Context, partition int, level kafkago.IsolationLevel) (bounds, error) {
	number := int32(partition) //nolint:gosec // A partition's number.
	reply, err := l.roundTrip(ctx, &listoffsets.Request{
		ReplicaID: -1, IsolationLevel: int8(level),
		Topics: []listoffsets.RequestTopic{{Topic: l.topic, Partitions: []listoffsets.RequestPartition{
			{Partition: number, CurrentLeaderEpoch: -1, Timestamp: kafkago.FirstOffset},
			{Partition: number, CurrentLeaderEpoch: -1, Timestamp: kafkago.LastOffset},
		}}},
	})
	if err != nil {
		return bounds{}, err
	}
	list, ok := reply.(*listoffsets.Response)
	if !ok || len(list.Topics) != 1 {
		return bounds{}, errNoAnswer
	}
	b := bounds{-1, -1}
	for _, p := range list.Topics[0].Partitions {
		switch {
		case p.ErrorCode != 0:
			return bounds{}, kafkago.Error(p.ErrorCode)
		case p.Partition != number:
		case p.Timestamp == kafkago.FirstOffset:
			b.first = p.Offset
		case p.Timestamp == kafkago.LastOffset:
			b.end = p.Offset
		}
	}
	if b.first < 0 || b.end < b.first {
		return bounds{}, errNoAnswer
	}
	return b, nil
}

var errNoAnswer = errors.New("the broker did not answer for the partition")

// undecided says whose transaction is waited for: the first record behind the last stable offset is one of it.
func (l *log) undecided(ctx context.Context, op string, partition int, decided, end int64) error {
	fault := &pipeline.Fault{
		Class: pipeline.Transient, Op: op,
		Err: fmt.Errorf("a transaction is open there: of %d offsets, %d are decided", end, decided),
		Hint: "it ends when its writer ends it or at its transaction.timeout.ms; " +
			"kafka-transactions.sh find-hanging shows one that does not",
	}
	reply, err := l.fetch(ctx, partition, decided, kafkago.ReadUncommitted)
	if err != nil {
		return fault // What matters is known.
	}
	if who := ownerOf(reply, decided); who != "" {
		fault.Err = fmt.Errorf("%w; it is that of %s", fault.Err, who)
	}
	return fault
}

// fetch reads from an offset. It goes below kafka-go's Client.Fetch, which passes the records of aborted transactions on:
// filtering them is the reader's task (KIP-98, consumer), and it needs the list that only the raw reply has.
func (l *log) fetch(ctx context.Context, partition int, offset int64, level kafkago.IsolationLevel) (*fetch.ResponsePartition, error) {
	op := fmt.Sprintf("read %s/%d from %d", l.topic, partition, offset)
	var found *fetch.ResponsePartition
	err := l.retry.Do(ctx, op, func(ctx context.Context) error {
		var err error
		found, err = l.fetchOnce(ctx, partition, offset, level)
		if errors.Is(err, kafkago.OffsetOutOfRange) {
			// What was there when the bounds were looked up has been deleted: the table has to be read anew.
			return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: err}
		}
		return kafka.Needs(kafka.Fault(op, err), kafka.Read.On(l.topic)...)
	})
	return found, err
}

func (l *log) fetchOnce(ctx context.Context, partition int, offset int64, level kafkago.IsolationLevel) (*fetch.ResponsePartition, error) {
	reply, err := l.roundTrip(ctx, &fetch.Request{
		ReplicaID: -1, MaxWaitTime: fetchWaitMs, MinBytes: 1, MaxBytes: replyBytes,
		IsolationLevel: int8(level), SessionEpoch: -1,
		Topics: []fetch.RequestTopic{{Topic: l.topic, Partitions: []fetch.RequestPartition{{
			Partition: int32(partition), CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1, //nolint:gosec // A partition's number.
			PartitionMaxBytes: fetchBytes,
		}}}},
	})
	if err != nil {
		return nil, err
	}
	page, ok := reply.(*fetch.Response)
	if ok && page.ErrorCode != 0 {
		return nil, kafkago.Error(page.ErrorCode)
	}
	if !ok || len(page.Topics) != 1 || len(page.Topics[0].Partitions) != 1 {
		return nil, errNoAnswer
	}
	found := &page.Topics[0].Partitions[0]
	if found.ErrorCode != 0 {
		return nil, kafkago.Error(found.ErrorCode)
	}
	if found.RecordSet.Records == nil {
		return nil, errors.New("nothing came, although the end is further on")
	}
	return found, nil
}

// roundTrip sends a request, to the partition's leader.
func (l *log) roundTrip(ctx context.Context, request kafkago.Request) (kafkago.Response, error) {
	if l.client.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.client.Timeout)
		defer cancel()
	}
	return l.client.Transport.RoundTrip(ctx, l.client.Addr, request)
}
