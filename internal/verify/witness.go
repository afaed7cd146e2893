package verify

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/pipeline"
)

// witnessed is what one record shows.
type witnessed struct {
	id     int64
	target pipeline.Target
	// row is the hash of the row that the event was made of, or of the rejected row's bytes.
	row      uint64
	rejected bool
	// text shows a rejected row.
	text string
	// lost tells that the record cannot be assigned to a row at all; broken says what is wrong with it.
	lost   bool
	broken string
	// own tells that it is of a topic that has no rows; invalid is what a check says.
	own     bool
	invalid error
}

// witness looks at records. Safe for concurrent use.
type witness struct {
	prefix string
	// topics are the event topics, rejected is that of rejected rows, own are the others that are read.
	topics   map[string]pipeline.Target
	rejected string
	own      []string
	hash     hasher
	checks   []Check
}

func newWitness(prefix string, hash hasher, checks []Check) *witness {
	w := &witness{
		prefix: prefix + ".", topics: make(map[string]pipeline.Target), rejected: prefix + "." + string(pipeline.TopicRejected),
		hash: hash, checks: checks,
	}
	for target := range pipeline.TargetCount {
		w.topics[w.prefix+target.String()] = target
	}
	if len(checks) > 0 {
		for _, topic := range []string{
			string(pipeline.TopicWindows), string(pipeline.TopicNotices), string(pipeline.TopicCheckpoints),
			"statistics.users", "statistics.messages", "statistics.groups",
		} {
			w.own = append(w.own, w.prefix+topic)
		}
	}
	return w
}

// names are the topics to read.
func (w *witness) names() []string {
	return append(slices.Collect(maps.Keys(w.topics)), append(w.own, w.rejected)...)
}

func (w *witness) look(r *kgo.Record) witnessed {
	seen := w.row(r)
	for _, check := range w.checks {
		if err := check(strings.TrimPrefix(r.Topic, w.prefix), r); err != nil {
			seen.invalid = fmt.Errorf("%s: %w", place(r), err)
		}
	}
	return seen
}

// row finds out which row a record was made of.
func (w *witness) row(r *kgo.Record) witnessed {
	target, ok := w.topics[r.Topic]
	switch {
	case r.Topic == w.rejected:
		return witnessed{rejected: true, row: w.hash.bytes(r.Value), text: place(r) + ": " + shorten(r.Value)}
	case !ok:
		return witnessed{own: true}
	}
	seen := witnessed{target: target}
	var err error
	if seen.id, err = strconv.ParseInt(string(r.Key), 10, 64); err != nil || strconv.FormatInt(seen.id, 10) != string(r.Key) {
		return witnessed{lost: true, broken: fmt.Sprintf("%s: the key %q is no msgid", place(r), r.Key)}
	}
	row, err := pipeline.Rebuild(r.Value)
	if err != nil {
		return witnessed{lost: true, broken: fmt.Sprintf("%s: %v", place(r), err)}
	}
	seen.row = w.hash.row(row)
	if wrong := checkHeaders(r); wrong != "" {
		seen.broken = place(r) + ": " + wrong
	}
	return seen
}

func place(r *kgo.Record) string {
	return fmt.Sprintf("%s/%d at offset %d", r.Topic, r.Partition, r.Offset)
}

// source is what ce_source begins with; the app's key follows.
const source = "urn:jmessage:app:"

// checkHeaders says which header contradicts the key, the value or the contract; empty if none does.
func checkHeaders(r *kgo.Record) string {
	var headers struct{ specversion, id, source, kind, time, subject, contentType, stream []byte }
	for i := range r.Headers {
		switch value := r.Headers[i].Value; r.Headers[i].Key {
		case "ce_specversion":
			headers.specversion = value
		case "ce_id":
			headers.id = value
		case "ce_source":
			headers.source = value
		case "ce_type":
			headers.kind = value
		case "ce_time":
			headers.time = value
		case "ce_subject":
			headers.subject = value
		case "content-type":
			headers.contentType = value
		case "jmpub_stream":
			headers.stream = value
		}
	}
	appKey, time, conversation := envelope(r.Value)
	for _, h := range []struct {
		name      string
		got, want []byte
	}{
		{"ce_specversion", headers.specversion, []byte("1.0")},
		{"ce_type", headers.kind, []byte("jmpub.message.v1")},
		{"content-type", headers.contentType, []byte("application/json")},
		{"ce_id", headers.id, r.Key},
		{"ce_time", headers.time, time},
		{"ce_subject", headers.subject, conversation},
	} {
		if !bytes.Equal(h.got, h.want) {
			return fmt.Sprintf("%s is %q, not %q", h.name, h.got, h.want)
		}
	}
	if name, ok := bytes.CutPrefix(headers.source, []byte(source)); !ok || !bytes.Equal(name, appKey) {
		return fmt.Sprintf("ce_source is %q, but the app is %q", headers.source, appKey)
	}
	if _, err := pipeline.ParseStream(string(headers.stream)); err != nil {
		return fmt.Sprintf("jmpub_stream: %v", err)
	}
	return ""
}

// envelope reads from an event what its headers repeat; nil is what it does not have.
func envelope(event []byte) (appKey, time, conversation []byte) {
	s := scanner{json: event}
	for ok := s.enter('{', '}'); ok; ok = s.more('}') {
		var field *[]byte
		switch name := s.text(); string(name) {
		case "app_key":
			field = &appKey
		case "time":
			field = &time
		case "conversation_id":
			field = &conversation
		}
		s.expect(':')
		if field == nil || s.next() != '"' {
			s.skip()
			continue
		}
		*field = unescaped(s.text())
	}
	return appKey, time, conversation
}
