package broker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/pipeline"
)

const topic = "jmessage.group"

func start(t *testing.T, o broker.Options) *broker.Broker {
	t.Helper()
	b, err := broker.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func client(t *testing.T, b *broker.Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Addrs()...), kgo.MetadataMinAge(50*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

func createTopic(t *testing.T, b *broker.Broker) {
	t.Helper()
	cl := client(t, b)
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, -1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

// read returns what a read_committed reader finds in the topic, up to the end that it has now.
func read(t *testing.T, b *broker.Broker) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl := client(t, b, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.KeepControlRecords())
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup(topic, 0)
	var found []string
	for next := int64(0); next < end.Offset; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read at offset %d of %d, found %v: %v", next, end.Offset, found, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if !r.Attrs.IsControl() {
				found = append(found, string(r.Value))
			}
		})
	}
	return found
}

func write(t *testing.T, b *broker.Broker, values ...string) {
	t.Helper()
	w := writer(b)
	defer closed(t, w)
	for _, v := range values {
		if err := w.WriteMessages(t.Context(), kafkago.Message{Value: []byte(v)}); err != nil {
			t.Fatal(err)
		}
	}
}

// writer has connections of its own, so that none is left from a broker that is gone.
func writer(b *broker.Broker) *kafkago.Writer {
	return &kafkago.Writer{
		Addr: kafkago.TCP(b.Addrs()...), Topic: topic, RequiredAcks: kafkago.RequireAll, BatchTimeout: time.Millisecond,
		Transport: &kafkago.Transport{},
	}
}

func closed(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// transact writes in a transaction and returns the client, which has it open.
func transact(t *testing.T, b *broker.Broker, values ...string) *kgo.Client {
	t.Helper()
	cl := client(t, b, kgo.TransactionalID("jmpub-0"), kgo.DefaultProduceTopic(topic))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if err := cl.ProduceSync(t.Context(), kgo.StringRecord(v)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return cl
}

func end(t *testing.T, cl *kgo.Client, verdict kgo.TransactionEndTry) {
	t.Helper()
	defer cl.Close()
	if err := cl.EndTransaction(t.Context(), verdict); err != nil {
		t.Fatal(err)
	}
}

func listen(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func freePorts(t *testing.T) int {
	t.Helper()
	for port := 20000 + os.Getpid()%20000; port < 65000; port += 10 {
		b, err := broker.Start(broker.Options{Brokers: 3, Listen: listen(port)})
		if err == nil {
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			return port
		}
	}
	t.Fatal("no three ports in a row are free")
	return 0
}

func TestRestart(t *testing.T) {
	o := broker.Options{Brokers: 3, Listen: listen(freePorts(t)), DataDir: filepath.Join(t.TempDir(), "new", "kafka")}
	b := start(t, o)
	createTopic(t, b)
	write(t, b, "a", "b")
	cl := transact(t, b, "dropped")
	end(t, cl, kgo.TryAbort)
	end(t, transact(t, b, "c"), kgo.TryCommit)
	transact(t, b, "left open").Close()
	addrs := b.Addrs()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}

	b = start(t, o)
	if !slices.Equal(b.Addrs(), addrs) {
		t.Errorf("addresses %v became %v", addrs, b.Addrs())
	}
	if got, want := read(t, b), []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("after a restart %v, want %v", got, want)
	}
	end(t, transact(t, b, "d"), kgo.TryCommit)
	write(t, b, "e")
	if got, want := read(t, b), []string{"a", "b", "c", "d", "e"}; !slices.Equal(got, want) {
		t.Errorf("after a restart and more %v, want %v", got, want)
	}
}

// TestKill starts a broker on the files of one that did not stop.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	b := start(t, broker.Options{DataDir: dir})
	createTopic(t, b)
	write(t, b, "a")
	end(t, transact(t, b, "b"), kgo.TryCommit)
	transact(t, b, "left open").Close()
	left := filepath.Join(t.TempDir(), "left")
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}

	b = start(t, broker.Options{DataDir: left})
	if got, want := read(t, b), []string{"a", "b"}; !slices.Equal(got, want) {
		t.Errorf("after a kill %v, want %v", got, want)
	}
	end(t, transact(t, b, "c"), kgo.TryCommit)
	write(t, b, "d")
	want := []string{"a", "b", "c", "d"}
	if got := read(t, b); !slices.Equal(got, want) {
		t.Errorf("after a kill and more %v, want %v", got, want)
	}

	again := filepath.Join(t.TempDir(), "again")
	if err := os.CopyFS(again, os.DirFS(left)); err != nil {
		t.Fatal(err)
	}
	b = start(t, broker.Options{DataDir: again})
	if got := read(t, b); !slices.Equal(got, want) {
		t.Errorf("after a second kill %v, want %v", got, want)
	}
}

