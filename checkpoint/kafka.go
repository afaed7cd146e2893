package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"github.com/jmpub/jmpub/internal/kafkaconn"
	"github.com/jmpub/jmpub/pipeline"
)

// Kafka keeps checkpoints in a compacted topic, one record a stream. An app's checkpoints stand in one partition, its
// shard, which one writer at a time has. It is used by one goroutine at a time.
type Kafka struct {
	client *kafka.Client
	topic  string
	appKey string
	// partitions gives the topic's number of partitions, once it is known to exist.
	partitions func() int
	retry      pipeline.Retry
}

var _ pipeline.Checkpoints = (*Kafka)(nil)

// NewKafka keeps an app's checkpoints in a topic. partitions is asked when it is certain that the topic exists.
func NewKafka(client *kafka.Client, topic, appKey string, partitions func() int, retry pipeline.Retry) *Kafka {
	return &Kafka{client: client, topic: topic, appKey: appKey, partitions: partitions, retry: retry}
}

// ShardOf is the partition of the checkpoint topic that an app belongs to: murmur2 of its key, as the Java client has it.
func ShardOf(appKey string, partitions int) int {
	all := make([]int, partitions)
	for i := range all {
		all[i] = i
	}
	return kafka.Murmur2Balancer{Consistent: true}.Balance(kafka.Message{Key: []byte(appKey)}, all...)
}

// Stage returns the ledger records, notices and checkpoints of windows; see [pipeline.Checkpoints].
func (k *Kafka) Stage(closed []*pipeline.Closed) ([]pipeline.Record, error) {
	records, err := ledgerRecords(closed)
	if err != nil {
		return nil, err
	}
	shard := int32(ShardOf(k.appKey, k.partitions())) //nolint:gosec // A partition's number.
	last := make(map[pipeline.Stream]int, len(closed))
	for i, c := range closed {
		last[c.Checkpoint.Stream] = i // Of several windows of a stream, the last one's position counts.
	}
	for i, c := range closed {
		if last[c.Checkpoint.Stream] != i {
			continue
		}
		value, err := encodeCheckpoint(&c.Checkpoint)
		if err != nil {
			return nil, fmt.Errorf("encode checkpoint of %s: %w", c.Checkpoint.Stream, err)
		}
		records = append(records, pipeline.Record{
			Topic: pipeline.TopicCheckpoints, Partition: shard, Key: key(k.appKey, c.Checkpoint.Stream), Value: value,
		})
	}
	return records, nil
}

// Save has nothing left to do.
func (*Kafka) Save(context.Context, []*pipeline.Closed) error { return nil }

// Load reads the app's committed checkpoints. The sink has been opened before, so whatever its last holder left open is
// decided by now.
func (k *Kafka) Load(ctx context.Context) (map[pipeline.Stream]pipeline.Checkpoint, error) {
	n := k.partitions()
	shard := ShardOf(k.appKey, n)
	found := make(map[pipeline.Stream]pipeline.Checkpoint)
	for p := range n {
		records, err := k.read(ctx, p)
		if err != nil {
			return nil, err
		}
		for name, r := range records {
			cp, err := decodeCheckpoint(r.value, k.appKey)
			where := fmt.Sprintf("%s at offset %d of %s/%d", name, r.offset, k.topic, p)
			switch {
			case err != nil:
				return nil, damagedFault(where, err)
			case p != shard:
				return nil, &pipeline.Fault{
					Class: pipeline.Permanent, Op: "read the checkpoint " + where,
					Err: fmt.Errorf("with %d partitions the app belongs to partition %d: the topic's partitions were changed", n, shard),
					Hint: "give the topic back its former number of partitions by creating it anew and copying its records, " +
						"or delete the record so that the stream begins at JMPUB_START again",
				}
			}
			found[cp.Stream] = cp
		}
	}
	return found, nil
}

// record is the newest value of a key.
type record struct {
	value  []byte
	offset int64
}

// read returns the newest committed records of the app in one partition, by key.
func (k *Kafka) read(ctx context.Context, partition int) (map[string]record, error) {
	first, end, err := k.bounds(ctx, partition)
	if err != nil {
		return nil, err
	}
	found := make(map[string]record)
	reader := committed{aborted: make(map[int64]bool)}
	for offset := first; offset < end; {
		res, err := k.fetch(ctx, partition, offset)
		if err != nil {
			return nil, err
		}
		next, err := reader.each(res, offset, func(r *protocol.Record) error { return k.take(found, r) })
		if err != nil {
			return nil, fmt.Errorf("read %s/%d: %w", k.topic, partition, err)
		}
		if next <= offset {
			// Compaction can take the last records out of a batch, which keeps its place; what is behind them begins at
			// some later offset.
			next = offset + 1
		}
		offset = next
	}
	return found, nil
}

