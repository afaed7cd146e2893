package sink_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jmpub/jmpub/pipeline"
)

// TestCoverageTopic makes the topic compacted, in segments that are soon compacted, and writes a stream's days to one partition.
func TestCoverageTopic(t *testing.T) {
	b := newBench(t)
	s := b.open(t)
	configs, err := b.admin(t).DescribeTopicConfigs(t.Context(), "t.coverage")
	if err != nil || len(configs) != 1 {
		t.Fatalf("%v, %v", configs, err)
	}
	found := make(map[string]string)
	for _, c := range configs[0].Configs {
		if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
			found[c.Key] = c.MaybeValue()
		}
	}
	if found["cleanup.policy"] != "compact" || found["retention.ms"] != "" || found["segment.ms"] != "3600000" {
		t.Errorf("its configuration is %v", found)
	}
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var records []pipeline.Record
	for day := range 9 {
		records = append(records, pipeline.Record{
			Topic: pipeline.TopicCoverage, Partition: -1, Key: fmt.Appendf(nil, "%s/messages/2026-11-0%d", appKey, day+1),
			PartitionKey: []byte(appKey + "/messages"), Value: []byte("{}"),
		})
	}
	if err := tx.Append(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := b.read(t, "t.coverage")
	if len(got) != 9 {
		t.Fatalf("read %v", got)
	}
	for i, r := range got {
		if r.Partition != got[0].Partition || string(r.Key) != string(records[i].Key) {
			t.Errorf("%s is in partition %d, the first one in %d", r.Key, r.Partition, got[0].Partition)
		}
	}
}

func TestCoverageTopicThatForgets(t *testing.T) {
	for policy, wanted := range map[string]int{"delete": 1, "compact,delete": 1, "compact": 0} {
		b := newBench(t)
		_, err := b.admin(t).CreateTopic(t.Context(), 1, 1, map[string]*string{"cleanup.policy": &policy}, "t.coverage")
		if err != nil {
			t.Fatal(err)
		}
		var warned []string
		b.topics.Warn = func(message string, attrs ...slog.Attr) { warned = append(warned, fmt.Sprint(message, attrs)) }
		b.open(t)
		if len(warned) != wanted || wanted > 0 && (!strings.Contains(warned[0], "t.coverage") || !strings.Contains(warned[0], "cleanup.policy=compact")) {
			t.Errorf("%s: warned %q", policy, warned)
		}
	}
}
