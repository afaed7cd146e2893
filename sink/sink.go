package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// PartitionBy chooses what a record's partition is computed from.
type PartitionBy string

// The choices. The key is the msgid either way.
const (
	ByMsgID        PartitionBy = "msgid"
	ByConversation PartitionBy = "conversation"
)

// RecordTime chooses a record's timestamp.
type RecordTime string

// The choices.
const (
	TimePublish RecordTime = "publish"
	TimeEvent   RecordTime = "event"
)

// Config is what the operator sets.
type Config struct {
	Client *kafkago.Client
	// Prefix begins the names of jmpub's own topics. Template names the event topics of the app; see [NewRouting].
	Prefix, Template, AppKey string
	// TransactionalID is unique to the writer of a shard; empty delivers at least once.
	TransactionalID string
	// Compression is none, gzip, snappy, lz4 or zstd.
	Compression string
	// TransactionTimeout is how long the broker lets a transaction stay open before it aborts it; 3 minutes where zero.
	// A writer that was killed holds read_committed consumers up for as long, unless another takes over sooner. A window that
	// is fetched whole takes a moment; one that is streamed is bounded by its cursor's 120 s, and is read again if it
	// takes longer than this.
	TransactionTimeout time.Duration
	PartitionBy        PartitionBy
	RecordTime         RecordTime
	// Format is that of the events' values; JSON where empty. Avro needs Schemas.
	Format  Format
	Schemas Schemas
	// ReplayID marks the events of a replay; empty otherwise.
	ReplayID string
	Topics   TopicsConfig
	// Statistics are the streams of statistics that are published: their topics, which are compacted, have to exist too.
	Statistics []pipeline.Stream
	// Retry is the policy for requests that may succeed later.
	Retry pipeline.Retry
	// Warn is told what is odd about the topics but does no harm; may be nil.
	Warn func(message string)
}

// The bounds of a transaction's time: shorter, and a busy broker aborts healthy ones; the longest is what brokers allow
// where nothing else is set (transaction.max.timeout.ms).
const (
	transactionTimeout         = 3 * time.Minute
	shortestTransactionTimeout = 10 * time.Second
	longestTransactionTimeout  = 15 * time.Minute
)

// Sink writes to Kafka. It is used by one goroutine at a time.
type Sink struct {
	cfg         Config
	routing     *Routing
	compression protocol.Attributes
	// topics is known after EnsureTopics, schemaIDs by topic after EnsureSchemas.
	topics    map[string]topic
	schemaIDs map[string]int
	producer  producer
	// quick is the retry policy for the coordinator, which is often busy for a moment with the last transaction's end.
	quick pipeline.Retry
}

var (
	_ pipeline.Sink        = (*Sink)(nil)
	_ pipeline.Transaction = (*transaction)(nil)
)

// producer is the identity under which batches are written.
type producer struct {
	id    int64
	epoch int16
	known bool
	// partitions hold the next sequence of each partition, which begins at 0 with each epoch.
	partitions map[place]*partition
}

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

type partition struct {
	place
	sequence int32
	// joined tells that the open transaction has the partition.
	joined bool
}

