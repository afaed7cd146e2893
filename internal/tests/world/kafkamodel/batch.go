package kafkamodel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// batch is a record batch, version 2, as it stands on the wire.
type batch []byte

// Where the fields of a batch stand (Kafka documentation, record batch).
const (
	atLength, atMagic, atCRC, atAttributes, atLastDelta = 8, 16, 17, 21, 23
	atFirstTime, atMaxTime, atProducer, atEpoch         = 27, 35, 43, 51
	atSequence, atCount, atRecords                      = 53, 57, 61
)

func (b batch) int64(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
func (b batch) int32(at int) int32 { return int32(binary.BigEndian.Uint32(b[at:])) }
func (b batch) int16(at int) int16 { return int16(binary.BigEndian.Uint16(b[at:])) }

func (b batch) base() int64     { return b.int64(0) }
func (b batch) last() int64     { return b.base() + int64(b.int32(atLastDelta)) }
func (b batch) producer() int64 { return b.int64(atProducer) }
func (b batch) epoch() int16    { return b.int16(atEpoch) }

func (b batch) attributes() protocol.Attributes { return protocol.Attributes(b.int16(atAttributes)) }

// sequences are those of the first and the last record.
func (b batch) sequences() (first, last int32) {
	first = b.int32(atSequence)
	return first, int32((int64(first) + int64(b.int32(atLastDelta))) % (1 << 31))
}

// place gives a batch its offset, which the checksum does not cover.
func (b batch) place(offset int64) { binary.BigEndian.PutUint64(b, uint64(offset)) }

func (b batch) sum() uint32 {
	return crc32.Checksum(b[atAttributes:], crc32.MakeTable(crc32.Castagnoli))
}

// sign sets length and checksum.
func (b batch) sign() {
	binary.BigEndian.PutUint32(b[atLength:], uint32(len(b)-atLength-4))
	binary.BigEndian.PutUint32(b[atCRC:], b.sum())
}

// size is how long the batch says that it is.
func (b batch) size() int { return int(b.int32(atLength)) + atLength + 4 }

func (b batch) intact() bool { return uint32(b.int32(atCRC)) == b.sum() }

// record is a record of a batch. Key and value are nil where they are null.
type record struct {
	offset     int64
	time       int64
	key, value []byte
	headers    []protocol.Header
	raw        []byte
}

var errDamaged = errors.New("the batch is damaged")

// records are those of a batch, unpacked.
func (b batch) records() ([]record, error) {
	data := []byte(b[atRecords:])
	if packed := b.attributes().Compression(); packed != 0 {
		codec := packed.Codec()
		if codec == nil {
			return nil, errDamaged
		}
		reader := codec.NewReader(bytes.NewReader(data))
		defer reader.Close() //nolint:errcheck // It is memory.
		var err error
		if data, err = io.ReadAll(reader); err != nil {
			return nil, err
		}
	}
	s := &scanner{rest: data}
	found := make([]record, b.int32(atCount))
	for i := range found {
		before := s.rest
		body := &scanner{rest: s.bytes(s.varint())}
		r := &found[i]
		r.raw = before[:len(before)-len(s.rest)]
		body.bytes(1) // Attributes, of which there are none.
		r.time = b.int64(atFirstTime) + body.varint()
		r.offset = b.base() + body.varint()
		r.key, r.value = body.bytes(body.varint()), body.bytes(body.varint())
		for range body.varint() {
			r.headers = append(r.headers, protocol.Header{Key: string(body.bytes(body.varint())), Value: body.bytes(body.varint())})
		}
		if s.failed || body.failed {
			return nil, errDamaged
		}
	}
	if len(s.rest) > 0 {
		return nil, errDamaged
	}
	return found, nil
}

// scanner reads the fields of records.
type scanner struct {
	rest   []byte
	failed bool
}

func (s *scanner) varint() int64 {
	n, size := binary.Varint(s.rest)
	if size <= 0 {
		s.failed, s.rest = true, nil
		return 0
	}
	s.rest = s.rest[size:]
	return n
}

// bytes are the next n; nil where n is negative.
func (s *scanner) bytes(n int64) []byte {
	if n < 0 {
		return nil
	}
	if n > int64(len(s.rest)) {
		s.failed, s.rest = true, nil
		return nil
	}
	found := s.rest[:n:n]
	s.rest = s.rest[n:]
	return found
}

// header makes a batch without records.
func header(attributes protocol.Attributes, producer int64, epoch int16, sequence int32, first, last time.Time) batch {
	b := make(batch, atRecords)
	b[atMagic] = 2
	binary.BigEndian.PutUint16(b[atAttributes:], uint16(attributes))
	binary.BigEndian.PutUint64(b[atFirstTime:], uint64(first.UnixMilli()))
	binary.BigEndian.PutUint64(b[atMaxTime:], uint64(last.UnixMilli()))
	binary.BigEndian.PutUint64(b[atProducer:], uint64(producer))
	binary.BigEndian.PutUint16(b[atEpoch:], uint16(epoch))
	binary.BigEndian.PutUint32(b[atSequence:], uint32(sequence))
	return b
}

// marker makes the batch that ends a transaction in a partition.
func marker(producer int64, epoch int16, commit bool, at time.Time) batch {
	b := header(protocol.Transactional|protocol.Control, producer, epoch, -1, at, at)
	binary.BigEndian.PutUint32(b[atCount:], 1)
	kind := byte(0)
	if commit {
		kind = 1
	}
	body := []byte{0, 0, 0} // Attributes, and no time and no offset from the first.
	body = binary.AppendVarint(body, 4)
	body = append(body, 0, 0, 0, kind) // Version 0, and the type.
	body = binary.AppendVarint(body, 6)
	body = append(body, 0, 0, 0, 0, 0, 0) // Version 0, and the coordinator's epoch.
	body = append(body, 0)                // No headers.
	b = append(binary.AppendVarint(b, int64(len(body))), body...)
	b.sign()
	return b
}

// keep makes a batch of some of another's records, at the same place.
func (b batch) keep(records []record) batch {
	less := append(batch(nil), b[:atRecords]...)
	binary.BigEndian.PutUint16(less[atAttributes:], uint16(b.attributes()&^7))
	binary.BigEndian.PutUint32(less[atCount:], uint32(len(records)))
	for _, r := range records {
		less = append(less, r.raw...)
	}
	less.sign()
	return less
}
