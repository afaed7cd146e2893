package kafkatest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
	"github.com/jmpub/jmpub/pipeline"
)

// writer is a transactional producer made of single requests, so that each can be tried by itself.
type writer struct {
	*kafkago.Client
	id       string
	pid      kafkago.ProducerSession
	topic    string
	sequence int32
}

const partition = 0

func (w *writer) init(t *testing.T, timeout time.Duration, pid, epoch int) error {
	t.Helper()
	for {
		res, err := w.InitProducerID(t.Context(), &kafkago.InitProducerIDRequest{
			TransactionalID: w.id, TransactionTimeoutMs: int(timeout.Milliseconds()), ProducerID: pid, ProducerEpoch: epoch,
		})
		if err != nil {
			t.Fatal(err)
		}
		if busy(res.Error) {
			pause()
			continue
		}
		if res.Error == nil {
			w.pid, w.sequence = *res.Producer, 0
		}
		return res.Error
	}
}

// busy tells that the coordinator is not there yet or still ending the last transaction.
func busy(err error) bool {
	return errors.Is(err, kafkago.ConcurrentTransactions) || errors.Is(err, kafkago.GroupLoadInProgress) ||
		errors.Is(err, kafkago.GroupCoordinatorNotAvailable) || errors.Is(err, kafkago.NotCoordinatorForGroup)
}

