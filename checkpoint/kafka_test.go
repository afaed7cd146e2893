package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/pipeline"
)

// apache are the brokers of a real cluster to run on; the embedded broker where empty.
var apache []string

// kafkaStore is a cluster with topics of its own. What is staged is written by another client, in transactions.
type kafkaStore struct {
	brokers []string
	// cluster is the embedded one, if that is it.
	cluster    *kfake.Cluster
	prefix     string
	partitions int
	retry      pipeline.Retry
	// main is the writer of commit and abort.
	main *writer
}

// writer is somebody who writes transactions.
type writer struct {
	*kgo.Client

	prefix string
}

func newKafkaStore(t *testing.T, partitions int32) *kafkaStore {
	t.Helper()
	s := &kafkaStore{
		brokers: apache, prefix: strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()) + ".jmessage.",
		partitions: int(partitions), retry: pipeline.Retry{Initial: time.Millisecond, Max: 20 * time.Millisecond},
	}
	if len(s.brokers) == 0 {
		s.embed(t)
	}
	admin := kadm.NewClient(s.client(t))
	compact := map[string]*string{"cleanup.policy": new("compact")}
	for _, topic := range []pipeline.Topic{pipeline.TopicCheckpoints, pipeline.TopicWindows, pipeline.TopicNotices} {
		if _, err := admin.CreateTopic(t.Context(), partitions, -1, compact, s.prefix+string(topic)); err != nil {
			t.Fatal(err)
		}
	}
	s.main = s.writer(t, "main")
	return s
}

func (s *kafkaStore) embed(t *testing.T) {
	t.Helper()
	embedded, err := broker.Start(broker.Options{Brokers: 2, Control: func(c *kfake.Cluster) { s.cluster = c }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := embedded.Close(); err != nil {
			t.Error(err)
		}
	})
	s.brokers = embedded.Addrs()
}