func TestMisuse(t *testing.T) {
	running := start(t, broker.Options{DataDir: t.TempDir()})
	_, port, err := net.SplitHostPort(running.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	used := t.TempDir()
	start(t, broker.Options{DataDir: used})
	file := filepath.Join(t.TempDir(), "file")
	damaged := t.TempDir()
	for _, name := range []string{file, filepath.Join(damaged, "meta.json")} {
		if err := os.WriteFile(name, []byte("no JSON"), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	for _, tc := range []struct {
		name string
		o    broker.Options
		want []string
	}{
		{"port in use", broker.Options{Listen: "127.0.0.1:" + port}, []string{port, "another port"}},
		{"address of another machine", broker.Options{Listen: "192.0.2.1:0"}, []string{"192.0.2.1", "address of this machine"}},
		{"folder in use", broker.Options{DataDir: used}, []string{used, "another folder"}},
		{"folder is a file", broker.Options{DataDir: file}, []string{file, "name a folder"}},
		{"folder is damaged", broker.Options{DataDir: damaged}, []string{damaged, "restore it"}},
		{"port too high", broker.Options{Listen: "127.0.0.1:65535", Brokers: 2}, []string{"65535", "2 nodes"}},
		{"no nodes", broker.Options{Brokers: -1}, []string{"-1 nodes"}},
		{"no partitions", broker.Options{Partitions: -1}, []string{"-1 partitions"}},
		{"any address, unnamed", broker.Options{Listen: ":0"}, []string{"advertise"}},
		{"no address", broker.Options{Listen: "9092"}, []string{"host:port"}},
		{"any address", broker.Options{Listen: "0.0.0.0:0"}, []string{"0.0.0.0", "advertise"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, err := broker.Start(tc.o)
			if err == nil {
				t.Fatal(b.Close())
			}
			if _, ok := errors.AsType[*pipeline.Fault](err); !ok {
				t.Errorf("%v is no fault", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestAdvertise(t *testing.T) {
	b := start(t, broker.Options{Listen: "0.0.0.0:0", Advertise: "localhost"})
	if host, _, err := net.SplitHostPort(b.Addrs()[0]); host != "localhost" || err != nil {
		t.Errorf("advertises %s, %v", b.Addrs()[0], err)
	}
	createTopic(t, b)
	write(t, b, "a")
	if got, want := read(t, b), []string{"a"}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
}

func TestAutoCreate(t *testing.T) {
	for _, auto := range []bool{false, true} {
		b := start(t, broker.Options{AutoCreate: auto})
		w := writer(b)
		w.AllowAutoTopicCreation, w.MaxAttempts = true, 3
		err := w.WriteMessages(t.Context(), kafkago.Message{Value: []byte("a")})
		if auto != (err == nil) {
			t.Errorf("with AutoCreate %v, a write returned %v", auto, err)
		}
		closed(t, w)
	}
}

// take asks for the transactional id, as a new writer does, or as one that has an epoch and renews it.
func take(t *testing.T, b *broker.Broker, was kafkago.ProducerSession) (kafkago.ProducerSession, error) {
	t.Helper()
	transport := &kafkago.Transport{} // No connection is left from a broker that is gone.
	defer transport.CloseIdleConnections()
	one := &kafkago.Client{Addr: kafkago.TCP(b.Addrs()...), Transport: transport}
	res, err := one.InitProducerID(t.Context(), &kafkago.InitProducerIDRequest{
		TransactionalID: "jmpub", TransactionTimeoutMs: 60_000, ProducerID: was.ProducerID, ProducerEpoch: was.ProducerEpoch,
	})
	if err != nil {
		t.Fatal(err)
	}
	return *res.Producer, res.Error
}

// TestReplacedWriter expects of a writer that was replaced, however often it had renewed its epoch before and whatever became of the
// broker since then, that it cannot take its place back, and of the one that replaced it that it can go on.
func TestReplacedWriter(t *testing.T) {
	o := broker.Options{Listen: listen(freePorts(t)), DataDir: t.TempDir()}
	b := start(t, o)
	none := kafkago.ProducerSession{ProducerID: -1, ProducerEpoch: -1}
	want := func(what string, was kafkago.ProducerSession, refusal error) kafkago.ProducerSession {
		t.Helper()
		is, err := take(t, b, was)
		if !errors.Is(err, refusal) {
			t.Fatalf("%s: %v, want %v", what, err, refusal)
		}
		return is
	}
	replaced := want("the first writer", none, nil)
	for range 3 {
		replaced = want("the first writer renews", replaced, nil)
	}
	current := want("the second writer", none, nil)
	want("the first writer takes its place back", replaced, kafkago.ProducerFenced)
	current = want("the second writer renews", current, nil)
	want("the first writer takes its place back", replaced, kafkago.ProducerFenced)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = start(t, o)
	want("the first writer takes its place back after a restart", replaced, kafkago.ProducerFenced)
	want("the second writer renews after a restart", current, nil)
}
