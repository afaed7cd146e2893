package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// committed returns the messages of a read_committed reply from an offset on, and the offset behind all that is in it.
//
// Kafka sends the messages of aborted transactions too, with a list of these transactions: a producer, and the offset at
// which its transaction begins. To leave out what that producer wrote from there to its next marker is the reader's task,
// which kafka-go's Reader does not do.
func committed(topic string, page *fetch.ResponsePartition, from int64) (messages []kafkago.Message, next int64, err error) {
	r := &reply{
		topic: topic, partition: int(page.Partition), from: from, next: from, aborted: make(map[int64]bool),
		pending: slices.SortedFunc(slices.Values(page.AbortedTransactions), func(a, b fetch.ResponseTransaction) int {
			return cmp.Compare(a.FirstOffset, b.FirstOffset)
		}),
	}
	if page.RecordSet.Records != nil {
		err = r.batches(page.RecordSet.Records)
	}
	return r.messages, r.next, err
}

// reply is the reading of one reply.
type reply struct {
	topic     string
	partition int
	// from is where the reading begins, next is behind the last record that was seen.
	from, next int64
	// pending are aborted transactions that begin further on; aborted are the producers of those that have begun.
	pending  []fetch.ResponseTransaction
	aborted  map[int64]bool
	messages []kafkago.Message
}

func (r *reply) batches(reader protocol.RecordReader) error {
	switch b := reader.(type) {
	case *protocol.RecordStream:
		for _, part := range b.Records {
			if err := r.batches(part); err != nil {
				return err
			}
		}
		return nil
	case *protocol.RecordBatch:
		for len(r.pending) > 0 && r.pending[0].FirstOffset <= b.BaseOffset {
			r.aborted[r.pending[0].ProducerID] = true
			r.pending = r.pending[1:]
		}
		if b.Attributes.Transactional() && r.aborted[b.ProducerID] {
			return r.records(b.Records, func(*protocol.Record) error { return nil })
		}
		return r.records(b.Records, r.message)
	case *protocol.ControlBatch:
		return r.records(b.Records, func(record *protocol.Record) error {
			marker, err := protocol.ReadControlRecord(record)
			if err == nil && marker.Type == 0 { // Of an abort.
				delete(r.aborted, b.ProducerID)
			}
			return err
		})
	default:
		return fmt.Errorf("the records are of the old form %T, which jmpub does not write", reader)
	}
}

func (r *reply) records(reader protocol.RecordReader, take func(*protocol.Record) error) error {
	for {
		record, err := reader.ReadRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			r.next = max(r.next, record.Offset+1)
			err = take(record)
		}
		if err != nil {
			return err
		}
	}
}

func (r *reply) message(record *protocol.Record) error {
	if record.Offset < r.from { // A reply begins with the whole batch that holds the offset.
		return nil
	}
	key, err := protocol.ReadAll(record.Key)
	if err != nil {
		return err
	}
	value, err := protocol.ReadAll(record.Value)
	if err != nil {
		return err
	}
	r.messages = append(r.messages, kafkago.Message{
		Topic: r.topic, Partition: r.partition, Offset: record.Offset, Key: key, Value: value, Headers: record.Headers,
	})
	return nil
}
