//go:build integration

package connect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
	"github.com/jmpub/jmpub/internal/tests/soak"
	"github.com/jmpub/jmpub/pipeline/event"
)

// invalid is a value that is no event, in a committed transaction, and aborted one in another that is not.
const (
	invalid = "no event"
	aborted = `{"msgid":1,"app_key":"aborted"}`
)

// TestExampleConnectOnApacheKafka has jmpub publish a history while it is killed again and again. A worker of Kafka Connect,
// which is killed too, writes it to a file and to two Iceberg tables with the configurations of this folder as they are. Each
// must hold what the API held, row for row, and nothing of what was aborted.
func TestExampleConnectOnApacheKafka(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rig := soak.NewRig(t, kafkatest.Options{})
	trial := rig.NewTrial(t, "connect", 20, func(o *sim.Options) {
		o.Seed, o.Rate, o.IrregularRows, o.Latency, o.End = seed, 8, 0.03, 50*time.Millisecond, time.Now().UTC()
	})
	trial.Env["JMPUB_TOPIC_PREFIX"] = "jmessage" // As the configurations have it.
	w := newWorld(t, trial)
	// The history has 96 pages. Each kill hits a process that has read a part of them and has others under way.
	const kills, requests = 6, 12
	trial.Gate.Allow(requests)
	trial.Start(t)
	w.makeTopics(t)
	for range kills {
		trial.AwaitGate(t)
		trial.Kill(t) // It starts another.
		trial.Gate.Allow(requests)
	}
	trial.Gate.Open()
	w.transaction(t, invalid, true)
	w.transaction(t, aborted, false)
	w.makeTables(t)

	w.worker = newWorker(
		t, w.dir, "KAFKA_BROKERS="+strings.Join(w.Addrs, ","), "CONNECT_FILE="+w.file(), "ICEBERG_CATALOG_URI=jdbc:sqlite:"+w.catalog(),
		"ICEBERG_WAREHOUSE="+w.warehouse(), "ICEBERG_COMMIT_MS=2000",
		"CONNECT_FLUSH_MS=1000",
	)
	all := configs(t)
	delete(all, "s3-aiven.json") // Its plugin is not to be had from Maven.
	for file, config := range all {
		if faults := w.worker.faults(t, "validated", config); len(faults) > 0 {
			t.Errorf("%s: the worker finds %q", file, faults)
		}
	}
	if faults := w.worker.faults(t, "validated", map[string]string{"connector.class": all["file.json"]["connector.class"]}); len(faults) == 0 {
		t.Error("the worker validates everything")
	}
	for file := range all {
		w.worker.create(t, strings.TrimSuffix(file, ".json"), configs(t)[file])
	}
	trial.Await(t, time.Now().UTC().Add(-10*time.Second), soak.Patience)
	w.expect(t)
	w.countAborted(t)
	w.awaitFile(t)
	w.worker.kill(t)
	w.worker.start(t)
	w.awaitTable(t, "jmessage.exact", w.compareExact)
	w.awaitTable(t, "jmessage.events", w.compareEvents)
	w.deadLetter(t)
}

// world is a history on its way through a worker.
type world struct {
	*soak.Trial

	worker *worker
	dir    string
	// events are the events that the API's rows become, topics where each belongs.
	events map[int64]string
	topics map[int64]string
}

func newWorld(t *testing.T, trial *soak.Trial) *world {
	t.Helper()
	w := &world{Trial: trial, dir: t.TempDir(), events: make(map[int64]string), topics: make(map[int64]string)}
	if err := os.Mkdir(filepath.Join(w.dir, "warehouse"), 0o750); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) file() string      { return filepath.Join(w.dir, "events.jsonl") }
func (w *world) catalog() string   { return filepath.Join(w.dir, "catalog.db") }
func (w *world) warehouse() string { return "file://" + filepath.Join(w.dir, "warehouse") }

func python(t *testing.T, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soak.Patience)
	defer cancel()
	command := os.Getenv("JMPUB_TEST_PYTHON") //nolint:forbidigo // Tests choose it.
	if command == "" {
		command = "python3"
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, command, args...) //nolint:gosec // Ours.
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n(JMPUB_TEST_PYTHON is %s; it must name a Python that has the package pyiceberg: examples/test.sh makes one)",
			args[0], err, stderr.String(), command)
	}
	return out
}

func (w *world) makeTables(t *testing.T) {
	t.Helper()
	python(t, "tables.py", "jmpub", "type=sql", "uri=sqlite:///"+w.catalog(), "warehouse="+w.warehouse())
}

