package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/jmpub/jmpub/pipeline"
)

// Fault says what an error of a Kafka request asks for. nil and the context's errors stay as they are. op is what was
// being done, to what.
//
// The codes are those of the protocol guide (kafka.apache.org/protocol, error codes). Which of them a transactional
// producer may repeat, and after which its transaction is over, follows KIP-98, KIP-360, KIP-588 and KIP-890.
func Fault(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", op, err)
	}
	if known, ok := errors.AsType[*pipeline.Fault](err); ok {
		return known
	}
	fault := &pipeline.Fault{Op: op, Err: err}
	if errors.Is(err, protocol.ErrNoTopic) || errors.Is(err, protocol.ErrNoPartition) { // What kafka-go finds by itself.
		err = kafkago.UnknownTopicOrPartition
	}
	if code, ok := errors.AsType[kafkago.Error](err); ok {
		fault.Kind = kindOf(code)
		if fault.Class, fault.Hint = classify(code); code == kafkago.UnknownTopicOrPartition {
			fault.Within = unknownTime
		}
		return fault
	}
	fault.Kind = "network"
	fault.Class, fault.Hint = classifyOther(err)
	return fault
}

// kindOf is a code's name, as the protocol has it, in lower case: not_enough_replicas.
func kindOf(code kafkago.Error) string {
	if title := code.Title(); title != "" {
		return strings.ToLower(strings.ReplaceAll(title, " ", "_"))
	}
	return fmt.Sprintf("error_%d", int(code))
}

// unknownTime is for how long a topic or partition may be unknown, as a new one is for a moment. Then the topics are looked up anew.
const unknownTime = 10 * time.Second

// classify is the table of the codes that a producer, a reader of its own topic and an administrator of topics can meet.
func classify(code kafkago.Error) (pipeline.Class, string) {
	switch code {
	case kafkago.InvalidProducerEpoch, kafkago.ProducerFenced,
		kafkago.OutOfOrderSequenceNumber, kafkago.UnknownProducerId, kafkago.InvalidTransactionState,
		kafkago.InvalidProducerIDMapping, kafkago.TransactionCoordinatorFenced,
		// The batch stands in the log, but the broker does not say where, which the ledger needs to know.
		kafkago.DuplicateSequenceNumber,
		// Since KIP-890 a broker may ask for the transaction to be aborted: TRANSACTION_ABORTABLE.
		kafkago.Error(120):
		return pipeline.Abort, ""
	case kafkago.TopicAuthorizationFailed:
		return pipeline.Permanent, "jmpub needs the rights Write, Read, Describe and, to create topics, Create on its topics"
	case kafkago.GroupAuthorizationFailed:
		return pipeline.Permanent, "jmpub needs the right Read on the group named by JMPUB_GROUP"
	case kafkago.ClusterAuthorizationFailed:
		return pipeline.Permanent, "jmpub needs the right Create on the cluster to create topics (or JMPUB_TOPICS_CREATE=false)"
	case kafkago.TransactionalIDAuthorizationFailed:
		return pipeline.Permanent, "jmpub needs the rights Write and Describe on its transactional id"
	case kafkago.SASLAuthenticationFailed, kafkago.UnsupportedSASLMechanism, kafkago.IllegalSASLState:
		return pipeline.Permanent, "the broker refused the credentials; check JMPUB_KAFKA_SASL and its _USERNAME and _PASSWORD"
	case kafkago.UnsupportedVersion:
		return pipeline.Permanent, "the broker is too old or lacks transactions; jmpub needs Kafka 3.7, " +
			"or JMPUB_CHECKPOINT=file:DIR for at-least-once delivery without transactions"
	case kafkago.MessageSizeTooLarge, kafkago.RecordListTooLarge:
		return pipeline.Abort, "the topic's max.message.bytes is smaller than it was"
	case kafkago.InvalidTransactionTimeout:
		return pipeline.Permanent, "lower JMPUB_KAFKA_TRANSACTION_TIMEOUT, or raise the broker's transaction.max.timeout.ms"
	case kafkago.PolicyViolation, kafkago.InvalidTopic, kafkago.InvalidReplicationFactor, kafkago.InvalidPartitionNumber,
		kafkago.InvalidConfiguration:
		return pipeline.Permanent, "see JMPUB_TOPIC_PREFIX, JMPUB_TOPIC_TEMPLATE, JMPUB_TOPICS_PARTITIONS, JMPUB_TOPICS_REPLICATION"
	case kafkago.InvalidTimestamp:
		return pipeline.Permanent, "the topic takes no record of that time: see message.timestamp.after.max.ms and message.timestamp.before.max.ms " +
			"of the topic, and the clocks of this machine and of the broker; or JMPUB_RECORD_TIME=publish"
	case kafkago.UnknownTopicOrPartition:
		return pipeline.Transient, "the topic or partition is gone, or not known there yet"
	case kafkago.NotEnoughReplicas, kafkago.NotEnoughReplicasAfterAppend:
		return pipeline.Transient, "fewer brokers are in sync than the topic's min.insync.replicas"
	case kafkago.BrokerNotAvailable, // kafka-go's word for a broker that has left the cluster's metadata.
		kafkago.ConcurrentTransactions, kafkago.KafkaStorageError, kafkago.FencedLeaderEpoch, kafkago.UnknownLeaderEpoch,
		kafkago.OffsetNotAvailable, kafkago.EligibleLeadersNotAvailable, kafkago.Unknown, kafkago.Error(55): // OPERATION_NOT_ATTEMPTED
		return pipeline.Transient, ""
	default:
		if code.Temporary() {
			return pipeline.Transient, ""
		}
		return pipeline.Permanent, ""
	}
}

// classifyOther is for errors without a code: the network's and kafka-go's own. They pass, unless they are of the kind
// that only other settings can put right.
func classifyOther(err error) (pipeline.Class, string) {
	var verification *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	var alert tls.AlertError
	var dial *net.OpError
	text := err.Error()
	switch {
	case errors.As(err, &verification):
		return pipeline.Permanent, "the broker's certificate is not trusted; check JMPUB_KAFKA_TLS_CA_FILE and the host names in JMPUB_KAFKA_BROKERS"
	case errors.As(err, &notTLS):
		return pipeline.Permanent, "the broker does not speak TLS there; check JMPUB_KAFKA_TLS and the port"
	case errors.As(err, &alert), strings.Contains(text, "remote error: tls"):
		return pipeline.Permanent, "the broker refused the TLS connection; check JMPUB_KAFKA_TLS_CERT_FILE"
	case strings.Contains(text, "SASL"), strings.Contains(text, "authentication"):
		return pipeline.Permanent, "check JMPUB_KAFKA_SASL and its _USERNAME and _PASSWORD"
	case errors.As(err, &dial) && dial.Op == "dial":
		return pipeline.Transient, "that broker is down, or the brokers name an address for it that cannot be reached from here: " +
			"see its advertised.listeners"
	default:
		return pipeline.Transient, ""
	}
}
