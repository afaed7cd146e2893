package kafkatest_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

func (l *lab) plain(t *testing.T) {
	w := l.writer(t, time.Minute)
	w.put(t, "never")
	for i := range 2 { // The same batch is another one each time.
		var buf bytes.Buffer
		set := protocol.RecordSet{Version: 2, Records: protocol.NewRecordReader(protocol.Record{Value: protocol.NewBytes([]byte("plain"))})}
		_, err := set.WriteTo(&buf)
		ok(t, err)
		res, err := l.client.RawProduce(t.Context(), &kafkago.RawProduceRequest{
			Topic: w.topic, Partition: partition, RequiredAcks: kafkago.RequireAll, RawRecords: protocol.RawRecordSet{Reader: &buf},
		})
		ok(t, err)
		ok(t, res.Error)
		if res.BaseOffset != int64(1+i) {
			t.Errorf("the batch came to offset %d, want %d", res.BaseOffset, 1+i)
		}
	}
	l.wantOffset(t, w.topic, kafkago.ReadCommitted, kafkago.LastOffset, 0)
	ok(t, w.end(t, false))
	w.put(t, "last")
	ok(t, w.end(t, true))
	l.wantValues(t, w.topic, "plain", "plain", "last")
}

func (l *lab) stable(t *testing.T) {
	first, second := l.writer(t, time.Minute), l.writer(t, time.Minute)
	second.topic = first.topic
	first.put(t, "a0")  // Offset 0.
	second.put(t, "b0") // 1
	ok(t, second.end(t, true))
	ok(t, second.add(t)) // The marker stands at 2.
	l.wantOffset(t, first.topic, kafkago.ReadCommitted, kafkago.LastOffset, 0)
	l.wantOffset(t, first.topic, kafkago.ReadUncommitted, kafkago.LastOffset, 3)
	page := l.page(t, first.topic, 0, kafkago.ReadCommitted)
	if page.LastStableOffset != 0 || page.HighWatermark != 3 || page.RecordSet.Records != nil {
		t.Errorf("before the end: stable %d, high %d, records %v; want 0, 3, none", page.LastStableOffset, page.HighWatermark, page.RecordSet.Records)
	}
	ok(t, first.end(t, false)) // 3
	_, err := second.write(t, "b1")
	ok(t, err)
	ok(t, second.end(t, true))
	ok(t, first.add(t))
	ok(t, second.add(t))
	var where int64
	for _, b := range l.batches(t, first.topic) { // The marker of the abort may come after the record that was sent later.
		if b.control && b.producer == int64(first.pid.ProducerID) {
			where = b.base
		}
	}
	page = l.page(t, first.topic, 0, kafkago.ReadCommitted)
	want := []fetch.ResponseTransaction{{ProducerID: int64(first.pid.ProducerID), FirstOffset: 0}}
	if page.LastStableOffset != 6 || !slices.Equal(page.AbortedTransactions, want) {
		t.Errorf("behind the end: stable %d, aborted %v; want 6, %v", page.LastStableOffset, page.AbortedTransactions, want)
	}
	if page = l.page(t, first.topic, where+1, kafkago.ReadCommitted); len(page.AbortedTransactions) != 0 {
		t.Errorf("behind the marker at %d: aborted %v, want none", where, page.AbortedTransactions)
	}
	if page = l.page(t, first.topic, 6, kafkago.ReadCommitted); page.ErrorCode != 0 || page.RecordSet.Records != nil {
		t.Errorf("at the end: code %d, records %v; want neither", page.ErrorCode, page.RecordSet.Records)
	}
	for _, offset := range []int64{7, -1} {
		if page = l.page(t, first.topic, offset, kafkago.ReadCommitted); kafkago.Error(page.ErrorCode) != kafkago.OffsetOutOfRange {
			t.Errorf("at offset %d: code %d, want OFFSET_OUT_OF_RANGE", offset, page.ErrorCode)
		}
	}
	l.wantValues(t, first.topic, "b0", "b1")
}

