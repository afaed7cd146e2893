//go:build integration

package compat_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/lab/verify"
)

// JavaReader reads topics with Apache Kafka's Java client (kafka-clients, of the brokers' own release). It shares neither code
// nor author with franz-go or kafka-go: it is a second witness beside [verify.Read]. Safe for concurrent use.
type JavaReader struct {
	java      *Java
	isolation string
}

// Found is [verify.Read] by the Java client: it reads the event topics and the rejected rows from their beginning to what is
// their end when it is called, as soon as every transaction in there is decided. A topic that does not exist holds nothing.
// The result can be given to [verify.Compare], once. The brokers must be reachable from this machine.
func (r *JavaReader) Found(ctx context.Context, brokers []string, prefix string) (*verify.Found, error) {
	return verify.Collect(prefix, r.Records(ctx, brokers, verify.Topics(prefix)...))
}

// Records lists what a read_committed consumer sees of topics between their beginning and what is their end now, each
// partition in its order. Records of aborted transactions and markers are not among it. A record belongs to the receiver. An
// error is the last thing it yields, and tells that something is missing. It ends early when the context is done, with an
// error, or when no partition moves on for four minutes; the error then has the positions.
func (r *JavaReader) Records(ctx context.Context, brokers []string, topics ...string) iter.Seq2[*kgo.Record, error] {
	return func(yield func(*kgo.Record, error) bool) {
		all := lines[line](ctx, r.java, "", "Read", strings.Join(brokers, ","), strings.Join(topics, ","), r.isolation)
		for l, err := range all {
			if err != nil {
				yield(nil, fmt.Errorf("read %s: %w", strings.Join(topics, ", "), err))
				return
			}
			if !yield(l.record(), nil) {
				return
			}
		}
	}
}

// line is a record as the Java side prints it; what is null there is nil.
type line struct {
	Topic         string       `json:"topic"`
	Partition     int32        `json:"partition"`
	Offset        int64        `json:"offset"`
	Timestamp     int64        `json:"timestamp"`
	TimestampType string       `json:"timestamp_type"`
	Key           []byte       `json:"key"`
	Value         []byte       `json:"value"`
	Headers       []lineHeader `json:"headers"`
	// Step is set in the place of a record where a group's member tells how far it is.
	Step *Step `json:"step"`
}

type lineHeader struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

func (l *line) record() *kgo.Record {
	r := &kgo.Record{
		Topic: l.Topic, Partition: l.Partition, Offset: l.Offset, Timestamp: time.UnixMilli(l.Timestamp), Key: l.Key, Value: l.Value,
	}
	for _, h := range l.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(h.Key), Value: h.Value})
	}
	return r
}
