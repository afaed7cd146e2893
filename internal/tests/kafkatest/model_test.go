package kafkatest_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/tests/world/kafkamodel"
)

// TestModelKeepsTheProtocol holds the model of Kafka to what TestProtocol finds on Apache Kafka, with markers that are written at once and
// later.
func TestModelKeepsTheProtocol(t *testing.T) {
	t.Parallel()
	for _, brokers := range []int{1, 3} {
		for _, late := range []time.Duration{0, 30 * time.Millisecond} {
			t.Run(fmt.Sprintf("%d brokers, markers %v late", brokers, late), func(t *testing.T) {
				t.Parallel()
				for _, c := range slices.Concat(transactionCases(), modelCases()) {
					t.Run(c.name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { c.run(newModelLab(brokers, late), t) })
					})
				}
			})
		}
	}
}

func newModelLab(brokers int, late time.Duration) *lab {
	model := kafkamodel.New(kafkamodel.Options{
		Brokers: brokers, TimeoutScan: 500 * time.Millisecond, MarkerDelay: func() time.Duration { return late },
	})
	client := &kafkago.Client{
		Addr: kafkago.TCP("model:9092"), Timeout: 30 * time.Second,
		Transport: model.Client(kafkamodel.ClientOptions{MetadataTTL: time.Second}),
	}
	return &lab{client: client, stale: kafkago.InvalidProducerEpoch, release: 4, read: func(t *testing.T, topic, _ string) (got []string) {
		t.Helper()
		log := &kafka.Log{Client: client, Topic: topic}
		all, err := log.Complete(t.Context(), partition)
		ok(t, err)
		ok(t, log.Committed(t.Context(), partition, all, func(r *kafka.LogRecord) error {
			got = append(got, string(r.Value))
			return nil
		}))
		return got
	}}
}
