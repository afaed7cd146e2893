package kafka

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"reflect"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/jmpub/jmpub/internal/secret"
	measure "github.com/jmpub/jmpub/internal/tests/hostile"
	"github.com/jmpub/jmpub/pipeline"
)

// spoken is a connection to a broker that answers whatever it likes. It needs no goroutine: the reply is there when the request is
// written.
type spoken struct {
	mu sync.Mutex
	// answer returns the reply to a request, with its size, or nothing, after which the connection is closed.
	answer  func(key protocol.ApiKey, version int16, id []byte) []byte
	request []byte
	reply   bytes.Buffer
}

func (c *spoken) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.request = append(c.request, b...)
	for len(c.request) >= 4 && len(c.request) >= 4+int(binary.BigEndian.Uint32(c.request)) {
		r := c.request
		c.reply.Write(c.answer(protocol.ApiKey(binary.BigEndian.Uint16(r[4:])), int16(binary.BigEndian.Uint16(r[6:])), r[8:12]))
		c.request = r[4+binary.BigEndian.Uint32(r):]
	}
	return len(b), nil
}

func (c *spoken) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reply.Read(b)
}

func (*spoken) Close() error                     { return nil }
func (*spoken) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*spoken) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*spoken) SetDeadline(time.Time) error      { return nil }
func (*spoken) SetReadDeadline(time.Time) error  { return nil }
func (*spoken) SetWriteDeadline(time.Time) error { return nil }

// hostile is a broker at every address.
type hostile func(key protocol.ApiKey, version int16, id []byte) []byte

func (h hostile) DialContext(context.Context, string, string) (net.Conn, error) {
	return &spoken{answer: h}, nil
}

// open connects to it.
func (h hostile) open(tb testing.TB, cfg Config) *Conn {
	tb.Helper()
	cfg.Brokers = []string{"hostile:9092"}
	conn, err := cfg.open(&dialer{by: h, layouts: new(layouts)})
	if err != nil {
		tb.Fatal(err)
	}
	return conn
}

// frame is a reply.
func frame(id []byte, body ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(id)+len(body)))
	return append(append(b, id...), body...)
}

