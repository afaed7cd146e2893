package sink_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/sink"
)

// TestPartitionsAsTheJavaClient holds keys against the partitions that the Java client gives them: the hashes are those of
// Kafka's own test (UtilsTest.testMurmur2).
func TestPartitionsAsTheJavaClient(t *testing.T) {
	all := make([]int, 0, 1000)
	for i := range 1000 {
		all = append(all, i)
	}
	for key, hash := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		want := int(hash&0x7fffffff) % len(all)
		if got := (kafkago.Murmur2Balancer{Consistent: true}).Balance(kafkago.Message{Key: []byte(key)}, all...); got != want {
			t.Errorf("%q goes to partition %d, want %d", key, got, want)
		}
	}
}

func TestConversationStaysInOnePartition(t *testing.T) {
	b := newBench(t)
	b.cfg.PartitionBy = sink.ByConversation
	commit(t, b.open(t), events(0, 200))
	partitions := make(map[string]map[int32]bool)
	for _, r := range b.read(t, eventTopics()...) {
		id, _ := strconv.Atoi(string(r.Key))
		key := fmt.Sprint(r.Topic, id%2)
		if partitions[key] == nil {
			partitions[key] = make(map[int32]bool)
		}
		partitions[key][r.Partition] = true
	}
	for key, in := range partitions {
		if len(in) != 1 {
			t.Errorf("%s is in %d partitions", key, len(in))
		}
	}
}

// TestPartitionKeyDecidesThePartition puts records of one partition key into one partition, whatever their own keys are.
func TestPartitionKeyDecidesThePartition(t *testing.T) {
	b := newBench(t)
	s := b.open(t)
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var records []pipeline.Record
	for i := range 100 {
		records = append(records, pipeline.Record{
			Topic: pipeline.TopicWindows, Partition: -1, Key: fmt.Appendf(nil, "%s/users/%d/%d", appKey, i%4, i),
			PartitionKey: fmt.Appendf(nil, "%s/users/%d", appKey, i%4), Value: []byte("{}"),
		})
	}
	if err := errors.Join(tx.Append(t.Context(), records), tx.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}
	last := make(map[string]int64)
	found := b.read(t, "t.windows")
	for _, r := range found {
		name, number, _ := strings.Cut(strings.TrimPrefix(string(r.Key), appKey+"/users/"), "/")
		balancer := kafkago.Murmur2Balancer{Consistent: true}
		if want := balancer.Balance(kafkago.Message{Key: []byte(appKey + "/users/" + name)}, 0, 1, 2); int(r.Partition) != want {
			t.Errorf("%s is in partition %d, want %d", r.Key, r.Partition, want)
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if before, seen := last[name]; err != nil || seen && n <= before {
			t.Errorf("%s stands behind %d", r.Key, before)
		}
		last[name] = n
	}
	if len(found) != len(records) || len(last) != 4 {
		t.Errorf("%d records of %d streams", len(found), len(last))
	}
}