func (w *world) kafka(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(w.Addrs...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// makeTopics makes the topics that Iceberg's connectors coordinate themselves by, and awaits jmpub's.
func (w *world) makeTopics(t *testing.T) {
	t.Helper()
	admin := kadm.NewClient(w.kafka(t))
	made, err := admin.CreateTopics(t.Context(), 1, -1, nil, "control-iceberg-events", "control-iceberg-exact")
	if err == nil {
		err = made.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soak.Patience)
	defer cancel()
	for {
		topics, err := admin.ListTopics(ctx, "jmessage.single", "jmessage.group", "jmessage.chatroom", "jmessage.other")
		if err == nil && topics.Error() == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("jmpub has not made its topics: %v", err)
		}
		soak.Wait(t, 100*time.Millisecond)
	}
}

// transaction publishes a value as another producer would.
func (w *world) transaction(t *testing.T, value string, commit bool) {
	t.Helper()
	client := w.kafka(t, kgo.TransactionalID("another"))
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "jmessage.group", Value: []byte(value)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := client.EndTransaction(t.Context(), kgo.TransactionEndTry(commit)); err != nil {
		t.Fatal(err)
	}
}

// expect lists the events of what the API held.
func (w *world) expect(t *testing.T) {
	t.Helper()
	norm := event.NewNormalizer(w.Sim.AppKey)
	for r := range w.Sim.Truth(sim.Range{Begin: w.Sim.Begin, End: time.Now()}) {
		e, rejection := norm.Normalize(r.Raw)
		if rejection == nil {
			w.events[e.MsgID], w.topics[e.MsgID] = string(e.Value), "jmessage."+e.Target.String()
		}
	}
	t.Logf("%d events", len(w.events))
	if len(w.events) < 5000 {
		t.Fatal("too few to show anything")
	}
}

// countAborted reads what was not committed too.
func (w *world) countAborted(t *testing.T) {
	t.Helper()
	client := w.kafka(
		t, kgo.ConsumeTopics("jmessage.single", "jmessage.group", "jmessage.chatroom", "jmessage.other"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadUncommitted()),
	)
	all := 0
	ctx, cancel := context.WithTimeout(t.Context(), soak.Patience)
	defer cancel()
	for all < len(w.events)+2 { // And the invalid value, and the aborted one.
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d values are in the topics, want %d at least", all, len(w.events)+2)
		}
		all += fetches.NumRecords()
	}
	t.Logf("values of aborted transactions: %d at least", all-len(w.events)-1)
}

// awaitFile waits until the file has as many lines as are expected, and compares them.
func (w *world) awaitFile(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(soak.Patience)
	for {
		w.worker.check(t, "file")
		text, err := os.ReadFile(w.file())
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if len(lines) > len(w.events) { // And the invalid one.
			w.compareValues(t, "the file", lines)
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the file has %d lines, not %d\n%s", len(lines), len(w.events)+1, w.worker.tail(t))
		}
		soak.Wait(t, 200*time.Millisecond)
	}
}

// published is what identifies an event.
type published struct {
	MsgID int64 `json:"msgid"`
}

// compareValues holds values as they were published against what is expected: to the byte, each once.
func (w *world) compareValues(t *testing.T, where string, values []string) {
	t.Helper()
	seen := make(map[int64]bool)
	strangers := 0
	for _, value := range values {
		var e published
		if err := json.Unmarshal([]byte(value), &e); err != nil && value == invalid {
			strangers++
			continue
		}
		switch {
		case value != w.events[e.MsgID]:
			t.Errorf("%s has %s, want %s", where, value, w.events[e.MsgID])
		case seen[e.MsgID]:
			t.Errorf("%s has msgid %d twice", where, e.MsgID)
		}
		seen[e.MsgID] = true
	}
	if len(seen) != len(w.events) || strangers != 1 {
		t.Errorf("%s has %d of %d events, and the value that is none %d times", where, len(seen), len(w.events), strangers)
	}
	t.Logf("%s: %d events are equal", where, len(seen))
}

// awaitTable reads a table until it has as many rows as are expected or more, and compares them.
func (w *world) awaitTable(t *testing.T, table string, compare func(*testing.T, []json.RawMessage)) {
	t.Helper()
	deadline := time.Now().Add(soak.Patience)
	for {
		w.worker.check(t, "iceberg-"+strings.TrimPrefix(table, "jmessage."))
		out := python(t, filepath.Join("testdata", "read.py"), "sqlite:///"+w.catalog(), w.warehouse(), table)
		var rows []json.RawMessage
		for line := range bytes.Lines(out) {
			rows = append(rows, line)
		}
		if len(rows) >= len(w.events) {
			compare(t, rows)
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s has %d rows, not %d\n%s", table, len(rows), len(w.events), w.worker.tail(t))
		}
	}
}

