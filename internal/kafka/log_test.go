package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strconv"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/listoffsets"

	"github.com/jmpub/jmpub/pipeline"
)

// extent is a batch of a fake partition: what of its offsets compaction has left.
type extent struct {
	first, last int64
	// left are offsets of records, whose key and value are the offset; marker makes it the end of a transaction.
	left   []int64
	marker bool
}

// fakeBroker answers for one partition, a batch a fetch.
type fakeBroker struct {
	first, stable, end int64
	batches            []extent
	// answer, where set, may answer the n-th request, counted from 1, in its place.
	answer   func(n int, request kafkago.Request) (kafkago.Response, error)
	requests int
}

func (b *fakeBroker) RoundTrip(_ context.Context, _ net.Addr, request kafkago.Request) (kafkago.Response, error) {
	b.requests++
	if b.answer != nil {
		if response, err := b.answer(b.requests, request); response != nil || err != nil {
			return response, err
		}
	}
	switch r := request.(type) {
	case *listoffsets.Request:
		response := &listoffsets.Response{Topics: []listoffsets.ResponseTopic{{Topic: r.Topics[0].Topic}}}
		for _, p := range r.Topics[0].Partitions {
			offset := b.end
			switch {
			case p.Timestamp == kafkago.FirstOffset:
				offset = b.first
			case r.IsolationLevel == int8(kafkago.ReadCommitted):
				offset = b.stable
			}
			response.Topics[0].Partitions = append(response.Topics[0].Partitions,
				listoffsets.ResponsePartition{Timestamp: p.Timestamp, Offset: offset})
		}
		return response, nil
	case *fetch.Request:
		return b.fetch(r.Topics[0].Partitions[0].FetchOffset), nil
	default:
		return nil, fmt.Errorf("unexpected %T", request)
	}
}

// fetch answers with the batch that holds the offset, whole, or the next one.
func (b *fakeBroker) fetch(offset int64) *fetch.Response {
	var p fetch.ResponsePartition
	for _, e := range b.batches {
		if e.last >= offset {
			p.RecordSet.Records = &protocol.RecordStream{Records: []protocol.RecordReader{e.reader()}}
			break
		}
	}
	return fetched(p)
}

func fetched(p fetch.ResponsePartition) *fetch.Response {
	return &fetch.Response{Topics: []fetch.ResponseTopic{{Partitions: []fetch.ResponsePartition{p}}}}
}

func (e extent) reader() protocol.RecordReader {
	if e.marker {
		commit := protocol.ControlRecord{Offset: e.first, Type: 1}
		return &protocol.ControlBatch{ProducerID: 1, BaseOffset: e.first, Records: protocol.NewRecordReader(commit.Record())}
	}
	var records []protocol.Record
	for _, offset := range e.left {
		text := strconv.AppendInt(nil, offset, 10)
		records = append(records, protocol.Record{Offset: offset, Key: protocol.NewBytes(text), Value: protocol.NewBytes(text)})
	}
	return &protocol.RecordBatch{
		Attributes: protocol.Transactional, ProducerID: 1, BaseOffset: e.first, Records: protocol.NewRecordReader(records...),
	}
}

// readAll reads the whole partition and returns the keys of its records, once nothing in it is undecided.
func (b *fakeBroker) readAll(ctx context.Context, notify func(string, error, time.Duration)) (map[string]bool, error) {
	l := &Log{
		Client: &kafkago.Client{Addr: kafkago.TCP("fake:9092"), Transport: b, Timeout: time.Second}, Topic: "checkpoints",
		Retry: pipeline.Retry{Initial: time.Nanosecond, Max: time.Nanosecond, Notify: notify},
	}
	found := make(map[string]bool)
	bounds, err := l.All(ctx, 0)
	if err != nil {
		return nil, err
	}
	return found, l.Own(ctx, 0, bounds, func(r *LogRecord) error {
		if string(r.Key) != string(r.Value) || string(r.Key) != strconv.FormatInt(r.Offset, 10) {
			return fmt.Errorf("%s has the key %q and the value %q", r.Where(), r.Key, r.Value)
		}
		found[string(r.Key)] = true
		return nil
	})
}

