package kafkatest_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// modelCases are what the model of Kafka claims besides.
func modelCases() []protocolCase {
	return []protocolCase{
		{"the last five batches are known again", (*lab).lastFive},
		{"sequences begin with the epoch", (*lab).epochs},
		{"a partition that was not added", (*lab).notAdded},
		{"a writer that is not known", (*lab).unknown},
		{"renewing", (*lab).renewing},
		{"transactions without a record", (*lab).nothing},
		{"batches without a producer", (*lab).plain},
		{"what is not decided is not seen", (*lab).stable},
		{"offsets at times", (*lab).times},
		{"a topic that is deleted", (*lab).deleted},
		{"batches that are refused", (*lab).refused},
		{"topics that are refused", (*lab).topics},
		{"the configuration of a topic", (*lab).config},
		{"an old epoch is renewed while a transaction is open", (*lab).zombie},
		{"a compacted topic", (*lab).compaction},
	}
}

// errInvalidRecord is INVALID_RECORD, which kafka-go has no name for.
const errInvalidRecord = kafkago.Error(87)

func (l *lab) lastFive(t *testing.T) {
	w := l.writer(t, time.Minute)
	ok(t, w.add(t))
	var batches [][]byte
	for i := range 7 {
		batches = append(batches, w.batch(t, strconv.Itoa(i), int32(i)))
		_, err := w.send(t, batches[i])
		ok(t, err)
	}
	for i, b := range batches {
		offset, err := w.send(t, b)
		if i < 2 {
			wantCode(t, "a batch that is forgotten", err, kafkago.OutOfOrderSequenceNumber)
			continue
		}
		ok(t, err)
		if offset != int64(i) {
			t.Errorf("batch %d again: offset %d, want %d", i, offset, i)
		}
	}
	ok(t, w.end(t, true))
	l.decided(t, w.topic)
	_, err := w.send(t, batches[6])
	wantCode(t, "a batch of a transaction that is over", err, kafkago.InvalidTransactionState)
	ok(t, w.add(t))
	w.sequence = 7
	_, err = w.write(t, "never")
	wantCode(t, "a batch behind one that was refused", err, kafkago.OutOfOrderSequenceNumber)
	ok(t, w.end(t, false))
	w.put(t, "next")
	ok(t, w.end(t, true))
	l.wantValues(t, w.topic, "0", "1", "2", "3", "4", "5", "6", "next")
}

func (l *lab) epochs(t *testing.T) {
	w := l.writer(t, time.Minute)
	w.sequence = 7 // Nobody knows of an earlier one.
	w.put(t, "seven")
	ok(t, w.end(t, true))
	ok(t, w.init(t, time.Minute, -1, -1))
	ok(t, w.add(t))
	_, err := w.send(t, w.batch(t, "gap", 8))
	wantCode(t, "a new epoch that does not begin at 0", err, kafkago.OutOfOrderSequenceNumber)
	w.put(t, "zero")
	ok(t, w.end(t, true))
	l.wantValues(t, w.topic, "seven", "zero")
}

func (l *lab) notAdded(t *testing.T) {
	w := l.writer(t, time.Minute)
	_, err := w.write(t, "never")
	wantCode(t, "produce before a transaction", err, kafkago.InvalidTransactionState)
	w.put(t, "first")
	ok(t, w.end(t, false))
	l.decided(t, w.topic)
	_, err = w.write(t, "never")
	wantCode(t, "produce behind a transaction", err, kafkago.InvalidTransactionState)
	w.put(t, "last")
	ok(t, w.end(t, true))
	l.wantValues(t, w.topic, "last")
}

