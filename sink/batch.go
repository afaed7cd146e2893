package sink

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/jmpub/jmpub/internal/spares"
)

// chunk is what one batch holds: n records, at least one. fill sets what the i-th of them has; before, it has nothing.
type chunk struct {
	n    int
	fill func(i int, r *record)
}

// record is a record in plain types; a nil key or value is null, and so is that of a header.
type record struct {
	key, value []byte
	// shared headers stand before the others.
	shared  sharedHeaders
	headers []protocol.Header
	time    time.Time
	// digits is room for a key that is made for the record.
	digits [20]byte
}

// sharedHeaders are headers that many records have, in the form in which they stand in each.
type sharedHeaders struct {
	n       int
	encoded []byte
}

func shareHeaders(headers []protocol.Header) sharedHeaders {
	return sharedHeaders{len(headers), appendHeaders(nil, headers)}
}

// next is the sequence after n more records; it wraps at 2^31 (KIP-98, producer sequence numbers).
func next(sequence int32, n int) int32 {
	return int32((int64(sequence) + int64(n)) & 0x7fffffff)
}

// What all writers of the process keep for the next batches, for as long as [spares.Pool] does. No more batches are encoded at the same time than there
// are processors, and no more encoders are kept: with zstd each has less than 4 MiB besides its records, of which it keeps up to keptRecords. The
// memory of batches that brokers have taken is kept up to keptBatches.
var (
	encoding      = make(chan struct{}, runtime.GOMAXPROCS(0))                    //nolint:gochecknoglobals // All writers share the processors.
	batchEncoders = spares.New(cap(encoding), func(*encoder) int { return 1 })    //nolint:gochecknoglobals // As above.
	buffers       = spares.New(keptBatches, func(b []byte) int { return cap(b) }) //nolint:gochecknoglobals // As above.
	crcTable      = crc32.MakeTable(crc32.Castagnoli)                             //nolint:gochecknoglobals // It is constant.
)

const (
	keptRecords = 2 << 20
	keptBatches = 4 << 20
)

// encode writes a chunk as one batch into the memory of dst, or into more if it has to, and, for a known producer, signs it with id, epoch and
// sequence. The batch stands behind its size, as a request has it.
func encode(dst []byte, c chunk, compression kafkago.Compression, p *producer, sequence int32) ([]byte, error) {
	encoding <- struct{}{}
	defer func() { <-encoding }()
	e, ok := batchEncoders.Take()
	if !ok {
		e = new(encoder)
	}
	defer batchEncoders.Give(e)
	batch, err := e.encode(dst[:0], c, compression, p, sequence)
	if err != nil {
		return nil, fmt.Errorf("encode record batch: %w", err)
	}
	return batch, nil
}

// encoder makes batches, one after the other.
type encoder struct {
	record record
	// records are those of the batch, as they are before they are compressed.
	records []byte
	// A compressor is made when it is first needed.
	gzip *gzip.Writer
	lz4  *lz4.Writer
	zstd *zstd.Encoder
}

// batchHeader is what a batch of format v2 begins with (Kafka documentation, message format, record batch).
type batchHeader struct {
	BaseOffset      int64 // which the broker sets
	Length          int32 // of what follows it; see below
	LeaderEpoch     int32 // which the broker sets
	Magic           int8
	CRC             uint32 // CRC-32C of what follows it; see below
	Attributes      int16
	LastOffsetDelta int32
	BaseTimestamp   int64
	MaxTimestamp    int64
	ProducerID      int64
	ProducerEpoch   int16
	BaseSequence    int32
	Records         int32
}

// The places within a batch of what is known last, and of the first byte of what it counts. sizePrefix stands before the batch.
const (
	sizePrefix = 4
	lengthAt   = 8
	lengthFrom = 12
	crcAt      = 17
	crcFrom    = 21
)

// encode writes a batch behind its size to dst, which is empty.
//
//nolint:gosec // A batch and the number of its records are far below what 31 bits can hold.
func (e *encoder) encode(dst []byte, c chunk, compression kafkago.Compression, p *producer, sequence int32) ([]byte, error) {
	defer e.forget()
	first, latest := e.collect(c)
	header := batchHeader{
		LeaderEpoch: -1, Magic: 2, Attributes: int16(compression), LastOffsetDelta: int32(c.n - 1), BaseTimestamp: first, MaxTimestamp: latest,
		ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, Records: int32(c.n),
	}
	if p.known() {
		header.Attributes |= int16(protocol.Transactional)
		header.ProducerID, header.ProducerEpoch, header.BaseSequence = p.id, p.epoch, sequence
	}
	b, err := binary.Append(append(dst, make([]byte, sizePrefix)...), binary.BigEndian, &header)
	if err == nil {
		b, err = e.compress(b, compression)
	}
	if err != nil {
		return nil, err
	}
	batch := b[sizePrefix:]
	binary.BigEndian.PutUint32(b, uint32(len(batch)))
	binary.BigEndian.PutUint32(batch[lengthAt:], uint32(len(batch)-lengthFrom))
	binary.BigEndian.PutUint32(batch[crcAt:], crc32.Checksum(batch[crcFrom:], crcTable))
	return b, nil
}

