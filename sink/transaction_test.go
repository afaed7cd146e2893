package sink_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jmpub/jmpub/internal/tests/canonical"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

func TestAbortedIsNotSeen(t *testing.T) {
	b := newBench(t)
	s := b.open(t)
	for i, aborted := range []bool{false, true, false, true} {
		tx, err := s.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Publish(t.Context(), events(i*100, 100)); err != nil {
			t.Fatal(err)
		}
		end := tx.Commit
		if aborted {
			end = tx.Abort
		}
		if err := end(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := keysOf(b.read(t, eventTopics()...)), append(upTo(100), events200to299()...); !slices.Equal(got, want) {
		t.Errorf("%d records %v, want %d", len(got), got, len(want))
	}
}

func events200to299() []int {
	var keys []int
	for i := 200; i < 300; i++ {
		keys = append(keys, i)
	}
	return keys
}

func TestAtLeastOnceNeedsNoTransactions(t *testing.T) {
	b := newBench(t)
	b.cfg.TransactionalID = ""
	for _, key := range []kmsg.Key{kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.EndTxn} {
		b.cluster.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
			t.Errorf("a request of kind %d was sent", key)
			return nil, nil, false
		})
	}
	commit(t, b.open(t), events(0, 100))
	if got := keysOf(b.read(t, eventTopics()...)); !slices.Equal(got, upTo(100)) {
		t.Errorf("%d records, want 100", len(got))
	}
}

// TestRequestsOfATransaction counts what a transaction sends, with events and records of jmpub's own, where one broker leads all partitions.
func TestRequestsOfATransaction(t *testing.T) {
	b := newBenchOf(t, 1)
	s := b.open(t)
	commit(t, s, events(0, 100))
	var mu sync.Mutex
	sent := make(map[kmsg.Key]int)
	b.cluster.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		switch key := kmsg.Key(req.Key()); key {
		case kmsg.Metadata: // It is asked for every other second, whatever is sent.
		case kmsg.ApiVersions: // That may take a connection of its own.
		default:
			sent[key]++
		}
		return nil, nil, false
	})
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = tx.Publish(t.Context(), events(100, 100)); err != nil {
		t.Fatal(err)
	}
	if err = tx.Append(t.Context(), []pipeline.Record{
		{Topic: pipeline.TopicCheckpoints, Partition: 0, Key: []byte("k"), Value: []byte("v")},
		{Topic: pipeline.TopicWindows, Partition: -1, Key: []byte("k"), Value: []byte("v")},
	}); err != nil {
		t.Fatal(err)
	}
	if err = tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := map[kmsg.Key]int{kmsg.AddPartitionsToTxn: 2, kmsg.Produce: 2, kmsg.EndTxn: 1}; !maps.Equal(sent, want) {
		t.Errorf("sent %v, want %v", sent, want)
	}
}

// TestTooLargeForItsTopic expects a record that fits in no batch in rejected, whole, and its neighbours where they belong.
func TestTooLargeForItsTopic(t *testing.T) {
	b := newBench(t)
	b.cfg.Compression = "none"
	s := b.open(t)
	batch := events(0, 8)
	row := `{"msgid":4,"msg_body":{"text":"` + strings.Repeat("big ", 400_000) + `"}}`
	e, rejection := event.NewNormalizer(appKey).Normalize([]byte(row))
	if rejection != nil {
		t.Fatal(rejection.Detail)
	}
	e.Target = batch.Events[4].Target
	batch.Events[4] = e
	batch.Rejected = []event.Rejection{{Row: []byte("null"), Reason: event.ReasonNotObject, Detail: "null"}}
	published := commit(t, s, batch)[0]
	if len(published.Rejected) != 1 || published.Rejected[0].Reason != event.ReasonTooLarge || published.Rejected[0].MsgID != 4 {
		t.Fatalf("rejected %d, want msgid 4 as too large", len(published.Rejected))
	}
	total := 0
	for _, n := range published.Events {
		total += n
	}
	if total != 7 {
		t.Errorf("%d events count as published, want 7", total)
	}
	if got := keysOf(b.read(t, eventTopics()...)); !slices.Equal(got, []int{0, 1, 2, 3, 5, 6, 7}) {
		t.Errorf("keys %v", got)
	}
	found := b.read(t, "t.rejected")
	if len(found) != 2 {
		t.Fatalf("%d rejected records, want 2", len(found))
	}
	for _, r := range found {
		if string(r.Value) != "null" && !canonical.Equal(r.Value, []byte(row)) || r.Key != nil {
			t.Errorf("a rejected record of %d bytes with key %q is not the row", len(r.Value), r.Key)
		}
	}
}

