package kafka

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
)

const (
	// maxBatch bounds what a batch holds, maxValue and maxKey a record's value and key. jmpub stays below: a row or a checkpoint
	// has at most 32 MiB, a key a few hundred bytes.
	maxBatch = 64 << 20
	maxValue = 32 << 20
	maxKey   = 16 << 10
	// maxWindow is how far back in a batch zstd may refer to.
	maxWindow = 32 << 20
)

// batchReader reads the records of a batch one by one, and decompresses no further than that. Anybody who may write to a topic decides
// what stands there: where a batch with a good checksum cannot be read on, or goes beyond the bounds, whoever wrote it wrote no
// record of jmpub's from there on, and it ends.
type batchReader struct {
	// first and last are the offsets that it takes, at is the time that those of its records are counted from.
	first, last int64
	at          int64
	count       int
	data        []byte
	compression compress.Compression
	by          *decoders

	reader *bufio.Reader
	close  func()
	// rest is what of the record is not read yet.
	rest   io.LimitedReader
	key    []byte
	value  section
	record protocol.Record
}

var _ protocol.RecordReader = (*batchReader)(nil)

// ReadRecord returns the next record, which is valid until the one after it. Its value can be read once, or not at all.
func (b *batchReader) ReadRecord() (*protocol.Record, error) {
	for b.count > 0 {
		b.count--
		switch err := b.next(); {
		case err == nil:
			return &b.record, nil
		case !errors.Is(err, errHugeKey):
			b.count = 0
		}
	}
	if b.close != nil {
		b.close()
		b.close = nil
	}
	return nil, io.EOF
}

func (b *batchReader) open() error {
	decoded, closing, err := b.by.open(b.compression, b.data)
	if err != nil {
		return err
	}
	b.reader = b.by.buffer(io.LimitReader(decoded, maxBatch))
	b.close = func() {
		used := b.reader
		b.reader, b.rest = nil, io.LimitedReader{} // It is another one's from now on.
		used.Reset(nil)
		b.by.buffers.Put(used)
		if closing != nil {
			closing()
		}
	}
	return nil
}

var (
	errRecord  = errors.New("the record is malformed")
	errHugeKey = errors.New("the key is larger than any of jmpub")
)

// next reads a record up to its value.
func (b *batchReader) next() error {
	if b.reader == nil {
		if err := b.open(); err != nil {
			return err
		}
		b.rest.R = b.reader
	}
	if _, err := io.Copy(io.Discard, &b.rest); err != nil || b.rest.N > 0 {
		return errors.Join(err, errRecord)
	}
	var err error
	if b.rest.N, err = binary.ReadVarint(b.reader); err != nil || b.rest.N < 0 {
		return errRecord
	}
	if _, err = b.ReadByte(); err != nil { // Attributes, of which there are none.
		return err
	}
	at, offset, size := b.varint(&err), b.varint(&err), b.varint(&err)
	b.record.Offset, b.record.Time = b.first+offset, time.UnixMilli(b.at+at)
	b.record.Key, b.record.Value = nil, nil
	switch {
	case err != nil:
		return err
	case offset < 0 || offset > b.last-b.first || size > b.rest.N:
		return errRecord
	case size > maxKey:
		return errHugeKey
	case size >= 0:
		b.key = slices.Grow(b.key[:0], int(size))[:size]
		if _, err = io.ReadFull(&b.rest, b.key); err != nil {
			return err
		}
		b.record.Key = protocol.NewBytes(b.key)
	}
	switch size = b.varint(&err); {
	case err != nil || size > b.rest.N:
		return errRecord
	case size > maxValue:
		b.record.Value = tooLarge{}
	case size >= 0:
		b.value = section{from: &b.rest, size: int(size)}
		b.record.Value = &b.value
	}
	return nil
}

// varint reads a number of the record.
func (b *batchReader) varint(failed *error) (n int64) {
	if *failed == nil {
		n, *failed = binary.ReadVarint(b)
	}
	return n
}

// ReadByte reads a byte of the record.
func (b *batchReader) ReadByte() (byte, error) {
	if b.rest.N <= 0 {
		return 0, errRecord
	}
	b.rest.N--
	return b.reader.ReadByte()
}

// lastOffset is that of the last record that was written in the batch, whether it is there still or not.
func (b *batchReader) lastOffset() int64 { return b.last }

// section is a value that is still to be read.
type section struct {
	from *io.LimitedReader
	size int
}

// errTooLarge is of a value that nobody reads.
var errTooLarge = fmt.Errorf("its value has more than %d MiB, which no record of jmpub has", maxValue>>20)

// tooLarge takes such a value's place.
type tooLarge struct{}

func (tooLarge) Len() int                 { return 0 }
func (tooLarge) Read([]byte) (int, error) { return 0, errTooLarge }
func (tooLarge) Close() error             { return nil }

// Len is how much is left.
func (s *section) Len() int { return s.size }

