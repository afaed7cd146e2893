package sink_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
	"github.com/jmpub/jmpub/sink"
)

const appKey = "4f7aef34fb361292c566a1cd"

// bench is a broker with a sink on it.
type bench struct {
	cluster *kfake.Cluster
	brokers []string
	conn    *kafka.Conn
	topics  sink.TopicsConfig
	cfg     sink.WriterConfig
}

func newBench(tb testing.TB) *bench {
	tb.Helper()
	return newBenchOf(tb, 3)
}

func newBenchOf(tb testing.TB, brokers int) *bench {
	tb.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(brokers))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(cluster.Close)
	conn, err := kafka.Open(kafka.Config{Brokers: cluster.ListenAddrs(), ClientID: "test"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(conn.Close)
	return &bench{
		cluster: cluster, brokers: cluster.ListenAddrs(), conn: conn,
		topics: sink.TopicsConfig{
			Client: conn.Client, Prefix: "t", Create: true, Partitions: 3, Replication: -1, Retention: -1, MinInsyncReplicas: -1,
			Retry: pipeline.Retry{Initial: time.Millisecond, Max: 20 * time.Millisecond},
		},
		cfg: sink.WriterConfig{
			TransactionalID: "jmpub-0", Compression: "snappy", PartitionBy: sink.ByMsgID, RecordTime: sink.TimePublish,
		},
	}
}

func (b *bench) newTopics(tb testing.TB) *sink.Topics {
	tb.Helper()
	topics, err := sink.NewTopics(b.topics)
	if err != nil {
		tb.Fatal(err)
	}
	return topics
}

func (b *bench) open(tb testing.TB) *sink.Writer {
	tb.Helper()
	s, err := sink.NewWriter(b.newTopics(tb), b.cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Open(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s
}

// events makes n events with ids from first on, spread over all targets and two conversations.
func events(first, n int) *pipeline.Batch {
	b := &pipeline.Batch{AppKey: appKey, Stream: pipeline.Stream{Kind: pipeline.StreamMessages}, Window: pipeline.Window{
		Begin: time.Unix(1553222780, 0).UTC(), End: time.Unix(1553222790, 0).UTC(),
	}}
	for i := first; i < first+n; i++ {
		b.Events = append(b.Events, event.Event{
			MsgID: int64(i), Target: event.Target(i % int(event.TargetCount)),
			Conversation: fmt.Appendf(nil, "group:%d", i%2), Time: []byte("2019-03-22T02:46:25.613Z"), ServerTime: 1553222785613,
			Value: fmt.Appendf(nil, `{"msgid":%d,"text":%q}`, i, strings.Repeat("x", i%300)),
		})
	}
	return b
}

func commit(tb testing.TB, s *sink.Writer, batches ...*pipeline.Batch) []pipeline.Published {
	tb.Helper()
	tx, err := s.Begin(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	var all []pipeline.Published
	for _, b := range batches {
		published, err := tx.Publish(tb.Context(), b)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, published)
	}
	if err := tx.Commit(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return all
}

// read returns the records that a read_committed client finds in the topics, up to the ends that they have now.
func (b *bench) read(tb testing.TB, topics ...string) []*kgo.Record {
	tb.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.ConsumeTopics(topics...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.KeepControlRecords()) // The last one before the end is the marker of a transaction.
	if err != nil {
		tb.Fatal(err)
	}
	defer client.Close()
	ends := committedEnds(tb, kadm.NewClient(client), topics)
	left := make(map[string]int64)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[fmt.Sprintf("%s/%d", o.Topic, o.Partition)] = o.Offset
		}
	})
	var records []*kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(tb.Context())
		if err := fetches.Err0(); err != nil {
			tb.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if place := fmt.Sprintf("%s/%d", r.Topic, r.Partition); r.Offset >= left[place]-1 {
				delete(left, place)
			}
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
		})
	}
	return records
}

// committedEnds are where topics end, once the markers of all transactions that have ended are there: Apache Kafka writes them after its answer.
func committedEnds(tb testing.TB, admin *kadm.Client, topics []string) kadm.ListedOffsets {
	tb.Helper()
	for {
		all, err := admin.ListEndOffsets(tb.Context(), topics...)
		if err != nil {
			tb.Fatal(err)
		}
		committed, err := admin.ListCommittedOffsets(tb.Context(), topics...)
		if err != nil {
			tb.Fatal(err)
		}
		open := false
		all.Each(func(end kadm.ListedOffset) {
			stable, _ := committed.Lookup(end.Topic, end.Partition)
			open = open || stable.Offset < end.Offset
		})
		if !open {
			return committed
		}
		if err := pipeline.Sleep(tb.Context(), 20*time.Millisecond); err != nil {
			tb.Fatal(err)
		}
	}
}

func eventTopics() []string { return []string{"t.single", "t.group", "t.chatroom", "t.other"} }

func keysOf(records []*kgo.Record) []int {
	var keys []int
	for _, r := range records {
		n, err := strconv.Atoi(string(r.Key))
		if err != nil {
			n = -1
		}
		keys = append(keys, n)
	}
	slices.Sort(keys)
	return keys
}

func upTo(n int) []int {
	var keys []int
	for i := range n {
		keys = append(keys, i)
	}
	return keys
}
