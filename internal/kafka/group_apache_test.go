//go:build integration

package kafka

import (
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/tests/kafkatest"
)

// TestGroupOnApacheKafka has members join and leave on three brokers, of which each is then restarted: nothing moves for that. Then each dies once.
// A member that was cut off from them for longer than its session may have moved, and have been one of two for a while; in the end each shard is with one.
func TestGroupOnApacheKafka(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.Start(t, kafkatest.Options{Brokers: 3})
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Addrs...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const shards, replicas = 6, 3
	if _, err = kadm.NewClient(client).CreateTopic(t.Context(), shards, replicas, nil, "shards"); err != nil {
		t.Fatal(err)
	}
	p := newParty(cluster.Addrs, shards)
	comeAndGo(t, p)
	before := p.await(t, map[int]int{2: 3, 3: 3})
	for i := range cluster.Addrs {
		cluster.Stop(t, i)
		cluster.Restart(t, i)
		cluster.WaitReady(t, len(cluster.Addrs))
	}
	after := p.await(t, map[int]int{2: 3, 3: 3})
	if !maps.EqualFunc(before, after, slices.Equal[[]int]) || p.expelled {
		t.Errorf("brokers that were restarted have moved shards: %v, %v; expelled: %t", before, after, p.expelled)
	}
	for i := range cluster.Addrs {
		cluster.Kill(t, i)
		cluster.Restart(t, i)
		cluster.WaitReady(t, len(cluster.Addrs))
	}
	p.join(t, 4, 0)
	p.await(t, map[int]int{2: 2, 3: 2, 4: 2})
}
