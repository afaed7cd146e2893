package event_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/internal/tests/canonical"
	"github.com/jmpub/jmpub/pipeline/event"
)

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkNormalized holds what is true of any bytes.
func checkNormalized(t failer, row []byte) {
	t.Helper()
	before := bytes.Clone(row)
	e, rejection := event.NewNormalizer(appKey).Normalize(row)
	if !bytes.Equal(row, before) {
		t.Fatalf("the row was changed: %q", row)
	}
	if got, want := reasonOf(rejection), expectedReason(row); got != want {
		t.Fatalf("row %q: reason %q, want %q", row, got, want)
	}
	checkStateless(t, row, e)
	if rejection == nil {
		checkEvent(t, row, e)
		return
	}
	if e.Value != nil {
		t.Fatalf("event and rejection for %q", row)
	}
	if !bytes.Equal(rejection.Row, row) || rejection.Detail == "" || len(rejection.Detail) > 512 {
		t.Fatalf("rejection %+v does not carry the row and a sentence", rejection)
	}
}

// checkStateless holds that a normalizer that has seen other rows gives the same event.
func checkStateless(t failer, row []byte, want event.Event) {
	t.Helper()
	n := event.NewNormalizer(appKey)
	for _, first := range []string{
		`{"msgid":7,"target_type":"single","from_id":"other","target_id":"one","msg_ctime":1,"create_time":2,"x":[1]}`,
		`{"msgid":`, string(row),
	} {
		n.Normalize([]byte(first))
	}
	got, _ := n.Normalize(row)
	if got.MsgID != want.MsgID || got.Target != want.Target || !bytes.Equal(got.Value, want.Value) ||
		!bytes.Equal(got.Conversation, want.Conversation) || !bytes.Equal(got.Time, want.Time) ||
		got.ServerTime != want.ServerTime || got.ClientTime != want.ClientTime {
		t.Fatalf("the same row gave two events:\n%+v\n%+v", want, got)
	}
}

func lenient() []jsontext.Options {
	return []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
}

// expectedReason tells by jsontext alone whether a row becomes an event. Rows here never reach the limits of depth.
func expectedReason(row []byte) event.Reason {
	if !utf8.Valid(row) || !jsontext.Value(row).IsValid(lenient()...) {
		return event.ReasonInvalidJSON
	}
	if jsontext.Value(row).Kind() != '{' {
		return event.ReasonNotObject
	}
	var ids []string
	seen := make(map[string]bool)
	d := jsontext.NewDecoder(bytes.NewReader(row), lenient()...)
	for _, err := d.ReadToken(); err == nil && d.PeekKind() == '"'; {
		quoted, _ := d.ReadValue()
		name := string(quoted)
		if text, err := jsontext.AppendUnquote(nil, quoted); err == nil {
			name = string(text)
		} else {
			name = "no text: " + name
		}
		value, _ := d.ReadValue()
		if name == "msgid" {
			ids = append(ids, string(value))
		}
		if seen[name] {
			return event.ReasonDuplicateField
		}
		if strings.Count(string(value), "[")+strings.Count(string(value), "{") > 9_000 {
			return depthReason(name, value)
		}
		seen[name] = true
	}
	if len(ids) == 0 {
		return event.ReasonMsgIDAbsent
	}
	if id, err := strconv.ParseInt(ids[0], 10, 64); err != nil || strconv.FormatInt(id, 10) != ids[0] {
		return event.ReasonMsgIDNotInteger
	}
	return ""
}

// depthReason tells whether a very deep value can still be read where the event has it.
func depthReason(name string, value []byte) event.Reason {
	nested := fmt.Appendf(nil, `{"attributes":{"x":%s}}`, value)
	if name == "msg_body" {
		nested = fmt.Appendf(nil, `{"msg_body":%s}`, value)
	}
	if jsontext.Value(nested).IsValid(lenient()...) {
		return ""
	}
	return event.ReasonInvalidJSON
}

// checkEvent holds what is true of any event.
func checkEvent(t failer, row []byte, e event.Event) {
	t.Helper()
	// Where the row is strict, the event is; duplicates in bodies are always the sender's.
	strict := []jsontext.Options{jsontext.AllowDuplicateNames(true)}
	if !jsontext.Value(row).IsValid(strict...) {
		strict = lenient()
	}
	compact := jsontext.Value(bytes.Clone(e.Value))
	if !compact.IsValid(strict...) || compact.Compact() != nil || !bytes.Equal(compact, e.Value) {
		t.Fatalf("the event of %q is not compact JSON: %s", row, e.Value)
	}
	var parsed struct {
		MsgID        json.Number `json:"msgid"`
		AppKey       string      `json:"app_key"`
		Conversation string      `json:"conversation_id"`
		Time         string      `json:"time"`
		TimeSource   string      `json:"time_source"`
		ClientTime   string      `json:"client_time"`
	}
	if err := json.Unmarshal(e.Value, &parsed); err != nil {
		t.Fatalf("parse %s: %v", e.Value, err)
	}
	if parsed.MsgID.String() != strconv.FormatInt(e.MsgID, 10) || parsed.AppKey != appKey ||
		parsed.Conversation != string(e.Conversation) || parsed.Time != string(e.Time) {
		t.Fatalf("event %s is not what stands next to it: %d %q %q", e.Value, e.MsgID, e.Conversation, e.Time)
	}
	server, client := milliOf(parsed.Time), milliOf(parsed.ClientTime)
	if parsed.TimeSource != "" {
		server = 0
	}
	if e.ServerTime != server || e.ClientTime != client {
		t.Fatalf("event %s has clocks %d and %d", e.Value, e.ServerTime, e.ClientTime)
	}
	checkOrder(t, e.Value)
	rebuilt, err := event.Rebuild(e.Value)
	if err != nil {
		t.Fatalf("rebuild %s: %v", e.Value, err)
	}
	if !canonical.Equal(rebuilt, row) {
		t.Fatalf("row     %s\nevent   %s\nrebuilt %s", row, e.Value, rebuilt)
	}
}

// milliOf reads a time of an event; 0 where it has none.
func milliOf(text string) int64 {
	if text == "" {
		return 0
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return -1
	}
	return at.UnixMilli()
}

// checkOrder holds that the event's members are those of its schema, in its order, each at most once.
func checkOrder(t failer, value []byte) {
	t.Helper()
	order := []string{
		"msgid", "app_key", "target_type", "msg_type", "conversation_id", "time", "time_source", "client_time", "from",
		"target", "cross_app", "text", "media", "location", "msg_body", "attributes",
	}
	last := -1
	d := jsontext.NewDecoder(bytes.NewReader(value), lenient()...)
	for _, err := d.ReadToken(); err == nil && d.PeekKind() == '"'; {
		name, _ := d.ReadToken()
		at := slices.Index(order, name.String())
		if at <= last {
			t.Fatalf("member %s is not in its place: %s", name, value)
		}
		last = at
		if _, err = d.ReadValue(); err != nil {
			t.Fatalf("read %s: %v", value, err)
		}
	}
}
