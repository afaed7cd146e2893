package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// manyApps are apps in one process. Each has a few streams, which have published for some days.
type manyApps struct {
	conn             *kafka.Conn
	writer           *kgo.Client
	apps, partitions int
	days, windows    int
	// lost tells that each app lacks the position of its first stream: then the coverage is asked for it.
	lost bool
	// requests counts fetches and look-ups of offsets, sent the bytes of all replies.
	requests, sent atomic.Int64
}

// appStreams are the streams of each app.
var appStreams = []pipeline.Stream{
	{Kind: pipeline.StreamMessages}, {Kind: pipeline.StreamGroups, Name: "1"}, {Kind: pipeline.StreamGroups, Name: "2"},
}

const (
	appsTopic     = "t.checkpoints"
	appsWindows   = "t.windows"
	appsCoverage  = "t.coverage"
	appsTogether  = 10 // Those that write in one transaction.
	windowsBefore = 8  // How many windows a stream has in the ledger for each that is newer than its position was saved.
)

func newManyApps(tb testing.TB, m *manyApps) *manyApps {
	tb.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(int32(m.partitions), appsTopic, appsWindows, appsCoverage),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			l, err := (&net.ListenConfig{}).Listen(tb.Context(), network, address)
			return &countingListener{l, &m.sent}, err
		}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(cluster.Close)
	for _, key := range []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets} {
		cluster.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			m.requests.Add(1)
			return nil, nil, false
		})
	}
	if m.conn, err = kafka.Open(kafka.Config{Brokers: cluster.ListenAddrs(), ClientID: "test"}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(m.conn.Close)
	m.writer, err = kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.TransactionalID("all"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.SnappyCompression()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(m.writer.Close)
	m.write(tb)
	return m
}

func nameOf(app int) string { return fmt.Sprintf("%024x", app) }

// write publishes windows of all apps in turn.
func (m *manyApps) write(tb testing.TB) {
	tb.Helper()
	for n := range m.windows {
		for app := 0; app < m.apps; app += appsTogether {
			var records []*kgo.Record
			for i := app; i < min(app+appsTogether, m.apps); i++ {
				records = append(records, m.records(tb, nameOf(i), n)...)
			}
			m.commit(tb, records)
		}
	}
}

func (m *manyApps) commit(tb testing.TB, records []*kgo.Record) {
	tb.Helper()
	w := m.writer
	err := errors.Join(w.BeginTransaction(), w.ProduceSync(tb.Context(), records...).FirstErr(), w.EndTransaction(tb.Context(), kgo.TryCommit))
	if err != nil {
		tb.Fatal(err)
	}
}

// have has somebody who has all apps write their positions once more.
func (m *manyApps) have(tb testing.TB) {
	tb.Helper()
	var together kafka.Together
	all := make([][]*kgo.Record, m.apps)
	var loading sync.WaitGroup
	for i := range m.apps {
		loading.Go(func() {
			k := checkpoint.NewKafka(m.conn.Client, appsTopic, nameOf(i), func() int { return m.partitions }, pipeline.Retry{})
			k.ReadTogether(&together)
			found, err := k.Load(tb.Context())
			if err != nil {
				tb.Error(err)
			}
			for _, cp := range found {
				r, err := k.Record(&cp)
				if err != nil {
					tb.Error(err)
				}
				all[i] = append(all[i], &kgo.Record{Topic: appsTopic, Partition: r.Partition, Key: r.Key, Value: r.Value})
			}
		})
	}
	loading.Wait()
	m.commit(tb, slices.Concat(all...))
}

// records are what the n-th windows of an app write.
func (m *manyApps) records(tb testing.TB, app string, n int) (records []*kgo.Record) {
	tb.Helper()
	add := func(topic string, partition int, key, value []byte, err error) {
		if err != nil {
			tb.Fatal(err)
		}
		records = append(records, &kgo.Record{Topic: topic, Partition: int32(partition), Key: key, Value: value, Timestamp: writtenAt(int64(n))})
	}
	for _, s := range appStreams {
		partition := checkpoint.PartitionOf(app, s, m.partitions)
		w := window(s, int64(n))
		w.Ledger.AppKey, w.Ledger.Sequence = app, int64(n+1)
		value, err := checkpoint.EncodeLedger(&w.Ledger)
		add(appsWindows, partition, checkpoint.LedgerKey(app, s, w.Ledger.Window), value, err)
		w.Checkpoint.AppKey, w.Checkpoint.Sequence, w.Checkpoint.SavedAt = app, int64(n+1), writtenAt(int64(n-n/windowsBefore))
		value, err = checkpoint.Encode(&w.Checkpoint)
		add(appsTopic, checkpoint.ShardOf(app, m.partitions), []byte(app+"/"+s.String()), value, err)
		for i := range m.days {
			if i%m.windows != n {
				continue
			}
			day := pipeline.DayOf(second(0)).Add(time.Duration(i) * 24 * time.Hour)
			c := pipeline.Coverage{AppKey: app, Stream: s, Day: day, Read: []pipeline.Window{{Begin: day, End: day.Add(time.Hour)}}}
			value, err = checkpoint.EncodeCoverage(&c)
			add(appsCoverage, partition, checkpoint.CoverageKey(app, s, day), value, err)
		}
	}
	return records
}

// start does what each app does at its start, all at the same time.
func (m *manyApps) start(ctx context.Context, together *kafka.Together) error {
	errs := make([]error, m.apps)
	var starting sync.WaitGroup
	for i := range m.apps {
		starting.Go(func() { errs[i] = m.startOne(ctx, nameOf(i), together) })
	}
	starting.Wait()
	return errors.Join(errs...)
}

func (m *manyApps) startOne(ctx context.Context, app string, together *kafka.Together) error {
	partitions := func() int { return m.partitions }
	k := checkpoint.NewKafka(m.conn.Client, appsTopic, app, partitions, pipeline.Retry{})
	e := &checkpoint.Evidence{
		Archive:  checkpoint.NewArchive(m.conn.Client, appsWindows, app, partitions, pipeline.Retry{}),
		Coverage: checkpoint.NewCoverage(m.conn.Client, appsCoverage, app, partitions, pipeline.Retry{}),
		Named:    appStreams,
	}
	k.ReadTogether(together)
	e.Archive.ReadTogether(together)
	e.Coverage.ReadTogether(together)
	found, err := k.Load(ctx)
	if err != nil {
		return err
	}
	for s, cp := range found {
		if cp.AppKey != app || cp.Damage != nil || cp.Sequence != int64(m.windows) {
			return fmt.Errorf("the position of %s of %s is %+v", s, app, cp)
		}
	}
	there := len(found)
	var want []pipeline.Stream
	if m.lost { // Its coverage says that it was published.
		delete(found, appStreams[0])
		want = appStreams[:1]
	}
	lost, err := e.Lost(ctx, found)
	same := slices.EqualFunc(lost, want, func(l pipeline.LostPosition, s pipeline.Stream) bool { return l.Stream == s })
	if err == nil && (there != len(appStreams) || !same) {
		err = fmt.Errorf("of %s %d positions are found, and %+v are lost", app, there, lost)
	}
	return err
}

// countingListener counts what is sent over its connections.
type countingListener struct {
	net.Listener

	sent *atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &countingConn{conn, l.sent}, err
}

type countingConn struct {
	net.Conn

	sent *atomic.Int64
}

func (c *countingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(int64(n))
	return n, err
}

// slowly counts requests, of which each takes a millisecond.
type slowly struct {
	mu       sync.Mutex
	by       kafkago.RoundTripper
	requests int
}

func (s *slowly) RoundTrip(ctx context.Context, addr net.Addr, request kafkago.Request) (kafkago.Response, error) {
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	return s.by.RoundTrip(ctx, addr, request)
}

// TestPartitionIsReadForAllApps reads the ledger for one app, and for many at once: a few times, as some begin before the others
// have come.
func TestPartitionIsReadForAllApps(t *testing.T) {
	const records = 300
	requests := func(t *testing.T, apps int, together *kafka.Together) int {
		t.Helper()
		carrier := &slowly{by: &idleLedger{records: records}}
		var reading sync.WaitGroup
		for range apps {
			reading.Go(func() {
				client := &kafkago.Client{Addr: kafkago.TCP("fake:9092"), Transport: carrier}
				archive := checkpoint.NewArchive(client, "t.windows", appKey, func() int { return 1 }, pipeline.Retry{})
				archive.ReadTogether(together)
				found := 0
				_, err := archive.Ledger(t.Context(), audit.Query{Since: idleBegin()}, func(*pipeline.Ledger, audit.Place) error {
					found++
					return nil
				})
				if err != nil || found != records {
					t.Errorf("%d records, %v", found, err)
				}
			})
		}
		reading.Wait()
		return carrier.requests
	}
	synctest.Test(t, func(t *testing.T) {
		one, all := requests(t, 1, nil), requests(t, 30, new(kafka.Together))
		if all > 3*one {
			t.Errorf("%d requests for one app, %d for all", one, all)
		}
	})
}

// BenchmarkStartOfManyApps starts 300 apps at once, which read by themselves, or together: those whose positions nobody has looked for in the
// other partitions, and of which one is lost; and as it is when a process takes over those of another one.
func BenchmarkStartOfManyApps(b *testing.B) {
	m := newManyApps(b, &manyApps{apps: 300, partitions: 6, days: 30, windows: 24})
	measure := func(b *testing.B, newTogether func() *kafka.Together) {
		b.Helper()
		m.requests.Store(0)
		m.sent.Store(0)
		for b.Loop() {
			if err := m.start(b.Context(), newTogether()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(m.requests.Load())/float64(b.N), "requests/op")
		b.ReportMetric(float64(m.sent.Load())/float64(b.N)/(1<<20), "MiB/op")
	}
	apart := func() *kafka.Together { return nil }
	together := func() *kafka.Together { return new(kafka.Together) }
	m.lost = true
	b.Run("apart", func(b *testing.B) { measure(b, apart) })
	b.Run("together", func(b *testing.B) { measure(b, together) })
	m.lost = false
	m.have(b)
	b.Run("takeover apart", func(b *testing.B) { measure(b, apart) })
	b.Run("takeover together", func(b *testing.B) { measure(b, together) })
}

// TestTogetherFromEverywhere reads from each offset at once, also from the middle of transactions that were aborted, and finds what each
// finds alone.
func TestTogetherFromEverywhere(t *testing.T) {
	s := newKafkaStore(t, 1)
	s.shrinkFetches()
	k := s.kafka(t)
	a, b := stream(t, "users/a"), stream(t, "users/b")
	w1, w2 := s.writer(t, "1"), s.writer(t, "2")
	for n := int64(0); n < 40; n += 5 { // w1's transactions are aborted, but for the last record of each round.
		write(t, w1, record(t, k, window(a, n)))
		write(t, w2, record(t, k, window(b, n)))
		add(t, w1, record(t, k, window(a, n+1)), record(t, k, window(a, n+2)))
		end(t, w2, kgo.TryCommit)
		add(t, w1, record(t, k, window(a, n+3)))
		end(t, w1, kgo.TryAbort)
		write(t, w1, record(t, k, window(a, n+4)))
		end(t, w1, kgo.TryCommit)
	}
	conn, err := kafka.Open(kafka.Config{Brokers: s.brokers, ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	log := func(together *kafka.Together) *kafka.Log {
		return &kafka.Log{Client: conn.Client, Topic: s.prefix + string(pipeline.TopicCheckpoints), Together: together}
	}
	all, err := log(nil).All(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	read := func(together *kafka.Together, b kafka.Bounds) (offsets []int64) {
		cause := log(together).Committed(t.Context(), 0, b, func(r *kafka.LogRecord) error {
			offsets = append(offsets, r.Offset)
			return nil
		})
		if cause != nil {
			t.Error(cause)
		}
		return offsets
	}
	var together kafka.Together
	var reading sync.WaitGroup
	for first := all.First; first < all.End; first++ {
		reading.Go(func() {
			b := kafka.Bounds{First: first, End: all.End}
			if got, want := read(&together, b), read(nil, b); !slices.Equal(got, want) {
				t.Errorf("from %d: %v, alone %v", first, got, want)
			}
		})
	}
	reading.Wait()
}
