package sink

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"

	"github.com/jmpub/jmpub/docs/schemas"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// Format is the form of the events' values. Everything else that is published is JSON in any case.
type Format string

// The formats.
const (
	FormatJSON Format = "json"
	// FormatAvro is docs/schemas/message.avsc in the wire format of Confluent's serializers: a zero, the schema's id in four
	// bytes, the record.
	FormatAvro Format = "avro"
)

// contentType is the header of that name: the data's media type, as the CloudEvents binding has it.
func (f Format) contentType() string {
	if f == FormatAvro {
		return "application/avro"
	}
	return "application/json"
}

// Schemas knows the ids of a schema registry. All errors are *[pipeline.Fault] or the context's; transient ones are retried by
// the writer. It is used by one goroutine at a time.
type Schemas interface {
	// ID is the id of a schema under a subject. What was answered once is not asked again.
	ID(ctx context.Context, subject, schema string) (int, error)
}

// subject is the name under which the registry has the schema of a topic's values (Confluent's TopicNameStrategy).
func subject(topic string) string { return topic + "-value" }

// schemaIDs knows the ids of the event topics' schemas.
type schemaIDs struct {
	// registry is nil where the format needs none.
	registry Schemas
	retry    pipeline.Retry
	topics   []string
	ids      map[string]int
}

// learn asks the registry for the ids that are not known yet.
func (s *schemaIDs) learn(ctx context.Context) error {
	if s.registry == nil {
		return nil
	}
	for _, topic := range s.topics {
		if _, known := s.ids[topic]; known {
			continue
		}
		op := "look up the schema " + subject(topic)
		err := s.retry.Do(ctx, op, func(ctx context.Context) error {
			id, err := s.registry.ID(ctx, subject(topic), schemas.MessageAvro)
			if err == nil && (id < 0 || id > math.MaxInt32) {
				err = &pipeline.Fault{Class: pipeline.Permanent, Op: op, Err: fmt.Errorf("the id %d does not fit into four bytes", id)}
			}
			if err == nil {
				s.ids[topic] = id
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// encoders are reused between batches.
var encoders = sync.Pool{New: func() any { return newAvroEncoder() }} //nolint:gochecknoglobals // A pool is shared by its nature.

// values are the values of a batch's events in the sink's format, in the same order. One that cannot be made is nil, and its
// row is among the rejected.
func (t *transaction) values(b *pipeline.Batch) ([][]byte, []event.Rejection) {
	values := t.room.valuesFor(len(b.Events))
	if t.cfg.Format != FormatAvro {
		for i := range b.Events {
			values[i] = b.Events[i].Value
		}
		return values, nil
	}
	errs := make([]error, len(b.Events))
	share := max(1, (len(b.Events)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	var working sync.WaitGroup
	for first := 0; first < len(b.Events); first += share {
		end := min(first+share, len(b.Events))
		working.Go(func() { t.encodeAvro(b.Events[first:end], values[first:end], errs[first:end]) })
	}
	working.Wait()
	var rejected []event.Rejection
	for i, err := range errs {
		if err != nil {
			e := &b.Events[i]
			rejected = append(rejected, rejection(e, event.ReasonNotEncodable, "the event cannot be written in Avro: "+err.Error()))
		}
	}
	return values, rejected
}

// encodeAvro fills in a value or an error for each event. What is encoded is smaller than the JSON, because the names are in
// the schema, so one block of memory holds all of it.
func (t *transaction) encodeAvro(events []event.Event, values [][]byte, errs []error) {
	encoder, _ := encoders.Get().(*avroEncoder)
	defer encoders.Put(encoder)
	size := 0
	for i := range events {
		size += len(events[i].Value)
	}
	memory := make([]byte, 0, size)
	for i := range events {
		e := &events[i]
		begin := len(memory)
		memory, errs[i] = encoder.append(memory, e.Value, t.schemas.ids[t.routing.Event(e.Target)])
		if errs[i] == nil {
			values[i] = memory[begin:len(memory):len(memory)]
		}
	}
}
