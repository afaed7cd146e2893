package checkpoint

import (
	"context"
	"fmt"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// Archive reads back what an app's windows have published: the ledger, and the records at the offsets that it names.
// Only what is committed counts. It is used by one goroutine at a time.
type Archive struct {
	client *kafkago.Client
	// ledger is the topic of the ledger.
	ledger string
	appKey string
	// partitions gives the number of partitions of the ledger's topic.
	partitions func() int
	retry      pipeline.Retry
}

var _ pipeline.Archive = (*Archive)(nil)

// NewArchive reads the ledger in a topic, and what it names. partitions gives that topic's number of partitions.
func NewArchive(client *kafkago.Client, ledger, appKey string, partitions func() int, retry pipeline.Retry) *Archive {
	return &Archive{client: client, ledger: ledger, appKey: appKey, partitions: partitions, retry: retry}
}

// ledgerSlack is how far this machine's clock may be from that of the one which wrote a ledger record.
const ledgerSlack = time.Hour

// Windows calls fn with the app's ledger records that were written since a time; see [pipeline.Archive].
func (a *Archive) Windows(ctx context.Context, since time.Time, fn func(*pipeline.Ledger) error) error {
	l := &log{client: a.client, topic: a.ledger, retry: a.retry}
	for partition := range a.partitions() {
		b, err := l.bounds(ctx, partition, kafkago.ReadCommitted)
		if err != nil {
			return err
		}
		if b.first, err = l.offsetAt(ctx, partition, since.Add(-ledgerSlack), b); err != nil {
			return err
		}
		err = l.each(ctx, partition, b, func(key, value []byte, at time.Time, where string) error {
			if value == nil || !strings.HasPrefix(string(key), a.appKey+"/") {
				return nil
			}
			record, failed := DecodeLedger(value, where)
			if failed != nil {
				return failed
			}
			record.Committed = at
			return fn(&record)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Records calls fn with the committed records in the ranges; see [pipeline.Archive].
func (a *Archive) Records(ctx context.Context, ranges []pipeline.OffsetRange, fn func(topic string, key, value []byte) error) error {
	for _, r := range ranges {
		l := &log{client: a.client, topic: r.Topic, retry: a.retry}
		decided, err := l.bounds(ctx, int(r.Partition), kafkago.ReadCommitted)
		if err != nil {
			return err
		}
		// What retention has deleted cannot be read; the caller finds it missing.
		b := bounds{max(r.First, decided.first), min(r.Last+1, decided.end)}
		err = l.each(ctx, int(r.Partition), b, func(key, value []byte, _ time.Time, _ string) error { return fn(r.Topic, key, value) })
		if err != nil {
			return err
		}
	}
	return nil
}

// each calls fn with every committed record within bounds, which are decided, and its timestamp.
func (l *log) each(ctx context.Context, partition int, b bounds, fn func(key, value []byte, at time.Time, where string) error) error {
	take := func(r *protocol.Record) error {
		if r.Offset >= b.end {
			return nil
		}
		key, err := protocol.ReadAll(r.Key)
		if err != nil {
			return err
		}
		value, err := protocol.ReadAll(r.Value)
		if err != nil {
			return err
		}
		return fn(key, value, r.Time.UTC(), fmt.Sprintf("%s/%d at offset %d", l.topic, partition, r.Offset))
	}
	for offset := b.first; offset < b.end; {
		reply, err := l.fetch(ctx, partition, offset, kafkago.ReadCommitted)
		if err != nil {
			return err
		}
		next, err := eachCommitted(reply, offset, take)
		if err != nil {
			return fmt.Errorf("read %s/%d from %d: %w", l.topic, partition, offset, err)
		}
		offset = max(next, offset+1)
	}
	return nil
}

// offsetAt is the first offset within b whose record is not older than a time; b's end if all are.
func (l *log) offsetAt(ctx context.Context, partition int, at time.Time, b bounds) (offset int64, err error) {
	op := fmt.Sprintf("look up the offset of %s/%d at %s", l.topic, partition, pipeline.FormatTime(at))
	err = l.retry.Do(ctx, op, func(ctx context.Context) error {
		reply, failed := l.roundTrip(ctx, &listoffsets.Request{
			ReplicaID: -1,
			Topics: []listoffsets.RequestTopic{{Topic: l.topic, Partitions: []listoffsets.RequestPartition{
				{Partition: int32(partition), CurrentLeaderEpoch: -1, Timestamp: at.UnixMilli()}, //nolint:gosec // A partition's number.
			}}},
		})
		if failed != nil {
			return kafka.Fault(op, failed)
		}
		list, ok := reply.(*listoffsets.Response)
		if !ok || len(list.Topics) != 1 || len(list.Topics[0].Partitions) != 1 {
			return kafka.Fault(op, errNoAnswer)
		}
		found := list.Topics[0].Partitions[0]
		if found.ErrorCode != 0 {
			return kafka.Fault(op, kafkago.Error(found.ErrorCode))
		}
		if offset = found.Offset; offset < 0 { // None is so young.
			offset = b.end
		}
		return nil
	})
	return max(offset, b.first), err
}
