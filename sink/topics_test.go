package sink_test

import (
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/pipeline"
)

func TestMissingTopicsAreReported(t *testing.T) {
	b := newBench(t)
	b.topics.Create = false
	err := b.newTopics(t).Ensure(t.Context())
	if pipeline.ClassOf(err) != pipeline.Permanent || !strings.Contains(err.Error(), "--create --topic t.checkpoints --partitions 3 --config cleanup.policy=compact") {
		t.Errorf("%v, want the commands that create them", err)
	}
}

func TestCheckpointsMustBeCompacted(t *testing.T) {
	b := newBench(t)
	_, err := b.conn.CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
		Topic: "t.checkpoints", NumPartitions: 1, ReplicationFactor: -1,
		ConfigEntries: []kafkago.ConfigEntry{{ConfigName: "cleanup.policy", ConfigValue: "delete"}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.newTopics(t).Ensure(t.Context()); pipeline.ClassOf(err) != pipeline.Permanent || !strings.Contains(err.Error(), "cleanup.policy=compact") {
		t.Errorf("%v, want it refused with the hint", err)
	}
}