func (l *lab) times(t *testing.T) {
	w := l.writer(t, time.Minute)
	ok(t, w.add(t))
	now := time.Now().Truncate(time.Second)
	for i, at := range []time.Time{now.Add(-time.Hour), now, now.Add(-time.Minute)} {
		_, err := w.send(t, w.sign(t, protocol.Lz4, int32(i), protocol.Record{Time: at, Value: protocol.NewBytes([]byte{'0' + byte(i)})}))
		ok(t, err)
	}
	for _, c := range []struct {
		at   time.Time
		want int64
	}{{now.Add(-2 * time.Hour), 0}, {now.Add(-30 * time.Minute), 1}, {now, 1}, {now.Add(time.Second), -1}} {
		l.wantOffset(t, w.topic, kafkago.ReadUncommitted, c.at.UnixMilli(), c.want)
		l.wantOffset(t, w.topic, kafkago.ReadCommitted, c.at.UnixMilli(), -1) // It is not decided.
	}
	ok(t, w.end(t, true))
	ok(t, w.add(t))
	l.wantOffset(t, w.topic, kafkago.ReadCommitted, now.UnixMilli(), 1)
	l.wantOffset(t, w.topic, kafkago.ReadCommitted, kafkago.FirstOffset, 0)
	l.wantValues(t, w.topic, "0", "1", "2")
}

func (l *lab) compaction(t *testing.T) {
	w := l.writer(t, time.Minute)
	w.topic += "-compacted"
	l.create(t, w.topic, kafkago.ConfigEntry{ConfigName: "cleanup.policy", ConfigValue: "compact"},
		kafkago.ConfigEntry{ConfigName: "segment.ms", ConfigValue: "600000"},
		kafkago.ConfigEntry{ConfigName: "min.cleanable.dirty.ratio", ConfigValue: "0.001"})
	at := time.Now() // Segments end by the time of their records, not by when they were written.
	put := func(commit bool, pairs ...string) {
		t.Helper()
		var records []protocol.Record
		for _, pair := range pairs {
			key, value := protocol.NewBytes([]byte(pair[:1])), protocol.NewBytes([]byte(pair))
			records = append(records, protocol.Record{Time: at, Key: key, Value: value})
		}
		ok(t, w.add(t))
		_, err := w.send(t, w.sign(t, protocol.Lz4, w.sequence, records...))
		ok(t, err)
		w.sequence += int32(len(pairs))
		ok(t, w.end(t, commit))
	}
	put(true, "a1")        // Offset 0, marker 1.
	put(true, "b1", "a2")  // 2 and 3, 4
	put(false, "a3", "b2") // 5 and 6, 7
	put(true, "a4")        // 8, 9
	l.decided(t, w.topic)
	at = at.Add(30 * time.Minute) // So another segment begins here.
	put(true, "z1")               // 10, 11
	l.decided(t, w.topic)
	l.compact(t, w.topic)
	id := int64(w.pid.ProducerID)
	want := []stored{{1, id, true, 1}, {2, id, false, 1}, {4, id, true, 1}, {7, id, true, 1}, {8, id, false, 1}, {9, id, true, 1}, {10, id, false, 1}, {11, id, true, 1}}
	if got := l.batches(t, w.topic); !slices.Equal(got, want) {
		t.Errorf("the batches are %v, want %v", got, want)
	}
	l.wantOffset(t, w.topic, kafkago.ReadCommitted, kafkago.FirstOffset, 0)
	l.wantValues(t, w.topic, "b1", "a4", "z1")
}

// decided waits until the markers of what was ended stand.
func (l *lab) decided(t *testing.T, topic string) {
	t.Helper()
	for l.offset(t, topic, kafkago.ReadCommitted, kafkago.LastOffset) < l.offset(t, topic, kafkago.ReadUncommitted, kafkago.LastOffset) {
		pause()
	}
}