// compareExact holds the table of events as they were published.
func (w *world) compareExact(t *testing.T, rows []json.RawMessage) {
	t.Helper()
	var values []string
	places := make(map[string]bool)
	for _, text := range rows {
		var row struct {
			Event     string `json:"event"`
			Topic     string `json:"topic"`
			Partition int    `json:"partition"`
			Offset    int64  `json:"offset"`
		}
		if err := json.Unmarshal(text, &row); err != nil {
			t.Fatal(err)
		}
		var e published
		if json.Unmarshal([]byte(row.Event), &e) == nil && row.Topic != w.topics[e.MsgID] {
			t.Errorf("msgid %d is said to be of %s, want %s", e.MsgID, row.Topic, w.topics[e.MsgID])
		}
		place := fmt.Sprintf("%s/%d/%d", row.Topic, row.Partition, row.Offset)
		if places[place] {
			t.Errorf("%s is there twice", place)
		}
		places[place] = true
		values = append(values, row.Event)
	}
	w.compareValues(t, "jmessage.exact", values)
}

// compareEvents holds the table with columns: each event once, each column what the event has, but for what Connect's
// JsonConverter makes of numbers.
func (w *world) compareEvents(t *testing.T, rows []json.RawMessage) {
	t.Helper()
	seen := make(map[int64]bool)
	for _, text := range rows {
		got := decode(t, text)
		var row published
		if err := json.Unmarshal(text, &row); err != nil {
			t.Fatal(err)
		}
		id := row.MsgID
		if seen[id] {
			t.Errorf("jmessage.events has msgid %d twice", id)
		}
		seen[id] = true
		e, there := w.events[id]
		if !there {
			t.Errorf("jmessage.events has %s, which the API had not", text)
			continue
		}
		want := decode(t, []byte(e))
		for _, column := range []string{"media", "location", "msg_body", "attributes"} {
			if inner, isText := got[column].(string); isText {
				got[column] = decode(t, []byte(`{"in":`+inner+`}`))["in"]
			}
		}
		if got, want := shown(got), shown(want); !reflect.DeepEqual(got, want) {
			t.Errorf("jmessage.events has\n%v, want\n%v", got, want)
		}
	}
	if len(seen) != len(w.events) {
		t.Errorf("jmessage.events has %d of %d events", len(seen), len(w.events))
	}
	t.Logf("jmessage.events: %d events are equal", len(seen))
}

func decode(t *testing.T, text []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return object
}

// shown is a value as Connect's JsonConverter and the table show it: integers of 64 bits, of a longer one the last 64, other
// numbers as doubles, and what is absent as null.
func shown(value any) any {
	switch v := value.(type) {
	case map[string]any:
		object := make(map[string]any)
		for key, member := range v {
			if member = shown(member); member != nil {
				object[key] = member
			}
		}
		return object
	case []any:
		list := make([]any, 0, len(v))
		for _, member := range v {
			list = append(list, shown(member))
		}
		return list
	case json.Number:
		if n, ok := new(big.Int).SetString(v.String(), 10); ok {
			return int64(new(big.Int).And(n, new(big.Int).SetUint64(1<<64-1)).Uint64())
		}
		f, _ := v.Float64() // Out of range it is infinite.
		return f
	case string:
		if at, err := time.Parse(time.RFC3339, v); err == nil {
			return at.UTC().String()
		}
		return v
	default:
		return v
	}
}

// deadLetter finds the value that is no event where it belongs.
func (w *world) deadLetter(t *testing.T) {
	t.Helper()
	client := w.kafka(t, kgo.ConsumeTopics("jmessage.connect.dead"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), soak.Patience)
	defer cancel()
	var found []*kgo.Record
	for len(found) == 0 && ctx.Err() == nil {
		found = client.PollFetches(ctx).Records()
	}
	if len(found) == 0 || string(found[0].Value) != invalid {
		t.Fatalf("the dead letters are %v, want %q", found, invalid)
	}
	for _, h := range found[0].Headers {
		if h.Key == "__connect.errors.topic" && string(h.Value) == "jmessage.group" {
			return
		}
	}
	t.Errorf("the dead letter does not say where it is from: %v", found[0].Headers)
}
