package cloudevents

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/IBM/sarama"
	"github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/registry"
	"github.com/jmpub/jmpub/internal/tests/avrotest"
	"github.com/jmpub/jmpub/internal/tests/canonical"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
	"github.com/jmpub/jmpub/sink"
)

const appKey = "4f7aef34fb361292c566a1cd"

// TestEventsAreCloudEvents publishes an event of each stored row as jmpub does, and reads it back as a consumer with the SDK
// does: its Kafka binding takes the headers and the value, and the event that it makes of them is valid, with the attributes
// that docs/events.md promises and the value as its data, which is the event in JSON or in Avro.
func TestEventsAreCloudEvents(t *testing.T) {
	schemas := srfake.New()
	t.Cleanup(schemas.Close)
	client, err := registry.New(registry.Config{URL: schemas.URL(), Register: true})
	if err != nil {
		t.Fatal(err)
	}
	decoder := avrotest.NewReader(schemas.URL())
	for _, cfg := range []sink.WriterConfig{{}, {ReplayID: "r-1"}, {Format: sink.FormatAvro, Schemas: client}} {
		events := normalized(t)
		records := published(t, events, cfg)
		if len(records) != len(events) {
			t.Fatalf("%d events were read of %d that were published", len(records), len(events))
		}
		for _, r := range records {
			got := read(t, r)
			value, form := r.Value, "application/json"
			if cfg.Format == sink.FormatAvro {
				form = "application/avro"
				if value, err = decoder.Decode(r.Topic, got.Data()); err != nil {
					t.Fatal(err)
				}
			}
			row := rebuilt(t, value)
			i := slices.IndexFunc(events, func(e event.Event) bool { return canonical.Equal(rebuilt(t, e.Value), row) })
			if i < 0 {
				t.Fatalf("nobody published %s", value)
			}
			check(t, got, &events[i], form)
			if !bytes.Equal(got.Data(), r.Value) || cfg.Format == "" && !bytes.Equal(got.Data(), events[i].Value) {
				t.Errorf("the data are %q, the value is %q", got.Data(), r.Value)
			}
		}
	}
}