func (s *kafkaStore) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append(opts, kgo.SeedBrokers(s.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(10*time.Millisecond), kgo.ProducerLinger(0),
		kgo.UnknownTopicRetries(-1)) // A broker learns of a topic a moment after the controller.
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func (s *kafkaStore) writer(t *testing.T, id string, opts ...kgo.Opt) *writer {
	t.Helper()
	// Lz4 would take 4 MiB for each batch that is read under the race detector.
	opts = append(opts, kgo.TransactionalID(s.prefix+id), kgo.ProducerBatchCompression(kgo.SnappyCompression()))
	return &writer{s.client(t, opts...), s.prefix}
}

func (s *kafkaStore) open(t *testing.T) keeper {
	t.Helper()
	k := s.kafka(t)
	takePlace(t, k)
	return k
}

func (s *kafkaStore) another(t *testing.T) keeper {
	t.Helper()
	return s.kafka(t)
}

func (s *kafkaStore) kafka(t *testing.T) *checkpoint.Kafka {
	t.Helper()
	conn, err := kafka.Open(kafka.Config{Brokers: s.brokers, ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return checkpoint.NewKafka(conn.Client, s.prefix+string(pipeline.TopicCheckpoints), appKey,
		func() int { return s.partitions }, s.retry)
}

func (s *kafkaStore) commit(t *testing.T, c pipeline.Checkpoints, commit *pipeline.Commit) {
	t.Helper()
	write(t, s.main, staged(t, c, commit)...)
	end(t, s.main, kgo.TryCommit)
	if err := c.Save(t.Context(), commit); err != nil {
		t.Fatal(err)
	}
}

func (s *kafkaStore) abort(t *testing.T, c pipeline.Checkpoints, commit *pipeline.Commit) {
	t.Helper()
	write(t, s.main, staged(t, c, commit)...)
	end(t, s.main, kgo.TryAbort)
}

func staged(t *testing.T, c pipeline.Checkpoints, commit *pipeline.Commit) []pipeline.Record {
	t.Helper()
	records, err := c.Stage(commit)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// write begins a transaction and writes records into it.
func write(t *testing.T, w *writer, records ...pipeline.Record) {
	t.Helper()
	if err := w.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	add(t, w, records...)
}

func add(t *testing.T, w *writer, records ...pipeline.Record) {
	t.Helper()
	all := make([]*kgo.Record, 0, len(records))
	for _, r := range records {
		all = append(all, &kgo.Record{Topic: w.prefix + string(r.Topic), Partition: max(0, r.Partition), Key: r.Key, Value: r.Value})
	}
	if err := w.ProduceSync(t.Context(), all...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func end(t *testing.T, w *writer, verdict kgo.TransactionEndTry) {
	t.Helper()
	if err := w.EndTransaction(t.Context(), verdict); err != nil {
		t.Fatal(err)
	}
}

func record(t *testing.T, k *checkpoint.Kafka, w *closed) pipeline.Record {
	t.Helper()
	r, err := k.Record(&w.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAbortedBetween interleaves transactions of three writers so that they end in another order than they began in. A
// reader that takes the broker's list of aborted transactions for sorted, or a writer for aborted for good, is wrong here.
func TestAbortedBetween(t *testing.T) {
	s := newKafkaStore(t, 1)
	k := s.kafka(t)
	a, b, c, d := stream(t, "users/a"), stream(t, "users/b"), stream(t, "users/c"), stream(t, "users/d")
	w1, w2, w3 := s.writer(t, "1"), s.writer(t, "2"), s.writer(t, "3")
	write(t, w1, record(t, k, window(d, 1))) // aborted last
	write(t, w2, record(t, k, window(b, 1))) // aborted first
	write(t, w3, record(t, k, window(c, 1)))
	add(t, w1, record(t, k, window(c, 2)))
	end(t, w2, kgo.TryAbort)
	write(t, w2, record(t, k, window(b, 3)))
	end(t, w3, kgo.TryCommit)
	end(t, w1, kgo.TryAbort)
	write(t, w1, record(t, k, window(a, 4)))
	add(t, w2, record(t, k, window(b, 5)))
	end(t, w1, kgo.TryCommit)
	end(t, w2, kgo.TryCommit)
	write(t, w1, record(t, k, window(a, 6)))
	end(t, w1, kgo.TryAbort)

	same(t, "committed", load(t, k), map[pipeline.Stream]pipeline.Checkpoint{
		a: window(a, 4).Checkpoint, b: window(b, 5).Checkpoint, c: window(c, 1).Checkpoint,
	})
}

// TestSmallReplies has a broker that answers with one batch at a time, so that every reply begins anew.
func TestSmallReplies(t *testing.T) {
	s := newKafkaStore(t, 1)
	k := s.kafka(t)
	a := stream(t, "users/a")
	for n := range int64(10) {
		w := s.writer(t, strconv.FormatInt(n, 10))
		write(t, w, record(t, k, window(a, n)))
		end(t, w, kgo.TransactionEndTry(n != 9))
	}
	s.shrinkFetches()
	same(t, "committed", load(t, k), map[pipeline.Stream]pipeline.Checkpoint{a: window(a, 8).Checkpoint})
}

func TestOpenTransaction(t *testing.T) {
	s := newKafkaStore(t, 1)
	a, b := stream(t, "users/a"), stream(t, "users/b")
	var reported atomic.Pointer[string]
	waiting := make(chan struct{}, 1)
	s.retry.Notify = func(_ string, err error, _ time.Duration) {
		reported.Store(new(err.Error()))
		select {
		case waiting <- struct{}{}:
		default:
		}
	}
	k := s.kafka(t)
	first := s.writer(t, "1")
	write(t, first, record(t, k, window(a, 1)))
	end(t, first, kgo.TryCommit)
	// The newer position stands behind another writer's open transaction.
	other := s.writer(t, "2")
	write(t, other, record(t, k, window(b, 1)))
	write(t, first, record(t, k, window(a, 2)))
	end(t, first, kgo.TryCommit)

	found := make(chan map[pipeline.Stream]pipeline.Checkpoint)
	go func() { found <- load(t, k) }()
	select {
	case got := <-found:
		t.Fatalf("loaded %v while a transaction was open", got)
	case <-waiting:
	}
	for _, want := range []string{"jmessage.checkpoints/0", "open", "producer", appKey + "/users/b", "transaction.timeout.ms"} {
		if got := *reported.Load(); !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
	end(t, other, kgo.TryAbort)
	same(t, "then", <-found, map[pipeline.Stream]pipeline.Checkpoint{a: window(a, 2).Checkpoint})

	// What begins after the call is not waited for; a stop ends the wait.
	write(t, other, record(t, k, window(b, 2)))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := k.Load(ctx); !errors.Is(err, context.DeadlineExceeded) || pipeline.ClassOf(err) != pipeline.Transient {
		t.Errorf("stopped while it waited: %v", err)
	}
	end(t, other, kgo.TryCommit)
}

// TestOthersOpenTransactions loads the positions and the pause of an app behind the transactions that others have open in its shard: those
// that are committed, and not those that are aborted.
func TestOthersOpenTransactions(t *testing.T) {
	s := newKafkaStore(t, 1)
	a, b := stream(t, "users/a"), stream(t, "users/b")
	k := s.kafka(t)
	foreign := func(n int) pipeline.Record {
		return pipeline.Record{Topic: pipeline.TopicCheckpoints, Key: fmt.Appendf(nil, "%d%s/messages", n, appKey[1:]), Value: []byte("?")}
	}
	first, other, third := s.writer(t, "1"), s.writer(t, "2"), s.writer(t, "3")
	write(t, first, record(t, k, window(a, 1)), record(t, k, window(b, 1)))
	write(t, other, foreign(5))
	end(t, first, kgo.TryCommit)
	write(t, first, record(t, k, window(a, 2)))
	write(t, third, foreign(6))
	end(t, first, kgo.TryCommit)
	write(t, first, record(t, k, window(a, 3)), record(t, k, window(b, 2)))
	end(t, first, kgo.TryAbort)
	for i := range int64(20) { // More than are worth a request.
		write(t, first, record(t, k, window(b, 3+i)))
		end(t, first, kgo.TryCommit)
	}
	want := map[pipeline.Stream]pipeline.Checkpoint{a: window(a, 2).Checkpoint, b: window(b, 22).Checkpoint}
	same(t, "others' are open", load(t, k), want)
	for _, paused := range []bool{true, false} {
		now := &pipeline.Pause{App: paused, By: "test", At: time.Now()}
		write(t, first, staged(t, k, &pipeline.Commit{Pause: now})...)
		end(t, first, kgo.TryCommit)
		if found, err := k.Paused(t.Context()); err != nil || !found.Same(now) {
			t.Errorf("%+v is paused, %v; want %+v", found, err, now)
		}
	}
	end(t, other, kgo.TryAbort)
	end(t, third, kgo.TryCommit)
	same(t, "all are decided", load(t, s.kafka(t)), want)
}

// forget is the record that forgets a position.
func forget(t *testing.T, k *checkpoint.Kafka, s pipeline.Stream) pipeline.Record {
	t.Helper()
	records := staged(t, k, &pipeline.Commit{Deleted: []pipeline.Stream{s}})
	if len(records) != 1 || records[0].Value != nil {
		t.Fatalf("%+v, want a tombstone", records)
	}
	return records[0]
}

func TestTombstone(t *testing.T) {
	s := newKafkaStore(t, 1)
	k := s.kafka(t)
	a, b := stream(t, "users/a"), stream(t, "users/b")
	w := s.writer(t, "1")
	write(t, w, record(t, k, window(a, 1)), record(t, k, window(b, 1)), forget(t, k, a))
	end(t, w, kgo.TryCommit)
	write(t, w, forget(t, k, b))
	end(t, w, kgo.TryAbort)
	same(t, "left", load(t, k), map[pipeline.Stream]pipeline.Checkpoint{b: window(b, 1).Checkpoint})
}

func TestRepartitioned(t *testing.T) {
	s := newKafkaStore(t, 1)
	a, b := stream(t, "users/a"), stream(t, "users/b")
	s.commit(t, s.kafka(t), commitOf(window(a, 1), window(b, 1)))
	s.partitions = 2
	for checkpoint.ShardOf(appKey, s.partitions) == 0 {
		s.partitions++
	}
	admin := kadm.NewClient(s.client(t))
	if _, err := admin.UpdatePartitions(t.Context(), s.partitions, s.prefix+string(pipeline.TopicCheckpoints)); err != nil {
		t.Fatal(err)
	}

	k := s.kafka(t)
	_, err := k.Load(t.Context())
	fault(t, err, "jmessage.checkpoints/0 at offset", fmt.Sprintf("partition %d now", checkpoint.ShardOf(appKey, s.partitions)), "copy", "remove it")

	// One of two streams in the new place is not enough; both are.
	w := s.writer(t, "1")
	write(t, w, record(t, k, window(a, 2)))
	end(t, w, kgo.TryCommit)
	_, err = k.Load(t.Context())
	fault(t, err, "users/b")
	write(t, w, record(t, k, window(b, 2)))
	end(t, w, kgo.TryCommit)
	want := map[pipeline.Stream]pipeline.Checkpoint{a: window(a, 2).Checkpoint, b: window(b, 2).Checkpoint}
	same(t, "after both were set anew", load(t, k), want)
}

// TestOtherPartitionsAreSearchedOnce has others than the app's own partition looked through by the first one who has the app, and not
// again before the topic is given more of them: what somebody has put there since is overlooked until then.
func TestOtherPartitionsAreSearchedOnce(t *testing.T) {
	s := newKafkaStore(t, 2)
	a, b := stream(t, "users/a"), stream(t, "users/b")
	first, replay := s.kafka(t), s.kafka(t)
	replay.Replay = "r-1"
	stray := func(k *checkpoint.Kafka) {
		t.Helper()
		of := window(b, 1)
		of.Checkpoint.Replay = k.Replay
		r := record(t, k, of)
		r.Partition = 1 - r.Partition
		write(t, s.main, r)
		end(t, s.main, kgo.TryCommit)
	}
	load(t, replay)
	replayed := window(a, 1)
	replayed.Checkpoint.Replay = "r-1"
	s.commit(t, replay, commitOf(replayed))
	stray(s.kafka(t))
	_, err := s.kafka(t).All(t.Context()) // The replay has looked for its own.
	fault(t, err, "users/b")
	write(t, s.main, pipeline.Record{Topic: pipeline.TopicCheckpoints, Key: []byte(appKey + "/users/b"), Partition: int32(1 - checkpoint.ShardOf(appKey, 2))})
	end(t, s.main, kgo.TryCommit)

	load(t, first)
	s.commit(t, first, commitOf(window(a, 1)))
	stray(s.kafka(t))
	want := map[pipeline.Stream]pipeline.Checkpoint{a: window(a, 1).Checkpoint}
	next := s.kafka(t)
	same(t, "of the next one", load(t, next), want)
	s.commit(t, next, commitOf(window(a, 2)))
	want[a] = window(a, 2).Checkpoint
	same(t, "of the one behind it", load(t, s.kafka(t)), want)

	for s.partitions++; checkpoint.ShardOf(appKey, s.partitions) != checkpoint.ShardOf(appKey, 2); {
		s.partitions++
	}
	admin := kadm.NewClient(s.client(t))
	if _, err = admin.UpdatePartitions(t.Context(), s.partitions, s.prefix+string(pipeline.TopicCheckpoints)); err != nil {
		t.Fatal(err)
	}
	_, err = s.kafka(t).Load(t.Context())
	fault(t, err, "users/b")
}

// TestCompacted reads a partition whose batches have lost their first, last or only records, tombstones and markers.
func TestCompacted(t *testing.T) {
	s := newKafkaStore(t, 1)
	k := s.kafka(t)
	a, b, c, d := stream(t, "users/a"), stream(t, "users/b"), stream(t, "users/c"), stream(t, "users/d")
	w := s.writer(t, "1", kgo.ProducerLinger(20*time.Millisecond)) // One batch a transaction.
	for n, streams := range [][]pipeline.Stream{{d, b, c}, {b, c}, {a, a, b}, {c, b}, {b, b, b}, {c}} {
		var records []pipeline.Record
		for _, stream := range streams {
			records = append(records, record(t, k, window(stream, int64(n))))
		}
		write(t, w, records...)
		end(t, w, kgo.TransactionEndTry(n != 3))
	}
	want := map[pipeline.Stream]pipeline.Checkpoint{
		a: window(a, 2).Checkpoint, b: window(b, 4).Checkpoint, c: window(c, 5).Checkpoint, d: window(d, 0).Checkpoint,
	}
	same(t, "before", load(t, k), want)
	s.cluster.Compact()
	same(t, "compacted", load(t, k), want)
	s.shrinkFetches()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found, err := k.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "compacted, batch by batch", found, want)
}

// TestOtherPartitionsBusy does not wait for the writers of other shards.
func TestOtherPartitionsBusy(t *testing.T) {
	s := newKafkaStore(t, 4)
	k := s.kafka(t)
	a := stream(t, "users/a")
	s.commit(t, k, commitOf(window(a, 1)))
	busy := record(t, k, window(a, 2))
	busy.Key, busy.Partition = []byte("other/messages"), (busy.Partition+1)%4
	w := s.writer(t, "other")
	write(t, w, busy)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found, err := s.kafka(t).Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "meanwhile", found, map[pipeline.Stream]pipeline.Checkpoint{a: window(a, 1).Checkpoint})
	end(t, w, kgo.TryAbort)
}

// TestDamagedRecord has others write to a stream's key: that stream's position is damaged, and says so with the commands that replace
// it. The others' are as good as before, and what stands at no stream's key does not matter at all.
func TestDamagedRecord(t *testing.T) {
	s := newKafkaStore(t, 1)
	k := s.kafka(t)
	whole := window(stream(t, "users/whole"), 1)
	good := record(t, k, window(stream(t, "users/a"), 1))
	w := s.writer(t, "1")
	write(t, w, record(t, k, whole))
	for _, key := range []string{
		"", appKey, appKey + "/", appKey + "/nothing", appKey + "/users/", appKey + "/\x1b[2J", appKey + "~/messages", appKey + "~r-1/", appKey + "x/messages",
		"other/messages", appKey + "/users/" + strings.Repeat("x", 1<<14), appKey + "!jmpub!claim",
	} {
		r := good
		r.Key, r.Value = []byte(key), []byte("garbage")
		add(t, w, r)
	}
	end(t, w, kgo.TryCommit)
	for _, tc := range []struct {
		key, value string
		want       []string
	}{
		{"/users/a", `{"version":1`, []string{"jmessage.checkpoints/0 at offset ", "damaged", "jmpub checkpoint reset users/a --to TIME"}},
		{"/users/a", "", []string{"damaged"}},
		{"/users/a", strings.Replace(string(good.Value), `"version":1`, `"version":2`, 1), []string{"newer jmpub", "run that jmpub", "checkpoint delete users/a"}},
		{"/users/b", string(good.Value), []string{"users/b", "users/a"}},
		{"/statistics/users", "{}", []string{"forget it with `jmpub checkpoint delete statistics/users`"}},
		{"~r-1/users/a", "{}", []string{"`jmpub checkpoint delete users/a --replay r-1`"}},
	} {
		r := good
		r.Key, r.Value = []byte(appKey+tc.key), []byte(tc.value)
		write(t, w, r)
		end(t, w, kgo.TryCommit)
		replay, name, _ := strings.Cut(tc.key, "/")
		k.Replay = strings.TrimPrefix(replay, "~")
		found := load(t, k)
		damage := found[stream(t, name)].Damage
		if k.Replay == "" && len(found) != 2 || !load(t, s.kafka(t))[whole.Checkpoint.Stream].End.Equal(whole.Checkpoint.End) {
			t.Errorf("with %q at %s it finds %v", tc.value[:min(len(tc.value), 99)], tc.key, found)
		}
		if pipeline.ClassOf(damage) != pipeline.Drop || !errors.Is(damage, pipeline.ErrUnreadable) {
			t.Errorf("%v is of class %s", damage, pipeline.ClassOf(damage))
		}
		for _, want := range tc.want {
			if !strings.Contains(fmt.Sprint(damage), want) {
				t.Errorf("%v does not say %q", damage, want)
			}
		}
		all, err := k.All(t.Context())
		if err != nil || len(all) != 2 {
			t.Errorf("the list has %v, %v", all, err)
		}
		write(t, w, pipeline.Record{Topic: r.Topic, Key: r.Key})
		end(t, w, kgo.TryCommit)
	}
}

// TestGarbageHidesNoClaim announces a claim, behind which somebody writes something else.
func TestGarbageHidesNoClaim(t *testing.T) {
	s := newKafkaStore(t, 1)
	k := s.kafka(t)
	k.Group = "jmpub"
	claim := pipeline.Claim{ID: "1", Command: "reset"}
	if err := k.Announce(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	for _, garbage := range []string{"", "{", `{"version":2,"claim":"2"}`, "[]", strings.Repeat("x", 1<<16)} {
		write(t, s.main, pipeline.Record{Topic: pipeline.TopicCheckpoints, Key: []byte(appKey + "!jmpub!claim"), Value: []byte(garbage)})
		end(t, s.main, kgo.TryCommit)
		if got, err := k.Newest(t.Context()); err != nil || got != claim {
			t.Errorf("behind %.20q is %+v, %v", garbage, got, err)
		}
	}
}

// TestClaimBehindAnOpenTransaction announces and finds a claim while somebody's transaction is open in the shard, which is when a
// command has to take the place of a run that hangs.
func TestClaimBehindAnOpenTransaction(t *testing.T) {
	s := newKafkaStore(t, 1)
	k := s.kafka(t)
	run := s.writer(t, "run")
	write(t, run, record(t, k, window(stream(t, "users/a"), 1)))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, claim := range []pipeline.Claim{{ID: "1", Command: "reset"}, {ID: "1", Command: "reset", Done: true}, {ID: "2", Command: "replay"}} {
		if err := k.Announce(ctx, claim); err != nil {
			t.Fatal(err)
		}
		for name, reader := range map[string]*checkpoint.Kafka{"the same": k, "another": s.kafka(t)} {
			if got, err := reader.Newest(ctx); err != nil || got != claim {
				t.Errorf("%s process found %+v, %v; want %+v", name, got, err, claim)
			}
		}
	}
	end(t, run, kgo.TryAbort)
	same(t, "claims are no positions", load(t, k), map[pipeline.Stream]pipeline.Checkpoint{})
}

// TestReplayKeepsToItself has a replay read the stream of a live run: neither sees, forgets or claims what is the other's.
func TestReplayKeepsToItself(t *testing.T) {
	s := newKafkaStore(t, 3)
	live, replay := s.kafka(t), s.kafka(t)
	replay.Replay = "r-1"
	a := stream(t, "users/a")
	replayed := window(a, 5)
	replayed.Checkpoint.Replay = "r-1"
	s.commit(t, live, commitOf(window(a, 1)))
	s.commit(t, replay, commitOf(replayed))
	for k, claim := range map[*checkpoint.Kafka]pipeline.Claim{live: {ID: "1", Command: "reset"}, replay: {ID: "2", Command: "delete"}} {
		if err := k.Announce(t.Context(), claim); err != nil {
			t.Fatal(err)
		}
	}
	for k, want := range map[*checkpoint.Kafka]string{live: "1", replay: "2"} {
		if got, err := k.Newest(t.Context()); err != nil || got.ID != want {
			t.Errorf("the replay %q has the claim %+v, %v; want %s", k.Replay, got, err, want)
		}
	}
	same(t, "of the live run", load(t, live), map[pipeline.Stream]pipeline.Checkpoint{a: window(a, 1).Checkpoint})
	same(t, "of the replay", load(t, replay), map[pipeline.Stream]pipeline.Checkpoint{a: replayed.Checkpoint})
	all, err := live.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "all", all, []pipeline.Checkpoint{window(a, 1).Checkpoint, replayed.Checkpoint})
	s.commit(t, replay, &pipeline.Commit{Deleted: []pipeline.Stream{a}})
	same(t, "of the replay, forgotten", load(t, replay), map[pipeline.Stream]pipeline.Checkpoint{})
	same(t, "of the live run, then", load(t, live), map[pipeline.Stream]pipeline.Checkpoint{a: window(a, 1).Checkpoint})
}

// fault expects an error that only the operator can put right, and that says certain things.
func fault(t *testing.T, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	if _, ok := errors.AsType[*pipeline.Fault](err); !ok || pipeline.ClassOf(err) != pipeline.Permanent {
		t.Errorf("%v is of class %s", err, pipeline.ClassOf(err))
	}
	for _, want := range says {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// TestShardOf holds the shard against the Java client's partitioner: the values come from Kafka's own test of murmur2
// (org.apache.kafka.common.utils.UtilsTest), made positive as its partitioner does.
func TestShardOf(t *testing.T) {
	const many = 1 << 20
	for key, hash := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got, want := checkpoint.ShardOf(key, many), int(hash&0x7fffffff)%many; got != want {
			t.Errorf("%s belongs to %d, want %d", key, got, want)
		}
	}
	all := make([]int, 6)
	for i := range 600 {
		all[checkpoint.ShardOf(fmt.Sprintf("%024x", i), 6)]++
	}
	if slices.Min(all) < 50 {
		t.Errorf("600 apps fall into 6 shards as %v", all)
	}
}
