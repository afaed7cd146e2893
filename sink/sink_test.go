package sink_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
	"github.com/jmpub/jmpub/sink"
)

const appKey = "4f7aef34fb361292c566a1cd"

// bench is a broker with a sink on it.
type bench struct {
	cluster *kfake.Cluster
	conn    *kafka.Conn
	topics  sink.TopicsConfig
	cfg     sink.WriterConfig
}

func newBench(tb testing.TB) *bench {
	tb.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(cluster.Close)
	conn, err := kafka.Open(kafka.Config{Brokers: cluster.ListenAddrs(), ClientID: "test"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(conn.Close)
	return &bench{
		cluster: cluster, conn: conn,
		topics: sink.TopicsConfig{
			Client: conn.Client, Prefix: "t", Create: true, Partitions: 3, Replication: -1, Retention: -1, MinInsyncReplicas: -1,
			Retry: pipeline.Retry{Initial: time.Millisecond, Max: 20 * time.Millisecond},
		},
		cfg: sink.WriterConfig{
			TransactionalID: "jmpub-0", Compression: "snappy", PartitionBy: sink.ByMsgID, RecordTime: sink.TimePublish,
		},
	}
}

func (b *bench) newTopics(tb testing.TB) *sink.Topics {
	tb.Helper()
	topics, err := sink.NewTopics(b.topics)
	if err != nil {
		tb.Fatal(err)
	}
	return topics
}

func (b *bench) open(tb testing.TB) *sink.Writer {
	tb.Helper()
	s, err := sink.NewWriter(b.newTopics(tb), b.cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Open(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s
}

// events makes n events with ids from first on, spread over all targets and two conversations.
func events(first, n int) *pipeline.Batch {
	b := &pipeline.Batch{AppKey: appKey, Stream: pipeline.Stream{Kind: pipeline.StreamMessages}, Window: pipeline.Window{
		Begin: time.Unix(1553222780, 0).UTC(), End: time.Unix(1553222790, 0).UTC(),
	}}
	for i := first; i < first+n; i++ {
		b.Events = append(b.Events, event.Event{
			MsgID: int64(i), Target: event.Target(i % int(event.TargetCount)),
			Conversation: fmt.Appendf(nil, "group:%d", i%2), Time: []byte("2019-03-22T02:46:25.613Z"), ServerTime: 1553222785613,
			Value: fmt.Appendf(nil, `{"msgid":%d,"text":%q}`, i, strings.Repeat("x", i%300)),
		})
	}
	return b
}

func commit(tb testing.TB, s *sink.Writer, batches ...*pipeline.Batch) []pipeline.Published {
	tb.Helper()
	tx, err := s.Begin(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	var all []pipeline.Published
	for _, b := range batches {
		published, err := tx.Publish(tb.Context(), b)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, published)
	}
	if err := tx.Commit(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return all
}

// read returns the records that a read_committed client finds in the topics, up to the ends that they have now.
func (b *bench) read(tb testing.TB, topics ...string) []*kgo.Record {
	tb.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.cluster.ListenAddrs()...), kgo.ConsumeTopics(topics...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.KeepControlRecords()) // The last one before the end is the marker of a transaction.
	if err != nil {
		tb.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(tb.Context(), topics...)
	if err != nil {
		tb.Fatal(err)
	}
	left := make(map[string]int64)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[fmt.Sprintf("%s/%d", o.Topic, o.Partition)] = o.Offset
		}
	})
	var records []*kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(tb.Context())
		if err := fetches.Err0(); err != nil {
			tb.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if place := fmt.Sprintf("%s/%d", r.Topic, r.Partition); r.Offset >= left[place]-1 {
				delete(left, place)
			}
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
		})
	}
	return records
}

func eventTopics() []string { return []string{"t.single", "t.group", "t.chatroom", "t.other"} }

func keysOf(records []*kgo.Record) []int {
	var keys []int
	for _, r := range records {
		n, err := strconv.Atoi(string(r.Key))
		if err != nil {
			n = -1
		}
		keys = append(keys, n)
	}
	slices.Sort(keys)
	return keys
}

func upTo(n int) []int {
	var keys []int
	for i := range n {
		keys = append(keys, i)
	}
	return keys
}