func (l *lab) unknown(t *testing.T) {
	w := l.writer(t, time.Minute)
	other := *w
	other.id = w.id + "-other"
	wantCode(t, "add for an id that nobody has", other.add(t), kafkago.InvalidProducerIDMapping)
	wantCode(t, "end for an id that nobody has", other.end(t, true), kafkago.InvalidProducerIDMapping)
	_, err := other.write(t, "never")
	wantCode(t, "produce for an id that nobody has", err, kafkago.InvalidProducerIDMapping)
	other = *w
	other.pid.ProducerID += 1000
	wantCode(t, "add for another producer", other.add(t), kafkago.InvalidProducerIDMapping)
	wantCode(t, "end for another producer", other.end(t, true), kafkago.InvalidProducerIDMapping)
	_, err = other.write(t, "never")
	wantCode(t, "produce for another producer", err, kafkago.InvalidProducerIDMapping)
	wantCode(t, "renew another producer", other.init(t, time.Minute, other.pid.ProducerID, 0), kafkago.ProducerFenced)
	other = *w
	other.pid.ProducerEpoch++
	wantCode(t, "add in an epoch that is not yet", other.add(t), kafkago.ProducerFenced)
	wantCode(t, "end in an epoch that is not yet", other.end(t, true), kafkago.ProducerFenced)
	_, err = other.write(t, "never")
	wantCode(t, "produce in an epoch that is not yet", err, kafkago.InvalidProducerEpoch)
	wantCode(t, "renew an epoch that is not yet", other.init(t, time.Minute, w.pid.ProducerID, w.pid.ProducerEpoch+1), kafkago.ProducerFenced)
}

// renewing is about which epochs are given.
func (l *lab) renewing(t *testing.T) {
	w := l.writer(t, time.Minute)
	wantEpoch := func(what string, err error, want int) {
		t.Helper()
		if err != nil || w.pid.ProducerEpoch != want {
			t.Errorf("%s: epoch %d, %v; want %d", what, w.pid.ProducerEpoch, err, want)
		}
	}
	id := w.pid.ProducerID
	wantEpoch("a new id", nil, 0)
	wantEpoch("renew", w.init(t, time.Minute, id, 0), 1)
	wantEpoch("renew again, as if the reply had been lost", w.init(t, time.Minute, id, 0), 1)
	wantEpoch("renew once more", w.init(t, time.Minute, id, 1), 2)
	wantCode(t, "renew an old epoch", w.init(t, time.Minute, id, 0), kafkago.ProducerFenced)
	w.put(t, "left")
	wantEpoch("renew with a transaction open", w.init(t, time.Minute, id, 2), 3)
	w.put(t, "left too")
	wantEpoch("another writer", w.init(t, time.Minute, -1, -1), 5)
	wantCode(t, "renew what was replaced", w.init(t, time.Minute, id, 3), kafkago.ProducerFenced)
	wantCode(t, "a time too long", w.init(t, 16*time.Minute, -1, -1), kafkago.InvalidTransactionTimeout)
	wantCode(t, "no time", w.init(t, 0, -1, -1), kafkago.InvalidTransactionTimeout)
	w.put(t, "last")
	ok(t, w.end(t, true))
	wantEpoch("renew behind a commit", w.init(t, time.Second, id, 5), 6)
	w.put(t, "late")
	for w.add(t) == nil {
		time.Sleep(100 * time.Millisecond)
	}
	wantEpoch("renew when the time was over", w.init(t, time.Minute, id, 6), 7)
	l.wantValues(t, w.topic, "last")
}

func (l *lab) nothing(t *testing.T) {
	w := l.writer(t, time.Minute)
	wantCode(t, "commit without a transaction", w.end(t, true), kafkago.InvalidTransactionState)
	wantCode(t, "abort without a transaction", w.end(t, false), kafkago.InvalidTransactionState)
	for _, commit := range []bool{true, false} {
		ok(t, w.add(t))
		ok(t, w.end(t, commit))
	}
	ok(t, w.add(t)) // When that is taken, both markers stand.
	l.wantOffset(t, w.topic, kafkago.ReadUncommitted, kafkago.LastOffset, 2)
	l.wantOffset(t, w.topic, kafkago.ReadCommitted, kafkago.LastOffset, 2)
	ok(t, w.end(t, true))
	wantCode(t, "abort behind a commit", w.end(t, false), kafkago.InvalidTransactionState)
	ok(t, w.init(t, time.Minute, -1, -1))
	wantCode(t, "commit behind a renewal", w.end(t, true), kafkago.InvalidTransactionState)
	w.put(t, "x")
	ok(t, w.end(t, true))
	l.wantValues(t, w.topic, "x")
}

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