func (w *writer) add(t *testing.T) error {
	t.Helper()
	for {
		res, err := w.AddPartitionsToTxn(t.Context(), &kafkago.AddPartitionsToTxnRequest{
			TransactionalID: w.id, ProducerID: w.pid.ProducerID, ProducerEpoch: w.pid.ProducerEpoch,
			Topics: map[string][]kafkago.AddPartitionToTxn{w.topic: {{Partition: partition}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Topics[w.topic][0].Error; !busy(err) && !moving(err) {
			return err
		}
		pause()
	}
}

// pause lets time pass before something is asked for again.
func pause() { time.Sleep(10 * time.Millisecond) }

// batch makes a signed batch of one record.
func (w *writer) batch(t *testing.T, value string, sequence int32) []byte {
	t.Helper()
	return w.sign(t, protocol.Lz4, sequence, protocol.Record{Value: protocol.NewBytes([]byte(value))})
}

func (w *writer) send(t *testing.T, batch []byte) (int64, error) {
	t.Helper()
	for {
		res, err := w.RawProduce(t.Context(), &kafkago.RawProduceRequest{
			Topic: w.topic, Partition: partition, RequiredAcks: kafkago.RequireAll, TransactionalID: w.id,
			RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(batch)},
		})
		if moving(err) {
			pause()
			continue
		}
		ok(t, err)
		// NOT_ENOUGH_REPLICAS is also the word for a coordinator that is busy with the end of the last transaction.
		if !moving(res.Error) && !errors.Is(res.Error, kafkago.NotEnoughReplicas) {
			return res.BaseOffset, res.Error
		}
		pause()
	}
}

// moving tells that the topic is so new that not every broker knows it, or its leader, yet. A client that asks one of those for what there is
// forgets that it knew the topic.
func moving(err error) bool {
	return errors.Is(err, protocol.ErrNoTopic) || errors.Is(err, kafkago.NotLeaderForPartition) || errors.Is(err, kafkago.LeaderNotAvailable) ||
		errors.Is(err, kafkago.UnknownTopicOrPartition)
}

func (w *writer) write(t *testing.T, value string) (int64, error) {
	t.Helper()
	offset, err := w.send(t, w.batch(t, value, w.sequence))
	if err == nil {
		w.sequence++
	}
	return offset, err
}

// put adds the partition to the transaction and writes one record, which has to work.
func (w *writer) put(t *testing.T, value string) {
	t.Helper()
	ok(t, w.add(t))
	_, err := w.write(t, value)
	ok(t, err)
}

func (w *writer) end(t *testing.T, commit bool) error {
	t.Helper()
	for {
		res, err := w.EndTxn(t.Context(), &kafkago.EndTxnRequest{
			TransactionalID: w.id, ProducerID: w.pid.ProducerID, ProducerEpoch: w.pid.ProducerEpoch, Committed: commit,
		})
		if err != nil {
			t.Fatal(err)
		}
		if !busy(res.Error) {
			return res.Error
		}
		pause()
	}
}

// lab makes writers on one cluster.
type lab struct {
	client *kafkago.Client
	n      int
	// read reads a topic, as a read_committed reader sees it, up to a value.
	read func(t *testing.T, topic, last string) []string
	// compact returns when a topic was compacted.
	compact func(t *testing.T, topic string)
	// restart ends all brokers, and returns when they are there again.
	restart func(t *testing.T)
	// stale is the answer to a batch of a writer that was replaced.
	stale kafkago.Error
	// release is that of the Kafka whose answers are expected.
	release int
}

func newLab(t *testing.T, addrs []string) *lab {
	t.Helper()
	client := &kafkago.Client{Addr: kafkago.TCP(addrs...), Timeout: 30 * time.Second, Transport: newTransport(t)}
	l := &lab{client: client, stale: kafkago.InvalidProducerEpoch, release: kafkatest.Release(), read: reader(addrs)}
	l.compact = func(t *testing.T, topic string) {
		t.Helper()
		for l.batches(t, topic)[0].base == 0 {
			pause()
		}
	}
	return l
}

// newTransport holds no connection beyond the test.
func newTransport(t *testing.T) *kafkago.Transport {
	t.Helper()
	transport := &kafkago.Transport{MetadataTTL: time.Second}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func (l *lab) writer(t *testing.T, timeout time.Duration) *writer {
	t.Helper()
	l.n++
	w := &writer{Client: l.client, id: fmt.Sprintf("id-%d", l.n), topic: fmt.Sprintf("topic-%d", l.n)}
	l.create(t, w.topic)
	ok(t, w.init(t, timeout, -1, -1))
	return w
}

// create makes a topic. While the brokers of a cluster come together, the client may know a controller that it cannot reach yet.
func (l *lab) create(t *testing.T, topic string, settings ...kafkago.ConfigEntry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := func(err error) {
		t.Helper()
		if pipeline.Sleep(ctx, 200*time.Millisecond) != nil {
			t.Fatal(err)
		}
	}
	for {
		res, err := l.client.CreateTopics(ctx, &kafkago.CreateTopicsRequest{
			Topics: []kafkago.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: -1, ConfigEntries: settings}},
		})
		if err == nil && res.Errors[topic] == nil {
			break
		}
		if !errors.Is(err, kafkago.BrokerNotAvailable) {
			t.Fatal(err, res)
		}
		again(err)
	}
	for { // A broker learns of a topic a moment after the controller, and the client by the brokers.
		res, err := l.client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{topic}})
		if err == nil && len(res.Topics) == 1 && res.Topics[0].Error == nil && len(res.Topics[0].Partitions) == 1 {
			return
		}
		again(err)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, what string, err error, codes ...kafkago.Error) {
	t.Helper()
	for _, code := range codes {
		if errors.Is(err, code) {
			return
		}
	}
	t.Errorf("%s: %v, want one of %v", what, err, codes)
}

// wantValues expects a read_committed reader to see these, the last of which is committed last.
func (l *lab) wantValues(t *testing.T, topic string, want ...string) {
	t.Helper()
	if got := l.read(t, topic, want[len(want)-1]); !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
}

// reader reads with another client than jmpub's.
func reader(addrs []string) func(t *testing.T, topic, last string) []string {
	return func(t *testing.T, topic, last string) (got []string) {
		t.Helper()
		r, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ConsumeTopics(topic),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		ok(t, err)
		defer r.Close()
		for len(got) == 0 || got[len(got)-1] != last {
			for _, record := range r.PollFetches(t.Context()).Records() {
				got = append(got, string(record.Value))
			}
			ok(t, t.Context().Err())
		}
		return got
	}
}

// TestEmbeddedBrokerKeepsTheProtocol holds the embedded broker to what TestProtocol finds on Apache Kafka.
func TestEmbeddedBrokerKeepsTheProtocol(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			b, err := broker.Start(broker.Options{Brokers: nodes})
			ok(t, err)
			t.Cleanup(func() { _ = b.Close() }) // It kept nothing.
			l := newLab(t, b.Addrs())
			l.stale = kafkago.InvalidTransactionState // It looks for the transaction before it looks at the epoch.
			l.protocol(t, transactionCases())
		})
	}
}