func TestEventsArriveWithKeysHeadersAndOffsets(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.cfg.Compression = codec
			s := b.open(t)
			published := commit(t, s, events(0, 500), events(500, 500))
			records := b.read(t, eventTopics()...)
			if !slices.Equal(keysOf(records), upTo(1000)) {
				t.Fatalf("%d records, want the keys 0 to 999 once each", len(records))
			}
			where := make(map[string]int)
			for _, p := range published {
				for _, r := range p.Offsets {
					for at := r.First; at <= r.Last; at++ {
						where[fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, at)]++
					}
				}
			}
			last := make(map[string]int)
			for _, r := range records {
				id, _ := strconv.Atoi(string(r.Key))
				if want := "t." + event.Target(id%4).String(); r.Topic != want {
					t.Errorf("msgid %d is in %s, want %s", id, r.Topic, want)
				}
				place := fmt.Sprintf("%s/%d", r.Topic, r.Partition)
				if id <= last[place] && last[place] > 0 {
					t.Errorf("%s: msgid %d after %d", place, id, last[place])
				}
				last[place] = id
				if at := fmt.Sprintf("%s@%d", place, r.Offset); where[at] != 1 {
					t.Errorf("%s is in no range of offsets that was reported", at)
				}
				headers := make(map[string]string)
				for _, h := range r.Headers {
					headers[h.Key] = string(h.Value)
				}
				want := map[string]string{
					"ce_specversion": "1.0", "ce_id": string(r.Key), "ce_source": "urn:jmessage:app:" + appKey,
					"ce_type": "jmpub.message.v1", "ce_time": "2019-03-22T02:46:25.613Z", "ce_subject": fmt.Sprintf("group:%d", id%2),
					"content-type": "application/json", "jmpub_stream": "messages",
				}
				for key, value := range want {
					if headers[key] != value {
						t.Fatalf("header %s is %q, want %q", key, headers[key], value)
					}
				}
			}
			if len(where) != 1000 {
				t.Errorf("%d offsets were reported, want 1000", len(where))
			}
		})
	}
}

// TestPartitionsAsTheJavaClient holds keys against the partitions that the Java client gives them: the hashes are those of
// Kafka's own test (UtilsTest.testMurmur2).
func TestPartitionsAsTheJavaClient(t *testing.T) {
	all := make([]int, 0, 1000)
	for i := range 1000 {
		all = append(all, i)
	}
	for key, hash := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		want := int(hash&0x7fffffff) % len(all)
		if got := (kafkago.Murmur2Balancer{Consistent: true}).Balance(kafkago.Message{Key: []byte(key)}, all...); got != want {
			t.Errorf("%q goes to partition %d, want %d", key, got, want)
		}
	}
}

func TestConversationStaysInOnePartition(t *testing.T) {
	b := newBench(t)
	b.cfg.PartitionBy = sink.ByConversation
	commit(t, b.open(t), events(0, 200))
	partitions := make(map[string]map[int32]bool)
	for _, r := range b.read(t, eventTopics()...) {
		id, _ := strconv.Atoi(string(r.Key))
		key := fmt.Sprint(r.Topic, id%2)
		if partitions[key] == nil {
			partitions[key] = make(map[int32]bool)
		}
		partitions[key][r.Partition] = true
	}
	for key, in := range partitions {
		if len(in) != 1 {
			t.Errorf("%s is in %d partitions", key, len(in))
		}
	}
}

// TestPartitionKeyDecidesThePartition puts records of one partition key into one partition, whatever their own keys are.
func TestPartitionKeyDecidesThePartition(t *testing.T) {
	b := newBench(t)
	s := b.open(t)
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var records []pipeline.Record
	for i := range 100 {
		records = append(records, pipeline.Record{
			Topic: pipeline.TopicWindows, Partition: -1, Key: fmt.Appendf(nil, "%s/users/%d/%d", appKey, i%4, i),
			PartitionKey: fmt.Appendf(nil, "%s/users/%d", appKey, i%4), Value: []byte("{}"),
		})
	}
	if err := errors.Join(tx.Append(t.Context(), records), tx.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}
	last := make(map[string]int64)
	found := b.read(t, "t.windows")
	for _, r := range found {
		name, number, _ := strings.Cut(strings.TrimPrefix(string(r.Key), appKey+"/users/"), "/")
		balancer := kafkago.Murmur2Balancer{Consistent: true}
		if want := balancer.Balance(kafkago.Message{Key: []byte(appKey + "/users/" + name)}, 0, 1, 2); int(r.Partition) != want {
			t.Errorf("%s is in partition %d, want %d", r.Key, r.Partition, want)
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if before, seen := last[name]; err != nil || seen && n <= before {
			t.Errorf("%s stands behind %d", r.Key, before)
		}
		last[name] = n
	}
	if len(found) != len(records) || len(last) != 4 {
		t.Errorf("%d records of %d streams", len(found), len(last))
	}
}

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

// TestFaultsOfTheBroker answers each kind of request once with each error that passes, and expects it to pass.
func TestFaultsOfTheBroker(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		key   kmsg.Key
		codes []*kerr.Error
	}{
		{"init", kmsg.InitProducerID, []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.CoordinatorNotAvailable}},
		{"add", kmsg.AddPartitionsToTxn, []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator}},
		{"produce", kmsg.Produce, []*kerr.Error{kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.KafkaStorageError, kerr.UnknownTopicOrPartition}},
		{"end", kmsg.EndTxn, []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.CoordinatorNotAvailable}},
	} {
		for _, code := range c.codes {
			t.Run(c.name+" "+code.Message, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				failed := false
				b.cluster.ControlKey(int16(c.key), func(req kmsg.Request) (kmsg.Response, error, bool) {
					if failed {
						return nil, nil, false
					}
					failed = true
					return refuse(req, code.Code), nil, true
				})
				commit(t, b.open(t), events(0, 50))
				if got := keysOf(b.read(t, eventTopics()...)); !slices.Equal(got, upTo(50)) {
					t.Errorf("keys %v, want 0 to 49 once each", got)
				}
				if !failed {
					t.Error("the fault was never met")
				}
			})
		}
	}
}

