package sink_test

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jmpub/jmpub/sink"
)

// TestTopicOfTheProcesses is none of those that a writer needs. It is made with one partition, and forgets.
func TestTopicOfTheProcesses(t *testing.T) {
	b := newBench(t)
	b.topics.Retention = 90 * 24 * time.Hour
	b.open(t)
	topics, err := b.admin(t).ListTopics(t.Context())
	if err != nil || topics.Has("t.processes") {
		t.Fatalf("a writer has made it: %v", err)
	}
	for range 2 { // It may be there.
		if err = b.newTopics(t).EnsureProcesses(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if topics, err = b.admin(t).ListTopics(t.Context(), "t.processes"); err != nil || len(topics["t.processes"].Partitions) != 1 {
		t.Errorf("%v, %v", topics, err)
	}
	configs, err := b.admin(t).DescribeTopicConfigs(t.Context(), "t.processes")
	if err != nil || len(configs) != 1 {
		t.Fatalf("%v, %v", configs, err)
	}
	found := make(map[string]string)
	for _, c := range configs[0].Configs {
		if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
			found[c.Key] = c.MaybeValue()
		}
	}
	for name, want := range map[string]string{
		"cleanup.policy": "compact,delete", "retention.ms": "86400000", "segment.ms": "3600000", "segment.bytes": "8388608",
	} {
		if found[name] != want {
			t.Errorf("%s is %q, want %q", name, found[name], want)
		}
	}
}

// TestTopicOfTheProcessesThatIsMissing is told with the command that makes it, where topics are not made here. A writer does without.
func TestTopicOfTheProcessesThatIsMissing(t *testing.T) {
	b := newBench(t)
	b.open(t)
	b.topics.Create = false
	err := b.newTopics(t).EnsureProcesses(t.Context())
	const command = "kafka-topics.sh --create --topic t.processes --partitions 1 --config cleanup.policy=compact,delete --config retention.ms=86400000"
	if err == nil || !strings.Contains(err.Error(), command) {
		t.Errorf("%v", err)
	}
	b.open(t)
	if topics, err := b.admin(t).ListTopics(t.Context()); err != nil || topics.Has("t.processes") {
		t.Errorf("%v", err)
	}
	if _, err := sink.NewRouting("{prefix}.processes", "t", appKey); err == nil || !strings.Contains(err.Error(), "jmpub's processes") {
		t.Errorf("events in it: %v", err)
	}
}
