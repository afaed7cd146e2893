package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
)

func TestRules(t *testing.T) {
	rules, err := readRules("rules.json")
	if err != nil {
		t.Fatal(err)
	}
	rules = append(rules, rule{Name: "shouting", Words: []string{"free"}})
	for _, test := range []struct{ event, want string }{
		{`{"text":"hello"}`, "[]"},
		{`{"text":"GET IT FREE"}`, "[shouting]"},
		{`{"text":"可以再便宜一点吗","from":{"id":"user_0001"}}`, "[advertising watched sender]"},
		{`{"media":[{"kind":"image"},{"kind":"video"}]}`, "[video]"},
		{`{"from":{"id":"user_00011"}}`, "[]"},
	} {
		m := &moderator{rules: rules}
		flag, broken, err := m.look(&kafkago.Message{Key: []byte("7"), Value: []byte(test.event)})
		if err != nil {
			t.Fatal(err)
		}
		f := finding{Rules: []string{}}
		if broken {
			if err := json.Unmarshal(flag.Value, &f); err != nil {
				t.Fatal(err)
			}
		}
		if got := fmt.Sprint(f.Rules); got != test.want {
			t.Errorf("%s breaks %s, want %s", test.event, got, test.want)
		}
	}
}

func TestEventThatCannotBeReadIsFlagged(t *testing.T) {
	m := &moderator{}
	for _, event := range []kafkago.Message{
		{Key: []byte("7"), Value: []byte(`{"text":`)},
		{Key: []byte("7"), Value: []byte(`{"text":1}`)},
		{Key: []byte("x"), Value: []byte(`{}`)},
		{},
	} {
		flag, broken, err := m.look(&event)
		if err != nil || !broken || !strings.Contains(string(flag.Value), unreadable) {
			t.Errorf("%s: %s, %v, want a flag that says unreadable", event.Value, flag.Value, err)
		}
	}
}

func TestWrongUse(t *testing.T) {
	write := func(text string) string {
		name := filepath.Join(t.TempDir(), "rules.json")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "-rules " + name
	}
	for _, test := range []struct{ args, names string }{
		{"-rules none.json", "none.json"},
		{"-colour red", "-colour"},
		{"more", `"more"`},
		{"-session 1s", "-session"},
		{write(`[]`), "there are none"},
		{write(`{"name":"a"}`), "want a list"},
		{write(`[{"words":["a"]}]`), "rule 1 has no name"},
		{write(`[{"name":"a"}]`), `"a" has neither`},
		{write(`[{"name":"a","words":[""]}]`), "empty word"},
		{write(`[{"name":"a","media":["movie"]}]`), `"movie"`},
		{write(`[{"name":"a","word":["b"]}]`), `"word"`},
		{write(`[{"name":"a","words":["b"]}] []`), "something follows"},
	} {
		err := run(t.Context(), strings.Fields(test.args), &strings.Builder{})
		if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), test.names) {
			t.Errorf("moderation %s: %v, want an error of usage that names %s", test.args, err, test.names)
		}
	}
}

// FuzzLook feeds arbitrary bytes: an event gives the same flag each time, and a flag is JSON that says where the event stands.
func FuzzLook(f *testing.F) {
	f.Add([]byte("7"), []byte(`{"text":"a","from":{"id":"b"},"media":[{"kind":"video"}]}`))
	f.Add([]byte(""), []byte(`{"text":"\ud800"}`))
	m := &moderator{rules: []rule{{Name: "r", Words: []string{"a"}, Senders: []string{"b"}, Media: []string{"video"}}}}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		event := &kafkago.Message{Topic: "t", Partition: 3, Offset: 9, Key: key, Value: value}
		once, broken, err := m.look(event)
		if err != nil {
			t.Fatal(err)
		}
		again, stillBroken, err := m.look(event)
		if err != nil {
			t.Fatal(err)
		}
		if broken != stillBroken {
			t.Fatalf("%q is flagged once only", value)
		}
		if !broken {
			return
		}
		var got finding
		if err := json.Unmarshal(once.Value, &got); err != nil || got.Offset != 9 || got.Partition != 3 || got.Topic != "t" {
			t.Errorf("the flag %s: %v", once.Value, err)
		}
		if !slices.Equal(once.Value, again.Value) || !slices.Equal(once.Key, key) {
			t.Errorf("flags differ: %s, %s", once.Value, again.Value)
		}
	})
}
