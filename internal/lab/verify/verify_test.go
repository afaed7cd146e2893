package verify_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/pipeline/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	appKey = "4f7aef34fb361292c566a1cd"
	prefix = "jmessage"
)

// readWithin bounds a reading of what is there, so that a mistake ends the test.
const readWithin = time.Minute

// world is a broker with the topics.
type world struct {
	brokers []string
	client  *kgo.Client
}

func newWorld(tb testing.TB, topics ...string) *world {
	tb.Helper()
	b, err := broker.Start(broker.Options{Brokers: 2})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	w := &world{brokers: b.Addrs()}
	w.client = w.connect(tb)
	if len(topics) == 0 {
		topics = []string{"single", "group", "chatroom", "other", "rejected"}
	}
	for _, topic := range topics {
		if _, err := kadm.NewClient(w.client).CreateTopic(tb.Context(), 3, -1, nil, prefix+"."+topic); err != nil {
			tb.Fatal(err)
		}
	}
	return w
}

func (w *world) connect(tb testing.TB, opts ...kgo.Opt) *kgo.Client {
	tb.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(w.brokers...), kgo.ProducerLinger(0), kgo.MetadataMinAge(10*time.Millisecond))...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(client.Close)
	return client
}

func (w *world) read(tb testing.TB) *verify.Found {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), readWithin)
	defer cancel()
	found, err := verify.Read(ctx, w.brokers, prefix)
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

// truth are n rows: of each target_type, some of an unknown one, and some that are no events.
func truth(n int) []verify.TruthRow {
	rows := make([]verify.TruthRow, n)
	for i := range rows {
		target := []string{"single", "group", "chatroom", "broadcast", "group"}[i%5]
		id := int64(i+1) * 1_000_000_007
		rows[i] = verify.TruthRow{MsgID: id, HasMsgID: true, Target: target, Row: fmt.Appendf(nil,
			`{"set_from_name":0,"from_platform":"a","target_name":"","msg_type":"text","version":1,"target_id":"%d","from_appkey":"%s",`+
				`"from_name":"n\u00e9","from_id":"user_%d","msg_body":{"text":"message \"%d\"","extras":{"n":9007199254740993,"x":1.50}},`+
				`"create_time":1553222785,"from_type":"user","target_type":"%s","msgid":%d,"msg_ctime":%d,"msg_level":0}`,
			10055200+i%7, appKey, i%13, i, target, id, 1553222785613+int64(i))}
		if i%50 == 49 {
			rows[i] = verify.TruthRow{MsgID: 0, HasMsgID: false, Row: fmt.Appendf(nil, `{"msgid":"%d" }`, i)}
		}
	}
	return rows
}

// events are the records that the rows become.
func events(tb testing.TB, rows []verify.TruthRow) []*kgo.Record {
	tb.Helper()
	n := event.NewNormalizer(appKey)
	records := make([]*kgo.Record, 0, len(rows))
	for _, row := range rows {
		e, rejection := n.Normalize(row.Row)
		if rejection != nil {
			records = append(records, &kgo.Record{Topic: prefix + ".rejected", Value: row.Row})
			continue
		}
		key := strconv.AppendInt(nil, e.MsgID, 10)
		records = append(records, &kgo.Record{
			Topic: prefix + "." + e.Target.String(), Key: key, Value: e.Value,
			Headers: []kgo.RecordHeader{
				{Key: "ce_specversion", Value: []byte("1.0")},
				{Key: "ce_id", Value: key},
				{Key: "ce_source", Value: []byte("urn:jmessage:app:" + appKey)},
				{Key: "ce_type", Value: []byte("jmpub.message.v1")},
				{Key: "ce_time", Value: e.Time},
				{Key: "ce_subject", Value: e.Conversation},
				{Key: "content-type", Value: []byte("application/json")},
				{Key: "jmpub_stream", Value: []byte("messages")},
			},
		})
	}
	return records
}

func (w *world) publish(tb testing.TB, records ...*kgo.Record) {
	tb.Helper()
	sent := make([]*kgo.Record, len(records)) // The client writes into a record, and the same one may stand here twice.
	for i, r := range records {
		sent[i] = new(*r)
	}
	if err := w.client.ProduceSync(tb.Context(), sent...).FirstErr(); err != nil {
		tb.Fatal(err)
	}
}

func TestNothingDiffers(t *testing.T) {
	w := newWorld(t)
	rows := truth(2000)
	w.publish(t, events(t, rows)...)
	found := w.read(t)
	if found.Records != len(rows) {
		t.Errorf("found %d records, want %d", found.Records, len(rows))
	}
	report := verify.Compare(slices.Values(rows), found)
	if !report.OK() || report.Rows != len(rows) {
		t.Error(report.String())
	}
}