// protocolCase is something that a cluster has to answer as Apache Kafka does.
type protocolCase struct {
	name string
	run  func(*lab, *testing.T)
}

// transactionCases are what jmpub's transactions rely on.
func transactionCases() []protocolCase {
	return []protocolCase{
		{"committed is seen, aborted is not", (*lab).commitAndAbort},
		{"a second writer fences the first", (*lab).fencing},
		{"a transaction that timed out can be recovered from", (*lab).timeout},
		{"a verdict can be asked again", (*lab).verdict},
		{"sequences", (*lab).sequences},
	}
}

// protocol runs cases on one cluster.
func (l *lab) protocol(t *testing.T, cases []protocolCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(l, t) })
	}
}

func (l *lab) commitAndAbort(t *testing.T) {
	w := l.writer(t, time.Minute)
	for i, commit := range []bool{true, false, true} {
		w.put(t, strconv.Itoa(i))
		ok(t, w.end(t, commit))
	}
	l.wantValues(t, w.topic, "0", "2")
}

func (l *lab) fencing(t *testing.T) {
	first := l.writer(t, time.Minute)
	first.put(t, "first")
	second := &writer{Client: l.client, id: first.id, topic: first.topic}
	began := time.Now()
	ok(t, second.init(t, time.Minute, -1, -1))
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("the second writer waited %v, as if for the first one's time to be over", took)
	}
	if second.pid.ProducerID != first.pid.ProducerID || second.pid.ProducerEpoch <= first.pid.ProducerEpoch {
		t.Errorf("the second writer has %v after %v, want a later epoch", second.pid, first.pid)
	}
	_, err := first.write(t, "zombie")
	wantCode(t, "produce", err, l.stale)
	wantCode(t, "add partition", first.add(t), kafkago.ProducerFenced)
	wantCode(t, "commit", first.end(t, true), kafkago.ProducerFenced)
	wantCode(t, "abort", first.end(t, false), kafkago.ProducerFenced)
	wantCode(t, "renew", first.init(t, time.Minute, first.pid.ProducerID, first.pid.ProducerEpoch), kafkago.ProducerFenced)
	second.put(t, "second")
	ok(t, second.end(t, true))
	l.wantValues(t, first.topic, "second")
}

func (l *lab) timeout(t *testing.T) {
	w := l.writer(t, time.Second)
	old := w.pid
	w.put(t, "late")
	// The broker ends it by itself; until then adding the partition again is allowed.
	deadline := time.Now().Add(time.Minute)
	err := w.add(t)
	for ; err == nil && time.Now().Before(deadline); err = w.add(t) {
		time.Sleep(100 * time.Millisecond)
	}
	wantCode(t, "add partition", err, kafkago.ProducerFenced)
	wantCode(t, "commit", w.end(t, true), kafkago.ProducerFenced)
	// The same answers as to a writer that was replaced; from release 4.0 on, renewing tells the two apart.
	err = w.init(t, time.Minute, old.ProducerID, old.ProducerEpoch)
	if l.release < 4 {
		wantCode(t, "renew", err, kafkago.ProducerFenced)
		ok(t, w.init(t, time.Minute, -1, -1))
	} else {
		ok(t, err)
	}
	w.put(t, "again")
	ok(t, w.end(t, true))
	l.wantValues(t, w.topic, "again")
}

func (l *lab) verdict(t *testing.T) {
	w := l.writer(t, time.Minute)
	w.put(t, "x")
	ok(t, w.end(t, true))
	ok(t, w.end(t, true))
	wantCode(t, "the other verdict", w.end(t, false), kafkago.InvalidTransactionState)
}

func (l *lab) sequences(t *testing.T) {
	w := l.writer(t, time.Minute)
	ok(t, w.add(t))
	batch := w.batch(t, "once", 0)
	first, err := w.send(t, batch)
	ok(t, err)
	again, err := w.send(t, batch)
	ok(t, err)
	if again != first {
		t.Errorf("the same batch came to offset %d, then to %d; want the same", first, again)
	}
	_, err = w.send(t, w.batch(t, "gap", 5))
	wantCode(t, "a gap in the sequence", err, kafkago.OutOfOrderSequenceNumber)
	_, err = w.send(t, w.batch(t, "twice", 1))
	ok(t, err)
	ok(t, w.end(t, true))
	l.wantValues(t, w.topic, "once", "twice")
}
