package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// committed passes on the records of committed transactions and of no transaction, from fetch replies in the order of
// their offsets.
type committed struct {
	// aborted producers are within a transaction that was aborted, until its marker.
	aborted map[int64]bool
}

// each calls fn with every committed record from offset on and returns the offset behind the reply.
func (c *committed) each(page *fetch.ResponsePartition, offset int64, fn func(*protocol.Record) error) (int64, error) {
	next := offset
	pending := page.AbortedTransactions
	batches, err := batchesOf(page.RecordSet.Records)
	if err != nil {
		return next, err
	}
	for _, batch := range batches {
		// The list is in the order of first offsets; a batch at or behind one belongs to that transaction.
		for len(pending) > 0 && pending[0].FirstOffset <= batch.last {
			c.aborted[pending[0].ProducerID] = true
			pending = pending[1:]
		}
		next = max(next, batch.last+1)
		if batch.control {
			if batch.abort {
				delete(c.aborted, batch.producer)
			}
			continue
		}
		if batch.transactional && c.aborted[batch.producer] {
			continue
		}
		for i := range batch.records {
			if batch.records[i].Offset < offset {
				continue // A reply begins with the whole batch that holds the offset.
			}
			if err := fn(&batch.records[i]); err != nil {
				return next, err
			}
		}
	}
	return next, nil
}

// batch is a record batch, read whole.
type batch struct {
	producer               int64
	transactional, control bool
	// abort tells, of a control batch, that it ends a transaction by aborting it.
	abort   bool
	last    int64
	records []protocol.Record
}

func batchesOf(reader protocol.RecordReader) ([]batch, error) {
	switch r := reader.(type) {
	case nil:
		return nil, nil
	case *protocol.RecordStream:
		var all []batch
		for _, part := range r.Records {
			batches, err := batchesOf(part)
			if err != nil {
				return nil, err
			}
			all = append(all, batches...)
		}
		return all, nil
	case *protocol.RecordBatch:
		b := batch{producer: r.ProducerID, transactional: r.Attributes.Transactional(), last: r.BaseOffset}
		return readBatch(b, r)
	case *protocol.ControlBatch:
		b := batch{producer: r.ProducerID, control: true, last: r.BaseOffset}
		return readBatch(b, r)
	default:
		return nil, fmt.Errorf("records of the unknown form %T", reader)
	}
}

// readBatch reads a batch's records. The marker of a transaction's end is a record whose key is a version and a type, 0 for
// abort and 1 for commit (Kafka documentation, control batches).
func readBatch(b batch, r protocol.RecordReader) ([]batch, error) {
	for {
		record, err := r.ReadRecord()
		if errors.Is(err, io.EOF) {
			return []batch{b}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decode records: %w", err)
		}
		b.last = max(b.last, record.Offset)
		if !b.control {
			b.records = append(b.records, *record)
			continue
		}
		marker, err := readAll(record.Key)
		if err != nil {
			return nil, err
		}
		const markerSize = 4
		b.abort = len(marker) >= markerSize && binary.BigEndian.Uint16(marker[2:]) == 0
	}
}