// take keeps a record of the app; a tombstone removes it.
func (k *Kafka) take(found map[string]record, r *protocol.Record) error {
	name, err := readAll(r.Key)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(name), k.appKey+"/") {
		return nil
	}
	value, err := readAll(r.Value)
	if err != nil {
		return err
	}
	if value == nil {
		delete(found, string(name))
		return nil
	}
	found[string(name)] = record{value, r.Offset}
	return nil
}

func readAll(b protocol.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	defer b.Close() //nolint:errcheck // Memory.
	return io.ReadAll(b)
}

// bounds are the partition's first offset and its end, at a moment at which nothing in it is undecided. A read_committed
// reader stops before the oldest open transaction: if there were one, newer checkpoints behind it would be overlooked, and
// their windows published again.
func (k *Kafka) bounds(ctx context.Context, partition int) (first, end int64, err error) {
	op := fmt.Sprintf("look up the end of %s/%d", k.topic, partition)
	err = k.retry.Do(ctx, op, func(ctx context.Context) error {
		var err error
		if first, end, err = k.offsets(ctx, partition, kafka.ReadUncommitted); err != nil {
			return kafkaconn.Fault(op, err)
		}
		_, stable, err := k.offsets(ctx, partition, kafka.ReadCommitted)
		if err != nil {
			return kafkaconn.Fault(op, err)
		}
		if stable < end {
			return &pipeline.Fault{
				Class: pipeline.Transient, Op: op,
				Err: fmt.Errorf("a transaction is open there: stable up to %d of %d; it ends by itself or times out", stable, end),
			}
		}
		return nil
	})
	return first, end, err
}

func (k *Kafka) offsets(ctx context.Context, partition int, level kafka.IsolationLevel) (first, last int64, err error) {
	res, err := k.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{
			k.topic: {kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition)},
		},
		IsolationLevel: level,
	})
	if err != nil {
		return 0, 0, err
	}
	for _, p := range res.Topics[k.topic] {
		if p.Partition == partition {
			return p.FirstOffset, p.LastOffset, p.Error
		}
	}
	return 0, 0, errors.New("the broker did not answer for the partition")
}

// The bounds of one fetch; a single record may exceed them.
const (
	fetchBytes  = 4 << 20
	fetchWaitMs = 500
)

// fetch reads from an offset. It goes below kafka-go's Client.Fetch, which passes the records of aborted transactions on:
// filtering them is the reader's task (KIP-98, consumer), and it needs the list that only the raw reply has.
func (k *Kafka) fetch(ctx context.Context, partition int, offset int64) (*fetch.ResponsePartition, error) {
	op := fmt.Sprintf("read %s/%d from %d", k.topic, partition, offset)
	var found *fetch.ResponsePartition
	err := k.retry.Do(ctx, op, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, k.client.Timeout)
		defer cancel()
		res, err := k.client.Transport.RoundTrip(ctx, k.client.Addr, &fetch.Request{
			ReplicaID: -1, MaxWaitTime: fetchWaitMs, MinBytes: 1, MaxBytes: fetchBytes,
			IsolationLevel: int8(kafka.ReadCommitted), SessionEpoch: -1,
			Topics: []fetch.RequestTopic{{Topic: k.topic, Partitions: []fetch.RequestPartition{{
				Partition: int32(partition), CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1, //nolint:gosec // A partition's number.
				PartitionMaxBytes: fetchBytes,
			}}}},
		})
		if err != nil {
			return kafkaconn.Fault(op, err)
		}
		page, ok := res.(*fetch.Response)
		if !ok || len(page.Topics) != 1 || len(page.Topics[0].Partitions) != 1 {
			return kafkaconn.Fault(op, errors.New("the broker did not answer for the partition"))
		}
		found = &page.Topics[0].Partitions[0]
		for _, code := range []int16{page.ErrorCode, found.ErrorCode} {
			if code != 0 {
				return kafkaconn.Fault(op, kafka.Error(code))
			}
		}
		if found.RecordSet.Records == nil {
			return kafkaconn.Fault(op, errors.New("nothing came, although the end is further on"))
		}
		return nil
	})
	return found, err
}