// refuse answers a request with an error in every place that can hold one.
func refuse(req kmsg.Request, code int16) kmsg.Response {
	res := req.ResponseKind()
	switch r := res.(type) {
	case *kmsg.InitProducerIDResponse:
		r.ErrorCode = code
	case *kmsg.EndTxnResponse:
		r.ErrorCode = code
	case *kmsg.AddPartitionsToTxnResponse:
		asked, _ := req.(*kmsg.AddPartitionsToTxnRequest)
		for _, topic := range asked.Topics {
			answer := kmsg.AddPartitionsToTxnResponseTopic{Topic: topic.Topic}
			for _, p := range topic.Partitions {
				answer.Partitions = append(answer.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: p, ErrorCode: code})
			}
			r.Topics = append(r.Topics, answer)
		}
	case *kmsg.ProduceResponse:
		asked, _ := req.(*kmsg.ProduceRequest)
		for _, topic := range asked.Topics {
			answer := kmsg.ProduceResponseTopic{Topic: topic.Topic}
			for _, p := range topic.Partitions {
				answer.Partitions = append(answer.Partitions, kmsg.ProduceResponseTopicPartition{Partition: p.Partition, ErrorCode: code, BaseOffset: -1})
			}
			r.Topics = append(r.Topics, answer)
		}
	}
	return res
}

// TestFatalCodes expects of each code the class that the session needs.
func TestFatalCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key   kmsg.Key
		code  *kerr.Error
		class pipeline.Class
	}{
		{kmsg.Produce, kerr.InvalidProducerEpoch, pipeline.Abort},
		{kmsg.Produce, kerr.OutOfOrderSequenceNumber, pipeline.Abort},
		{kmsg.Produce, kerr.DuplicateSequenceNumber, pipeline.Abort},
		{kmsg.Produce, kerr.UnknownProducerID, pipeline.Abort},
		{kmsg.Produce, kerr.MessageTooLarge, pipeline.Abort},
		{kmsg.Produce, kerr.TopicAuthorizationFailed, pipeline.Permanent},
		{kmsg.AddPartitionsToTxn, kerr.ProducerFenced, pipeline.Abort},
		{kmsg.AddPartitionsToTxn, kerr.TransactionalIDAuthorizationFailed, pipeline.Permanent},
		{kmsg.EndTxn, kerr.InvalidTxnState, pipeline.Abort},
		{kmsg.EndTxn, kerr.ProducerFenced, pipeline.Abort},
	} {
		t.Run(fmt.Sprintf("%d %s", c.key, c.code.Message), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			s := b.open(t)
			b.cluster.ControlKey(int16(c.key), func(req kmsg.Request) (kmsg.Response, error, bool) {
				b.cluster.KeepControl()
				return refuse(req, c.code.Code), nil, true
			})
			tx, err := s.Begin(t.Context())
			if err == nil {
				_, err = tx.Publish(t.Context(), events(0, 10))
			}
			if err == nil {
				err = tx.Commit(t.Context())
			}
			if err == nil || pipeline.ClassOf(err) != c.class {
				t.Errorf("%v is %s, want %s", err, pipeline.ClassOf(err), c.class)
			}
		})
	}
}

// TestRenewedProducerThatIsFenced expects the class Fenced from Open alone.
func TestRenewedProducerThatIsFenced(t *testing.T) {
	b := newBench(t)
	s := b.open(t)
	b.cluster.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
		return refuse(req, kerr.ProducerFenced.Code), nil, true
	})
	if err := s.Open(t.Context()); pipeline.ClassOf(err) != pipeline.Fenced {
		t.Errorf("%v, want it fenced", err)
	}
}

