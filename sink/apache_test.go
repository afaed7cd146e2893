//go:build integration

package sink_test

import (
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
	"github.com/jmpub/jmpub/sink"
)

// TestRecordTimesOnApacheKafka has the broker take messages whose clocks are far off, by its own limits and by those of a topic.
func TestRecordTimesOnApacheKafka(t *testing.T) {
	conn, err := kafka.Open(kafka.Config{Brokers: kafkatest.Start(t, kafkatest.Options{}).Addrs, ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	b := newBench(t)
	b.conn, b.topics.Client, b.cfg.RecordTime = conn, conn.Client, sink.TimeEvent
	_, err = conn.CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
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