// TestBatchesFitIntoTheirTopic publishes several times as much as a batch of a topic may have: whatever the headers of its records take, none is
// larger, and they are filled.
func TestBatchesFitIntoTheirTopic(t *testing.T) {
	for name, c := range map[string]struct {
		stream, replay string
		text           int
	}{
		"large events":  {"", "", 1000},
		"small events":  {"", "", 1},
		"a long stream": {strings.Repeat("name", 30), "", 1},
		"a replay":      {"1", "20261127T000000Z-20261128T000000Z-554345c3", 300},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.cfg.Compression, b.cfg.ReplayID = "none", c.replay
			s := b.open(t)
			const n, most = 12_000, 1<<20 + 12 // The default of max.message.bytes.
			batch := events(1<<60, n)
			if c.stream != "" {
				batch.Stream = pipeline.Stream{Kind: pipeline.StreamUsers, Name: c.stream}
			}
			for i := range batch.Events {
				batch.Events[i].Target = event.TargetGroup
				batch.Events[i].Value = fmt.Appendf(nil, `{"text":%q}`, strings.Repeat("x", c.text))
			}
			var largest atomic.Int64
			b.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
				b.cluster.KeepControl()
				if produce, ok := req.(*kmsg.ProduceRequest); ok {
					if produce.Acks != -1 {
						t.Errorf("a batch is taken when %d brokers have it, want all in sync", produce.Acks)
					}
					for _, topic := range produce.Topics {
						for _, p := range topic.Partitions {
							largest.Store(max(largest.Load(), int64(len(p.Records))))
						}
					}
				}
				return nil, nil, false
			})
			commit(t, s, batch)
			if got := len(b.read(t, eventTopics()...)); got != n || largest.Load() > most || largest.Load() < most*3/4 {
				t.Errorf("%d of %d records, in batches of up to %d bytes, want them near %d", got, n, largest.Load(), most)
			}
		})
	}
}

// BenchmarkTransaction commits windows of 10,000 events of about 600 bytes; an operation is a window.
func BenchmarkTransaction(b *testing.B) {
	for _, codec := range []string{"none", "snappy", "lz4", "zstd", "gzip"} {
		b.Run(codec, func(b *testing.B) {
			bench := newBench(b)
			bench.cfg.Compression = codec
			bench.topics.Partitions = 6
			s := bench.open(b)
			batch := window(b, 10_000)
			for b.Loop() {
				commit(b, s, batch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/record")
		})
	}
}

// window is a batch of n events of about 600 bytes.
func window(tb testing.TB, n int) *pipeline.Batch {
	tb.Helper()
	batch := &pipeline.Batch{AppKey: appKey, Stream: pipeline.Stream{Kind: pipeline.StreamMessages}}
	normalizer := event.NewNormalizer(appKey)
	for i := range n {
		row := fmt.Appendf(nil, `{"set_from_name":0,"from_platform":"a","target_name":"","msg_type":"text","version":1,"target_id":"user_%04d",`+
			`"from_appkey":"%s","from_name":"user_%04d","from_id":"user_%04d","msg_body":{"text":"请问这个订单什么时候发货?订单号 %d","extras":{}},`+
			`"create_time":%d,"from_type":"user","target_appkey":"%s","target_type":"single","msgid":%d,"msg_ctime":%d,"msg_level":0}`,
			i%977, appKey, i%733, i%733, i*7919, 1553222785+i/50, appKey, int64(i)*7919*65537, 1553222785613+i*20)
		e, rejection := normalizer.Normalize(row)
		if rejection != nil {
			tb.Fatal(rejection.Detail)
		}
		batch.Events = append(batch.Events, e)
	}
	return batch
}
