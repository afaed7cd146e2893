package sink_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
	"github.com/jmpub/jmpub/sink"
)

// TestRouting holds which names a template makes, in the order of the targets.
func TestRouting(t *testing.T) {
	for template, want := range map[string][]string{
		"":                                      {"p.single", "p.group", "p.chatroom", "p.other"},
		sink.DefaultTemplate:                    {"p.single", "p.group", "p.chatroom", "p.other"},
		"{prefix}.{app_key}.{target_type}":      {"p.4f7a.single", "p.4f7a.group", "p.4f7a.chatroom", "p.4f7a.other"},
		"{prefix}.messages":                     {"p.messages"},
		"{prefix}":                              {"p"},
		"im-{target_type}s_{app_key}":           {"im-singles_4f7a", "im-groups_4f7a", "im-chatrooms_4f7a", "im-others_4f7a"},
		"{prefix}.{target_type}.rejected":       {"p.single.rejected", "p.group.rejected", "p.chatroom.rejected", "p.other.rejected"},
		strings.Repeat("x", 248) + "{prefix}":   {strings.Repeat("x", 248) + "p"},
		"{prefix}{prefix}.statistics.{app_key}": {"pp.statistics.4f7a"},
	} {
		r, err := sink.NewRouting(template, "p", "4f7a")
		if err != nil {
			t.Errorf("%q: %v", template, err)
			continue
		}
		if got := r.Events(); !slices.Equal(got, want) {
			t.Errorf("%q makes %q, want %q", template, got, want)
		}
		for target := range event.TargetCount {
			if got, want := r.Event(target), want[min(int(target), len(want)-1)]; got != want {
				t.Errorf("%q sends %s to %q, want %q", template, target, got, want)
			}
		}
		if got := r.Own(pipeline.TopicWindows); got != "p.windows" {
			t.Errorf("%q: the ledger is in %q", template, got)
		}
	}
}

// TestBadTemplates expects of each an error that names the setting and what is wrong.
func TestBadTemplates(t *testing.T) {
	for template, says := range map[string]string{
		"{prefix}.{target}":                   "{app_key} and {target_type}",
		"{prefix}.{TARGET_TYPE}":              "the placeholders are",
		"{prefix}.{target_type":               "the placeholders are",
		"}{":                                  "the placeholders are",
		"{prefix}/{target_type}":              "letters, digits",
		"{prefix} {target_type}":              "letters, digits",
		"群聊":                                  "letters, digits",
		"..":                                  "letters, digits",
		".":                                   "letters, digits",
		strings.Repeat("x", 249) + "{prefix}": "Kafka allows 249",
		"{prefix}.rejected":                   "jmpub's rejected",
		"p.windows":                           "jmpub's windows",
		"p_notices":                           "jmpub's notices",
		"{prefix}.checkpoints":                "jmpub's checkpoints",
		"{prefix}.statistics.{target_type}":   "jmpub's statistics",
		"p_statistics_x":                      "jmpub's statistics",
	} {
		_, err := sink.NewRouting(template, "p", "4f7a")
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "JMPUB_TOPIC_TEMPLATE") {
			t.Errorf("%q: %v", template, err)
		}
	}
	if _, err := sink.NewRouting("{app_key}.{target_type}", "p", "an app"); err == nil {
		t.Error("an app key that fits into no topic's name is taken")
	}
	if _, err := sink.NewRouting("", "a b", "4f7a"); err == nil || !strings.Contains(err.Error(), "JMPUB_TOPIC_PREFIX") {
		t.Errorf("prefix: %v", err)
	}
}

// TestAllInOneTopic publishes every target to one topic, and makes no other for events.
func TestAllInOneTopic(t *testing.T) {
	b := newBench(t)
	b.topics.Template = "{prefix}.all_messages"
	var warned []string
	b.topics.Warn = func(message string, attrs ...slog.Attr) { warned = append(warned, fmt.Sprint(message, attrs)) }
	s := b.open(t)
	commit(t, s, events(0, 100))
	records := b.read(t, "t.all_messages")
	if got := keysOf(records); !slices.Equal(got, upTo(100)) {
		t.Errorf("read the ids %v", got)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topics, err := kadm.NewClient(client).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"t.all_messages", "t.checkpoints", "t.coverage", "t.notices", "t.rejected", "t.windows"}
	if got := slices.Sorted(slices.Values(topics.Names())); !slices.Equal(got, want) {
		t.Errorf("the topics are %v, want %v", got, want)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "t.all_messages") {
		t.Errorf("warned %q, want it of that topic", warned)
	}
}
