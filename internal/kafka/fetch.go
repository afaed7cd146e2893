package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// transport is kafka-go's, but for the requests of transactions, whose coordinators are remembered, and for the replies to a fetch, which hold
// what others have written: kafka-go decompresses whole batches, whatever they become, and makes room for as many records as a batch claims to have.
type transport struct {
	*kafkago.Transport

	decoders     *decoders
	coordinators *coordinators
}

func newTransport(by *kafkago.Transport) *transport {
	return &transport{Transport: by, decoders: new(decoders), coordinators: &coordinators{by: by, clientID: by.ClientID}}
}

// RoundTrip sends a request and returns the reply. That to a fetch has the records of [batchReader] in it.
func (t *transport) RoundTrip(ctx context.Context, addr net.Addr, request kafkago.Request) (kafkago.Response, error) {
	switch asked := request.(type) {
	case *fetch.Request:
		request = &fetchExchange{Request: asked, clientID: t.ClientID, decoders: t.decoders}
	case protocol.TransactionalMessage:
		return t.coordinators.send(ctx, addr, asked.Transaction(), request)
	}
	return t.Transport.RoundTrip(ctx, addr, request)
}

// fetchExchange is a fetch of one partition that reads its reply itself. kafka-go sends it to the partition's leader, as it is a
// [protocol.BrokerMessage], and leaves the rest to it, as it is a [protocol.RawExchanger].
type fetchExchange struct {
	*fetch.Request

	clientID string
	version  int16
	decoders *decoders
}

// fetchVersion is the version that is spoken; brokers since Kafka 2.3 have it.
const fetchVersion = 11

// Required learns what the broker speaks.
func (e *fetchExchange) Required(versions map[protocol.ApiKey]int16) bool {
	e.version = versions[protocol.Fetch]
	return true
}

// RawExchange sends the request and reads the reply, of which [wire] has bounded the size.
func (e *fetchExchange) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if e.version != fetchVersion {
		return nil, fmt.Errorf("the broker speaks version %d of Fetch, not %d: %w", e.version, fetchVersion, kafkago.UnsupportedVersion)
	}
	if err := protocol.WriteRequest(rw, fetchVersion, 0, e.clientID, e.Request); err != nil {
		return nil, err
	}
	var prefix [4]byte
	if _, err := io.ReadFull(rw, prefix[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(prefix[:])
	if size > maxFetch {
		return nil, errTruncated
	}
	reply := make([]byte, size)
	if _, err := io.ReadFull(rw, reply); err != nil {
		return nil, err
	}
	return decodeFetch(reply, e.decoders)
}

var errTruncated = errors.New("the reply to a fetch is malformed")

// decodeFetch reads a reply for one partition. Its records are views of the reply.
func decodeFetch(reply []byte, by *decoders) (*fetch.Response, error) {
	w := &walk{left: reply}
	w.skip(4) // The correlation id: one request is answered before the next one is sent.
	response := &fetch.Response{ThrottleTimeMs: w.int32(), ErrorCode: w.int16(), SessionID: w.int32()}
	if topics := w.int32(); topics > 0 && w.err == nil {
		topic := fetch.ResponseTopic{Topic: string(w.take(int(w.int16())))}
		if partitions := w.int32(); partitions > 0 {
			p, err := w.partition(by)
			if err != nil {
				return nil, err
			}
			topic.Partitions = []fetch.ResponsePartition{p}
		}
		response.Topics = []fetch.ResponseTopic{topic}
	}
	if w.err != nil {
		return nil, errTruncated
	}
	return response, nil
}

func (w *walk) int16() int16 { return int16(binary.BigEndian.Uint16(w.take(2))) } //nolint:gosec // It was made from one.
func (w *walk) int32() int32 { return int32(binary.BigEndian.Uint32(w.take(4))) } //nolint:gosec // As above.
func (w *walk) int64() int64 { return int64(binary.BigEndian.Uint64(w.take(8))) } //nolint:gosec // As above.

func (w *walk) partition(by *decoders) (fetch.ResponsePartition, error) {
	p := fetch.ResponsePartition{
		Partition: w.int32(), ErrorCode: w.int16(), HighWatermark: w.int64(), LastStableOffset: w.int64(), LogStartOffset: w.int64(),
	}
	const abortedBytes = 16
	for n := w.int32(); n > 0 && len(w.left) >= abortedBytes; n-- {
		p.AbortedTransactions = append(p.AbortedTransactions, fetch.ResponseTransaction{ProducerID: w.int64(), FirstOffset: w.int64()})
	}
	p.PreferredReadReplica = w.int32()
	batches, err := decodeBatches(w.take(max(int(w.int32()), 0)), by)
	if len(batches) > 0 {
		p.RecordSet.Records = &protocol.RecordStream{Records: batches}
	}
	return p, err
}

const (
	// batchHeader is the size of what a batch begins with, batchPrefix that of the offset and the length in it, which the length
	// does not count.
	batchHeader = 61
	batchPrefix = 12
	// oldHeader is that of a message of Kafka before 0.11, up to its magic number.
	oldHeader = 17
	magic     = 2
)

// decodeBatches finds the batches; the last one may be cut off. What a batch holds is read when its records are.
func decodeBatches(set []byte, by *decoders) ([]protocol.RecordReader, error) {
	var batches []protocol.RecordReader
	for len(set) >= oldHeader {
		first := int64(binary.BigEndian.Uint64(set))             //nolint:gosec // Negative ones are refused.
		length := int64(int32(binary.BigEndian.Uint32(set[8:]))) //nolint:gosec // Negative ones are refused.
		if first < 0 || first > math.MaxInt64-math.MaxInt32-1 || length < oldHeader-batchPrefix {
			return nil, errTruncated
		}
		if length > int64(len(set)-batchPrefix) {
			break
		}
		batch, err := decodeBatch(first, set[:batchPrefix+length], by)
		if err != nil {
			if len(batches) > 0 { // What is before it is good; the next fetch begins here.
				err = nil
			}
			return batches, err
		}
		batches = append(batches, batch)
		set = set[batchPrefix+length:]
	}
	return batches, nil
}

// decodeBatch reads the header of a batch. One of another form is not jmpub's, and is passed over.
func decodeBatch(first int64, b []byte, by *decoders) (protocol.RecordReader, error) {
	if b[oldHeader-1] != magic {
		return &protocol.RecordBatch{BaseOffset: first, Records: &batchReader{last: first}}, nil
	}
	if len(b) < batchHeader {
		return nil, errTruncated
	}
	if found, sum := binary.BigEndian.Uint32(b[17:]), crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)); found != sum {
		return nil, fmt.Errorf("the batch at offset %d is damaged: its checksum is %08x, not %08x", first, sum, found)
	}
	w := &walk{left: b[21:]}
	attributes := protocol.Attributes(w.int16())
	lastDelta, at := w.int32(), w.int64()
	w.skip(8) // The latest time.
	producer, epoch := w.int64(), w.int16()
	sequence, count := w.int32(), w.int32()
	records := &batchReader{
		first: first, last: first + int64(max(lastDelta, 0)), at: at, count: int(count), by: by, data: w.left, compression: attributes.Compression(),
	}
	if attributes.Control() {
		return &protocol.ControlBatch{
			Attributes: attributes, BaseOffset: first, ProducerID: producer, ProducerEpoch: epoch, BaseSequence: sequence, Records: records,
		}, nil
	}
	return &protocol.RecordBatch{
		Attributes: attributes, BaseOffset: first, ProducerID: producer, ProducerEpoch: epoch, BaseSequence: sequence, Records: records,
	}, nil
}
