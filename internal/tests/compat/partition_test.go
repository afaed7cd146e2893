//go:build integration

package compat_test

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// partitions expects each keyed record where the Java producer puts its key; or, by conversation, where it would put the
// conversation id. Records of a stream's windows and days are where it would put the stream's key.
func partitions(t *testing.T, h *history, java *Java, byConversation bool) {
	t.Helper()
	ctx := bounded(t)
	wantEvenTopics(t, h)
	type sighting struct {
		topic     string
		partition int32
	}
	found := make(map[string]map[sighting]int)
	subjects := 0
	err := franzRecords(ctx, h.Addrs, h.topics(), func(r *kgo.Record) {
		key := r.Key
		switch subject := header(r, "ce_subject"); {
		case r.Topic == h.prefix+".rejected":
			return // It has no key.
		case r.Topic == h.prefix+".checkpoints":
			key = []byte(h.Env["JMPUB_APP_KEY"]) // All of an app stand together.
		case r.Topic == h.prefix+".windows", r.Topic == h.prefix+".coverage":
			key = key[:bytes.LastIndexByte(key, '/')] // All of a stream do.
		case byConversation && subject != nil:
			key = subject
			subjects++
		}
		if found[string(key)] == nil {
			found[string(key)] = make(map[sighting]int)
		}
		found[string(key)][sighting{r.Topic, r.Partition}]++
	})
	if err != nil {
		t.Fatal(err)
	}
	var keys [][]byte
	for key := range found {
		keys = append(keys, []byte(key))
	}
	placed, err := java.Place(ctx, h.Addrs, h.prefix+".single", h.prefix+".twin", keys)
	if err != nil {
		t.Fatal(err)
	}
	wrong := &complaints{t: t}
	defer wrong.end()
	records, used := 0, make(map[int32]int)
	for i, key := range keys {
		p := placed[i]
		if p.Hash != p.Partitioner || p.Hash != p.Sent {
			wrong.add("the Java client contradicts itself about %q: %+v", key, p)
		}
		used[p.Sent]++
		for at, n := range found[string(key)] {
			if records += n; at.partition != p.Sent {
				wrong.add("the key %q stands in %s/%d, the Java producer puts it into %d", key, at.topic, at.partition, p.Sent)
			}
		}
	}
	if byConversation == (subjects == 0) {
		t.Errorf("%d records were placed by their conversation", subjects)
	}
	t.Logf("%d keys of %d records, %d by conversation, keys by partition: %v", len(keys), records, subjects, used)
}

// wantEvenTopics expects all topics to have as many partitions as the setting says, so that one twin is enough.
func wantEvenTopics(t *testing.T, h *history) {
	t.Helper()
	topics, err := h.Admin(t).ListTopics(t.Context(), h.topics()...)
	if err != nil {
		t.Fatal(err)
	}
	want := len(topics[h.prefix+".single"].Partitions)
	for name, topic := range topics {
		if topic.Err != nil || len(topic.Partitions) != want || want < 2 {
			t.Fatalf("%s has %d partitions, not %d (%v)", name, len(topic.Partitions), want, topic.Err)
		}
	}
}

// header is a record's header; nil where it has none of that name.
func header(r *kgo.Record, name string) []byte {
	for i := range r.Headers {
		if r.Headers[i].Key == name {
			return r.Headers[i].Value
		}
	}
	return nil
}
