package sink

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/segmentio/kafka-go/protocol"
)

// The places within a record batch of format v2 (Kafka documentation, message format, record batch), counted from its
// first byte. What is written by RecordSet.WriteTo begins with its size in four bytes more.
const (
	sizePrefix      = 4
	crcAt           = 17
	crcFrom         = 21
	producerIDAt    = 43
	producerEpochAt = 51
	baseSequenceAt  = 53
	batchHeader     = 61
)

// encode writes records as one batch and, for a known producer, signs it with id, epoch and sequence. kafka-go writes a
// batch for no producer, so its header is completed here.
func encode(buf *bytes.Buffer, records protocol.RecordReader, attributes protocol.Attributes, p *producer, sequence int32) error {
	if p.known() {
		attributes |= protocol.Transactional
	}
	set := protocol.RecordSet{Version: 2, Attributes: attributes, Records: records}
	buf.Reset()
	if _, err := set.WriteTo(buf); err != nil {
		return fmt.Errorf("encode record batch: %w", err)
	}
	if !p.known() {
		return nil
	}
	batch := buf.Bytes()[sizePrefix:]
	if len(batch) < batchHeader {
		return fmt.Errorf("encode record batch: %d bytes are no batch (bug)", len(batch))
	}
	binary.BigEndian.PutUint64(batch[producerIDAt:], uint64(p.id))       //nolint:gosec // A bit pattern.
	binary.BigEndian.PutUint16(batch[producerEpochAt:], uint16(p.epoch)) //nolint:gosec // A bit pattern.
	binary.BigEndian.PutUint32(batch[baseSequenceAt:], uint32(sequence)) //nolint:gosec // A bit pattern.
	binary.BigEndian.PutUint32(batch[crcAt:], crc32.Checksum(batch[crcFrom:], crc32.MakeTable(crc32.Castagnoli)))
	return nil
}

// next is the sequence after n more records; it wraps at 2^31 (KIP-98, producer sequence numbers).
func next(sequence int32, n int) int32 {
	return int32((int64(sequence) + int64(n)) & 0x7fffffff)
}

// reusableBytes is a protocol.Bytes that is pointed at one slice after another, so that no record costs an allocation.
type reusableBytes struct{ bytes.Reader }

// Close does nothing.
func (*reusableBytes) Close() error { return nil }

// chunk is what one batch holds: n records. fill sets key, value, headers and time of the i-th of them.
type chunk struct {
	n    int
	fill func(i int, r *plainRecord)
}

// plainRecord is a record in plain types; a nil key or value is null.
type plainRecord struct {
	protocol.Record

	key, value []byte
}

// recordSource yields the records of a chunk for encode.
type recordSource struct {
	chunk

	i          int
	plain      plainRecord
	key, value reusableBytes
}

// ReadRecord gives the next record, valid until the one after it.
func (s *recordSource) ReadRecord() (*protocol.Record, error) {
	if s.i == s.n {
		return nil, io.EOF
	}
	r := &s.plain
	r.Key, r.Value, r.key, r.value, r.Headers = nil, nil, nil, nil, r.Headers[:0]
	s.fill(s.i, r)
	s.i++
	if r.key != nil {
		s.key.Reset(r.key)
		r.Key = &s.key
	}
	if r.value != nil {
		s.value.Reset(r.value)
		r.Value = &s.value
	}
	return &r.Record, nil
}
