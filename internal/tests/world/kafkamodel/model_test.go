package kafkamodel_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/heartbeat"
	"github.com/segmentio/kafka-go/protocol/rawproduce"

	"github.com/jmpub/jmpub/internal/tests/world/kafkamodel"
)

const topic = "t"

// newCluster makes a cluster with a topic of one partition, and a client to whose records a fate applies.
func newCluster(t *testing.T, brokers int, fate func() kafkamodel.Fate) (*kafkamodel.Cluster, *kafkamodel.Client, *kafkago.Client) {
	t.Helper()
	c := kafkamodel.New(kafkamodel.Options{Brokers: brokers})
	one := c.Client(kafkamodel.ClientOptions{Fate: func(m *kafkamodel.Message) kafkamodel.Fate {
		if _, produces := m.Request.(*rawproduce.Request); produces && fate != nil {
			return fate()
		}
		return kafkamodel.Fate{}
	}})
	client := &kafkago.Client{Addr: kafkago.TCP("model:9092"), Timeout: 30 * time.Second, Transport: one}
	res, err := client.CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{
		{Topic: topic, NumPartitions: 1, ReplicationFactor: -1, ConfigEntries: []kafkago.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "60000"}}},
	}})
	if err != nil || res.Errors[topic] != nil {
		t.Fatal(err, res)
	}
	return c, one, client
}

// put writes a record without a transaction.
func put(ctx context.Context, client *kafkago.Client, value string) error {
	var buf bytes.Buffer
	set := protocol.RecordSet{Version: 2, Records: protocol.NewRecordReader(protocol.Record{Time: time.Now(), Value: protocol.NewBytes([]byte(value))})}
	if _, err := set.WriteTo(&buf); err != nil {
		return err
	}
	res, err := client.RawProduce(ctx, &kafkago.RawProduceRequest{
		Topic: topic, RequiredAcks: kafkago.RequireAll, RawRecords: protocol.RawRecordSet{Reader: &buf},
	})
	if err != nil {
		return err
	}
	return res.Error
}

func wantLog(t *testing.T, c *kafkamodel.Cluster, want ...string) {
	t.Helper()
	var got []string
	for _, r := range c.Committed(topic) {
		got = append(got, string(r.Value))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the log has %q, want %q", got, want)
	}
}

// TestLoss loses requests and replies: of one there is no effect, of the other there is.
func TestLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fate := kafkamodel.Fate{}
		c, _, client := newCluster(t, 1, func() kafkamodel.Fate { return fate })
		for _, loss := range []kafkamodel.Loss{kafkamodel.LoseRequest, kafkamodel.LoseReply} {
			fate.Loss = loss
			if err := put(t.Context(), client, []string{"", "request", "reply"}[loss]); err == nil {
				t.Errorf("loss %d: there is an answer", loss)
			}
		}
		fate.Loss = kafkamodel.NoLoss
		if err := put(t.Context(), client, "none"); err != nil {
			t.Error(err)
		}
		wantLog(t, c, "reply", "none")
	})
}

// TestDelay has a request arrive that nobody waits for any more.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, client := newCluster(t, 1, func() kafkamodel.Fate { return kafkamodel.Fate{Delay: time.Minute} })
		if err := put(t.Context(), client, "late"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the client got %v, want its deadline", err)
		}
		wantLog(t, c)
		time.Sleep(time.Minute)
		wantLog(t, c, "late")
	})
}

// TestKill ends a process whose request is on its way: that arrives, and nothing else.
func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, one, client := newCluster(t, 1, func() kafkamodel.Fate { return kafkamodel.Fate{Delay: time.Second} })
		time.AfterFunc(time.Second/2, one.Kill)
		for _, value := range []string{"on its way", "never"} {
			if err := put(t.Context(), client, value); !errors.Is(err, kafkamodel.ErrKilled) {
				t.Errorf("%s: %v, want that it was killed", value, err)
			}
		}
		time.Sleep(time.Minute)
		wantLog(t, c, "on its way")
	})
}

// TestBrokers has brokers die and come back.
func TestBrokers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, client := newCluster(t, 3, nil)
		learn := func() { time.Sleep(3 * time.Second) } // Until the client asks who leads.
		if err := put(t.Context(), client, "three"); err != nil {
			t.Error(err)
		}
		c.Stop(1)
		var dial *net.OpError
		if err := put(t.Context(), client, "never"); !errors.As(err, &dial) {
			t.Errorf("to the broker that died: %v, want that it cannot be reached", err)
		}
		learn()
		if err := put(t.Context(), client, "two left"); err != nil {
			t.Error(err)
		}
		c.Stop(2)
		learn()
		if err := put(t.Context(), client, "never"); !errors.Is(err, kafkago.NotEnoughReplicas) {
			t.Errorf("with one replica: %v, want NOT_ENOUGH_REPLICAS", err)
		}
		c.Stop(3)
		c.Start(1) // It was not in sync when the last one died.
		learn()
		if err := put(t.Context(), client, "never"); err == nil {
			t.Error("a replica that lacks records leads")
		}
		c.Start(3)
		learn()
		if err := put(t.Context(), client, "two again"); err != nil {
			t.Error(err)
		}
		wantLog(t, c, "three", "two left", "two again")
	})
}

// TestRetain deletes what is older than the topic keeps.
func TestRetain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, client := newCluster(t, 1, nil)
		for _, value := range []string{"old", "new"} {
			if err := put(t.Context(), client, value); err != nil {
				t.Fatal(err)
			}
			time.Sleep(45 * time.Second)
		}
		c.Retain(topic)
		wantLog(t, c, "new")
	})
}

// TestUnknown answers what is not modelled with an error that says so.
func TestUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, one, client := newCluster(t, 1, nil)
		if res, err := one.RoundTrip(t.Context(), client.Addr, &heartbeat.Request{}); err == nil {
			t.Errorf("the answer is %v, want an error", res)
		}
	})
}