func (l *lab) deleted(t *testing.T) {
	w := l.writer(t, time.Minute)
	w.put(t, "gone")
	res, err := l.client.DeleteTopics(t.Context(), &kafkago.DeleteTopicsRequest{Topics: []string{w.topic, "never-there"}})
	ok(t, err)
	ok(t, res.Errors[w.topic])
	wantCode(t, "delete what is not there", res.Errors["never-there"], kafkago.UnknownTopicOrPartition)
	for deadline := time.Now().Add(time.Minute); ; pause() { // Until the client knows.
		_, err = l.fetchFrom(t, w.topic, 0, kafkago.ReadUncommitted)
		if errors.Is(err, protocol.ErrNoTopic) || time.Now().After(deadline) {
			break
		}
	}
	wantErrorIs(t, "fetch", err, protocol.ErrNoTopic)
	_, err = l.client.RawProduce(t.Context(), &kafkago.RawProduceRequest{
		Topic: w.topic, RequiredAcks: kafkago.RequireAll, TransactionalID: w.id,
		RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(w.batch(t, "never", 1))},
	})
	wantErrorIs(t, "produce", err, protocol.ErrNoTopic)
	added, err := l.client.AddPartitionsToTxn(t.Context(), &kafkago.AddPartitionsToTxnRequest{
		TransactionalID: w.id, ProducerID: w.pid.ProducerID, ProducerEpoch: w.pid.ProducerEpoch,
		Topics: map[string][]kafkago.AddPartitionToTxn{w.topic: {{Partition: 0}}},
	})
	ok(t, err)
	wantCode(t, "add", added.Topics[w.topic][0].Error, kafkago.UnknownTopicOrPartition)
	ok(t, w.end(t, true)) // Nothing keeps the rest of the transaction from being committed.
	l.create(t, w.topic)
	w.sequence = 0
	w.put(t, "new")
	ok(t, w.end(t, true))
	l.wantValues(t, w.topic, "new")
}

func wantErrorIs(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func (l *lab) refused(t *testing.T) {
	w := l.writer(t, time.Minute)
	compacted := *w
	compacted.topic = w.topic + "-compacted"
	for topic, entries := range map[string][]kafkago.ConfigEntry{
		w.topic + "-strict":    {{ConfigName: "max.message.bytes", ConfigValue: "200"}, {ConfigName: "message.timestamp.before.max.ms", ConfigValue: "60000"}},
		w.topic + "-compacted": {{ConfigName: "cleanup.policy", ConfigValue: "compact"}},
	} {
		res, err := l.client.CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{
			Topics: []kafkago.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: -1, ConfigEntries: entries}},
		})
		ok(t, err)
		ok(t, res.Errors[topic])
	}
	ok(t, compacted.add(t))
	w.topic += "-strict"
	ok(t, w.add(t))
	now := time.Now()
	long := bytes.Repeat([]byte("x"), 200)
	refuse := func(what string, w *writer, batch []byte, want kafkago.Error) {
		t.Helper()
		_, err := w.send(t, batch)
		wantCode(t, what, err, want)
	}
	record := func(at time.Time, value []byte) protocol.Record {
		return protocol.Record{Time: at, Value: protocol.NewBytes(value)}
	}
	refuse("too large", w, w.sign(t, 0, 0, record(now, long)), kafkago.MessageSizeTooLarge)
	refuse("too old", w, w.sign(t, 0, 0, record(now.Add(-2*time.Minute), nil)), kafkago.InvalidTimestamp)
	refuse("too new", w, w.sign(t, 0, 0, record(now.Add(2*time.Hour), nil)), kafkago.InvalidTimestamp)
	refuse("without a key", &compacted, w.sign(t, 0, 0, record(now, nil)), errInvalidRecord)
	broken := w.sign(t, 0, 0, record(now, []byte("x")))
	broken[len(broken)-2]++
	refuse("with another checksum", w, broken, kafkago.InvalidMessage)
	twice := w.sign(t, 0, 0, record(now, []byte("x")))
	twice = append(twice, twice[4:]...)
	binary.BigEndian.PutUint32(twice, uint32(len(twice)-4))
	refuse("two batches", w, twice, errInvalidRecord)
	refuse("that are small only when compressed", w, w.sign(t, 0, 0, record(now, long[:150])), kafkago.MessageSizeTooLarge)
	_, err := w.send(t, w.sign(t, protocol.Gzip, 0, record(now, long)))
	ok(t, err)
	ok(t, w.end(t, true))
	l.wantValues(t, w.topic, string(long))
}