// honest answers as a broker with one topic does.
func honest(key protocol.ApiKey, version int16, id []byte) []byte {
	var m protocol.Message
	switch key {
	case protocol.ApiVersions:
		all := &apiversions.Response{}
		for _, k := range []protocol.ApiKey{protocol.Fetch, protocol.Metadata, protocol.ListOffsets, protocol.SaslHandshake, protocol.SaslAuthenticate} {
			all.ApiKeys = append(all.ApiKeys, apiversions.ApiKeyResponse{ApiKey: int16(k), MaxVersion: 12})
		}
		m = all
	case protocol.Metadata:
		m = &metadata.Response{
			Brokers: []metadata.ResponseBroker{{NodeID: 1, Host: "hostile", Port: 9092}},
			Topics:  []metadata.ResponseTopic{{Name: "t", Partitions: []metadata.ResponsePartition{{LeaderID: 1}}}},
		}
	default:
		return nil
	}
	var b bytes.Buffer
	if err := protocol.WriteResponse(&b, version, int32(binary.BigEndian.Uint32(id)), m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// lying answers one kind of request with a body of its own.
func lying(about protocol.ApiKey, body []byte) hostile {
	return func(key protocol.ApiKey, version int16, id []byte) []byte {
		if key == about {
			return frame(id, body...)
		}
		return honest(key, version, id)
	}
}

// TestHostileReplies connects to brokers whose replies claim what they do not hold. Each is an error that names the broker, and may
// pass; kafka-go panics at some, in goroutines of its own, takes gigabytes for others, or counts for ever.
func TestHostileReplies(t *testing.T) {
	huge := []byte{0x7f, 0xff, 0xff, 0xff}
	join := slices.Concat[[]byte]
	size := func(n uint32) hostile {
		return func(_ protocol.ApiKey, _ int16, id []byte) []byte {
			return append(binary.BigEndian.AppendUint32(nil, n), id...)
		}
	}
	replies := map[string]hostile{
		"a negative size":                   size(1 << 31),
		"a size of 2 GiB":                   size(1<<31 - 1),
		"a size without a correlation id":   size(3),
		"an HTTP server":                    func(protocol.ApiKey, int16, []byte) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") },
		"nothing":                           func(protocol.ApiKey, int16, []byte) []byte { return nil },
		"API versions without end":          lying(protocol.ApiVersions, join([]byte{0, 0}, huge)),
		"API versions that end early":       lying(protocol.ApiVersions, []byte{0, 0, 0, 0, 0, 1, 0, 18}),
		"brokers without end":               lying(protocol.Metadata, join([]byte{0, 0, 0, 0}, huge)),
		"a host of 32 KiB that is not here": lying(protocol.Metadata, join([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}, huge[:2])),
		"16 MiB of empty brokers":           lying(protocol.Metadata, join([]byte{0, 0, 0, 0, 0, 0x10, 0, 0}, make([]byte, maxReply-16))),
	}
	for name, broker := range replies {
		t.Run(name, func(t *testing.T) {
			conn := broker.open(t, Config{})
			defer conn.Close()
			_, err := conn.brokers(t.Context())
			if err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("the error is %v", err)
			}
			fault := Fault("connect", err)
			if pipeline.ClassOf(fault) != pipeline.Transient {
				t.Errorf("%v is of class %s", err, pipeline.ClassOf(fault))
			}
			if name != "nothing" && !strings.Contains(err.Error(), "broker at hostile:9092") {
				t.Errorf("it does not name the broker: %v", err)
			}
		})
	}
}

// TestHostileMetadata takes the largest metadata that is let through.
func TestHostileMetadata(t *testing.T) {
	for name, most := range map[string]int{"brokers": 284_000, "topics": 250_000, "partitions": 190_000} {
		m := &metadata.Response{}
		var partitions []metadata.ResponsePartition
		for i := range most {
			switch name {
			case "brokers":
				m.Brokers = append(m.Brokers, metadata.ResponseBroker{NodeID: int32(i), Host: strconv.Itoa(i)})
			case "topics":
				m.Topics = append(m.Topics, metadata.ResponseTopic{Name: strconv.Itoa(i)})
			default:
				partitions = append(partitions, metadata.ResponsePartition{PartitionIndex: int32(i), ReplicaNodes: []int32{1, 2, 3}, IsrNodes: []int32{1, 2, 3}})
			}
		}
		m.Topics = append(m.Topics, metadata.ResponseTopic{Name: "t", Partitions: partitions})
		var b bytes.Buffer
		if err := protocol.WriteResponse(&b, 8, 0, m); err != nil {
			t.Fatal(err)
		}
		conn := lying(protocol.Metadata, b.Bytes()[8:]).open(t, Config{})
		var err error
		peak := measure.PeakHeap(func() { _, err = conn.brokers(t.Context()) })
		conn.Close()
		t.Logf("%d %s in a reply of %d MiB take %d MiB", most, name, b.Len()>>20, peak>>20)
		if err != nil || peak > 224<<20 {
			t.Errorf("%s: it takes %d MiB, %v", name, peak>>20, err)
		}
	}
}

// TestSlowPassword is a broker that asks for so many rounds of SCRAM that a processor is busy for hours. Nobody but it has said
// anything by then.
func TestSlowPassword(t *testing.T) {
	broker := func(key protocol.ApiKey, version int16, id []byte) []byte {
		switch key {
		case protocol.SaslHandshake:
			return frame(id, 0, 0, 0, 0, 0, 0)
		case protocol.SaslAuthenticate:
			// The nonce has to begin with that of the client, which is not looked at before.
			text := "r=x,s=QSXCR+Q6sek8bf92,i=2000000000"
			body := binary.BigEndian.AppendUint32([]byte{0, 0, 0xff, 0xff}, uint32(len(text)))
			return frame(id, append(append(body, text...), make([]byte, 8)...)...)
		default:
			return honest(key, version, id)
		}
	}
	conn := hostile(broker).open(t, Config{Mechanism: ScramSHA512, Username: "u", Password: secret.New("p")})
	defer conn.Close()
	_, err := conn.brokers(t.Context())
	if err == nil || !strings.Contains(err.Error(), "rounds of SCRAM") {
		t.Errorf("the error is %v", err)
	}
}

// TestHangsUpAtLogin is a broker that knows nothing of credentials, or refuses them without a word. At the first contact that is a wrong
// setting; later it may pass.
func TestHangsUpAtLogin(t *testing.T) {
	cfg := Config{Mechanism: Plain, Username: "u", Password: secret.New("p")}
	conn := hostile(honest).open(t, cfg)
	defer conn.Close()
	_, err := conn.brokers(t.Context())
	if got := pipeline.ClassOf(Fault("read", err)); err == nil || got != pipeline.Transient {
		t.Errorf("%v is of class %s", err, got)
	}
	err = cfg.connectFault(t.Context(), "connect", "hostile:9092", err)
	if pipeline.ClassOf(err) != pipeline.Permanent || !strings.Contains(err.Error(), "JMPUB_KAFKA_SASL") {
		t.Errorf("%v is of class %s", err, pipeline.ClassOf(err))
	}
}

// written is a batch as a producer may write it: its checksum is right, whatever else is not.
type written struct {
	first         int64
	attributes    int16
	lastDelta     int32
	count         int32
	records       []byte
	magic         byte
	damaged       bool
	lengthInstead int32
}

func (b *written) bytes() []byte {
	body := binary.BigEndian.AppendUint16(nil, uint16(b.attributes))
	body = binary.BigEndian.AppendUint32(body, uint32(b.lastDelta))
	body = append(body, make([]byte, 16)...)                                                                // The times.
	body = append(body, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) // No producer.
	body = binary.BigEndian.AppendUint32(body, uint32(b.count))
	body = append(body, b.records...)
	sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
	if b.damaged {
		sum++
	}
	length := int32(9 + len(body))
	if b.lengthInstead != 0 {
		length = b.lengthInstead
	}
	set := binary.BigEndian.AppendUint64(nil, uint64(b.first))
	set = binary.BigEndian.AppendUint32(set, uint32(length))
	set = append(set, 0, 0, 0, 0, b.magic)
	return append(binary.BigEndian.AppendUint32(set, sum), body...)
}

// entry is a record of a batch, with a value of one byte.
func entry(delta int64, key string) []byte {
	body := binary.AppendVarint([]byte{0, 0}, delta)
	body = append(binary.AppendVarint(body, int64(len(key))), key...)
	return framed(append(body, 2, 'v', 0))
}

func framed(body []byte) []byte { return append(binary.AppendVarint(nil, int64(len(body))), body...) }

// reply is one to a fetch, with batches.
func reply(batches ...[]byte) []byte {
	set := slices.Concat(batches...)
	return slices.Concat(make([]byte, 4+4+2+4), []byte{0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 1}, make([]byte, 4+2+8+8+8),
		[]byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, binary.BigEndian.AppendUint32(nil, uint32(len(set))), set)
}

// read returns what a reader finds in a reply from an offset on: keys, with an exclamation mark where the value cannot be read.
func read(reply []byte, offset int64) (keys []string, next int64, err error) {
	found, err := decodeFetch(reply, new(decoders))
	if err != nil {
		return nil, offset, err
	}
	if len(found.Topics) == 0 || len(found.Topics[0].Partitions) == 0 {
		return nil, offset, nil
	}
	page := &found.Topics[0].Partitions[0]
	if page.RecordSet.Records == nil {
		return nil, offset, nil
	}
	next, err = eachCommitted(page, offset, func(_ *batch, r *protocol.Record, end ending) error {
		if end != notEnded {
			return nil
		}
		key, unread := readInto(nil, r.Key)
		if unread != nil {
			return unread
		}
		if _, unread = readInto(nil, r.Value); unread != nil {
			key = append(key, '!')
		}
		keys = append(keys, string(key))
		return nil
	})
	return keys, next, err
}

// largeRecord is one with 900 MB of zeros, compressed: frames that follow each other are one stream.
func largeRecord(tb testing.TB, key string, to func(io.Writer) (io.WriteCloser, error)) []byte {
	tb.Helper()
	const part, parts = 1_000_000, 900
	body := append(binary.AppendVarint([]byte{0, 0, 0}, int64(len(key))), key...)
	body = binary.AppendVarint(body, part*parts)
	compressed := func(data []byte) []byte {
		var b bytes.Buffer
		w, err := to(&b)
		if err == nil {
			_, err = w.Write(data)
		}
		if err = errors.Join(err, w.Close()); err != nil {
			tb.Fatal(err)
		}
		return b.Bytes()
	}
	head := append(binary.AppendVarint(nil, int64(len(body))+part*parts+1), body...)
	return append(compressed(head), bytes.Repeat(compressed(make([]byte, part)), parts)...)
}

// flushed does not know, as it begins, how much it writes: its frames say how far they may refer back.
type flushed struct{ *zstd.Encoder }

func (f flushed) Close() error { return errors.Join(f.Flush(), f.Encoder.Close()) }

// TestForeignBatches reads between jmpub's own records what others may write: each batch is passed over, or read as far as it goes,
// and none hides what stands behind it.
func TestForeignBatches(t *testing.T) {
	good := func(first int64) []byte {
		return (&written{first: first, count: 1, magic: 2, records: entry(0, "own")}).bytes()
	}
	gz := func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }
	zs := func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }
	wide := func(w io.Writer) (io.WriteCloser, error) {
		encoder, err := zstd.NewWriter(w, zstd.WithWindowSize(zstd.MaxWindowSize))
		return flushed{encoder}, err
	}
	huge := binary.AppendVarint([]byte{0, 0, 0}, 1<<62)
	cases := map[string]struct {
		batch written
		found []string
	}{
		"no records, of many":          {batch: written{count: 1 << 30, lastDelta: 99}},
		"a negative number of records": {batch: written{count: -5, lastDelta: 99}},
		"an unknown compression":       {batch: written{count: 1, attributes: 7, records: []byte("abc")}},
		"snappy that is none":          {batch: written{count: 1, attributes: 2, records: []byte("\xff\xff\xff\xff\x0fabc")}},
		"frames of snappy that are not there": {batch: written{
			count: 1, attributes: 2,
			records: []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\x7f\xff\xff\xff"),
		}},
		"lz4 that is none":          {batch: written{count: 1, attributes: 3, records: []byte("abc")}},
		"gzip that is none":         {batch: written{count: 1, attributes: 1, records: []byte("abc")}},
		"zstd that is none":         {batch: written{count: 1, attributes: 4, records: []byte("abc")}},
		"900 MB of zeros in zstd":   {batch: written{count: 1, attributes: 4, records: largeRecord(t, "foreign", zs)}, found: []string{"foreign!"}},
		"a window of 512 MB":        {batch: written{count: 1, attributes: 4, records: largeRecord(t, "foreign", wide)}},
		"900 MB of zeros in gzip":   {batch: written{count: 1, attributes: 1, records: largeRecord(t, "foreign", gz)}, found: []string{"foreign!"}},
		"a key of 2^62 bytes":       {batch: written{count: 1, records: framed(huge)}},
		"a value of 2^62 bytes":     {batch: written{count: 1, records: framed(append([]byte{0, 0, 0, 2, 'k'}, huge[3:]...))}},
		"a large key, and another":  {batch: written{count: 2, lastDelta: 1, records: append(entry(0, strings.Repeat("k", maxKey+1)), entry(1, "small")...)}, found: []string{"small"}},
		"a record that ends early":  {batch: written{count: 1, records: []byte{100, 0, 0, 0, 2, 'k', 88, 'v'}}, found: []string{"k!"}},
		"an offset outside":         {batch: written{count: 1, records: entry(1<<40, "k")}},
		"a negative offset":         {batch: written{count: 1, records: entry(-1, "k")}},
		"neither key nor value":     {batch: written{count: 1, records: framed([]byte{0, 0, 0, 1, 1, 0})}, found: []string{""}},
		"a thousand headers":        {batch: written{count: 1, records: framed(append([]byte{0, 0, 0, 2, 'k', 2, 'v'}, bytes.Repeat([]byte{0xe8, 0x07}, 500)...))}, found: []string{"k"}},
		"a message of Kafka 0.10":   {batch: written{magic: 1, records: []byte("whatever it is")}},
		"a batch of a later Kafka":  {batch: written{magic: 3, records: []byte("whatever it is")}},
		"snappy with a good record": {batch: written{count: 1, attributes: 2, records: snappy.Encode(nil, entry(0, "s"))}, found: []string{"s"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.batch.first = 10
			if c.batch.magic == 0 {
				c.batch.magic = 2
			}
			last := c.batch.first + int64(c.batch.lastDelta)
			page := reply(good(1), c.batch.bytes(), good(last+1))
			var keys []string
			var next int64
			var err error
			peak := measure.PeakHeap(func() { keys, next, err = read(page, 0) })
			want := append(append([]string{"own"}, c.found...), "own")
			if err != nil || next != last+2 || !slices.Equal(keys, want) {
				t.Errorf("it reads %q up to %d, %v; want %q up to %d", keys, next, err, want, last+2)
			}
			if peak > 64<<20 {
				t.Errorf("it takes %d MiB", peak>>20)
			}
		})
	}
}

