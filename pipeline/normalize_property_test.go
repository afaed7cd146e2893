package pipeline_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/jmpub/jmpub/pipeline"
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
	event, rejection := pipeline.Normalize(appKey, row)
	if !bytes.Equal(row, before) {
		t.Fatalf("the row was changed: %q", row)
	}
	if got, want := reasonOf(rejection), expectedReason(row); got != want {
		t.Fatalf("row %q: reason %q, want %q", row, got, want)
	}
	checkStateless(t, row, event)
	if rejection == nil {
		checkEvent(t, row, event)
		return
	}
	if event.Value != nil {
		t.Fatalf("event and rejection for %q", row)
	}
	if !bytes.Equal(rejection.Row, row) || rejection.Detail == "" || len(rejection.Detail) > 512 {
		t.Fatalf("rejection %+v does not carry the row and a sentence", rejection)
	}
}

// checkStateless holds that a normalizer that has seen other rows gives the same event.
func checkStateless(t failer, row []byte, want pipeline.Event) {
	t.Helper()
	n := pipeline.NewNormalizer(appKey)
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
func expectedReason(row []byte) pipeline.Reason {
	if !utf8.Valid(row) || !jsontext.Value(row).IsValid(lenient()...) {
		return pipeline.ReasonInvalidJSON
	}
	if jsontext.Value(row).Kind() != '{' {
		return pipeline.ReasonNotObject
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
			return pipeline.ReasonDuplicateField
		}
		if strings.Count(string(value), "[")+strings.Count(string(value), "{") > 9_000 {
			return depthReason(name, value)
		}
		seen[name] = true
	}
	if len(ids) == 0 {
		return pipeline.ReasonMsgIDAbsent
	}
	if id, err := strconv.ParseInt(ids[0], 10, 64); err != nil || strconv.FormatInt(id, 10) != ids[0] {
		return pipeline.ReasonMsgIDNotInteger
	}
	return ""
}

// depthReason tells whether a very deep value can still be read where the event has it.
func depthReason(name string, value []byte) pipeline.Reason {
	event := fmt.Appendf(nil, `{"attributes":{"x":%s}}`, value)
	if name == "msg_body" {
		event = fmt.Appendf(nil, `{"msg_body":%s}`, value)
	}
	if jsontext.Value(event).IsValid(lenient()...) {
		return ""
	}
	return pipeline.ReasonInvalidJSON
}

// checkEvent holds what is true of any event.
func checkEvent(t failer, row []byte, event pipeline.Event) {
	t.Helper()
	// Where the row is strict, the event is; duplicates in bodies are always the sender's.
	strict := []jsontext.Options{jsontext.AllowDuplicateNames(true)}
	if !jsontext.Value(row).IsValid(strict...) {
		strict = lenient()
	}
	compact := jsontext.Value(bytes.Clone(event.Value))
	if !compact.IsValid(strict...) || compact.Compact() != nil || !bytes.Equal(compact, event.Value) {
		t.Fatalf("the event of %q is not compact JSON: %s", row, event.Value)
	}
	var parsed struct {
		MsgID        json.Number `json:"msgid"`
		AppKey       string      `json:"app_key"`
		Conversation string      `json:"conversation_id"`
		Time         string      `json:"time"`
	}
	if err := json.Unmarshal(event.Value, &parsed); err != nil {
		t.Fatalf("parse %s: %v", event.Value, err)
	}
	if parsed.MsgID.String() != strconv.FormatInt(event.MsgID, 10) || parsed.AppKey != appKey ||
		parsed.Conversation != string(event.Conversation) || parsed.Time != string(event.Time) {
		t.Fatalf("event %s is not what stands beside it: %d %q %q", event.Value, event.MsgID, event.Conversation, event.Time)
	}
	if (event.ServerTime > 0 || event.ClientTime > 0) != (parsed.Time != "") {
		t.Fatalf("event %s has clocks %d and %d", event.Value, event.ServerTime, event.ClientTime)
	}
	checkOrder(t, event.Value)
	rebuilt, err := pipeline.Rebuild(event.Value)
	if err != nil {
		t.Fatalf("rebuild %s: %v", event.Value, err)
	}
	if !pipeline.SameRow(rebuilt, row) {
		t.Fatalf("row     %s\nevent   %s\nrebuilt %s", row, event.Value, rebuilt)
	}
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

func FuzzNormalize(f *testing.F) {
	for _, row := range storedRows(f, "*") {
		f.Add(row)
	}
	f.Fuzz(func(t *testing.T, row []byte) { checkNormalized(t, row) })
}

// fieldNames are names that rows have, names that events have, and names that need a second look.
func fieldNames() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{
		"msgid", "target_type", "msg_type", "msg_ctime", "create_time", "from_id", "from_name", "from_type", "from_platform",
		"from_appkey", "target_id", "target_name", "target_appkey", "msg_level", "msg_body", "version", "at_list", "attributes",
		"text", "time", "time_source", "client_time", "app_key", "from", "target", "cross_app", "media", "location",
		"conversation_id", "媒体", `a\"b`, `\u006dsgid2`, `msg_bod\u0079`, `\ud83d`, `\ud83e`, "", "MSGID",
	})
}

