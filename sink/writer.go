package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
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

// WriterConfig is what the operator sets about how records are written.
type WriterConfig struct {
	// TransactionalID is unique to the writer of a shard; empty delivers at least once.
	TransactionalID string
	// TransactionTimeout is how long the broker lets a transaction stay open before it aborts it; 3 minutes where zero.
	// A writer that was killed holds read_committed consumers up for as long, unless another takes over sooner. A window that
	// is fetched whole takes a moment; one that is streamed is bounded by its cursor's 120 s, and is read again if it
	// takes longer than this.
	TransactionTimeout time.Duration
	// Compression is none, gzip, snappy, lz4 or zstd.
	Compression string
	PartitionBy PartitionBy
	RecordTime  RecordTime
	// Format is that of the events' values; JSON where empty. Avro alone has Schemas, and needs them.
	Format  Format
	Schemas Schemas
	// ReplayID marks the events of a replay; empty otherwise.
	ReplayID string
	// Observer is told of each transaction that has ended; may be nil.
	Observer pipeline.Observer
}

// The bounds of a transaction's time: shorter, and a busy broker aborts healthy ones; the longest is what brokers allow
// where nothing else is set (transaction.max.timeout.ms).
const (
	transactionTimeout         = 3 * time.Minute
	shortestTransactionTimeout = 10 * time.Second
	longestTransactionTimeout  = 15 * time.Minute
)

// Validate reports every mistake at once, by the names of the settings.
func (c *WriterConfig) Validate() error {
	var errs []error
	if _, err := c.compression(); err != nil {
		errs = append(errs, fmt.Errorf("JMPUB_KAFKA_COMPRESSION: %w", err))
	}
	if c.Format == FormatAvro && c.Schemas == nil {
		errs = append(errs, errors.New("JMPUB_EVENT_FORMAT is avro, so JMPUB_SCHEMA_REGISTRY_URL is needed"))
	}
	if d := c.TransactionTimeout; d != 0 && (d < shortestTransactionTimeout || d > longestTransactionTimeout) {
		errs = append(errs, fmt.Errorf("JMPUB_KAFKA_TRANSACTION_TIMEOUT: %v is not between %v and %v",
			d, shortestTransactionTimeout, longestTransactionTimeout))
	}
	return errors.Join(errs...)
}

func (c *WriterConfig) compression() (kafkago.Compression, error) {
	var compression kafkago.Compression
	err := compression.UnmarshalText([]byte(c.Compression))
	return compression, err
}

// Writer writes to an app's topics. It is used by one goroutine at a time.
type Writer struct {
	topics   *Topics
	cfg      WriterConfig
	schemas  *schemaIDs
	producer *producer
	sender   *sender
	// retimed are the topics of which it was told that they do not take an event's own time.
	retimed map[string]bool
}

var (
	_ pipeline.Sink        = (*Writer)(nil)
	_ pipeline.Transaction = (*transaction)(nil)
)

// NewWriter checks the configuration. Nothing is sent yet, and nothing is held: a writer needs no end.
func NewWriter(topics *Topics, cfg WriterConfig) (*Writer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.TransactionTimeout == 0 {
		cfg.TransactionTimeout = transactionTimeout
	}
	compression, err := cfg.compression()
	if err != nil {
		return nil, err
	}
	client, retry := topics.cfg.Client, topics.cfg.Retry
	w := &Writer{
		topics:   topics,
		cfg:      cfg,
		schemas:  &schemaIDs{registry: cfg.Schemas, retry: retry, topics: topics.routing.Events(), ids: make(map[string]int)},
		producer: newProducer(client, retry, cfg.TransactionalID, cfg.TransactionTimeout),
		retimed:  make(map[string]bool),
	}
	w.sender = &sender{
		client: client, retry: retry, compression: compression, producer: w.producer,
		checkpoints: topics.routing.Own(pipeline.TopicCheckpoints),
	}
	return w, nil
}

// ExactlyOnce reports whether the writer writes in transactions.
func (w *Writer) ExactlyOnce() bool { return w.producer.transactional() }

// EnsureSchemas learns the ids of the event topics' schemas, where the format has any. Whoever is going to publish events calls it
// before the first transaction, so that none waits for a registry; what writes no events needs no registry.
func (w *Writer) EnsureSchemas(ctx context.Context) error { return w.schemas.learn(ctx) }

// Open takes the right to write; see [pipeline.Sink].
func (w *Writer) Open(ctx context.Context) error {
	if err := w.topics.Ensure(ctx); err != nil {
		return err
	}
	return w.producer.open(ctx)
}

// Forget makes the next Open take the transactional id from whoever has it; see [pipeline.Sink].
func (w *Writer) Forget() { w.producer.forget() }

// Begin starts a transaction. Nothing is sent: the broker opens it with the first partition.
func (w *Writer) Begin(context.Context) (pipeline.Transaction, error) {
	w.producer.begin()
	w.sender.bytes = 0
	return &transaction{
		began:   time.Now(),
		routing: w.topics.routing, topics: w.topics.layout(),
		cfg: &w.cfg, schemas: w.schemas, producer: w.producer, sender: w.sender, refusedTime: w.tellRetimed,
	}, nil
}

// tellRetimed tells once a topic that it does not take an event's own time.
func (w *Writer) tellRetimed(topic string, e *event.Event, at time.Time) {
	if w.retimed[topic] {
		return
	}
	w.retimed[topic] = true
	w.topics.cfg.Warn("a message's own time is not one that the topic takes; its record has the time of publishing",
		slog.String("topic", topic), slog.Int64("msgid", e.MsgID), slog.Time("time", at.UTC()),
		slog.String("hint", "a wrong clock of the API's or this machine, or see message.timestamp.after.max.ms and message.timestamp.before.max.ms "+
			"of the topic; others like it are not told"))
}