func rebuilt(t *testing.T, value []byte) []byte {
	t.Helper()
	row, err := event.Rebuild(value)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

func check(t *testing.T, got *cloudevent.Event, e *event.Event, form string) {
	t.Helper()
	if err := got.Validate(); err != nil {
		t.Errorf("%s: %v", e.Value, err)
	}
	for _, same := range []struct{ what, got, want string }{
		{"specversion", got.SpecVersion(), "1.0"},
		{"id", got.ID(), strconv.FormatInt(e.MsgID, 10)},
		{"source", got.Source(), "urn:jmessage:app:" + appKey},
		{"type", got.Type(), "jmpub.message.v1"},
		{"subject", got.Subject(), string(e.Conversation)},
		{"datacontenttype", got.DataContentType(), form},
		{"dataschema", got.DataSchema(), ""},
	} {
		if same.got != same.want {
			t.Errorf("%s is %q, not %q", same.what, same.got, same.want)
		}
		if strings.ContainsFunc(same.got, forbidden) {
			t.Errorf("%s has a character that CloudEvents forbids: %q", same.what, same.got)
		}
	}
	want := time.Time{}
	if len(e.Time) > 0 {
		var err error
		if want, err = time.Parse(time.RFC3339, string(e.Time)); err != nil {
			t.Fatal(err)
		}
	}
	if !got.Time().Equal(want) {
		t.Errorf("time is %s, not %s", got.Time(), want)
	}
	for name := range got.Extensions() {
		if !strings.HasPrefix(name, "kafka") { // The binding adds topic, partition and offset.
			t.Errorf("there is an extension %s", name)
		}
	}
}

// forbidden tells whether no text of a CloudEvent may have the character: CloudEvents 1.0.2, 3.1.
func forbidden(char rune) bool {
	return unicode.IsControl(char) || char&0xfffe == 0xfffe || 0xfdd0 <= char && char <= 0xfdef || char == unicode.ReplacementChar
}

// TestTheSDKRefuses holds that the SDK would notice: without any one of the required headers, or with a wrong value, no valid
// event comes out.
func TestTheSDKRefuses(t *testing.T) {
	events := normalized(t)
	timed := slices.IndexFunc(events, func(e event.Event) bool { return len(e.Time) > 0 })
	r := published(t, events[timed:timed+1], sink.WriterConfig{})[0]
	change := func(name, value string) *kgo.Record {
		changed := *r
		changed.Headers = slices.Clone(r.Headers)
		i := slices.IndexFunc(changed.Headers, func(h kgo.RecordHeader) bool { return h.Key == name })
		if value == "" {
			changed.Headers = slices.Delete(changed.Headers, i, i+1)
		} else {
			changed.Headers[i].Value = []byte(value)
		}
		return &changed
	}
	for _, changed := range []*kgo.Record{
		change("ce_specversion", ""), change("ce_id", ""), change("ce_source", ""), change("ce_type", ""),
		change("ce_specversion", "0.9"), change("ce_time", "yesterday"), change("ce_source", ":"),
	} {
		got, err := binding.ToEvent(t.Context(), message(changed))
		if err == nil {
			err = got.Validate()
		}
		if err == nil {
			t.Errorf("valid with %v", changed.Headers)
		}
	}
}

func read(t *testing.T, r *kgo.Record) *cloudevent.Event {
	t.Helper()
	m := message(r)
	if m.ReadEncoding() != binding.EncodingBinary {
		t.Errorf("the binding takes it for %s", m.ReadEncoding())
	}
	got, err := binding.ToEvent(t.Context(), m)
	if err != nil {
		t.Fatalf("%v: %s", err, r.Value)
	}
	return got
}

// message is a record as the binding gets it from its client.
func message(r *kgo.Record) *kafka_sarama.Message {
	m := &sarama.ConsumerMessage{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, &sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
	}
	return kafka_sarama.NewMessageFromConsumerMessage(m)
}

// normalized are the events of the stored rows, each of its own value.
func normalized(t *testing.T) []event.Event {
	t.Helper()
	files, err := filepath.Glob("../../../../pipeline/event/testdata/normalize/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rows: %v", err)
	}
	var events []event.Event
	for _, file := range files {
		row, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		e, rejection := event.NewNormalizer(appKey).Normalize(row)
		same := func(other event.Event) bool { return bytes.Equal(other.Value, e.Value) }
		if rejection == nil && !slices.ContainsFunc(events, same) {
			events = append(events, e)
		}
	}
	return events
}

// published are the records of events that the sink wrote, configured so.
func published(t *testing.T, events []event.Event, cfg sink.WriterConfig) []*kgo.Record {
	t.Helper()
	broker, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() }) // It kept nothing.
	conn, err := kafka.Open(kafka.Config{Brokers: broker.Addrs(), ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	topics, err := sink.NewTopics(sink.TopicsConfig{
		Client: conn.Client, Prefix: "jmessage", Create: true, Partitions: 1, Replication: -1, Retention: -1, MinInsyncReplicas: -1,
		Retry: pipeline.Retry{Initial: 5 * time.Millisecond, Max: 50 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.TransactionalID, cfg.Compression = "test", "zstd"
	cfg.PartitionBy, cfg.RecordTime = sink.ByMsgID, sink.TimePublish
	out, err := sink.NewWriter(topics, cfg)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, out, events)
	return consume(t, broker.Addrs(), len(events))
}

func publish(t *testing.T, out *sink.Writer, events []event.Event) {
	t.Helper()
	if err := out.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	transaction, err := out.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)
	batch := &pipeline.Batch{
		AppKey: appKey, Stream: pipeline.Stream{Kind: pipeline.StreamMessages}, Events: events,
		Window: pipeline.Window{Begin: begin, End: begin.Add(time.Minute)},
	}
	if _, err := transaction.Publish(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := transaction.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func consume(t *testing.T, brokers []string, count int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeTopics("jmessage.single", "jmessage.group", "jmessage.chatroom", "jmessage.other"),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var records []*kgo.Record
	for len(records) < count {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records came: %v", len(records), count, ctx.Err())
		}
		records = append(records, fetches.Records()...)
	}
	return records
}
