package sink_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"

	"github.com/jmpub/jmpub/internal/tests/allocations"
	"github.com/jmpub/jmpub/internal/tests/world/kafkamodel"
	"github.com/jmpub/jmpub/pipeline/event"
	"github.com/jmpub/jmpub/sink"
)

// taking answers that it has taken whatever is produced.
type taking struct{ kafkago.RoundTripper }

func (t taking) RoundTrip(ctx context.Context, addr net.Addr, req protocol.Message) (protocol.Message, error) {
	asked, is := req.(*rawproduce.Request)
	if !is {
		return t.RoundTripper.RoundTrip(ctx, addr, req)
	}
	res := new(produce.Response)
	for _, topic := range asked.Topics {
		answer := produce.ResponseTopic{Topic: topic.Topic}
		for _, p := range topic.Partitions {
			if _, err := io.Copy(io.Discard, p.RecordSet.Reader); err != nil {
				return nil, err
			}
			answer.Partitions = append(answer.Partitions, produce.ResponsePartition{Partition: p.Partition})
		}
		res.Topics = append(res.Topics, answer)
	}
	return res, nil
}

// publishes commits a window of 1000 events, each time the same.
func publishes(compression string) allocations.Operation {
	return func(tb testing.TB) func() {
		tb.Helper()
		client := &kafkago.Client{
			Addr: kafkago.TCP("model:9092"), Timeout: time.Minute,
			Transport: taking{kafkamodel.New(kafkamodel.Options{}).Client(kafkamodel.ClientOptions{MetadataTTL: time.Hour})},
		}
		topics, err := sink.NewTopics(sink.TopicsConfig{
			Client: client, Prefix: "t", Create: true, Partitions: 6, Replication: -1, Retention: -1, MinInsyncReplicas: -1,
		})
		if err != nil {
			tb.Fatal(err)
		}
		s, err := sink.NewWriter(topics, sink.WriterConfig{
			TransactionalID: "jmpub-0", Compression: compression, PartitionBy: sink.ByMsgID, RecordTime: sink.TimePublish,
		})
		if err == nil {
			err = s.Open(tb.Context())
		}
		if err != nil {
			tb.Fatal(err)
		}
		batch := window(tb, 1000)
		return func() {
			if published := commit(tb, s, batch); published[0].Events[event.TargetSingle] != len(batch.Events) {
				tb.Fatalf("%+v", published)
			}
		}
	}
}

// TestAllocations counts what a window allocates that is encoded, compressed and sent.
func TestAllocations(t *testing.T) {
	allocations.Check(t, "sink", map[string]allocations.Operation{
		"publish 1000 events, none": publishes("none"), "publish 1000 events, lz4": publishes("lz4"), "publish 1000 events, zstd": publishes("zstd"),
	})
}
