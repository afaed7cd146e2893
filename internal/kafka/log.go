package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/listoffsets"

	"github.com/jmpub/jmpub/pipeline"
)

// Log reads the partitions of one topic, record by record, as they were committed. Reading needs no lock, no transaction and no
// group; whoever writes meanwhile is not disturbed. It holds one reply at a time. It is used by one goroutine at a time.
type Log struct {
	Client *kafkago.Client
	Topic  string
	Retry  pipeline.Retry
	// Prefix, where it is set, leaves out the records whose keys do not begin with it. Their values are not even read.
	Prefix string
	// Headers has the records' headers read.
	Headers bool
	// Together, where it is set, has the log read and asked about together with others. What fn is called with is not to be changed then,
	// and fn does not read the same partition.
	Together *Together

	record LogRecord
}

// LogRecord is a record of a log. Key and Value are nil where they are null; they are valid until the next record.
type LogRecord struct {
	Topic      string
	Partition  int
	Offset     int64
	Time       time.Time
	Key, Value []byte
	// Headers are nil unless the log reads them.
	Headers []Header
	// Unread is why the value could not be read whole: none of jmpub's is so large, or so damaged. Value is not nil then.
	Unread error

	// producer has written it, in a transaction where transactional is set. One with an end is the marker of that, without a key and a value;
	// see [Log.outcomes].
	producer      int64
	transactional bool
	end           ending
}

// Header is one of a record.
type Header struct {
	Key   string
	Value []byte
}

// Where names the record's place, for errors.
func (r *LogRecord) Where() string {
	return fmt.Sprintf("%s/%d at offset %d", r.Topic, r.Partition, r.Offset)
}

// Bounds are offsets of a partition: the first one, and the one behind the last.
type Bounds struct{ First, End int64 }

// fetchBytes bounds a reply; a single batch may exceed it. The whole reply
// may be larger than the only partition in it, so that it is never that bound which ends it: the embedded broker then leaves
// out the list of aborted transactions.
const (
	fetchBytes  = 64 << 10
	replyBytes  = 2 * fetchBytes
	fetchWaitMs = 500
)

// All returns the bounds of what is there now, decided or not.
func (l *Log) All(ctx context.Context, partition int) (Bounds, error) {
	return l.bounds(ctx, partition, kafkago.ReadUncommitted)
}

// Decided returns the bounds of what is decided now: it ends before the oldest transaction that is open.
func (l *Log) Decided(ctx context.Context, partition int) (Bounds, error) {
	return l.bounds(ctx, partition, kafkago.ReadCommitted)
}

// Committed calls fn with each record within bounds that was committed, in order. The bounds are decided.
func (l *Log) Committed(ctx context.Context, partition int, b Bounds, fn func(*LogRecord) error) error {
	return l.each(ctx, l.at(partition, kafkago.ReadCommitted), b, fn)
}

// Known calls fn with each record within bounds of which the caller knows that it was committed, in order. Transactions that
// are open there or before do not matter.
func (l *Log) Known(ctx context.Context, partition int, b Bounds, fn func(*LogRecord) error) error {
	return l.each(ctx, l.at(partition, kafkago.ReadUncommitted), b, fn)
}

// at is a partition as a reader sees it, without the ends of transactions.
func (l *Log) at(partition int, level kafkago.IsolationLevel) place {
	return place{topic: l.Topic, partition: partition, level: level}
}

// alone is how many records are not worth to be read together with others: they come in one reply.
const alone = fetchBytes / usualRecord

func (l *Log) each(ctx context.Context, at place, b Bounds, fn func(*LogRecord) error) error {
	if l.Together != nil && b.End-b.First > alone {
		return l.Together.read(ctx, l, at, b, fn)
	}
	wanted := func(r *LogRecord) bool {
		return r.Offset < b.End && (r.end != notEnded || strings.HasPrefix(string(r.Key), l.Prefix))
	}
	for offset := b.First; offset < b.End; {
		reply, err := l.fetch(ctx, at.partition, Bounds{offset, b.End}, at.level)
		if err != nil {
			return err
		}
		next, err := l.eachOf(reply, at, offset, wanted, fn)
		if err != nil {
			return fmt.Errorf("read %s/%d from %d: %w", l.Topic, at.partition, offset, err)
		}
		offset = next
	}
	return nil
}