// lossy loses the reply of every n-th request, after the broker has done what it asked.
type lossy struct {
	next kafkago.RoundTripper
	n    int

	mu    sync.Mutex
	count int
}

var errLost = errors.New("the reply was lost")

// RoundTrip implements kafkago.RoundTripper.
func (l *lossy) RoundTrip(ctx context.Context, addr net.Addr, req kafkago.Request) (kafkago.Response, error) {
	res, err := l.next.RoundTrip(ctx, addr, req)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count++; err == nil && l.count%l.n == 0 {
		return nil, errLost
	}
	return res, err
}

func TestLostReplies(t *testing.T) {
	b := newBench(t)
	b.topics.Client = &kafkago.Client{
		Addr: b.conn.Addr, Timeout: b.conn.Timeout, Transport: &lossy{next: b.conn.Transport, n: 3},
	}
	s := b.open(t)
	for i := range 20 {
		commit(t, s, events(i*50, 50))
	}
	if got := keysOf(b.read(t, eventTopics()...)); !slices.Equal(got, upTo(1000)) {
		t.Errorf("%d records, want the keys 0 to 999 once each", len(got))
	}
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

// TestTooLargeForItsTopic expects a record that fits in no batch in rejected, whole, and its neighbours where they belong.
func TestTooLargeForItsTopic(t *testing.T) {
	b := newBench(t)
	b.cfg.Compression = "none"
	s := b.open(t)
	batch := events(0, 8)
	row := `{"msgid":4,"msg_body":{"text":"` + strings.Repeat("big ", 400_000) + `"}}`
	e, rejection := event.Normalize(appKey, []byte(row))
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
	if got := keysOf(b.read(t, eventTopics()...)); !slices.Equal(got, []int{0, 1, 2, 3, 5, 6, 7}) {
		t.Errorf("keys %v", got)
	}
	found := b.read(t, "t.rejected")
	if len(found) != 2 {
		t.Fatalf("%d rejected records, want 2", len(found))
	}
	for _, r := range found {
		if string(r.Value) != "null" && !event.SameRow(r.Value, []byte(row)) || r.Key != nil {
			t.Errorf("a rejected record of %d bytes with key %q is not the row", len(r.Value), r.Key)
		}
	}
}

func TestMissingTopicsAreReported(t *testing.T) {
	b := newBench(t)
	b.topics.Create = false
	err := b.newTopics(t).Ensure(t.Context())
	if pipeline.ClassOf(err) != pipeline.Permanent || !strings.Contains(err.Error(), "--create --topic t.checkpoints --partitions 3 --config cleanup.policy=compact") {
		t.Errorf("%v, want the commands that create them", err)
	}
}

func TestCheckpointsMustBeCompacted(t *testing.T) {
	b := newBench(t)
	_, err := b.conn.CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
		Topic: "t.checkpoints", NumPartitions: 1, ReplicationFactor: -1,
		ConfigEntries: []kafkago.ConfigEntry{{ConfigName: "cleanup.policy", ConfigValue: "delete"}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.newTopics(t).Ensure(t.Context()); pipeline.ClassOf(err) != pipeline.Permanent || !strings.Contains(err.Error(), "cleanup.policy=compact") {
		t.Errorf("%v, want it refused with the hint", err)
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
			batch := &pipeline.Batch{AppKey: appKey, Stream: pipeline.Stream{Kind: pipeline.StreamMessages}}
			n := event.NewNormalizer(appKey)
			for i := range 10_000 {
				row := fmt.Appendf(nil, `{"set_from_name":0,"from_platform":"a","target_name":"","msg_type":"text","version":1,"target_id":"user_%04d",`+
					`"from_appkey":"%s","from_name":"user_%04d","from_id":"user_%04d","msg_body":{"text":"请问这个订单什么时候发货?订单号 %d","extras":{}},`+
					`"create_time":%d,"from_type":"user","target_appkey":"%s","target_type":"single","msgid":%d,"msg_ctime":%d,"msg_level":0}`,
					i%977, appKey, i%733, i%733, i*7919, 1553222785+i/50, appKey, int64(i)*7919*65537, 1553222785613+i*20)
				e, rejection := n.Normalize(row)
				if rejection != nil {
					b.Fatal(rejection.Detail)
				}
				batch.Events = append(batch.Events, e)
			}
			for b.Loop() {
				commit(b, s, batch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/record")
		})
	}
}
