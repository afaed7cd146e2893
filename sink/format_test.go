package sink_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/jmpub/jmpub/docs/schemas"
	"github.com/jmpub/jmpub/internal/registry"
	"github.com/jmpub/jmpub/internal/tests/avrotest"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
	"github.com/jmpub/jmpub/sink"
)

// newAvroBench is a bench whose events are in Avro, with a registry.
func newAvroBench(t *testing.T) (*bench, *srfake.Registry) {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	client, err := registry.New(registry.Config{URL: fake.URL(), Register: true})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.cfg.Format, b.cfg.Schemas = sink.FormatAvro, client
	return b, fake
}

// whole makes the events such as Normalize makes.
func whole(b *pipeline.Batch) *pipeline.Batch {
	for i := range b.Events {
		e := &b.Events[i]
		e.Value = fmt.Appendf(nil, `{"msgid":%d,"app_key":%q,"text":%q}`, e.MsgID, appKey, strings.Repeat("x", i%300))
	}
	return b
}

// TestAvro publishes events in Avro: each under its topic's schema, in order, and otherwise like those in JSON.
func TestAvro(t *testing.T) {
	b, fake := newAvroBench(t)
	other := whole(events(0, 1)) // So that the topics' schemas have different ids.
	fake.SeedSchema("t.group-value", 1, 70_000, sr.Schema{Schema: schemas.MessageAvro, Type: sr.TypeAvro})
	s := b.open(t)
	commit(t, s, other, whole(events(1, 999)))
	reader := avrotest.NewReader(fake.URL())
	records := b.read(t, eventTopics()...)
	if got := keysOf(records); !slices.Equal(got, upTo(1000)) {
		t.Errorf("%d records, want 1000", len(got))
	}
	for _, r := range records {
		value, err := reader.Decode(r.Topic, r.Value)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(value), `{"msgid":`+string(r.Key)+`,`) {
			t.Errorf("under %s is %s", r.Key, value)
		}
		if got := header(r, "content-type"); got != "application/avro" {
			t.Errorf("content-type is %q", got)
		}
	}
}

// TestEventThatIsNotEncodable goes to the rejected topic with the reason, and the others to theirs.
func TestEventThatIsNotEncodable(t *testing.T) {
	b, _ := newAvroBench(t)
	s := b.open(t)
	batch := whole(events(0, 10))
	batch.Events[4].Value = []byte(`{"msgid":4,"app_key":"a","of_later":1}`)
	published := commit(t, s, batch)[0]
	if len(published.Rejected) != 1 || published.Rejected[0].MsgID != 4 || published.Rejected[0].Reason != event.ReasonNotEncodable {
		t.Errorf("rejected are %+v", published.Rejected)
	}
	if want := [event.TargetCount]int{2, 3, 2, 2}; published.Events != want {
		t.Errorf("published are %v, want %v", published.Events, want)
	}
	if got := keysOf(b.read(t, eventTopics()...)); !slices.Equal(got, []int{0, 1, 2, 3, 5, 6, 7, 8, 9}) {
		t.Errorf("the events are %v", got)
	}
	rejected := b.read(t, "t.rejected")
	if len(rejected) != 1 || header(rejected[0], "jmpub_reason") != "not_encodable" || !strings.Contains(header(rejected[0], "jmpub_detail"), "of_later") {
		t.Errorf("rejected are %v", rejected)
	}
}

// TestRegistryIsWaitedFor waits for a registry that fails at first, and needs it no more afterwards.
func TestRegistryIsWaitedFor(t *testing.T) {
	b, fake := newAvroBench(t)
	failures := 5
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		failures--
		if failures >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return failures >= 0
	})
	reported := 0
	b.topics.Retry.Notify = func(op string, _ error, _ time.Duration) {
		if strings.Contains(op, "look up the schema") {
			reported++
		}
	}
	s := b.open(t)
	if err := s.EnsureSchemas(t.Context()); err != nil {
		t.Fatal(err)
	}
	if reported != 5 {
		t.Errorf("%d failures were reported, want 5", reported)
	}
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	s.Forget()
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	commit(t, s, whole(events(0, 10)))
	if got := keysOf(b.read(t, eventTopics()...)); !slices.Equal(got, upTo(10)) {
		t.Errorf("the events are %v", got)
	}
}

// TestRegistryThatRefuses ends the publishing of events; jmpub's own records need no registry.
func TestRegistryThatRefuses(t *testing.T) {
	b, fake := newAvroBench(t)
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	s := b.open(t)
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	record := pipeline.Record{Topic: pipeline.TopicNotices, Partition: -1, Key: []byte("k"), Value: []byte("{}")}
	if err = tx.Append(t.Context(), []pipeline.Record{record}); err != nil {
		t.Error(err)
	}
	_, err = tx.Publish(t.Context(), whole(events(0, 1)))
	fault, ok := errors.AsType[*pipeline.Fault](err)
	if !ok || fault.Class != pipeline.Permanent || !strings.Contains(fault.Error(), "JMPUB_SCHEMA_REGISTRY_USERNAME") {
		t.Errorf("%v", err)
	}
	if err = tx.Abort(t.Context()); err != nil {
		t.Error(err)
	}
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
