package verify

import (
	"bytes"
	"fmt"
	"strconv"

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
	// lost tells that the record cannot be assigned to a row at all; broken says what is wrong with it.
	lost   bool
	broken string
}

// witness looks at records. Safe for concurrent use.
type witness struct {
	// topics are the event topics; every other topic that is read is that of rejected rows.
	topics map[string]pipeline.Target
	hash   hasher
}

func newWitness(prefix string, hash hasher) *witness {
	w := &witness{topics: make(map[string]pipeline.Target), hash: hash}
	for target := range pipeline.TargetCount {
		w.topics[prefix+"."+target.String()] = target
	}
	return w
}

func (w *witness) look(r *kgo.Record) witnessed {
	target, ok := w.topics[r.Topic]
	if !ok {
		return witnessed{rejected: true, row: w.hash.bytes(r.Value)}
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