// New checks the configuration. Nothing is sent yet.
func New(cfg Config) (*Sink, error) {
	codecs := map[string]protocol.Attributes{
		"none": 0, "gzip": protocol.Gzip, "snappy": protocol.Snappy, "lz4": protocol.Lz4, "zstd": protocol.Zstd,
	}
	var errs []error
	compression, ok := codecs[cfg.Compression]
	if !ok {
		errs = append(errs, fmt.Errorf("JMPUB_KAFKA_COMPRESSION: %q is not none, gzip, snappy, lz4 or zstd", cfg.Compression))
	}
	if cfg.PartitionBy != ByMsgID && cfg.PartitionBy != ByConversation {
		errs = append(errs, fmt.Errorf("JMPUB_PARTITION_BY: %q is not msgid or conversation", cfg.PartitionBy))
	}
	if cfg.RecordTime != TimePublish && cfg.RecordTime != TimeEvent {
		errs = append(errs, fmt.Errorf("JMPUB_RECORD_TIME: %q is not publish or event", cfg.RecordTime))
	}
	if cfg.Format != "" && cfg.Format != FormatJSON && cfg.Format != FormatAvro {
		errs = append(errs, fmt.Errorf("JMPUB_EVENT_FORMAT: %q is not json or avro", cfg.Format))
	}
	if cfg.Format == FormatAvro && cfg.Schemas == nil {
		errs = append(errs, errors.New("JMPUB_EVENT_FORMAT is avro, so JMPUB_SCHEMA_REGISTRY_URL is needed"))
	}
	if cfg.TransactionTimeout == 0 {
		cfg.TransactionTimeout = transactionTimeout
	}
	if d := cfg.TransactionTimeout; d < shortestTransactionTimeout || d > longestTransactionTimeout {
		errs = append(errs, fmt.Errorf("JMPUB_KAFKA_TRANSACTION_TIMEOUT: %v is not between %v and %v",
			d, shortestTransactionTimeout, longestTransactionTimeout))
	}
	routing, err := NewRouting(cfg.Template, cfg.Prefix, cfg.AppKey)
	errs = append(errs, err)
	if cfg.Warn == nil {
		cfg.Warn = func(string) {}
	}
	quick := cfg.Retry
	quick.Initial, quick.Max = 20*time.Millisecond, 2*time.Second
	s := &Sink{cfg: cfg, routing: routing, compression: compression, quick: quick, topics: make(map[string]topic), schemaIDs: make(map[string]int)}
	s.producer.partitions = make(map[place]*partition)
	return s, errors.Join(errs...)
}

// Routing names the topics.
func (s *Sink) Routing() *Routing { return s.routing }

// ExactlyOnce tells whether the sink writes in transactions.
func (s *Sink) ExactlyOnce() bool { return s.cfg.TransactionalID != "" }

// Open takes the right to write; see [pipeline.Sink].
//
// The first call asks for the transactional id without naming a producer: the broker aborts what the last holder left open
// and fences it. Later calls name their own producer and epoch (KIP-360), so that the broker tells a writer whose
// transaction timed out, which may go on, from one that was replaced, which may not.
func (s *Sink) Open(ctx context.Context) error {
	if err := s.EnsureTopics(ctx); err != nil {
		return err
	}
	if !s.ExactlyOnce() {
		return nil
	}
	own := s.producer
	if !own.known {
		own.id, own.epoch = -1, -1
	}
	op := "take the transactional id " + s.cfg.TransactionalID
	return s.quick.Do(ctx, op, func(ctx context.Context) error {
		res, err := s.cfg.Client.InitProducerID(ctx, &kafkago.InitProducerIDRequest{
			TransactionalID:      s.cfg.TransactionalID,
			TransactionTimeoutMs: int(s.cfg.TransactionTimeout.Milliseconds()),
			ProducerID:           int(own.id), ProducerEpoch: int(own.epoch),
		})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			return s.openFault(op, err)
		}
		s.producer = producer{
			id: int64(res.Producer.ProducerID), epoch: int16(res.Producer.ProducerEpoch), known: true, //nolint:gosec // The wire's type.
			partitions: make(map[place]*partition),
		}
		return nil
	})
}

// Forget makes the next Open take the transactional id from whoever has it; see [pipeline.Sink].
func (s *Sink) Forget() { s.producer = producer{partitions: make(map[place]*partition)} }

// openFault reads the broker's refusal to renew a producer as what it is: another writer has the id.
func (s *Sink) openFault(op string, err error) error {
	if s.producer.known && (errors.Is(err, kafkago.ProducerFenced) || errors.Is(err, kafkago.InvalidProducerEpoch)) {
		return &pipeline.Fault{
			Class: pipeline.Fenced, Op: op, Err: err,
			Hint: "another jmpub with the same JMPUB_GROUP has taken over this app; this one leaves",
		}
	}
	return s.idFault(op, err)
}

// idFault is [kafka.Fault] for requests that name the transactional id.
func (s *Sink) idFault(op string, err error) error {
	id := s.cfg.TransactionalID
	return kafka.Needs(kafka.Fault(op, err), kafka.Write.OnID(id))
}

// Begin starts a transaction. Nothing is sent: the broker opens it with the first partition.
func (s *Sink) Begin(context.Context) (pipeline.Transaction, error) {
	for _, p := range s.producer.partitions {
		p.joined = false
	}
	return &transaction{Sink: s}, nil
}

// at returns the state of a partition.
func (s *Sink) at(p place) *partition {
	state, ok := s.producer.partitions[p]
	if !ok {
		state = &partition{place: p}
		s.producer.partitions[p] = state
	}
	return state
}