func (l *lab) wantOffset(t *testing.T, topic string, level kafkago.IsolationLevel, at, want int64) {
	t.Helper()
	if got := l.offset(t, topic, level, at); got != want {
		t.Errorf("the offset of %d (%v) is %d, want %d", at, level, got, want)
	}
}

func (l *lab) offset(t *testing.T, topic string, level kafkago.IsolationLevel, at int64) int64 {
	t.Helper()
	var found kafkago.PartitionOffsets
	for {
		res, err := l.client.ListOffsets(t.Context(), &kafkago.ListOffsetsRequest{
			Topics: map[string][]kafkago.OffsetRequest{topic: {{Partition: partition, Timestamp: at}}}, IsolationLevel: level,
		})
		if err == nil {
			found = res.Topics[topic][0]
			err = found.Error
		}
		if !moving(err) {
			ok(t, err)
			break
		}
		pause()
	}
	got := int64(-1)
	switch at {
	case kafkago.FirstOffset:
		got = found.FirstOffset
	case kafkago.LastOffset:
		got = found.LastOffset
	default:
		for offset := range found.Offsets {
			got = offset
		}
	}
	return got
}

// fetchFrom reads once.
func (l *lab) fetchFrom(t *testing.T, topic string, offset int64, level kafkago.IsolationLevel) (*fetch.ResponsePartition, error) {
	t.Helper()
	reply, err := l.client.Transport.RoundTrip(t.Context(), l.client.Addr, &fetch.Request{
		ReplicaID: -1, MaxWaitTime: 100, MinBytes: 1, MaxBytes: 1 << 20, IsolationLevel: int8(level), SessionEpoch: -1,
		Topics: []fetch.RequestTopic{{Topic: topic, Partitions: []fetch.RequestPartition{
			{CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1, PartitionMaxBytes: 1 << 20},
		}}},
	})
	if err != nil {
		return nil, err
	}
	res, is := reply.(*fetch.Response)
	if !is || len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
		t.Fatalf("the answer is %+v", reply)
	}
	return &res.Topics[0].Partitions[0], nil
}

func (l *lab) page(t *testing.T, topic string, offset int64, level kafkago.IsolationLevel) *fetch.ResponsePartition {
	t.Helper()
	found, err := l.fetchFrom(t, topic, offset, level)
	for moving(err) {
		pause()
		found, err = l.fetchFrom(t, topic, offset, level)
	}
	ok(t, err)
	return found
}

// stored is a batch as it is read.
type stored struct {
	base, producer int64
	control        bool
	records        int
}

// batches reads all that is there.
func (l *lab) batches(t *testing.T, topic string) (found []stored) {
	t.Helper()
	for offset, end := int64(0), int64(1); offset < end; {
		page := l.page(t, topic, offset, kafkago.ReadUncommitted)
		stream, is := page.RecordSet.Records.(*protocol.RecordStream)
		if !is {
			t.Fatalf("there is nothing at %d of %d", offset, page.HighWatermark)
		}
		some := storedIn(t, stream)
		last := some[len(some)-1]
		found, offset, end = append(found, some...), last.base+int64(last.records), page.HighWatermark
	}
	return found
}

func storedIn(t *testing.T, stream *protocol.RecordStream) (found []stored) {
	t.Helper()
	for _, part := range stream.Records {
		switch b := part.(type) {
		case *protocol.RecordBatch:
			found = append(found, stored{b.BaseOffset, b.ProducerID, false, count(t, b)})
		case *protocol.ControlBatch:
			found = append(found, stored{b.BaseOffset, b.ProducerID, true, count(t, b)})
		}
	}
	return found
}

func count(t *testing.T, r protocol.RecordReader) (n int) {
	t.Helper()
	for {
		if _, err := r.ReadRecord(); errors.Is(err, io.EOF) {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
		n++
	}
}
