package contract

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v3"

	"github.com/jmpub/jmpub/docs/schemas"
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/sink"
)

// reference is a $ref.
type reference struct {
	Ref string `yaml:"$ref"`
}

// asyncAPI is what is compared of docs/asyncapi.yaml.
type asyncAPI struct {
	Channels map[string]struct {
		Address  string               `yaml:"address"`
		Messages map[string]reference `yaml:"messages"`
		Bindings struct {
			Kafka struct {
				Topic map[string]any `yaml:"topicConfiguration"`
			} `yaml:"kafka"`
		} `yaml:"bindings"`
		Parameters map[string]struct {
			Default string `yaml:"default"`
		} `yaml:"parameters"`
	} `yaml:"channels"`
	Operations map[string]struct {
		Action  string    `yaml:"action"`
		Channel reference `yaml:"channel"`
	} `yaml:"operations"`
	Components struct {
		Messages map[string]apiMessage `yaml:"messages"`
	} `yaml:"components"`
}

type apiMessage struct {
	ContentType string    `yaml:"contentType"`
	Headers     reference `yaml:"headers"`
	Payload     struct {
		reference `yaml:",inline"`

		// Schema is where the payload is not in JSON Schema.
		Schema reference `yaml:"schema"`
	} `yaml:"payload"`
	Bindings struct {
		Kafka struct {
			Key *struct {
				Pattern string `yaml:"pattern"`
			} `yaml:"key"`
		} `yaml:"kafka"`
	} `yaml:"bindings"`
}

func readAPI(t *testing.T) *asyncAPI {
	t.Helper()
	data, err := os.ReadFile("../../../docs/asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var api asyncAPI
	if err := yaml.Unmarshal(data, &api); err != nil {
		t.Fatal(err)
	}
	return &api
}

// statistics are the topics that exist where statistics are published.
var statistics = []string{"statistics.users", "statistics.messages", "statistics.groups"}

// TestTopicsOfTheDocument holds that the document has the topics that jmpub makes, with their configuration, and no other.
func TestTopicsOfTheDocument(t *testing.T) {
	api := readAPI(t)
	made := topicsMade(t)
	if len(made) < 8 {
		t.Fatalf("jmpub made only %v", made)
	}
	want := slices.Compact(slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(made)), statistics...))))
	if got := slices.Sorted(maps.Keys(api.Channels)); !slices.Equal(got, want) {
		t.Errorf("the document has %v, jmpub %v", got, want)
	}
	for name, channel := range api.Channels {
		if channel.Address != "{prefix}."+name || channel.Parameters["prefix"].Default != "jmessage" {
			t.Errorf("%s has the address %s and the parameters %v", name, channel.Address, channel.Parameters)
		}
		config, ok := made[name]
		if !ok {
			continue
		}
		policy, _ := channel.Bindings.Kafka.Topic["cleanup.policy"].([]any)
		if want := strings.ReplaceAll(config["cleanup.policy"], ",", " "); fmt.Sprint(policy) != "["+want+"]" {
			t.Errorf("%s: cleanup.policy is %v in the document, and %s is made", name, policy, config["cleanup.policy"])
		}
		const brokersDefault = "1048588"
		size := brokersDefault
		if bytes, ok := channel.Bindings.Kafka.Topic["max.message.bytes"]; ok {
			size = strings.Trim(strings.TrimSpace(marshal(t, bytes)), `"`)
		}
		if size != config["max.message.bytes"] {
			t.Errorf("%s: max.message.bytes is %s in the document, and %s is made", name, size, config["max.message.bytes"])
		}
	}
}

