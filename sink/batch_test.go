package sink

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

func compressions() []kafkago.Compression {
	return []kafkago.Compression{0, kafkago.Gzip, kafkago.Snappy, kafkago.Lz4, kafkago.Zstd}
}

// TestBatchesAreReadAsTheyWereWritten expects kafka-go and franz-go to find in a batch what it was made of, and in its header what it has to say.
func TestBatchesAreReadAsTheyWereWritten(t *testing.T) {
	var memory []byte
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(recordsOfAnyKind(), 1, 50).Draw(t, "records")
		compression := rapid.SampledFrom(compressions()).Draw(t, "compression")
		shares := rapid.SliceOfN(rapid.IntRange(0, 4), 1, 5).Draw(t, "how many headers are shared")
		p := &producer{id: -1, epoch: -1}
		sequence, signed := int32(-1), rapid.Bool().Draw(t, "signed")
		if signed {
			p.id, p.epoch = rapid.Int64Min(0).Draw(t, "id"), rapid.Int16Min(0).Draw(t, "epoch")
			sequence = rapid.OneOf(rapid.Just(int32(math.MaxInt32)), rapid.Int32Min(0)).Draw(t, "sequence")
		}
		written, err := encode(memory, chunk{len(records), func(i int, r *record) {
			r.key, r.value, r.time = records[i].key, records[i].value, records[i].time
			shared := shares[i%len(shares)] % (len(records[i].headers) + 1)
			r.shared, r.headers = shareHeaders(records[i].headers[:shared]), append(r.headers, records[i].headers[shared:]...)
		}}, compression, p, max(sequence, 0))
		if err != nil {
			t.Fatal(err)
		}
		memory = written
		var b kmsg.RecordBatch
		if err = b.ReadFrom(written[sizePrefix:]); err != nil {
			t.Fatal(err)
		}
		attributes := int16(compression)
		if signed {
			attributes |= 1 << 4
		}
		latest := slices.MaxFunc(records, func(a, b record) int { return a.time.Compare(b.time) }).time.UnixMilli()
		want := kmsg.RecordBatch{
			Length: int32(len(written) - sizePrefix - lengthFrom), PartitionLeaderEpoch: -1, Magic: 2,
			CRC: int32(crc32.Checksum(written[sizePrefix+crcFrom:], crc32.MakeTable(crc32.Castagnoli))), Attributes: attributes,
			LastOffsetDelta: int32(len(records) - 1), FirstTimestamp: records[0].time.UnixMilli(), MaxTimestamp: latest,
			ProducerID: p.id, ProducerEpoch: p.epoch, FirstSequence: sequence, NumRecords: int32(len(records)),
		}
		found := b
		found.Records = nil
		if size := binary.BigEndian.Uint32(written); fmt.Sprint(found) != fmt.Sprint(want) || int(size) != len(written)-sizePrefix {
			t.Fatalf("the header is %+v, and the size %d\nwant %+v", found, size, want)
		}
		same(t, records, byFranz(t, written))
		same(t, records, byKafkaGo(t, written))
	})
}

// recordsOfAnyKind makes records whose times are earlier and later than each other's. Null and empty are not the same.
func recordsOfAnyKind() *rapid.Generator[record] {
	some := rapid.OneOf(rapid.Just[[]byte](nil), rapid.SliceOfN(rapid.Byte(), 0, 10), rapid.Custom(func(t *rapid.T) []byte {
		return bytes.Repeat([]byte(rapid.StringN(1, 20, -1).Draw(t, "text")), rapid.IntRange(0, 5000).Draw(t, "times"))
	}))
	return rapid.Custom(func(t *rapid.T) record {
		r := record{key: some.Draw(t, "key"), value: some.Draw(t, "value")}
		r.time = time.UnixMilli(1553222785613 + rapid.OneOf(rapid.Int64Range(-5, 5), rapid.Int64Range(-1e12, 1e12)).Draw(t, "time"))
		for range rapid.IntRange(0, 4).Draw(t, "headers") {
			r.headers = append(r.headers, protocol.Header{Key: rapid.String().Draw(t, "header"), Value: some.Draw(t, "of it")})
		}
		return r
	})
}

func byFranz(t *rapid.T, written []byte) []record {
	raw := kmsg.NewFetchResponseTopicPartition()
	raw.RecordBatches = written[sizePrefix:]
	found, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: "t"}, &raw, kgo.DefaultDecompressor(), nil)
	if found.Err != nil {
		t.Fatal(found.Err)
	}
	var records []record
	for i, r := range found.Records {
		if r.Offset != int64(i) {
			t.Fatalf("record %d has the offset %d", i, r.Offset)
		}
		one := record{key: r.Key, value: r.Value, time: r.Timestamp}
		for _, h := range r.Headers {
			one.headers = append(one.headers, protocol.Header{Key: h.Key, Value: h.Value})
		}
		records = append(records, one)
	}
	return records
}