// Read reads of it.
func (s *section) Read(p []byte) (int, error) {
	if s.size == 0 {
		return 0, io.EOF
	}
	n, err := s.from.Read(p[:min(len(p), s.size)])
	s.size -= n
	return n, err
}

const (
	// mostHeaders are read of a record, mostHeader bytes of each of their keys and values.
	mostHeaders = 64
	mostHeader  = 16 << 10
)

// headers are those of the record, behind its value, which is passed over as far as it was not read. They end where they cannot be read on.
func (s *section) headers() (all []Header) {
	if _, err := io.Copy(io.Discard, s); err != nil {
		return nil
	}
	from := limited{s.from} // It reads no further than the record.
	text := func() []byte {
		size, err := binary.ReadVarint(from)
		if err != nil || size < 0 || size > min(s.from.N, mostHeader) {
			return nil
		}
		read := make([]byte, size)
		if _, err = io.ReadFull(s.from, read); err != nil {
			return nil
		}
		return read
	}
	n, err := binary.ReadVarint(from)
	if err != nil {
		return nil
	}
	for range min(n, mostHeaders) {
		key := text()
		value := text()
		if key == nil || value == nil {
			break
		}
		all = append(all, Header{string(key), value})
	}
	return all
}

// limited reads single bytes.
type limited struct{ *io.LimitedReader }

// ReadByte implements [io.ByteReader].
func (l limited) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(l.LimitedReader, b[:])
	return b[0], err
}

// Close has nothing to do: what is left is passed over.
func (*section) Close() error { return nil }

// decoders decompress batches. Safe for concurrent use; the zero value is ready.
type decoders struct {
	zstd sync.Pool
	// buffers are those of batches that are read: most batches are far smaller than one.
	buffers sync.Pool
}

// buffer makes a buffer for a batch, or takes one that is not needed any more.
func (d *decoders) buffer(decoded io.Reader) *bufio.Reader {
	if used, ok := d.buffers.Get().(*bufio.Reader); ok {
		used.Reset(decoded)
		return used
	}
	return bufio.NewReader(decoded)
}

// open decompresses data as it is read. closing, where it is not nil, gives memory back.
func (d *decoders) open(c compress.Compression, data []byte) (decoded io.Reader, closing func(), err error) {
	switch c {
	case compress.None:
		return bytes.NewReader(data), nil, nil
	case compress.Snappy:
		return &snappyReader{left: data}, nil, nil
	case compress.Zstd:
		return d.openZstd(data)
	case compress.Gzip, compress.Lz4:
		reader := c.Codec().NewReader(bytes.NewReader(data))
		return reader, func() { _ = reader.Close() }, nil
	default:
		return nil, nil, fmt.Errorf("the compression %d is not known", c)
	}
}

// openZstd bounds what a frame may ask for: kafka-go's decoder makes room for a window of 512 MiB.
func (d *decoders) openZstd(data []byte) (decoded io.Reader, closing func(), err error) {
	decoder, ok := d.zstd.Get().(*zstd.Decoder)
	if !ok {
		decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxBatch))
	}
	if err == nil {
		err = decoder.Reset(bytes.NewReader(data))
	}
	return decoder, func() {
		if decoder.Reset(nil) == nil {
			d.zstd.Put(decoder)
		}
	}, err
}

// snappyReader decodes snappy, in the frames of the Java client or without. kafka-go's makes room for what each frame claims to have.
type snappyReader struct {
	left, decoded, memory []byte

	begun, framed bool
}

// frameHeader is what the frames of the Java client begin with: a magic number, and two versions.
const frameHeader = 16

// Read decodes the next frame where the last one is read.
func (s *snappyReader) Read(p []byte) (int, error) {
	for len(s.decoded) == 0 {
		if len(s.left) == 0 {
			return 0, io.EOF
		}
		frame, err := s.frame()
		if err != nil {
			return 0, err
		}
		if n, wrong := snappy.DecodedLen(frame); wrong != nil || n > maxBatch {
			return 0, errRecord
		}
		if s.memory, err = snappy.Decode(s.memory[:cap(s.memory)], frame); err != nil {
			return 0, err
		}
		s.decoded = s.memory
	}
	n := copy(p, s.decoded)
	s.decoded = s.decoded[n:]
	return n, nil
}

func (s *snappyReader) frame() ([]byte, error) {
	if !s.begun {
		s.begun = true
		if s.framed = len(s.left) >= frameHeader && bytes.HasPrefix(s.left, []byte("\x82SNAPPY\x00")); s.framed {
			s.left = s.left[frameHeader:]
		}
	}
	frame := s.left
	if s.framed {
		const prefix = 4
		if len(s.left) < prefix {
			return nil, errRecord
		}
		size := int(binary.BigEndian.Uint32(s.left))
		if size > len(s.left)-prefix {
			return nil, errRecord
		}
		frame = s.left[prefix : prefix+size]
		s.left = s.left[prefix+size:]
		return frame, nil
	}
	s.left = nil
	return frame, nil
}