func (l *lab) topics(t *testing.T) {
	w := l.writer(t, time.Minute)
	for _, c := range []struct {
		what string
		cfg  kafkago.TopicConfig
		want kafkago.Error
	}{
		{"exists", kafkago.TopicConfig{Topic: w.topic, NumPartitions: 1, ReplicationFactor: -1}, kafkago.TopicAlreadyExists},
		{"bad name", kafkago.TopicConfig{Topic: "a b", NumPartitions: 1, ReplicationFactor: -1}, kafkago.InvalidTopic},
		{"collides", kafkago.TopicConfig{Topic: w.topic + "_x", NumPartitions: 1, ReplicationFactor: -1}, kafkago.InvalidTopic},
		{"no partitions", kafkago.TopicConfig{Topic: "none", NumPartitions: 0, ReplicationFactor: -1}, kafkago.InvalidPartitionNumber},
		{"too many replicas", kafkago.TopicConfig{Topic: "many", NumPartitions: 1, ReplicationFactor: 9}, kafkago.InvalidReplicationFactor},
		{"unknown setting", kafkago.TopicConfig{
			Topic: "odd", NumPartitions: 1, ReplicationFactor: -1, ConfigEntries: []kafkago.ConfigEntry{{ConfigName: "no.such", ConfigValue: "1"}},
		}, kafkago.InvalidConfiguration},
		{"bad value", kafkago.TopicConfig{
			Topic: "odd", NumPartitions: 1, ReplicationFactor: -1, ConfigEntries: []kafkago.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "x"}},
		}, kafkago.InvalidConfiguration},
	} {
		if c.what == "collides" {
			l.create(t, w.topic+".x")
		}
		res, err := l.client.CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{c.cfg}})
		ok(t, err)
		wantCode(t, c.what, res.Errors[c.cfg.Topic], c.want)
	}
	grown, err := l.client.CreatePartitions(t.Context(), &kafkago.CreatePartitionsRequest{Topics: []kafkago.TopicPartitionsConfig{
		{Name: w.topic, Count: 3}, {Name: "never-there", Count: 3}, {Name: w.topic + ".x", Count: 1},
	}})
	ok(t, err)
	ok(t, grown.Errors[w.topic])
	wantCode(t, "more partitions of what is not there", grown.Errors["never-there"], kafkago.UnknownTopicOrPartition)
	wantCode(t, "as many partitions", grown.Errors[w.topic+".x"], kafkago.InvalidPartitionNumber)
}