// TestDamagedBatch is one that was changed on its way, or on the broker's disk: what stands in it may be jmpub's, so it is not passed over.
func TestDamagedBatch(t *testing.T) {
	bad := written{first: 7, count: 1, magic: 2, records: entry(0, "k"), damaged: true}
	good := written{first: 1, count: 1, magic: 2, records: entry(0, "own")}
	if _, _, err := read(reply(bad.bytes()), 7); err == nil || !strings.Contains(err.Error(), "offset 7") {
		t.Errorf("the error is %v", err)
	}
	if keys, next, err := read(reply(good.bytes(), bad.bytes()), 0); err != nil || next != 2 || !slices.Equal(keys, []string{"own"}) {
		t.Errorf("before it are %q up to %d, %v", keys, next, err)
	}
	for _, length := range []int32{-1, 1, -1 << 31} {
		bad.lengthInstead = length
		if _, _, err := read(reply(bad.bytes()), 7); err == nil {
			t.Errorf("a length of %d is taken", length)
		}
	}
}

// TestFetchOverTheWire reads a partition through kafka-go's transport.
func TestFetchOverTheWire(t *testing.T) {
	good := written{first: 0, count: 1, magic: 2, records: entry(0, "own")}
	page := reply(good.bytes())
	conn := lying(protocol.Fetch, page[4:]).open(t, Config{ClientID: "test"})
	defer conn.Close()
	l := &Log{Client: conn.Client, Topic: "t"}
	var keys []string
	err := l.Known(t.Context(), 0, Bounds{0, 1}, func(r *LogRecord) error {
		keys = append(keys, string(r.Key))
		return nil
	})
	if err != nil || !slices.Equal(keys, []string{"own"}) {
		t.Errorf("it reads %q, %v", keys, err)
	}
}

