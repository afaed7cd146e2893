package checkpoint_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"
	"runtime"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/listoffsets"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// idleLedger answers for a ledger's only partition as a broker does, byte by byte: an idle stream's windows of 30 s, each in a
// transaction of its own. Record i stands at offset 2i, the marker of its transaction behind it.
type idleLedger struct {
	records int64
	// sample, where set, is called when another 512 KiB have been decoded, while all of the last reply is held.
	sample  func()
	decoded int
	buf     bytes.Buffer
}

func idleBegin() time.Time { return time.Unix(1_700_000_000, 0).UTC() }

func (l *idleLedger) RoundTrip(_ context.Context, _ net.Addr, request kafkago.Request) (kafkago.Response, error) {
	switch r := request.(type) {
	case *listoffsets.Request:
		reply := &listoffsets.Response{Topics: []listoffsets.ResponseTopic{{Topic: r.Topics[0].Topic}}}
		for _, p := range r.Topics[0].Partitions {
			offset := 2 * l.records
			if p.Timestamp != kafkago.LastOffset { // The ledger is younger than any time that is asked for.
				offset = 0
			}
			reply.Topics[0].Partitions = append(reply.Topics[0].Partitions, listoffsets.ResponsePartition{Timestamp: p.Timestamp, Offset: offset})
		}
		return reply, nil
	case *fetch.Request:
		return l.fetch(r.Topics[0].Partitions[0])
	default:
		return nil, fmt.Errorf("unexpected %T", request)
	}
}

// fetch writes a reply of version 11 (Kafka documentation, protocol, Fetch) and has kafka-go decode it, as from a connection.
func (l *idleLedger) fetch(asked fetch.RequestPartition) (kafkago.Response, error) {
	l.buf.Reset()
	l.buf.Write(make([]byte, 4+4+4+2+4)) // size, correlation id, throttle time, error code, session id
	l.buf.Write([]byte{0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 1})
	l.buf.Write(make([]byte, 4+2+8+8+8+4+4)) // partition, error code, offsets, aborted transactions, replica
	sizeAt := l.buf.Len()
	l.buf.Write(make([]byte, 4))
	for at := asked.FetchOffset; at < 2*l.records && l.buf.Len()-sizeAt < int(asked.PartitionMaxBytes); at++ {
		if err := l.batch(at); err != nil {
			return nil, err
		}
	}
	reply := l.buf.Bytes()
	binary.BigEndian.PutUint32(reply[sizeAt:], uint32(len(reply)-sizeAt-4))
	binary.BigEndian.PutUint32(reply, uint32(len(reply)-4))
	_, message, err := protocol.ReadResponse(bytes.NewBuffer(reply), protocol.Fetch, 11)
	if l.decoded += len(reply); l.sample != nil && l.decoded > 512<<10 {
		l.decoded = 0
		l.sample()
	}
	return message, err
}

func (l *idleLedger) batch(offset int64) error {
	begin := idleBegin().Add(time.Duration(offset/2) * 30 * time.Second)
	record := protocol.Record{Time: begin}
	attributes := protocol.Transactional | protocol.Snappy // Lz4 would take 4 MiB for each batch under the race detector.
	if offset%2 == 1 {
		attributes = protocol.Transactional | protocol.Control
		record.Key, record.Value = protocol.NewBytes([]byte{0, 0, 0, 1}), protocol.NewBytes(make([]byte, 6))
	} else {
		w := pipeline.Window{Begin: begin.Add(-2 * time.Second), End: begin.Add(30 * time.Second)}
		s := pipeline.Stream{Kind: pipeline.StreamMessages}
		value, err := checkpoint.EncodeLedger(&pipeline.Ledger{
			AppKey: appKey, Stream: s, Window: w, Sequence: offset/2 + 1, MovedFrom: begin, MovedTo: w.End, Pages: 1, Requests: 1,
			Started: w.End.Add(15 * time.Second), Duration: 1234567 * time.Nanosecond,
		})
		if err != nil {
			return err
		}
		record.Key, record.Value = protocol.NewBytes(checkpoint.LedgerKey(appKey, s, w)), protocol.NewBytes(value)
	}
	from := l.buf.Len()
	set := protocol.RecordSet{Version: 2, Attributes: attributes, Records: protocol.NewRecordReader(record)}
	if _, err := set.WriteTo(&l.buf); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(l.buf.Bytes()[from:])
	batch := append([]byte(nil), l.buf.Bytes()[from+4:]...)
	if int(size) != len(batch) {
		return fmt.Errorf("a batch of %d bytes says %d", len(batch), size)
	}
	binary.BigEndian.PutUint64(batch, uint64(offset))
	binary.BigEndian.PutUint64(batch[43:], 1) // The producer.
	binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[21:], crc32.MakeTable(crc32.Castagnoli)))
	l.buf.Truncate(from)
	l.buf.Write(batch)
	return nil
}

