package fleet

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/pipeline"
)

// bench is a broker, and the topic on it.
type bench struct {
	*Topic

	retry  pipeline.Retry
	client *kgo.Client
	made   int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	embedded, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = embedded.Close() })
	conn, err := kafka.Open(kafka.Config{Brokers: embedded.Addrs(), ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	b := &bench{retry: pipeline.Retry{Initial: 5 * time.Millisecond, Max: 50 * time.Millisecond}}
	if b.client, err = kgo.NewClient(kgo.SeedBrokers(embedded.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	b.Topic = &Topic{
		Client: conn.Client, Name: "t.processes", Look: func(context.Context) error { return nil },
		Make: func(ctx context.Context) error {
			b.made++
			_, err := kadm.NewClient(b.client).CreateTopic(ctx, 1, 1, nil, b.Name)
			return err
		},
	}
	return b
}

// write is Write, tried again while the client does not know the new topic.
func (b *bench) write(t *testing.T, all []Record) {
	t.Helper()
	err := b.retry.Do(t.Context(), "write", func(ctx context.Context) error { return b.Write(ctx, all) })
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bench) read(t *testing.T) *Told {
	t.Helper()
	told, err := b.Read(t.Context(), b.retry, "jmpub")
	if err != nil {
		t.Fatal(err)
	}
	return told
}

// TestTopicHasTheNewestWord of each process, of a thousand apps too, and of this group alone; what was taken back is gone.
func TestTopicHasTheNewestWord(t *testing.T) {
	b := newBench(t)
	other, many := process("one", 1), process("two", 2_500)
	other.Group = "jmpub2"
	for i := range many.Apps {
		many.Apps[i].Error = strings.Repeat("x", 400) // More than 1 MiB of them.
	}
	b.write(t, records(t, other))
	b.write(t, records(t, process("one", 3)))
	b.write(t, records(t, many))
	b.write(t, records(t, process("one", 2)))
	f := b.read(t).Merge(nil, many.At)
	if len(f.Processes) != 2 || f.Processes[0].Apps+f.Processes[1].Apps != 2_500 || f.PassedOver != 0 { // Two apps are those of both.
		t.Errorf("%+v", f.Processes)
	}
	var gone []Record
	for i := range records(t, many) {
		gone = append(gone, many.tombstone(i))
	}
	b.write(t, gone)
	if f = b.read(t).Merge(nil, many.At); len(f.Processes) != 1 || len(f.Apps) != 2 || b.made != 1 {
		t.Errorf("%+v; the topic was made %d times", f.Processes, b.made)
	}
}

// TestForeignRecordsArePassedOver, and counted.
func TestForeignRecordsArePassedOver(t *testing.T) {
	b := newBench(t)
	good := records(t, process("one", 1))
	b.write(t, good)
	b.write(t, []Record{
		{Key: []byte("jmpub/x/y/0"), Value: []byte("garbage")}, {Key: []byte("jmpub/"), Value: good[0].Value}, {Key: []byte("none of the group"), Value: []byte("?")},
	})
	large := &kgo.Record{Topic: b.Name, Key: []byte("jmpub/large/y/0"), Value: bytes.Repeat([]byte("x"), 900<<10)}
	if err := b.client.ProduceSync(t.Context(), large, &kgo.Record{Topic: b.Name, Value: []byte("no key")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	told := b.read(t)
	if f := told.Merge(nil, began.Add(time.Hour)); f.PassedOver != 3 || len(f.Apps) != 1 {
		t.Errorf("%d were passed over, of %+v", f.PassedOver, f)
	}
}

// TestAMissingTopicIsTold to whoever reads, and made by nobody who does.
func TestAMissingTopicIsTold(t *testing.T) {
	b := newBench(t)
	_, err := b.Read(t.Context(), b.retry, "jmpub")
	if err == nil || !strings.Contains(err.Error(), "no process has told its state") || !strings.Contains(err.Error(), "jmpub run") || b.made != 0 {
		t.Errorf("%v; it was made %d times", err, b.made)
	}
	b.Look = func(context.Context) error { return errors.New("not allowed") }
	for _, err := range []error{b.Write(t.Context(), records(t, process("one", 0))), func() error { _, err := b.Read(t.Context(), b.retry, "jmpub"); return err }()} {
		if err == nil || err.Error() != "not allowed" || b.made != 0 {
			t.Errorf("%v; it was made %d times", err, b.made)
		}
	}
}

// TestTopicIsBounded in what is kept of it, whatever stands there.
func TestTopicIsBounded(t *testing.T) {
	table := &table{newest: make(map[string]stored)}
	value := records(t, process("one", 0))[0].Value
	for i := range maxKeys + 10 {
		table.take(&kafka.LogRecord{Key: (&part{Group: "jmpub", Part: i}).key(), Value: value, Offset: int64(i)})
	}
	table.take(&kafka.LogRecord{Key: (&part{Group: "jmpub", Part: 3}).key(), Value: value}) // One that is there is replaced.
	if len(table.newest) != maxKeys || table.leftOut != 10 {
		t.Errorf("%d are kept, %d left out", len(table.newest), table.leftOut)
	}
	big := bytes.Repeat([]byte("x"), 1<<20)
	for i := range 80 {
		table.take(&kafka.LogRecord{Key: (&part{Group: "jmpub", Part: i}).key(), Value: big})
	}
	if table.bytes > maxBytes {
		t.Errorf("%d bytes are kept", table.bytes)
	}
	for i := range maxKeys + 10 {
		table.take(&kafka.LogRecord{Key: (&part{Group: "jmpub", Part: i}).key()})
	}
	if len(table.newest) != 0 || table.bytes != 0 {
		t.Errorf("%d bytes are kept of nothing", table.bytes)
	}
}

// BenchmarkRead reads a topic with the state of 1,000 apps, as it stands after so many times that it was told.
func BenchmarkRead(b *testing.B) {
	for _, times := range []int{1, 100} {
		b.Run(time.Duration(times*int(tellEvery)).String(), func(b *testing.B) { benchmarkRead(b, times) })
	}
}

func benchmarkRead(b *testing.B, times int) {
	b.Helper()
	embedded, err := broker.Start(broker.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer embedded.Close() //nolint:errcheck // It kept nothing.
	conn, err := kafka.Open(kafka.Config{Brokers: embedded.Addrs(), ClientID: "test"})
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(embedded.Addrs()...))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	nothing := func(context.Context) error { return nil }
	topic := &Topic{Client: conn.Client, Name: "t.processes", Look: nothing, Make: nothing}
	if _, err = kadm.NewClient(client).CreateTopic(b.Context(), 1, 1, nil, topic.Name); err != nil {
		b.Fatal(err)
	}
	for i := range times {
		all, err := varied(i).Records()
		if err != nil {
			b.Fatal(err)
		}
		retry := pipeline.Retry{Initial: 5 * time.Millisecond, Max: 50 * time.Millisecond}
		if err = retry.Do(b.Context(), "write", func(ctx context.Context) error { return topic.Write(ctx, all) }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		told, err := topic.Read(b.Context(), pipeline.Retry{}, "jmpub")
		if err != nil {
			b.Fatal(err)
		}
		if f := told.Merge([]status.AppName{{AppKey: "a", TopicPrefix: "b"}}, began); len(f.Apps) != 1_001 {
			b.Fatalf("%d apps", len(f.Apps))
		}
	}
}