// TestCompactionGaps reads batches that have lost their first records, their last ones, or all, and offsets that no batch
// has any more. Kafka keeps the empty batch of a producer's last sequence numbers.
func TestCompactionGaps(t *testing.T) {
	b := &fakeBroker{first: 3, stable: 40, end: 40, batches: []extent{
		{first: 3, last: 8, left: []int64{5}},
		{first: 9, last: 9, marker: true},
		{first: 12, last: 17, left: []int64{12, 13}},
		{first: 20, last: 22},
		{first: 23, last: 23, marker: true},
		{first: 30, last: 38, left: []int64{38}},
		{first: 39, last: 39, marker: true},
	}}
	got, err := b.readAll(t.Context(), nil)
	want := map[string]bool{"5": true, "12": true, "13": true, "38": true}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("found %v, %v, want %v", got, err, want)
	}
}

// TestPassingFaults repeats what may succeed later, and finds the same then.
func TestPassingFaults(t *testing.T) {
	failures := map[string]func(kafkago.Request) (kafkago.Response, error){
		"network": func(kafkago.Request) (kafkago.Response, error) { return nil, errors.New("connection reset") },
		"moved": func(request kafkago.Request) (kafkago.Response, error) {
			if r, ok := request.(*listoffsets.Request); ok {
				return &listoffsets.Response{Topics: []listoffsets.ResponseTopic{{
					Topic: r.Topics[0].Topic, Partitions: []listoffsets.ResponsePartition{{
						Timestamp: kafkago.LastOffset, Offset: -1, ErrorCode: int16(kafkago.NotLeaderForPartition),
					}},
				}}}, nil
			}
			return fetched(fetch.ResponsePartition{ErrorCode: int16(kafkago.NotLeaderForPartition)}), nil
		},
		"none": func(request kafkago.Request) (kafkago.Response, error) {
			if r, ok := request.(*listoffsets.Request); ok {
				return &listoffsets.Response{Topics: []listoffsets.ResponseTopic{{
					Topic: r.Topics[0].Topic, Partitions: []listoffsets.ResponsePartition{{Offset: -1}},
				}}}, nil
			}
			return fetched(fetch.ResponsePartition{}), nil
		},
		"empty": func(request kafkago.Request) (kafkago.Response, error) {
			if _, ok := request.(*listoffsets.Request); ok {
				return &listoffsets.Response{}, nil
			}
			return fetched(fetch.ResponsePartition{}), nil
		},
	}
	for name, failure := range failures {
		for failAt, failed := 1, true; failed; failAt++ {
			failed = false
			reported := 0
			b := &fakeBroker{stable: 4, end: 4, batches: []extent{
				{first: 0, last: 1, left: []int64{0, 1}}, {first: 2, last: 2, left: []int64{2}}, {first: 3, last: 3, marker: true},
			}}
			b.answer = func(n int, request kafkago.Request) (kafkago.Response, error) {
				if n != failAt {
					return nil, nil
				}
				failed = true
				return failure(request)
			}
			found, err := b.readAll(t.Context(), func(string, error, time.Duration) { reported++ })
			if err != nil || len(found) != 3 || (reported == 1) != failed {
				t.Errorf("%s at request %d: found %v, %v, reported %d times", name, failAt, found, err, reported)
			}
		}
	}
}

// TestDeletedMeanwhile begins anew from the session when the beginning of the log has moved.
func TestDeletedMeanwhile(t *testing.T) {
	b := &fakeBroker{stable: 4, end: 4, answer: func(_ int, request kafkago.Request) (kafkago.Response, error) {
		if _, ok := request.(*fetch.Request); ok {
			return fetched(fetch.ResponsePartition{ErrorCode: int16(kafkago.OffsetOutOfRange)}), nil
		}
		return nil, nil
	}}
	if _, err := b.readAll(t.Context(), nil); pipeline.ClassOf(err) != pipeline.Abort {
		t.Errorf("%v is of class %s", err, pipeline.ClassOf(err))
	}
}

// TestNotAllowed does not repeat what only the operator can correct.
func TestNotAllowed(t *testing.T) {
	for _, failAt := range []int{1, 2, 3} {
		b := &fakeBroker{stable: 1, end: 1, batches: []extent{{first: 0, last: 0, left: []int64{0}}}}
		b.answer = func(n int, _ kafkago.Request) (kafkago.Response, error) {
			if n == failAt {
				return nil, kafkago.TopicAuthorizationFailed
			}
			return nil, nil
		}
		if _, err := b.readAll(t.Context(), nil); pipeline.ClassOf(err) != pipeline.Permanent {
			t.Errorf("request %d: %v is of class %s", failAt, err, pipeline.ClassOf(err))
		}
	}
}
