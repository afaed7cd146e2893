package kafkatest_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// errInvalidRecord is INVALID_RECORD, which kafka-go has no name for.
const errInvalidRecord = kafkago.Error(87)

func (l *lab) deleted(t *testing.T) {
	w := l.writer(t, time.Minute)
	w.put(t, "gone")
	res, err := l.client.DeleteTopics(t.Context(), &kafkago.DeleteTopicsRequest{Topics: []string{w.topic, "never-there"}})
	ok(t, err)
	ok(t, res.Errors[w.topic])
	wantCode(t, "delete what is not there", res.Errors["never-there"], kafkago.UnknownTopicOrPartition)
	// Each broker learns of it when it does, and the client asks one or another.
	eventually(t, "fetch", protocol.ErrNoTopic, func() error {
		_, err := l.fetchFrom(t, w.topic, 0, kafkago.ReadUncommitted)
		return err
	})
	eventually(t, "produce", protocol.ErrNoTopic, func() error {
		_, err := l.client.RawProduce(t.Context(), &kafkago.RawProduceRequest{
			Topic: w.topic, RequiredAcks: kafkago.RequireAll, TransactionalID: w.id,
			RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(w.batch(t, "never", 1))},
		})
		return err
	})
	eventually(t, "add", kafkago.UnknownTopicOrPartition, func() error {
		added, err := l.client.AddPartitionsToTxn(t.Context(), &kafkago.AddPartitionsToTxnRequest{
			TransactionalID: w.id, ProducerID: w.pid.ProducerID, ProducerEpoch: w.pid.ProducerEpoch,
			Topics: map[string][]kafkago.AddPartitionToTxn{w.topic: {{Partition: 0}}},
		})
		ok(t, err)
		return added.Topics[w.topic][0].Error
	})
	ok(t, w.end(t, true)) // Nothing keeps the rest of the transaction from being committed.
	l.create(t, w.topic)
	w.sequence = 0
	w.put(t, "new")
	ok(t, w.end(t, true))
	l.wantValues(t, w.topic, "new")
}

// eventually tries something until it fails as it should.
func eventually(t *testing.T, what string, want error, try func() error) {
	t.Helper()
	err := try()
	for deadline := time.Now().Add(time.Minute); !errors.Is(err, want) && time.Now().Before(deadline); err = try() {
		pause()
	}
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
			Topic: "another", NumPartitions: 1, ReplicationFactor: -1, ConfigEntries: []kafkago.ConfigEntry{{ConfigName: "no.such", ConfigValue: "1"}},
		}, kafkago.InvalidConfiguration},
		{"bad value", kafkago.TopicConfig{
			Topic: "another", NumPartitions: 1, ReplicationFactor: -1, ConfigEntries: []kafkago.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "x"}},
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