// allocated is what was taken from the heap up to now.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// FuzzBroker lets a broker answer anything, to the first contact and to a fetch. Nothing panics, all of it ends, and what is not refused
// is small.
func FuzzBroker(f *testing.F) {
	for _, key := range []protocol.ApiKey{protocol.ApiVersions, protocol.Metadata} {
		f.Add(int16(key), int16(2), honest(key, 2, make([]byte, 4))[8:])
	}
	good := written{first: 5, count: 1, magic: 2, records: entry(0, "own")}
	f.Add(int16(protocol.Fetch), int16(fetchVersion), reply(good.bytes())[4:])
	f.Add(int16(protocol.InitProducerId), int16(4), []byte{0, 0, 0, 0, 0, 0, 1, 2, 3, 4})
	f.Add(int16(protocol.SaslAuthenticate), int16(1), []byte("\x00\x00\x00\x00\x00\x00\x00\x08r=a,i=99"))
	known := new(layouts)
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		whole := append(make([]byte, 4), body...)
		if protocol.ApiKey(key) == protocol.Fetch {
			_, next, err := read(whole, 0)
			if next < 0 || err != nil && next != 0 && len(body) == 0 {
				t.Errorf("next is %d, %v", next, err)
			}
			return
		}
		if known.check(protocol.ApiKey(key), version, whole) != nil {
			return
		}
		before := allocated()
		_, _, err := protocol.ReadResponse(bytes.NewReader(frame(whole[:4], body...)), protocol.ApiKey(key), version)
		if taken := allocated() - before; taken > 8<<20+200*uint64(len(body)) { // Others take some meanwhile.
			t.Errorf("%d bytes take %d", len(body), taken)
		}
		if err != nil && version >= 0 && reflect.TypeOf(err) == reflect.TypeFor[runtime.Error]() {
			t.Error(err)
		}
	})
}
