package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/tests/hostile"
	"github.com/jmpub/jmpub/pipeline"
)

// hostileName is a name that a stream can have; of what a terminal obeys it has all but C0, DEL and what is no UTF-8.
const hostileName = "a\u009b31m\u202eb\u2066\u200f\u061c\u200b\u2028\ufeff"

// poison writes records of an app into its topics, as whoever may write there can.
func poison(t *testing.T, brokers *broker.Broker, app string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers.Addrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	end := time.Now().UTC().Truncate(time.Second).Add(-time.Minute)
	stream := pipeline.Stream{Kind: pipeline.StreamUsers, Name: hostileName}
	window := pipeline.Window{Begin: end.Add(-time.Hour), End: end}
	ledger := &pipeline.Ledger{
		AppKey: app, Stream: stream, Window: window, Sequence: 1, MovedFrom: window.Begin, MovedTo: end, Started: end, Requests: 1, Pages: 1,
		Replay: hostile.Controls + strings.Repeat("r", 10_000), Offsets: []pipeline.OffsetRange{{Topic: hostile.Controls + "\n", First: 1, Last: 1}},
	}
	put := func(topic string, key, value []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if err = client.ProduceSync(t.Context(), &kgo.Record{Topic: "jmessage." + topic, Key: key, Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	value, err := checkpoint.Encode(&pipeline.Checkpoint{AppKey: app, Stream: stream, End: end, SavedAt: end})
	put("checkpoints", []byte(app+"/"+stream.String()), value, err)
	value, err = checkpoint.EncodeLedger(ledger)
	put("windows", checkpoint.LedgerKey(app, stream, window), value, err)
	ledger.Replay = ""
	value, err = checkpoint.EncodeLedger(ledger)
	put("windows", checkpoint.LedgerKey(app, stream, window), value, err)
	if _, err = kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "jmessage.processes"); err != nil {
		t.Fatal(err)
	}
	value, err = json.Marshal(map[string]any{
		"version": 1, "group": "jmpub", "process": hostileName, "instance": "i", "release": hostileName, "started_at": end, "at": time.Now(), "parts": 1,
		"apps": []map[string]string{{"app_key": hostileName, "topic_prefix": hostileName, "state": hostileName, "error": hostileName + "\n"}},
	})
	put("processes", []byte("jmpub/"+hostileName+"/i/0"), value, err)
}

// TestOutputIsPlain has every command meet what a terminal obeys, in Kafka, in the API's answers, in settings and on the command line.
func TestOutputIsPlain(t *testing.T) {
	t.Parallel()
	brokers, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = brokers.Close() })
	answer := hostile.Answer(200, `{"total":0,"count":0,"messages":[]}`)
	env := map[string]string{
		"JMPUB_APP_KEY": "4f7aef34fb361292c566a1cd", "JMPUB_MASTER_SECRET": "master-secret-of-test", "JMPUB_KAFKA_BROKERS": brokers.Addrs()[0],
		"JMPUB_API_URL": "http://" + hostile.Serve(t, func(string) string { return answer }) + "/v2", "JMPUB_LISTEN": "off",
		"JMPUB_START": "30m", "JMPUB_TOPICS_PARTITIONS": "1", "JMPUB_TOPICS_SHARDS": "1", "JMPUB_LOG": "debug",
	}
	check := func(env map[string]string, args ...string) outcome {
		t.Helper()
		out := try(t, env, args...)
		for name, text := range map[string]string{"standard output": out.stdout, "standard error": out.stderr} {
			if obeyed := hostile.Obeyed(text); obeyed != "" || len(text) > 50_000 {
				t.Errorf("%q: %s has %d bytes, and %s", args, name, len(text), obeyed)
			}
		}
		if len(args) > 1 && args[len(args)-1] == "--json" {
			for decoder := json.NewDecoder(strings.NewReader(out.stdout)); decoder.More(); {
				if err := decoder.Decode(new(any)); err != nil {
					t.Errorf("%q: %v in %s", args, err, out.stdout)
					break
				}
			}
		}
		return out
	}
	if out := check(env, "checkpoint", "list"); out.code != exitDone { // It makes the topics.
		t.Fatalf("%+v", out)
	}
	poison(t, brokers, env["JMPUB_APP_KEY"])

	const stream = "users/" + hostileName
	shown := fmt.Sprintf("users/%s", `a\u009b31m\u202eb\u2066\u200f\u061c\u200b\u2028\ufeff`)
	for _, args := range [][]string{
		{"apps"},
		{"checkpoint", "list"},
		{"checkpoint", "get", stream},
		{"windows"},
		{"windows", "--by", "hour"},
		{"checkpoint", "reset", stream, "--to", "20m", "--yes"},
		{"__complete", "checkpoint", "get", ""},
		{"checkpoint", "delete", stream, "--yes"},
	} {
		want := shown
		if args[0] == "apps" { // It has no streams.
			want = strings.TrimPrefix(shown, "users/")
		}
		if out := check(env, args...); out.code != exitDone || !strings.Contains(out.stdout, want) {
			t.Errorf("%q: %+v", args, out)
		}
		if args[0] == "apps" || args[0] == "windows" || args[1] == "list" || args[1] == "get" {
			check(env, append(args, "--json")...)
		}
	}
	for _, body := range []string{`{"error":{"code":899001,"message":"\u001b[2J` + hostile.Controls + `"}}`, hostile.Controls} {
		answer = hostile.Answer(403, body)
		env["JMPUB_LOG_FORMAT"] = map[bool]string{true: "text", false: "json"}[body == hostile.Controls]
		for _, args := range [][]string{{"run"}, {"replay", "--from", "20m", "--yes"}, {"audit", "--from", "20m", "--yes"}} {
			if out := check(env, args...); out.code == exitDone {
				t.Errorf("%q: %+v", args, out)
			}
		}
	}
	raw := strings.ReplaceAll(hostile.Controls, "\x00", "")
	for _, name := range []string{
		"JMPUB_STREAMS", "JMPUB_START", "JMPUB_API_URL", "JMPUB_API_RATE", "JMPUB_KAFKA_BROKERS", "JMPUB_KAFKA_SASL", "JMPUB_LOG", "JMPUB_POLL",
		"JMPUB_TOPIC_PREFIX", "JMPUB_TOPIC_TEMPLATE", "JMPUB_CHECKPOINT", "JMPUB_GROUP", "JMPUB_MASTER_SECRET_FILE", "JMPUB_LISTEN", "JMPUB_" + raw,
		"JMPUB_API_TIME_ZONE", "JMPUB_KAFKA_TLS_CA_FILE",
	} {
		for _, value := range []string{raw, "file:/none/" + raw, "http://127.0.0.1:1/" + raw, "1" + raw} {
			check(with(env, name, value), "config")
			check(with(env, name, value), "config", "--json")
		}
	}
	for _, args := range [][]string{
		{raw},
		{"--" + raw},
		{"run", "--" + raw},
		{"run", raw},
		{"help", raw},
		{"checkpoint", "get", raw},
		{"checkpoint", "get", "users/" + raw},
		{"windows", "--from", raw},
		{"windows", "--stream", raw},
		{"replay", "--id", raw, "--from", "1h"},
		{"replay", "--to-topic-prefix", raw, "--from", "1h"},
		{"sim", "--listen", raw},
		{"broker", "--listen", raw},
		{"demo", "--for", raw},
		{"completion", raw},
		{"__complete", raw, ""},
		{"checkpoint", "delete", "messages", "--replay", raw, "--yes"},
		{"audit", "--step", raw},
	} {
		if out := check(env, args...); out.code == exitDone && args[0] != "__complete" && args[0] != "help" {
			t.Errorf("%q: %+v", args, out)
		}
	}
}
