package kafka

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// ending is how a transaction ended.
type ending int8

const (
	notEnded ending = iota
	aborted
	committed
)

// eachCommitted calls fn with every record of a read_committed fetch reply, from offset on, that belongs to a committed
// transaction or to none, and with the markers of transactions that end there, and returns the offset behind the last one that it saw. What fn
// is given is valid during the call.
//
// A reply holds the batches of aborted transactions too, and a list of these transactions: a producer, and the first offset
// of its transaction. What that producer wrote from there up to the next marker of an abort is to be left out. The list is
// in the order in which the transactions ended, so it has to be sorted by where they began.
func eachCommitted(page *fetch.ResponsePartition, offset int64, fn func(*batch, *protocol.Record, ending) error) (next int64, err error) {
	next = offset
	// pending are aborted transactions that begin further on; dropped are the producers of those that have begun.
	pending := slices.SortedFunc(slices.Values(page.AbortedTransactions), func(a, b fetch.ResponseTransaction) int {
		return cmp.Compare(a.FirstOffset, b.FirstOffset)
	})
	dropped := make(map[int64]bool)
	err = eachBatch(page.RecordSet.Records, func(b *batch) error {
		for len(pending) > 0 && pending[0].FirstOffset <= b.first {
			dropped[pending[0].ProducerID] = true
			pending = pending[1:]
		}
		drop := b.transactional && dropped[b.producer]
		failed := eachRecord(b.records, func(r *protocol.Record) error {
			next = max(next, r.Offset+1)
			switch {
			case b.control:
				end, wrong := endOf(r)
				if end == aborted {
					delete(dropped, b.producer)
				}
				if wrong != nil || end == notEnded || r.Offset < offset {
					return wrong
				}
				return fn(b, r, end)
			case drop, r.Offset < offset: // A reply begins with the whole batch that holds the offset.
				return nil
			default:
				return fn(b, r, notEnded)
			}
		})
		if whole, ok := b.records.(*batchReader); ok { // Its last records may be gone, or nobody's.
			next = max(next, whole.lastOffset()+1)
		}
		return failed
	})
	return next, err
}

// endOf is the end of a transaction that a control record marks: its key is a version and a type, 0 for abort and 1 for commit (Kafka
// documentation, control batches). Others are no ends.
func endOf(r *protocol.Record) (ending, error) {
	marker, err := protocol.ReadControlRecord(r)
	switch {
	case err != nil:
		return notEnded, err
	case marker.Type == 0:
		return aborted, nil
	case marker.Type == 1:
		return committed, nil
	default:
		return notEnded, nil
	}
}

// batch is one record batch.
type batch struct {
	producer               int64
	transactional, control bool
	// first is the offset of its first record, also when compaction has removed that.
	first   int64
	records protocol.RecordReader
}

// eachBatch calls fn with the batches of a reply, in order.
func eachBatch(reader protocol.RecordReader, fn func(*batch) error) error {
	switch r := reader.(type) {
	case *protocol.RecordStream:
		for _, part := range r.Records {
			if err := eachBatch(part, fn); err != nil {
				return err
			}
		}
		return nil
	case *protocol.RecordBatch:
		return fn(&batch{r.ProducerID, r.Attributes.Transactional(), false, r.BaseOffset, r.Records})
	case *protocol.ControlBatch:
		return fn(&batch{r.ProducerID, true, true, r.BaseOffset, r.Records})
	default:
		return fmt.Errorf("(bug) the records are %T", reader)
	}
}

// eachRecord calls fn with the records of a batch, in order, and gives the memory of each back.
func eachRecord(reader protocol.RecordReader, fn func(*protocol.Record) error) error {
	for {
		record, err := reader.ReadRecord()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := errors.Join(fn(record), release(record.Key), release(record.Value)); err != nil {
			return err
		}
	}
}

// release returns the memory of a record's key or value to kafka-go's pool.
func release(b protocol.Bytes) error {
	if b == nil {
		return nil
	}
	return b.Close()
}