// fieldValues are JSON values of every kind, with and without a place in the event, some made of others.
func fieldValues() *rapid.Generator[string] {
	simple := rapid.SampledFrom([]string{
		"0", "1", "2", "-0", "-5", "1.0", "1e3", "1E+3", "1553222785", "1553222785613", "9223372036854775807",
		"9223372036854775808", "-9223372036854775809", "253402300799999", "253402300800000", "100000000000", "99999999999",
		`""`, `"a"`, `"b|c/d%e:f"`, `"单聊 😀"`, `"\ud83d"`, `"\/\u0041\n\\"`, `"\\\""`, `"single"`, `"group"`, `"chatroom"`, `"text"`,
		`"image"`, `"video"`, `"location"`, `"te\u0078t"`, "null", "true", "false", "[]", "{}", `[ 1, [ ] ,{} ]`,
		`{"text":"x  y","extras":{"n":9007199254740993}}`, `{"media_id":"q","fsize":1.50,"img_link":"u"}`,
		`{"video":{"media_id":"v"},"thumb":{"media_id":"t"},"duration":3}`, `{"latitude":111.2,"longitude":1e2,"label":"l"}`,
		`{"te\u0078t":"x","text":"y"}`, `{"a":1,"a":2}`,
	})
	text := rapid.Custom(func(t *rapid.T) string {
		quoted, err := json.Marshal(rapid.String().Draw(t, "text"))
		if err != nil {
			t.Fatalf("quote: %v", err)
		}
		return string(quoted)
	})
	made := rapid.Custom(func(t *rapid.T) string {
		names := []string{
			"text", "media_id", "media_crc32", "width", "height", "format", "fsize", "fname", "duration", "hash", "img_link",
			"video", "thumb", "latitude", "longitude", "scale", "label", "extras",
		}
		var members []string
		for range rapid.IntRange(0, 6).Draw(t, "members") {
			name := rapid.SampledFrom(names).Draw(t, "name")
			members = append(members, `"`+name+`":`+rapid.OneOf(simple, text).Draw(t, "value"))
		}
		return "{" + strings.Join(members, ", ") + "}"
	})
	return rapid.OneOf(simple, simple, text, made)
}

// TestAnyRowIsRebuilt makes rows in which every field has any type.
func TestAnyRowIsRebuilt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var members []string
		if rapid.IntRange(0, 9).Draw(t, "without msgid") > 0 {
			members = append(members, `"msgid":2456348996`)
		}
		for range rapid.IntRange(0, 20).Draw(t, "members") {
			members = append(members, `"`+fieldNames().Draw(t, "name")+`":`+fieldValues().Draw(t, "value"))
		}
		checkNormalized(t, joinRow(t, members))
	})
}

// TestMutatedSampleIsRebuilt changes rows as the API gives them: fields vanish, swap their values, get values of other
// types, stand in another order.
func TestMutatedSampleIsRebuilt(t *testing.T) {
	samples := sampleRows(t)
	rapid.Check(t, func(t *rapid.T) {
		names, values := splitRow(t, rapid.SampledFrom(samples).Draw(t, "sample"))
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			i := rapid.IntRange(0, len(values)-1).Draw(t, "field")
			switch rapid.IntRange(0, 3).Draw(t, "change") {
			case 0:
				values[i] = fieldValues().Draw(t, "value")
			case 1:
				j := rapid.IntRange(0, len(values)-1).Draw(t, "other")
				values[i], values[j] = values[j], values[i]
			case 2:
				values[i] = strconv.Quote(strings.Trim(values[i], `"`)) // A number as text; not always JSON, which is fine.
			default:
				values[i] = ""
			}
		}
		var members []string
		for i, value := range values {
			if value != "" {
				members = append(members, names[i]+":"+value)
			}
		}
		checkNormalized(t, joinRow(t, rapid.Permutation(members).Draw(t, "order")))
	})
}

func splitRow(t *rapid.T, row []byte) (names, values []string) {
	d := jsontext.NewDecoder(bytes.NewReader(row))
	for _, err := d.ReadToken(); err == nil && d.PeekKind() == '"'; {
		name, _ := d.ReadValue()
		names = append(names, string(name))
		value, err := d.ReadValue()
		if err != nil {
			t.Fatalf("sample %s: %v", row, err)
		}
		values = append(values, string(value))
	}
	return names, values
}

// joinRow makes a row, with whitespace where JSON allows it.
func joinRow(t *rapid.T, members []string) []byte {
	space := rapid.SampledFrom([]string{"", "", " ", "\n\t", "\r\n  "}).Draw(t, "space")
	return []byte("{" + space + strings.Join(members, space+","+space) + space + "}" + space)
}

// TestConversationIDs holds that both directions of a chat have one id, and different chats different ones.
func TestConversationIDs(t *testing.T) {
	part := rapid.StringOfN(rapid.SampledFrom([]rune(`ab|/%:7C"`)), 1, 4, -1)
	user := rapid.Custom(func(t *rapid.T) [2]string { return [2]string{part.Draw(t, "app"), part.Draw(t, "id")} })
	id := func(t *rapid.T, from, to [2]string) string {
		row, err := json.Marshal(map[string]any{
			"msgid": 1, "target_type": "single", "from_appkey": from[0], "from_id": from[1], "target_appkey": to[0], "target_id": to[1],
		})
		if err != nil {
			t.Fatalf("make row: %v", err)
		}
		event, rejection := pipeline.Normalize(appKey, row)
		if rejection != nil {
			t.Fatalf("rejected: %s", rejection.Detail)
		}
		return string(event.Conversation)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b, c, d := user.Draw(t, "a"), user.Draw(t, "b"), user.Draw(t, "c"), user.Draw(t, "d")
		there, back := id(t, a, b), id(t, b, a)
		if there != back || there == "" {
			t.Fatalf("%q one way, %q the other", there, back)
		}
		// Within an app the id does not name the app.
		if a[0] == b[0] && c[0] == d[0] {
			a[0], b[0], c[0], d[0] = "", "", "", ""
		}
		same := a == c && b == d || a == d && b == c
		if other := id(t, c, d); (there == other) != same && (a[0] != "" || same) {
			t.Fatalf("%q and %q for %q-%q and %q-%q", there, other, a, b, c, d)
		}
	})
}