// eachOf calls fn with the records of a reply, from an offset on, that are wanted, and returns the offset to read on from. Where that fails,
// it is the one behind the record at which it did.
func (l *Log) eachOf(
	reply *fetch.ResponsePartition, at place, from int64, wanted func(*LogRecord) bool, fn func(*LogRecord) error,
) (next int64, err error) {
	next, err = eachCommitted(reply, from, func(b *batch, r *protocol.Record, end ending) error {
		var failed error
		out := &l.record
		out.Topic, out.Partition, out.Offset, out.Time = l.Topic, at.partition, r.Offset, r.Time.UTC()
		out.producer, out.transactional, out.end = b.producer, b.transactional, end
		if end != notEnded {
			if out.Key, out.Value, out.Headers, out.Unread = nil, nil, nil, nil; at.markers && wanted(out) {
				return fn(out)
			}
			return nil
		}
		if out.Key, failed = readInto(out.Key, r.Key); failed != nil || !wanted(out) {
			return failed
		}
		out.Value, out.Unread = readInto(out.Value, r.Value)
		if value, ok := r.Value.(*section); ok && l.Headers {
			out.Headers = value.headers()
		} else {
			out.Headers = nil
		}
		return fn(out)
	})
	// Compaction takes records out of a batch, which keeps its place: the last ones of this reply may be gone.
	return max(next, from+1), err
}

// readInto reads bytes into the memory of buf; nil where they are null.
func readInto(buf []byte, b protocol.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	if buf == nil {
		buf = []byte{} // What is empty is not null.
	}
	if _, ok := b.(tooLarge); ok {
		return buf[:0], errTooLarge
	}
	buf = slices.Grow(buf[:0], b.Len())[:b.Len()]
	n, err := io.ReadFull(b, buf)
	return buf[:n], err
}

// OffsetAt is the first offset within b whose record is not older than a time; b's end if all are.
func (l *Log) OffsetAt(ctx context.Context, partition int, at time.Time, b Bounds) (offset int64, err error) {
	op := fmt.Sprintf("look up the offset of %s/%d at %s", l.Topic, partition, pipeline.FormatTime(at))
	err = l.Retry.Do(ctx, op, func(ctx context.Context) error {
		var cause error
		if offset, cause = l.offset(ctx, partition, kafkago.ReadUncommitted, at.UnixMilli()); offset < 0 { // None is so young.
			offset = b.End
		}
		return Needs(Fault(op, cause), Describe.On(l.Topic)...)
	})
	return min(max(offset, b.First), b.End), err
}

// bounds looks the bounds up: to the high watermark, or to the last stable offset.
func (l *Log) bounds(ctx context.Context, partition int, level kafkago.IsolationLevel) (b Bounds, err error) {
	op := fmt.Sprintf("look up the offsets of %s/%d", l.Topic, partition)
	err = l.Retry.Do(ctx, op, func(ctx context.Context) error {
		b, err = l.offsets(ctx, partition, level)
		return Needs(Fault(op, err), Describe.On(l.Topic)...)
	})
	return b, err
}

// offsets asks once.
func (l *Log) offsets(ctx context.Context, partition int, level kafkago.IsolationLevel) (Bounds, error) {
	first, err := l.offset(ctx, partition, kafkago.ReadUncommitted, kafkago.FirstOffset) // It is the same for all.
	if err == nil && first < 0 {
		err = errNoAnswer
	}
	if err != nil {
		return Bounds{}, err
	}
	end, err := l.end(ctx, partition, level, first)
	return Bounds{first, end}, err
}

// end asks once for the offset behind the last one, which is not before the first one.
func (l *Log) end(ctx context.Context, partition int, level kafkago.IsolationLevel, first int64) (int64, error) {
	end, err := l.offset(ctx, partition, level, kafkago.LastOffset)
	if err == nil && end < first {
		err = errNoAnswer
	}
	return end, err
}

