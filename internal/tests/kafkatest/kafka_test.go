//go:build integration

package kafkatest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/jmpub/jmpub/internal/tests/kafkatest"
)

// TestProtocol holds what jmpub's transactions rely on, on one broker and on three; and all that the model of Kafka claims, on the
// release that it is a model of.
func TestProtocol(t *testing.T) {
	t.Parallel()
	cases := transactionCases()
	if kafkatest.Release() >= modelled {
		cases = append(cases, modelCases()...)
	}
	for _, brokers := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d brokers", brokers), func(t *testing.T) {
			t.Parallel()
			cluster := kafkatest.Start(t, kafkatest.Options{
				Brokers: brokers, Env: map[string]string{"KAFKA_LOG_CLEANER_BACKOFF_MS": "200"}, // Compaction is not waited for.
			})
			l := newLab(t, cluster.Addrs)
			l.restart = func(t *testing.T) {
				t.Helper()
				for i := range brokers {
					cluster.Kill(t, i)
				}
				for i := range brokers {
					cluster.Restart(t, i)
				}
				cluster.WaitReady(t, brokers)
				for _, addr := range cluster.Addrs {
					awaitAnswer(t, addr)
				}
				l.client.Transport = newTransport(t) // What the old one has found meanwhile is of no use.
			}
			l.protocol(t, cases)
		})
	}
}

// awaitAnswer waits until a broker answers: its port does so earlier.
func awaitAnswer(t *testing.T, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		client := &kafkago.Client{Addr: kafkago.TCP(addr), Timeout: 10 * time.Second, Transport: newTransport(t)}
		_, err := client.ApiVersions(ctx, &kafkago.ApiVersionsRequest{})
		if err == nil {
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%s does not answer: %v", addr, err)
		}
	}
}

// TestProtocolOfRights holds what somebody is answered who lacks rights, as the model of Kafka claims.
func TestProtocolOfRights(t *testing.T) { //nolint:tparallel // Its subtests change the rights of one user.
	t.Parallel()
	if kafkatest.Release() < modelled {
		t.Skip("the answers are those of a later release")
	}
	s := kafkatest.StartSecure(t, false)
	for i, c := range deniedCases() {
		t.Run(c.name, func(t *testing.T) {
			admin := newLab(t, s.Addrs)
			admin.n = i // Each case has a topic of its own.
			w := admin.writer(t, time.Minute)
			s.Give(t, rightsOn(w, c.rights))
			l := newLab(t, []string{s.SASL})
			transport, is := l.client.Transport.(*kafkago.Transport)
			if !is {
				t.Fatal("the transport is not kafka-go's")
			}
			transport.SASL = plain.Mechanism{Username: s.Username, Password: s.Password}
			w.Client = l.client
			l.denied(t, w, c.want)
		})
	}
}

func rightsOn(w *writer, rights []right) (all []kafkatest.Right) {
	operations := map[string]kadm.ACLOperation{
		"Read": kadm.OpRead, "Write": kadm.OpWrite, "Describe": kadm.OpDescribe, "DescribeConfigs": kadm.OpDescribeConfigs, "Delete": kadm.OpDelete,
	}
	for _, r := range rights {
		one := kafkatest.Right{Operation: operations[r.operation], Topic: w.topic}
		if r.onID {
			one.Topic, one.Transactional = "", w.id
		}
		all = append(all, one)
	}
	return all
}
