package verify

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/rawjson"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// witnessed is what one record shows.
type witnessed struct {
	id     int64
	target event.Target
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
	*Layout
	// events are the targets of the event topics, rejected is the topic of rejected rows, own are the others that are read.
	events   map[string][]event.Target
	rejected string
	own      []string
	hash     hasher
	checks   []Check
}

func newWitness(l *Layout, hash hasher, checks []Check) *witness {
	w := &witness{Layout: l, events: l.events(), rejected: l.own(pipeline.TopicRejected), hash: hash, checks: checks}
	if len(checks) > 0 {
		for _, topic := range []pipeline.Topic{
			pipeline.TopicWindows, pipeline.TopicNotices, pipeline.TopicCheckpoints, pipeline.TopicCoverage, pipeline.TopicProcesses,
			"statistics.users", "statistics.messages", "statistics.groups",
		} {
			w.own = append(w.own, l.own(topic))
		}
	}
	return w
}

// names are the topics to read.
func (w *witness) names() []string { return append(w.Topics(), w.own...) }

func (w *witness) look(r *kgo.Record) witnessed {
	targets, isEvent := w.events[r.Topic]
	var seen witnessed
	topic := strings.TrimPrefix(r.Topic, w.Prefix+".")
	switch {
	case isEvent:
		if w.Decode != nil {
			value, err := w.Decode(r.Topic, r.Value)
			if err != nil {
				return witnessed{lost: true, broken: fmt.Sprintf("%s: %v", place(r), err)}
			}
			decoded := *r
			decoded.Value = value
			r = &decoded
		}
		seen = w.event(r, targets)
		topic = seen.target.String()
	case r.Topic == w.rejected:
		seen = witnessed{rejected: true, row: w.hash.bytes(r.Value), text: place(r) + ": " + shorten(r.Value)}
	default:
		seen = witnessed{own: true}
	}
	for _, check := range w.checks {
		if err := check(topic, r); err != nil {
			seen.invalid = fmt.Errorf("%s: %w", place(r), err)
		}
	}
	return seen
}

// event finds out which row an event was made of.
func (w *witness) event(r *kgo.Record, targets []event.Target) witnessed {
	said := envelopeOf(r.Value)
	seen := witnessed{target: targets[0]}
	if target := targetOf(string(said.targetType)); slices.Contains(targets, target) {
		seen.target = target
	}
	var err error
	if seen.id, err = strconv.ParseInt(string(r.Key), 10, 64); err != nil || strconv.FormatInt(seen.id, 10) != string(r.Key) {
		seen.lost, seen.broken = true, fmt.Sprintf("%s: the key %q is no msgid", place(r), r.Key)
		return seen
	}
	row, err := event.Rebuild(r.Value)
	if err != nil {
		seen.lost, seen.broken = true, fmt.Sprintf("%s: %v", place(r), err)
		return seen
	}
	seen.row = w.hash.row(row)
	if wrong := w.checkHeaders(r, &said); wrong != "" {
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
func (w *witness) checkHeaders(r *kgo.Record, said *envelope) string {
	headers := make(map[string][]byte, len(r.Headers))
	for _, h := range r.Headers {
		headers[h.Key] = h.Value
	}
	for _, h := range []struct {
		name string
		want []byte
	}{
		{"ce_specversion", []byte("1.0")},
		{"ce_type", []byte("jmpub.message.v1")},
		{"content-type", []byte(cmp.Or(w.ContentType, "application/json"))},
		{"ce_id", r.Key},
		{"ce_time", said.time},
		{"ce_subject", said.conversation},
	} {
		if got := headers[h.name]; !bytes.Equal(got, h.want) {
			return fmt.Sprintf("%s is %q, not %q", h.name, got, h.want)
		}
	}
	if name, ok := bytes.CutPrefix(headers["ce_source"], []byte(source)); !ok || !bytes.Equal(name, said.appKey) {
		return fmt.Sprintf("ce_source is %q, but the app is %q", headers["ce_source"], said.appKey)
	}
	if _, err := pipeline.ParseStream(string(headers["jmpub_stream"])); err != nil {
		return fmt.Sprintf("jmpub_stream: %v", err)
	}
	return ""
}

// envelope is what an event says that its headers and its topic repeat; nil is what it does not have.
type envelope struct{ appKey, time, conversation, targetType []byte }

func envelopeOf(value []byte) envelope {
	var said envelope
	r := rawjson.Lenient()
	r.Open(value)
	for r.Enter('{'); r.Member(); {
		name, text := string(r.Name()), rawjson.Unquote(r.Value())
		switch name {
		case "app_key":
			said.appKey = text
		case "time":
			said.time = text
		case "conversation_id":
			said.conversation = text
		case "target_type":
			said.targetType = text
		}
	}
	return said
}
