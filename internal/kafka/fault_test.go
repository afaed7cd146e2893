package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// TestFault expects of each error, bare and wrapped, the class that its caller acts on.
func TestFault(t *testing.T) {
	for _, c := range []struct {
		err   error
		class pipeline.Class
	}{
		{kafkago.NotLeaderForPartition, pipeline.Transient},
		{kafkago.LeaderNotAvailable, pipeline.Transient},
		{kafkago.RequestTimedOut, pipeline.Transient},
		{kafkago.GroupLoadInProgress, pipeline.Transient},
		{kafkago.GroupCoordinatorNotAvailable, pipeline.Transient},
		{kafkago.NotCoordinatorForGroup, pipeline.Transient},
		{kafkago.NotEnoughReplicas, pipeline.Transient},
		{kafkago.NotEnoughReplicasAfterAppend, pipeline.Transient},
		{kafkago.ConcurrentTransactions, pipeline.Transient},
		{kafkago.UnknownTopicOrPartition, pipeline.Transient},
		{kafkago.KafkaStorageError, pipeline.Transient},
		{kafkago.BrokerNotAvailable, pipeline.Transient},
		{kafkago.InvalidProducerEpoch, pipeline.Abort},
		{kafkago.ProducerFenced, pipeline.Abort},
		{kafkago.OutOfOrderSequenceNumber, pipeline.Abort},
		{kafkago.UnknownProducerId, pipeline.Abort},
		{kafkago.InvalidTransactionState, pipeline.Abort},
		{kafkago.TransactionCoordinatorFenced, pipeline.Abort},
		{kafkago.Error(120), pipeline.Abort},
		{kafkago.TopicAuthorizationFailed, pipeline.Permanent},
		{kafkago.ClusterAuthorizationFailed, pipeline.Permanent},
		{kafkago.TransactionalIDAuthorizationFailed, pipeline.Permanent},
		{kafkago.SASLAuthenticationFailed, pipeline.Permanent},
		{kafkago.UnsupportedVersion, pipeline.Permanent},
		{kafkago.InvalidReplicationFactor, pipeline.Permanent},
		{io.ErrUnexpectedEOF, pipeline.Transient},
		{io.EOF, pipeline.Transient},
		{context.DeadlineExceeded, pipeline.Transient},
		{errors.New("connection reset"), pipeline.Transient},
	} {
		for _, err := range []error{c.err, fmt.Errorf("kafka.(*Client).RawProduce: %w", c.err)} {
			got := kafka.Fault("produce to jmessage.single/3", err)
			if pipeline.ClassOf(got) != c.class || !errors.Is(got, c.err) {
				t.Errorf("%v: class %s, want %s", err, pipeline.ClassOf(got), c.class)
			}
		}
	}
	for _, c := range []struct {
		err  error
		says string
	}{
		{kafkago.InvalidTimestamp, "message.timestamp.after.max.ms"},
		{&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 9092}, Err: errors.New("connection refused")}, "advertised.listeners"},
	} {
		if err := kafka.Fault("x", c.err); !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v has no hint that says %q", err, c.says)
		}
	}
	if err := kafka.Fault("x", nil); err != nil {
		t.Errorf("nil became %v", err)
	}
	if err := kafka.Fault("x", context.Canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context became %v", err)
	}
	known := &pipeline.Fault{Class: pipeline.Restart, Op: "y"}
	if err := kafka.Fault("x", known); !errors.Is(err, known) || pipeline.ClassOf(err) != pipeline.Restart {
		t.Errorf("a fault that was known became %v", err)
	}
}
