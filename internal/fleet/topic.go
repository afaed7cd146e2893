package fleet

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// Topic is the one in which processes tell their state. Safe for concurrent use.
type Topic struct {
	Client *kafkago.Client
	Name   string
	// Look finds out whether the topic may be seen: one that may not looks as if it were not there. Make makes it if it is missing.
	Look, Make func(context.Context) error

	// there is set once it was found or made.
	there atomic.Bool
}

// compression needs next to no memory: kafka-go's encoder for zstd takes tens of megabytes, which would be made anew each time.
const compression = kafkago.Snappy

// maxProduce bounds the values of one request: a topic takes 1 MiB at a time, unless its settings say otherwise.
const maxProduce = 512 << 10

// Write writes records in their order, and makes the topic first if it is missing. It tries once.
func (t *Topic) Write(ctx context.Context, records []Record) error {
	err := t.find(ctx, t.Make)
	for len(records) > 0 && err == nil {
		n, size := 0, 0
		for n < len(records) && (n == 0 || size+len(records[n].Value) <= maxProduce) {
			size += len(records[n].Value)
			n++
		}
		err = t.produce(ctx, records[:n])
		records = records[n:]
	}
	return err
}

// find looks for the topic, once.
func (t *Topic) find(ctx context.Context, last func(context.Context) error) error {
	if t.there.Load() {
		return nil
	}
	if err := t.Look(ctx); err != nil {
		return err
	}
	if err := last(ctx); err != nil {
		return err
	}
	t.there.Store(true)
	return nil
}

func (t *Topic) produce(ctx context.Context, records []Record) error {
	list := make([]kafkago.Record, len(records))
	now := time.Now()
	for i, r := range records {
		list[i] = kafkago.Record{Time: now, Key: kafkago.NewBytes(r.Key)}
		if r.Value != nil {
			list[i].Value = kafkago.NewBytes(r.Value)
		}
	}
	res, err := t.Client.Produce(ctx, &kafkago.ProduceRequest{
		Topic: t.Name, Partition: partition, RequiredAcks: kafkago.RequireAll, Compression: compression, Records: kafkago.NewRecordReader(list...),
	})
	if err == nil {
		err = res.Error
	}
	if errors.Is(err, kafkago.UnknownTopicOrPartition) {
		t.there.Store(false) // It was deleted, and is made again at the next time.
	}
	return kafka.Needs(kafka.Fault("tell this process's state in "+t.Name, err), kafka.Write.On(t.Name)...)
}

// Read reads what the processes of a group have said, up to what there is now. Nothing is made or written, and nobody is disturbed.
func (t *Topic) Read(ctx context.Context, retry pipeline.Retry, group string) (*Told, error) {
	if err := t.find(ctx, func(ctx context.Context) error { return t.exists(ctx, retry) }); err != nil {
		return nil, err
	}
	return read(ctx, &kafka.Log{Client: t.Client, Topic: t.Name, Retry: retry}, group)
}

// exists is an error where there is no such topic.
func (t *Topic) exists(ctx context.Context, retry pipeline.Retry) error {
	op := "look for " + t.Name
	return retry.Do(ctx, op, func(ctx context.Context) error {
		res, err := t.Client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{t.Name}})
		if err == nil && len(res.Topics) == 1 {
			err = res.Topics[0].Error
		}
		if errors.Is(err, kafkago.UnknownTopicOrPartition) {
			return &pipeline.Fault{
				Class: pipeline.Abort, Op: op, Err: errors.New("there is no such topic: no process has told its state in it yet"),
				Hint: "`jmpub run` makes it a second after it has begun, unless it is an older release, JMPUB_TOPIC_PREFIX is another one there, " +
					"or it lacks a right, which its log tells",
			}
		}
		return kafka.Needs(kafka.Fault(op, err), kafka.Describe.On(t.Name)...)
	})
}