func (l *idleLedger) archive() *checkpoint.Archive {
	client := &kafkago.Client{Addr: kafkago.TCP("fake:9092"), Transport: l, Timeout: time.Minute}
	return checkpoint.NewArchive(client, "t.windows", appKey, func() int { return 1 }, pipeline.Retry{})
}

// read gives a ledger's records to those who take them in.
func (l *idleLedger) read(tb testing.TB, take func(*pipeline.Ledger, audit.Place)) {
	tb.Helper()
	q := audit.Query{Streams: []pipeline.Stream{{Kind: pipeline.StreamMessages}}, Since: idleBegin()}
	_, err := l.archive().Ledger(tb.Context(), q, func(record *pipeline.Ledger, at audit.Place) error {
		take(record, at)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// readForAudit does with the ledger what an audit does, and returns how many windows form a chain.
func readForAudit(tb testing.TB, l *idleLedger) (windows int) {
	tb.Helper()
	var lineage audit.Lineage
	l.read(tb, lineage.Add)
	chains := lineage.Chains(func(pipeline.Stream, pipeline.Window) bool { return true })
	if len(chains) != 1 {
		tb.Fatalf("%d chains", len(chains))
	}
	runtime.KeepAlive(&lineage)
	return chains[0].Len()
}

// readForSums does with the ledger what `jmpub windows --by day` does, and returns how many days and holes there are.
func readForSums(tb testing.TB, l *idleLedger) (days, holes int) {
	tb.Helper()
	var coverage audit.Coverage
	byDay := audit.NewSums(24*time.Hour, time.UTC)
	l.read(tb, func(record *pipeline.Ledger, _ audit.Place) {
		coverage.Add(record)
		byDay.Add(record)
	})
	asked := pipeline.Window{Begin: idleBegin(), End: idleBegin().Add(time.Duration(l.records) * 30 * time.Second)}
	return len(byDay.All()), len(coverage.Holes(nil, asked))
}

// peak returns a function that samples how much memory the process holds, beyond what it holds now, and the most that was seen.
func peak() (sample func(), most func() float64) {
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	highest := uint64(0)
	sample = func() {
		runtime.ReadMemStats(&now)
		highest = max(highest, now.HeapInuse+now.StackInuse)
	}
	return sample, func() float64 { return (float64(highest) - float64(before.HeapInuse+before.StackInuse)) / (1 << 20) }
}

// TestLedgerIsReadInBoundedMemory reads the windows of half a day of an idle stream.
func TestLedgerIsReadInBoundedMemory(t *testing.T) {
	sample, most := peak()
	l := &idleLedger{records: 1_500, sample: sample}
	if windows := readForAudit(t, l); windows != 1_500 {
		t.Errorf("%d windows", windows)
	}
	if days, holes := readForSums(t, l); holes > 0 || days < 1 || days > 2 {
		t.Errorf("%d holes, %d days", holes, days)
	}
	const limit = 64
	if mib := most(); mib > limit {
		t.Errorf("the heap grew by %.0f MiB, more than %d", mib, limit)
	}
}

// BenchmarkMillionRecords reads a ledger of a million records and reports the most memory that it took.
func BenchmarkMillionRecords(b *testing.B) {
	b.Run("audit", func(b *testing.B) {
		for b.Loop() {
			sample, most := peak()
			if windows := readForAudit(b, &idleLedger{records: 1_000_000, sample: sample}); windows != 1_000_000 {
				b.Fatalf("%d windows", windows)
			}
			b.ReportMetric(most(), "MiB")
		}
	})
	b.Run("windows", func(b *testing.B) {
		for b.Loop() {
			sample, most := peak()
			if days, _ := readForSums(b, &idleLedger{records: 1_000_000, sample: sample}); days < 347 {
				b.Fatalf("%d days", days)
			}
			b.ReportMetric(most(), "MiB")
		}
	})
}