var errNoAnswer = errors.New("the broker did not answer for the partition")

// offset asks once for the offset at a time in milliseconds, or for the first or the last one. A request can ask one thing of a partition:
// brokers refuse one that names it twice.
func (l *Log) offset(ctx context.Context, partition int, level kafkago.IsolationLevel, timestamp int64) (int64, error) {
	send := func(ctx context.Context) (int64, error) { return l.listOffset(ctx, partition, level, timestamp) }
	if l.Together != nil {
		return l.Together.asked.ask(ctx, question{l.at(partition, level), timestamp}, send)
	}
	return send(ctx)
}

// listOffset sends the request. It goes below kafka-go's Client.ListOffsets, which takes a partition that is not in the reply for an empty
// one.
func (l *Log) listOffset(ctx context.Context, partition int, level kafkago.IsolationLevel, timestamp int64) (int64, error) {
	reply, err := l.roundTrip(ctx, &listoffsets.Request{
		ReplicaID: -1, IsolationLevel: int8(level),
		Topics: []listoffsets.RequestTopic{{Topic: l.Topic, Partitions: []listoffsets.RequestPartition{
			{Partition: int32(partition), CurrentLeaderEpoch: -1, Timestamp: timestamp}, //nolint:gosec // A partition's number.
		}}},
	})
	if err != nil {
		return 0, err
	}
	list, ok := reply.(*listoffsets.Response)
	if !ok || len(list.Topics) != 1 || len(list.Topics[0].Partitions) != 1 {
		return 0, errNoAnswer
	}
	found := &list.Topics[0].Partitions[0]
	if found.ErrorCode != 0 {
		return 0, kafkago.Error(found.ErrorCode)
	}
	return found.Offset, nil
}

// fetch reads records from the first of the bounds on; what lies behind them is of no use. It goes below kafka-go's Client.Fetch, which
// passes the records of aborted transactions on: filtering them is the reader's task (KIP-98, consumer), and it needs the list that only the raw reply has.
func (l *Log) fetch(ctx context.Context, partition int, b Bounds, level kafkago.IsolationLevel) (*fetch.ResponsePartition, error) {
	op := fmt.Sprintf("read %s/%d from %d", l.Topic, partition, b.First)
	var found *fetch.ResponsePartition
	err := l.Retry.Do(ctx, op, func(ctx context.Context) error {
		var err error
		found, err = l.fetchOnce(ctx, partition, b, level)
		if errors.Is(err, kafkago.OffsetOutOfRange) {
			// What was there when the bounds were looked up has been deleted: the log has to be read anew.
			return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: err}
		}
		return Needs(Fault(op, err), Read.On(l.Topic)...)
	})
	return found, err
}

// usualRecord is about what a record takes, so that one record is not asked for with 64 KiB behind it. Of larger ones a reply has
// fewer than were asked for, but the first batch in any case (KIP-74).
const usualRecord = 4 << 10

func (l *Log) fetchOnce(ctx context.Context, partition int, b Bounds, level kafkago.IsolationLevel) (*fetch.ResponsePartition, error) {
	most := int32(min((b.End-b.First+1)*usualRecord, fetchBytes)) //nolint:gosec // It is bounded.
	reply, err := l.roundTrip(ctx, &fetch.Request{
		ReplicaID: -1, MaxWaitTime: fetchWaitMs, MinBytes: 1, MaxBytes: replyBytes,
		IsolationLevel: int8(level), SessionEpoch: -1,
		Topics: []fetch.RequestTopic{{Topic: l.Topic, Partitions: []fetch.RequestPartition{{
			Partition: int32(partition), CurrentLeaderEpoch: -1, FetchOffset: b.First, LogStartOffset: -1, //nolint:gosec // A partition's number.
			PartitionMaxBytes: most,
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
func (l *Log) roundTrip(ctx context.Context, request kafkago.Request) (kafkago.Response, error) {
	if l.Client.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.Client.Timeout)
		defer cancel()
	}
	return l.Client.Transport.RoundTrip(ctx, l.Client.Addr, request)
}