// TestDifferences makes one difference at a time; exactly that one has to be found.
func TestDifferences(t *testing.T) {
	rows := truth(100)
	const victim = 3 // of target_type broadcast, that is, in the topic other
	header := func(r *kgo.Record, name string) *kgo.RecordHeader {
		return &r.Headers[slices.IndexFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == name })]
	}
	for _, tc := range []struct {
		name   string
		change func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record)
		want   verify.Report
		says   string
	}{
		{"missing", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			return rows, slices.Delete(records, victim, victim+1)
		}, verify.Report{Missing: 1}, "4000000028 is missing"},
		{"missing, but optional", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			rows[victim].Optional = true
			return rows, slices.Delete(records, victim, victim+1)
		}, verify.Report{}, ""},
		{"there, and optional", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			rows[victim].Optional, rows[49].Optional = true, true
			return rows, records
		}, verify.Report{}, ""},
		{"twice", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			return rows, append(records, records[victim])
		}, verify.Report{Duplicated: 1}, "4000000028 is there 2 times"},
		{"three times", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			return rows, append(records, records[victim], records[victim])
		}, verify.Report{Duplicated: 1}, "3 times"},
		{"twice in the truth too", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			return append(rows, rows[victim]), append(records, records[victim])
		}, verify.Report{}, ""},
		{"twice in the truth alone", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			return append(rows, rows[victim]), records
		}, verify.Report{Missing: 1}, "1 times only"},
		{"in another topic", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			records[victim].Topic = prefix + ".group"
			return rows, records
		}, verify.Report{Misrouted: 1}, "in group, not only in other"},
		{"in another topic too", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			second := *records[victim]
			second.Topic = prefix + ".group"
			return rows, append(records, &second)
		}, verify.Report{Misrouted: 1, Duplicated: 1}, ""},
		{"in rejected", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			records[victim] = &kgo.Record{Topic: prefix + ".rejected", Value: rows[victim].Row}
			return rows, records
		}, verify.Report{Misrouted: 1}, "is in rejected, not in other"},
		{"another body", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			records[victim].Value = []byte(strings.Replace(string(records[victim].Value), "9007199254740993", "9007199254740992", 1))
			return rows, records
		}, verify.Report{Altered: 1}, "4000000028 differs"},
		{"another body the second time", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			second := *records[victim]
			second.Value = []byte(strings.Replace(string(second.Value), "1.50", "1.5", 1))
			return rows, append(records, &second)
		}, verify.Report{Altered: 1, Duplicated: 1}, ""},
		{"no event", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			records[victim].Value = []byte("?")
			return rows, records
		}, verify.Report{Altered: 1, Missing: 1}, "jmessage.other/"},
		{"no msgid as key", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			records[victim].Key = []byte("04000000028")
			return rows, records
		}, verify.Report{Altered: 1, Missing: 1}, `key "04000000028"`},
		{"another msgid as key", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			records[victim].Key = []byte("5")
			return rows, records
		}, verify.Report{Altered: 1, Missing: 1, Unknown: 1}, "ce_id"},
		{"another time", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			header(records[victim], "ce_time").Value = []byte("2019-03-22T02:46:25.000Z")
			return rows, records
		}, verify.Report{Altered: 1}, "ce_time"},
		{"another subject", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			header(records[victim], "ce_subject").Value = nil
			return rows, records
		}, verify.Report{Altered: 1}, "ce_subject"},
		{"another app", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			header(records[victim], "ce_source").Value = []byte("urn:jmessage:app:other")
			return rows, records
		}, verify.Report{Altered: 1}, "ce_source"},
		{"no stream", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			header(records[victim], "jmpub_stream").Key = "x"
			return rows, records
		}, verify.Report{Altered: 1}, "jmpub_stream"},
		{"unknown", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			return slices.Delete(rows, victim, victim+1), records
		}, verify.Report{Unknown: 1}, "4000000028 in other belongs to no row"},
		{"rejected missing", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			return rows, slices.Delete(records, 49, 50)
		}, verify.Report{Missing: 1}, "is not in rejected"},
		{"rejected twice", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			return rows, append(records, records[49])
		}, verify.Report{Duplicated: 1}, ""},
		{"rejected, but not byte for byte", func(rows []verify.TruthRow, records []*kgo.Record) ([]verify.TruthRow, []*kgo.Record) {
			records[49].Value = []byte(strings.ReplaceAll(string(records[49].Value), " ", ""))
			return rows, records
		}, verify.Report{Missing: 1, Unknown: 1}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			held, records := tc.change(slices.Clone(rows), events(t, rows))
			w.publish(t, records...)
			report := verify.Compare(slices.Values(held), w.read(t))
			got := report
			got.Rows, got.Examples = 0, nil
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("found %s", report.String())
			}
			if !strings.Contains(report.String(), tc.says) || (len(report.Examples) == 0) != report.OK() {
				t.Errorf("%q does not say %q", report.String(), tc.says)
			}
			if report.OK() != (fmt.Sprint(got) == fmt.Sprint(verify.Report{})) {
				t.Errorf("OK is %v", report.OK())
			}
		})
	}
}