// collect brings the records into their form, and returns the first one's time and the latest in milliseconds.
func (e *encoder) collect(c chunk) (first, latest int64) {
	r := &e.record
	for i := range c.n {
		r.key, r.value, r.shared, r.headers, r.time = nil, nil, sharedHeaders{}, r.headers[:0], time.Time{}
		c.fill(i, r)
		at := r.time.UnixMilli()
		if i == 0 {
			first, latest = at, at
		}
		latest = max(latest, at)
		e.records = r.append(e.records, at-first, int64(i))
	}
	return first, latest
}

// forget lets go of what the batch was made of, and of the memory that only a rare one needs.
func (e *encoder) forget() {
	clear(e.record.headers[:cap(e.record.headers)])
	e.record = record{headers: e.record.headers[:0]}
	if e.records = e.records[:0]; cap(e.records) > keptRecords {
		e.records = nil
	}
}

// append writes the record, whose time and offset are counted from the first one's (Kafka documentation, message format, record).
func (r *record) append(b []byte, at, offset int64) []byte {
	const usual = 2 // Bytes are what most sizes take.
	var size [binary.MaxVarintLen64]byte
	begin := len(b) + usual
	b = append(b, size[:usual]...) // Room for the size, which is known at the end.
	b = append(b, 0)               // Attributes, of which there are none.
	b = binary.AppendVarint(b, at)
	b = binary.AppendVarint(b, offset)
	b = appendBytes(b, r.key)
	b = appendBytes(b, r.value)
	b = binary.AppendVarint(b, int64(r.shared.n+len(r.headers)))
	b = append(b, r.shared.encoded...)
	b = appendHeaders(b, r.headers)
	n := binary.PutVarint(size[:], int64(len(b)-begin))
	if n == usual {
		copy(b[begin-usual:], size[:n])
		return b
	}
	return slices.Replace(b, begin-usual, begin, size[:n]...)
}

func appendHeaders(b []byte, headers []protocol.Header) []byte {
	for i := range headers {
		h := &headers[i]
		b = append(binary.AppendVarint(b, int64(len(h.Key))), h.Key...)
		b = appendBytes(b, h.Value)
	}
	return b
}

// appendBytes writes bytes behind their number, which is -1 for nil.
func appendBytes(b, some []byte) []byte {
	if some == nil {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(some))), some...)
}

// zstdWindow is how far back zstd refers to. What messages have in common stands near; four times as much came to no less, and took 3 MiB more.
const zstdWindow = 256 << 10

// compress appends the records. No compressor adds a checksum, as the batch has one.
func (e *encoder) compress(dst []byte, compression kafkago.Compression) ([]byte, error) {
	var err error
	switch compression {
	case kafkago.Snappy:
		return appendSnappy(dst, e.records), nil
	case kafkago.Gzip:
		if e.gzip == nil {
			e.gzip = gzip.NewWriter(nil)
		}
		return e.write(dst, e.gzip)
	case kafkago.Lz4:
		if e.lz4 == nil { // The blocks are independent, as the Java client demands. Larger ones come to little less, and take more of whoever reads them.
			e.lz4 = lz4.NewWriter(nil)
			if err = e.lz4.Apply(lz4.BlockSizeOption(lz4.Block256Kb), lz4.ChecksumOption(false), lz4.ConcurrencyOption(1)); err != nil {
				return nil, err
			}
		}
		return e.write(dst, e.lz4)
	case kafkago.Zstd:
		if e.zstd == nil {
			e.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
			if err != nil {
				return nil, err
			}
		}
		return e.zstd.EncodeAll(e.records, dst), nil
	default:
		return append(dst, e.records...), nil
	}
}

// write appends the records by way of a compressor that is a writer.
func (e *encoder) write(dst []byte, by interface {
	io.WriteCloser
	Reset(w io.Writer)
},
) ([]byte, error) {
	to := bytes.NewBuffer(dst)
	by.Reset(to)
	defer by.Reset(nil)
	_, err := by.Write(e.records)
	err = errors.Join(err, by.Close())
	return to.Bytes(), err
}

// snappyBlock is how much the blocks of the Java client hold.
const snappyBlock = 32 << 10

// appendSnappy compresses in the frames of the Java client (xerial snappy-java, SnappyOutputStream): a magic number, the version of the format,
// the oldest version that can read it, and blocks behind their sizes.
func appendSnappy(dst, from []byte) []byte {
	dst = append(dst, "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"...)
	for len(from) > 0 {
		n := min(len(from), snappyBlock)
		size := len(dst)
		dst = slices.Grow(append(dst, 0, 0, 0, 0), snappy.MaxEncodedLen(n))
		block := snappy.Encode(dst[len(dst):cap(dst)], from[:n])
		binary.BigEndian.PutUint32(dst[size:], uint32(len(block))) //nolint:gosec // It is small.
		dst = dst[:len(dst)+len(block)]
		from = from[n:]
	}
	return dst
}