func byKafkaGo(t *rapid.T, written []byte) []record {
	var set protocol.RecordSet
	if _, err := set.ReadFrom(bytes.NewReader(written)); err != nil {
		t.Fatal(err)
	}
	var records []record
	for {
		r, err := set.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			t.Fatal(err)
		}
		one := record{headers: slices.Clone(r.Headers), time: r.Time}
		if one.key, err = protocol.ReadAll(r.Key); err == nil {
			one.value, err = protocol.ReadAll(r.Value)
		}
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, one)
	}
}

func same(t *rapid.T, want, got []record) {
	show := func(r record) string {
		text := fmt.Appendf(nil, "%#v = %#v at %d:", r.key, r.value, r.time.UnixMilli())
		for _, h := range r.headers {
			text = fmt.Appendf(text, " %q = %#v", h.Key, h.Value)
		}
		return string(text)
	}
	for i := range max(len(want), len(got)) {
		if i >= len(got) || i >= len(want) || show(got[i]) != show(want[i]) {
			t.Fatalf("%d records, want %d; they differ from number %d on", len(got), len(want), i)
		}
	}
}

// TestSequencesWrap holds that the sequence after the last one is 0.
func TestSequencesWrap(t *testing.T) {
	for _, c := range []struct {
		from int32
		n    int
		want int32
	}{{0, 0, 0}, {0, 7, 7}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 2, 1000, 997}} {
		if got := next(c.from, c.n); got != c.want {
			t.Errorf("%d records after %d it is %d, want %d", c.n, c.from, got, c.want)
		}
	}
}

// TestIncompressibleBatchesFit holds that what is left free of a topic's limit has room for what a compressor adds to what it cannot compress.
func TestIncompressibleBatchesFit(t *testing.T) {
	value := make([]byte, defaultMaxBytes-batchMargin-recordOverhead)
	for i, x := 0, uint64(1); i < len(value); i++ {
		x = x*6364136223846793005 + 1442695040888963407
		value[i] = byte(x >> 56)
	}
	for _, compression := range compressions() {
		batch, err := encode(nil, chunk{1, func(_ int, r *record) { r.value = value }}, compression, &producer{id: 1}, 0)
		if size := len(batch) - sizePrefix; err != nil || size > defaultMaxBytes || size < len(value) {
			t.Errorf("%s: %d bytes come to %d, of %d: %v", compression.String(), len(value), size, defaultMaxBytes, err)
		}
	}
}

// TestSizesAreNoLess holds that no record takes more of a batch than it is planned with, however long what it is named by is.
func TestSizesAreNoLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(label string) string { return rapid.StringN(0, -1, 300).Draw(t, label) }
		cfg := &WriterConfig{ReplayID: text("replay")}
		b := &pipeline.Batch{
			AppKey: text("app"), Stream: pipeline.Stream{Kind: pipeline.StreamUsers, Name: text("stream")},
			Window: pipeline.Window{Begin: time.Unix(1<<33, 0), End: time.Unix(1<<33, 0)},
		}
		check := func(what string, r *record, thought int) {
			if got := len(r.append(nil, math.MaxInt64, math.MaxInt32)); got > thought {
				t.Errorf("%s takes %d bytes, and was planned with %d", what, got, thought)
			}
		}
		e := event.Event{MsgID: rapid.Int64().Draw(t, "msgid"), Time: []byte(text("time")), Conversation: []byte(text("conversation"))}
		value, shared := []byte(text("value")), cfg.headersOf(b)
		key := strconv.AppendInt(nil, e.MsgID, 10)
		check("an event", &record{key: key, value: value, shared: shared, headers: appendHeadersOf(nil, &e, key)}, eventSize(&e, value, shared))
		r := &event.Rejection{Reason: event.Reason(text("reason")), Detail: text("detail"), MsgID: e.MsgID, HasMsgID: true}
		check("a rejected row", &record{value: value, headers: cfg.rejectedHeaders(nil, b, r, math.MaxInt64)},
			len(value)+recordOverhead+cfg.rejectedHeadersSize(b, r))
	})
}

// TestEncodersHoldNothingOfTheirBatches holds that what is kept for the next batch is neither the last one's nor larger than most need.
func TestEncodersHoldNothingOfTheirBatches(t *testing.T) {
	e := new(encoder)
	for _, compression := range compressions() {
		large := chunk{1, func(_ int, r *record) {
			r.key, r.value = []byte("key"), make([]byte, keptRecords+1)
			r.headers = append(r.headers, protocol.Header{Key: "h", Value: []byte("v")})
		}}
		if _, err := e.encode(nil, large, compression, &producer{id: 1}, 0); err != nil {
			t.Fatal(err)
		}
		headers := e.record.headers[:cap(e.record.headers)]
		held := slices.ContainsFunc(headers, func(h protocol.Header) bool { return h.Key != "" || h.Value != nil })
		if held || e.record.key != nil || e.record.value != nil || cap(e.records) != 0 {
			t.Errorf("%s: it holds %+v, and %d bytes of records", compression.String(), e.record, cap(e.records))
		}
	}
}