// TestTransactions sees what is committed and nothing else, and waits for what is not decided.
func TestTransactions(t *testing.T) {
	w := newWorld(t)
	rows := truth(300)
	records := events(t, rows)
	producer := w.connect(t, kgo.TransactionalID("jmpub"))
	for i, verdict := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := producer.ProduceSync(t.Context(), records[100*i:100*(i+1)]...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			w.waits(t)
		}
		if err := producer.EndTransaction(t.Context(), verdict); err != nil {
			t.Fatal(err)
		}
	}
	report := verify.Compare(slices.Values(rows), w.read(t))
	if report.Missing != 100 || report.Duplicated+report.Misrouted+report.Altered+report.Unknown != 0 {
		t.Error(report.String())
	}
	if len(report.Examples) != 10 {
		t.Errorf("%d examples", len(report.Examples))
	}
	report = verify.Compare(slices.Values(slices.Concat(rows[:100], rows[200:])), w.read(t))
	if !report.OK() {
		t.Error(report.String())
	}
}

// waits expects a reader to wait for the open transaction for as long as it may. It gets more time until it has come so far that
// it says what it waits for.
func (w *world) waits(t *testing.T) {
	t.Helper()
	for within := 100 * time.Millisecond; ; within *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		_, err := verify.Read(ctx, w.brokers, prefix)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("with an open transaction: %v", err)
		}
		if strings.Contains(err.Error(), "decided") {
			return
		}
		if within > readWithin {
			t.Fatalf("after %v it does not say what it waits for: %v", within, err)
		}
	}
}

// TestChecks gives each record of each topic to the checks, and counts what they find.
func TestChecks(t *testing.T) {
	all := []string{
		"single", "group", "chatroom", "other", "rejected", "windows", "notices", "checkpoints", "coverage", "processes",
		"statistics.users", "statistics.messages", "statistics.groups",
	}
	w := newWorld(t, all...)
	rows := truth(100)
	records := events(t, rows)
	for _, topic := range all[5:] {
		records = append(records, &kgo.Record{Topic: prefix + "." + topic, Key: []byte("k"), Value: []byte("v")})
	}
	w.publish(t, records...)
	var mu sync.Mutex
	given := make(map[string]int)
	check := func(topic string, r *kgo.Record) error {
		mu.Lock()
		defer mu.Unlock()
		given[topic]++
		if topic == "notices" && string(r.Value) == "v" || topic == "single" && r.Offset == 0 {
			return errors.New("it is strange")
		}
		return nil
	}
	found, err := verify.Read(t.Context(), w.brokers, prefix, check)
	if err != nil {
		t.Fatal(err)
	}
	if len(given) != len(all) || found.Records != len(rows) || found.Checked != 8 {
		t.Errorf("checked %v, found %d and %d", given, found.Records, found.Checked)
	}
	report := verify.Compare(slices.Values(rows), found)
	if report.OK() || report.Invalid < 2 || report.Invalid > 4 || !strings.Contains(report.String(), "it is strange") {
		t.Error(report.String())
	}
	report.Invalid = 0
	if !report.OK() {
		t.Errorf("without what the check found: %s", report.String())
	}
}

// TestNothingThere takes topics that do not exist, or hold nothing, for empty.
func TestNothingThere(t *testing.T) {
	w := newWorld(t, "single", "group")
	found := w.read(t)
	report := verify.Compare(slices.Values(truth(3)), found)
	if found.Records != 0 || report.Missing != 3 {
		t.Errorf("%d records, %s", found.Records, report.String())
	}
}

func TestUnreachable(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := verify.Read(ctx, []string{"127.0.0.1:1"}, prefix); err == nil {
		t.Error("no error")
	}
}

func BenchmarkRead(b *testing.B) {
	w := newWorld(b)
	rows := truth(100_000)
	records := events(b, rows)
	for part := range slices.Chunk(records, 10_000) {
		w.publish(b, part...)
	}
	var found *verify.Found
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			found = w.read(b)
		}
		perSecond(b, len(rows))
	})
	b.Run("compare", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			found = w.read(b)
			b.StartTimer()
			if report := verify.Compare(slices.Values(rows), found); !report.OK() {
				b.Fatal(report.String())
			}
		}
		perSecond(b, len(rows))
	})
}

func perSecond(b *testing.B, rows int) {
	b.Helper()
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
