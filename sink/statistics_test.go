package sink_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jmpub/jmpub/pipeline"
)

func usersStatistics() pipeline.Stream {
	return pipeline.Stream{Kind: pipeline.StreamStatistics, Name: "users"}
}

// admin is a client that has no memory of what was there before.
func (b *bench) admin(t *testing.T) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

func (b *bench) listed(t *testing.T) kadm.TopicDetails {
	t.Helper()
	topics, err := b.admin(t).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return topics
}

// TestStatisticsTopics publishes statistics to a topic that is compacted, and is there only where it is wanted.
func TestStatisticsTopics(t *testing.T) {
	b := newBench(t)
	b.topics.MinInsyncReplicas = 1
	b.open(t)
	if got := b.listed(t); got.Has("t.statistics.users") {
		t.Errorf("%v; want no topic of statistics", got.Names())
	}
	b.topics.Statistics = []pipeline.Stream{usersStatistics()}
	b.topics.Retention = time.Hour
	s := b.open(t)
	if got := b.listed(t); !got.Has("t.statistics.users") || got.Has("t.statistics.groups") {
		t.Errorf("%v; want that of users", got.Names())
	}
	configs, err := b.admin(t).DescribeTopicConfigs(t.Context(), "t.statistics.users")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, c := range configs[0].Configs {
		if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
			found[c.Key] = c.MaybeValue()
		}
	}
	if found["cleanup.policy"] != "compact" || found["retention.ms"] != "" || found["min.insync.replicas"] != "1" {
		t.Errorf("its configuration is %v", found)
	}
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	record := pipeline.Record{
		Topic: pipeline.StatisticsTopic(usersStatistics()), Partition: -1, Key: []byte(appKey + "/2017-03-01"), Value: []byte(`{"n":1}`),
	}
	if err := tx.Append(t.Context(), []pipeline.Record{record}); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := b.read(t, "t.statistics.users")
	if len(got) != 1 || string(got[0].Key) != appKey+"/2017-03-01" || string(got[0].Value) != `{"n":1}` {
		t.Errorf("read %v", got)
	}
}

func TestStatisticsTopicThatForgets(t *testing.T) {
	b := newBench(t)
	_, err := b.admin(t).CreateTopic(t.Context(), 1, 1, map[string]*string{"cleanup.policy": new("delete")}, "t.statistics.users")
	if err != nil {
		t.Fatal(err)
	}
	var warned []string
	b.topics.Warn = func(message string, attrs ...slog.Attr) { warned = append(warned, fmt.Sprint(message, attrs)) }
	b.topics.Statistics = []pipeline.Stream{usersStatistics()}
	b.open(t)
	if len(warned) != 1 || !strings.Contains(warned[0], "t.statistics.users") {
		t.Errorf("warned %q, want it of that topic", warned)
	}
}