func (l *lab) config(t *testing.T) {
	w := l.writer(t, time.Minute)
	ask := func(topic string, names ...string) kafkago.DescribeConfigResponseResource {
		t.Helper()
		res, err := l.client.DescribeConfigs(t.Context(), &kafkago.DescribeConfigsRequest{Resources: []kafkago.DescribeConfigRequestResource{
			{ResourceType: kafkago.ResourceTypeTopic, ResourceName: topic, ConfigNames: names},
		}})
		ok(t, err)
		return res.Resources[0]
	}
	got := make(map[string]string)
	want := map[string]string{
		"max.message.bytes": "1048588", "cleanup.policy": "delete", "retention.ms": "604800000",
		"message.timestamp.before.max.ms": strconv.FormatInt(math.MaxInt64, 10), "message.timestamp.after.max.ms": "3600000",
	}
	var names []string
	for name := range want {
		names = append(names, name)
	}
	for _, entry := range ask(w.topic, append(names, "no.such")...).ConfigEntries {
		got[entry.ConfigName] = entry.ConfigValue
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the configuration is %v, want %v", got, want)
	}
	wantCode(t, "of what is not there", ask("never-there", names...).Error, kafkago.UnknownTopicOrPartition)
}

// zombie is about a writer that was replaced, and does not know it, when its successor has a transaction open.
func (l *lab) zombie(t *testing.T) {
	first := l.writer(t, time.Minute)
	second := &writer{Client: l.client, id: first.id, topic: first.topic}
	ok(t, second.init(t, time.Minute, -1, -1))
	second.put(t, "second")
	wantCode(t, "renew what was replaced", first.init(t, time.Minute, first.pid.ProducerID, first.pid.ProducerEpoch), kafkago.ProducerFenced)
	wantCode(t, "commit of the writer that replaced it", second.end(t, true), kafkago.ProducerFenced) // Its transaction was aborted.
	ok(t, second.init(t, time.Minute, second.pid.ProducerID, second.pid.ProducerEpoch))
	second.put(t, "again")
	ok(t, second.end(t, true))
	l.wantValues(t, first.topic, "again")
}

func (l *lab) compaction(t *testing.T) {
	w := l.writer(t, time.Minute)
	w.topic += "-compacted"
	res, err := l.client.CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
		Topic: w.topic, NumPartitions: 1, ReplicationFactor: -1,
		ConfigEntries: []kafkago.ConfigEntry{
			{ConfigName: "cleanup.policy", ConfigValue: "compact"},
			{ConfigName: "segment.ms", ConfigValue: "500"},
			{ConfigName: "min.cleanable.dirty.ratio", ConfigValue: "0.001"},
		},
	}}})
	ok(t, err)
	ok(t, res.Errors[w.topic])
	put := func(commit bool, pairs ...string) {
		t.Helper()
		var records []protocol.Record
		for _, pair := range pairs {
			records = append(records, protocol.Record{Key: protocol.NewBytes([]byte(pair[:1])), Value: protocol.NewBytes([]byte(pair))})
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
	time.Sleep(time.Second) // Behind it, another segment begins.
	put(true, "z1")         // 10, 11
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

// sign makes a signed batch of records.
func (w *writer) sign(t *testing.T, compression protocol.Attributes, sequence int32, records ...protocol.Record) []byte {
	t.Helper()
	var buf bytes.Buffer
	set := protocol.RecordSet{
		Version: 2, Attributes: compression | protocol.Transactional, Records: protocol.NewRecordReader(records...),
	}
	if _, err := set.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	b := buf.Bytes()[4:]
	binary.BigEndian.PutUint64(b[43:], uint64(w.pid.ProducerID))
	binary.BigEndian.PutUint16(b[51:], uint16(w.pid.ProducerEpoch))
	binary.BigEndian.PutUint32(b[53:], uint32(sequence))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return buf.Bytes()
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
	res, err := l.client.ListOffsets(t.Context(), &kafkago.ListOffsetsRequest{
		Topics: map[string][]kafkago.OffsetRequest{topic: {{Partition: partition, Timestamp: at}}}, IsolationLevel: level,
	})
	ok(t, err)
	found := res.Topics[topic][0]
	ok(t, found.Error)
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
