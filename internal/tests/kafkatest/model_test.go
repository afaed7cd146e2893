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

// modelled is the release that the model of Kafka answers like.
const modelled = 4

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
	compact := func(_ *testing.T, topic string) { model.Compact(topic) }
	restart := func(*testing.T) {
		for id := range brokers {
			model.Stop(id + 1)
		}
		for id := range brokers {
			model.Start(id + 1)
		}
	}
	return &lab{client: client, compact: compact, restart: restart, stale: kafkago.InvalidProducerEpoch, release: modelled, read: func(t *testing.T, topic, _ string) (got []string) {
		t.Helper()
		log := &kafka.Log{Client: client, Topic: topic}
		all, err := log.All(t.Context(), partition)
		ok(t, err)
		ok(t, log.Own(t.Context(), partition, all, func(r *kafka.LogRecord) error {
			got = append(got, string(r.Value))
			return nil
		}))
		return got
	}}
}

// TestModelKeepsRights holds the model of Kafka to what TestProtocolOfRights finds on Apache Kafka.
func TestModelKeepsRights(t *testing.T) {
	t.Parallel()
	for _, c := range deniedCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				model := kafkamodel.New(kafkamodel.Options{})
				client := func(user string) *kafkago.Client {
					return &kafkago.Client{Addr: kafkago.TCP("model:9092"), Transport: model.Client(kafkamodel.ClientOptions{User: user})}
				}
				admin := &lab{client: client("")}
				w := admin.writer(t, time.Minute)
				deny(model, "jmpub", w, c.rights)
				l := &lab{client: client("jmpub")}
				w.Client = l.client
				l.denied(t, w, c.want)
			})
		})
	}
}

// deny takes all rights from a user but some.
func deny(model *kafkamodel.Cluster, user string, w *writer, but []right) {
	for _, o := range []kafkamodel.Operation{
		kafkamodel.Read, kafkamodel.Write, kafkamodel.Create, kafkamodel.Delete, kafkamodel.Alter, kafkamodel.Describe, kafkamodel.DescribeConfigs,
	} {
		if !slices.Contains(but, right{operation: string(o)}) {
			model.Deny(user, o, kafkamodel.Topic, w.topic)
		}
		if !slices.Contains(but, right{string(o), true}) {
			model.Deny(user, o, kafkamodel.TransactionalID, w.id)
		}
	}
	model.Deny(user, kafkamodel.Create, kafkamodel.Topic, "another")
}
