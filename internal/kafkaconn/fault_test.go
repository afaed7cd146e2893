package kafkaconn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafkaconn"
	"github.com/jmpub/jmpub/pipeline"
)

// TestFault expects of each error, bare and wrapped, the class that its caller acts on.
func TestFault(t *testing.T) {
	for _, c := range []struct {
		err   error
		class pipeline.Class
	}{
		{kafka.NotLeaderForPartition, pipeline.Transient},
		{kafka.LeaderNotAvailable, pipeline.Transient},
		{kafka.RequestTimedOut, pipeline.Transient},
		{kafka.GroupLoadInProgress, pipeline.Transient},
		{kafka.GroupCoordinatorNotAvailable, pipeline.Transient},
		{kafka.NotCoordinatorForGroup, pipeline.Transient},
		{kafka.NotEnoughReplicas, pipeline.Transient},
		{kafka.NotEnoughReplicasAfterAppend, pipeline.Transient},
		{kafka.ConcurrentTransactions, pipeline.Transient},
		{kafka.UnknownTopicOrPartition, pipeline.Transient},
		{kafka.KafkaStorageError, pipeline.Transient},
		{kafka.BrokerNotAvailable, pipeline.Transient},
		{kafka.InvalidProducerEpoch, pipeline.Abort},
		{kafka.ProducerFenced, pipeline.Abort},
		{kafka.OutOfOrderSequenceNumber, pipeline.Abort},
		{kafka.UnknownProducerId, pipeline.Abort},
		{kafka.InvalidTransactionState, pipeline.Abort},
		{kafka.TransactionCoordinatorFenced, pipeline.Abort},
		{kafka.Error(120), pipeline.Abort},
		{kafka.TopicAuthorizationFailed, pipeline.Permanent},
		{kafka.ClusterAuthorizationFailed, pipeline.Permanent},
		{kafka.TransactionalIDAuthorizationFailed, pipeline.Permanent},
		{kafka.SASLAuthenticationFailed, pipeline.Permanent},
		{kafka.UnsupportedVersion, pipeline.Permanent},
		{kafka.InvalidReplicationFactor, pipeline.Permanent},
		{io.ErrUnexpectedEOF, pipeline.Transient},
		{io.EOF, pipeline.Transient},
		{context.DeadlineExceeded, pipeline.Transient},
		{errors.New("connection reset"), pipeline.Transient},
	} {
		for _, err := range []error{c.err, fmt.Errorf("kafka.(*Client).RawProduce: %w", c.err)} {
			got := kafkaconn.Fault("produce to jmessage.single/3", err)
			if pipeline.ClassOf(got) != c.class || !errors.Is(got, c.err) {
				t.Errorf("%v: class %s, want %s", err, pipeline.ClassOf(got), c.class)
			}
		}
	}
	if err := kafkaconn.Fault("x", nil); err != nil {
		t.Errorf("nil became %v", err)
	}
	if err := kafkaconn.Fault("x", context.Canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context became %v", err)
	}
	known := &pipeline.Fault{Class: pipeline.Restart, Op: "y"}
	if err := kafkaconn.Fault("x", known); !errors.Is(err, known) || pipeline.ClassOf(err) != pipeline.Restart {
		t.Errorf("a fault that was known became %v", err)
	}
}