func marshal(t *testing.T, value any) string {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// topicsMade are the topics that a sink makes, without the prefix, with their configuration.
func topicsMade(t *testing.T) map[string]map[string]string {
	t.Helper()
	embedded, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if closeErr := embedded.Close(); closeErr != nil {
			t.Error(closeErr)
		}
	})
	conn, err := kafka.Open(kafka.Config{Brokers: embedded.Addrs(), ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	topics := newTopics(t, conn.Client)
	if err = errors.Join(topics.Ensure(t.Context()), topics.EnsureProcesses(t.Context())); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(embedded.Addrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	admin := kadm.NewClient(client)
	listed, err := admin.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	configs, err := admin.DescribeTopicConfigs(t.Context(), listed.Names()...)
	if err != nil {
		t.Fatal(err)
	}
	made := make(map[string]map[string]string)
	for _, topic := range configs {
		config := make(map[string]string)
		for _, entry := range topic.Configs {
			config[entry.Key] = entry.MaybeValue()
		}
		made[strings.TrimPrefix(topic.Name, "jmessage.")] = config
	}
	return made
}

func newTopics(t *testing.T, client *kafkago.Client) *sink.Topics {
	t.Helper()
	topics, err := sink.NewTopics(sink.TopicsConfig{
		Client: client, Prefix: "jmessage", Create: true, Partitions: 1, Replication: -1, Retention: -1, MinInsyncReplicas: -1,
		Retry: pipeline.Retry{Initial: 5 * time.Millisecond, Max: 50 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	return topics
}

// TestMessagesOfTheDocument holds that each channel is published to, that its message refers to the schemas which the
// contract has for its topic, and that every schema is referred to.
func TestMessagesOfTheDocument(t *testing.T) {
	api := readAPI(t)
	sent := make(map[string]int)
	for name, operation := range api.Operations {
		channel := strings.TrimPrefix(operation.Channel.Ref, "#/channels/")
		if _, ok := api.Channels[channel]; !ok {
			t.Errorf("%s is about %q", name, operation.Channel.Ref)
		}
		if operation.Action == "send" {
			sent[channel]++
		}
	}
	event, none := []apiSchemas{{"message", "message-headers"}, {"message.avsc", "message-avro-headers"}}, ""
	want := map[string][]apiSchemas{
		"single": event, "group": event, "chatroom": event, "other": event, "rejected": {{none, "rejected-headers"}},
		"windows": {{value: "window"}}, "notices": {{value: "notice"}}, "checkpoints": {{value: "checkpoint"}, {value: "claim"}, {value: "pause"}}, "coverage": {{value: "coverage"}},
		"processes":        {{value: "process"}},
		"statistics.users": {{value: "statistics-users"}}, "statistics.messages": {{value: "statistics-messages"}},
		"statistics.groups": {{value: "statistics-groups"}},
	}
	used := make(map[string]bool)
	for name, channel := range api.Channels {
		if sent[name] != 1 {
			t.Errorf("%s is sent by %d operations", name, sent[name])
		}
		var got []apiSchemas
		for _, alias := range slices.Sorted(maps.Keys(channel.Messages)) {
			message := api.Components.Messages[strings.TrimPrefix(channel.Messages[alias].Ref, "#/components/messages/")]
			one := apiSchemas{schemaOf(message.Payload.reference) + schemaOf(message.Payload.Schema), schemaOf(message.Headers)}
			used[one.value], used[one.headers] = true, true
			got = append(got, one)
			if headers := one.headers; strings.HasPrefix(headers, "message") {
				form := object(object(document(t, headers)["properties"])["content-type"])["const"]
				if form != message.ContentType {
					t.Errorf("%s has the content type %s, its headers say %v", alias, message.ContentType, form)
				}
			}
		}
		if !slices.Equal(got, want[name]) {
			t.Errorf("%s has the schemas %q, not %q", name, got, want[name])
		}
	}
	files, err := fs.Glob(schemas.Files, "*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !used[strings.TrimSuffix(file, ".json")] {
			t.Errorf("nothing refers to docs/schemas/%s", file)
		}
	}
}

// apiSchemas are what a message's value and headers refer to.
type apiSchemas struct{ value, headers string }

func schemaOf(r reference) string {
	return strings.TrimSuffix(strings.TrimPrefix(r.Ref, "./schemas/"), ".json")
}

// TestKeysOfTheDocument holds that the patterns of keys fit the keys that the contract demands.
func TestKeysOfTheDocument(t *testing.T) {
	api := readAPI(t)
	c := load(t)
	for _, tc := range []struct{ message, topic, schema, key string }{
		{"statisticsUsers", "statistics.users", "statistics-users", appKey + "/2017-03-01"},
		{"statisticsMessages", "statistics.messages", "statistics-messages", appKey + "/2017-03-01"},
		{"statisticsGroups", "statistics.groups", "statistics-groups", appKey + "/2017-03-01"},
		{"window", "windows", "window", appKey + "/groups/10055201/2026-11-01T10:00:00Z"},
		{"notice", "notices", "notice", appKey + "/messages"},
		{"checkpoint", "checkpoints", "checkpoint", appKey + "/groups/10055201"},
		{"claim", "checkpoints", "claim", appKey + "!jmpub!claim"},
		{"claim", "checkpoints", "claim", appKey + "!jmpub!owner"},
		{"pause", "checkpoints", "pause", appKey + "!jmpub!pause"},
		{"process", "processes", "process", "jmpub/process 4711 on im-export-1/JZ4QX7DW/0"},
	} {
		valid := record{topic: tc.topic, key: []byte(tc.key), value: rawExamples(t, tc.schema)[0]}
		if err := valid.check(c); err != nil {
			t.Error(err)
		}
		key := api.Components.Messages[tc.message].Bindings.Kafka.Key
		if key == nil || !regexp.MustCompile(key.Pattern).MatchString(tc.key) || regexp.MustCompile(key.Pattern).MatchString("1") {
			t.Errorf("%s has the key %v, which does not fit %s", tc.message, key, tc.key)
		}
	}
	for name, event := range events(t) {
		valid := eventRecord(&event)
		if key := api.Components.Messages["message"].Bindings.Kafka.Key; key == nil || !regexp.MustCompile(key.Pattern).Match(valid.key) {
			t.Errorf("%s: the key %s does not fit %v", name, valid.key, key)
		}
	}
	if key := api.Components.Messages["rejected"].Bindings.Kafka.Key; key != nil {
		t.Errorf("rejected rows have the key %v", key)
	}
}
