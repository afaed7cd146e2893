//go:build integration

package sink_test

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
	"github.com/jmpub/jmpub/sink"
)

// onApacheKafka is a sink on Apache Kafka.
func onApacheKafka(t *testing.T) *bench {
	t.Helper()
	brokers := kafkatest.Start(t, kafkatest.Options{}).Addrs
	conn, err := kafka.Open(kafka.Config{Brokers: brokers, ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	b := newBench(t)
	b.brokers, b.conn, b.topics.Client = brokers, conn, conn.Client
	return b
}

// TestCompressionsOnApacheKafka has the broker read batches of every compression. It checks the records of each of them, and writes those anew
// that go to a topic with another compression than theirs.
func TestCompressionsOnApacheKafka(t *testing.T) {
	b := onApacheKafka(t)
	b.topics.Partitions = 1
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			other := "zstd"
			if codec == other {
				other = "gzip"
			}
			b.topics.Prefix, b.cfg.Compression, b.cfg.TransactionalID = codec, codec, codec
			_, err := b.conn.CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
				Topic: codec + ".group", NumPartitions: 1, ReplicationFactor: 1,
				ConfigEntries: []kafkago.ConfigEntry{{ConfigName: "compression.type", ConfigValue: other}},
			}}})
			if err != nil {
				t.Fatal(err)
			}
			const n = 8000
			commit(t, b.open(t), events(0, n))
			var topics []string
			for _, name := range eventTopics() {
				topics = append(topics, strings.Replace(name, "t.", codec+".", 1))
			}
			records, want := b.read(t, topics...), events(0, n).Events
			if !slices.Equal(keysOf(records), upTo(n)) {
				t.Fatalf("%d records, want the keys 0 to %d once each", len(records), n-1)
			}
			names := []string{"none", "gzip", "snappy", "lz4", "zstd"}
			for _, r := range records {
				id, err := strconv.Atoi(string(r.Key))
				if err != nil || !bytes.Equal(r.Value, want[id].Value) || len(r.Headers) < 8 {
					t.Fatalf("the record %s has %d bytes and %d headers: %v", r.Key, len(r.Value), len(r.Headers), err)
				}
				kept := codec
				if r.Topic == codec+".group" {
					kept = other
				}
				if got := names[r.Attrs.CompressionType()]; got != kept {
					t.Fatalf("the records of %s are compressed by %s, want %s", r.Topic, got, kept)
				}
			}
		})
	}
}

// TestRecordTimesOnApacheKafka has the broker take messages whose clocks are far off, by its own limits and by those of a topic.
func TestRecordTimesOnApacheKafka(t *testing.T) {
	b := onApacheKafka(t)
	b.cfg.RecordTime = sink.TimeEvent
	_, err := b.conn.CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
		Topic: "t.group", NumPartitions: 1, ReplicationFactor: 1,
		ConfigEntries: []kafkago.ConfigEntry{
			{ConfigName: "message.timestamp.before.max.ms", ConfigValue: "3600000"},
			{ConfigName: "message.timestamp.after.max.ms", ConfigValue: "60000"},
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	s := b.open(t)
	for _, off := range []time.Duration{0, time.Minute, 59 * time.Minute, 61 * time.Minute, 1000 * time.Hour, -59 * time.Minute, -61 * time.Minute, -1000 * time.Hour} {
		batch := events(0, 20)
		for i := range batch.Events {
			batch.Events[i].ServerTime = time.Now().Add(off).UnixMilli()
		}
		commit(t, s, batch)
	}
}
