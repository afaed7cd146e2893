package event_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/jmpub/jmpub/pipeline/event"
)

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
		e, rejection := event.NewNormalizer(appKey).Normalize(row)
		if rejection != nil {
			t.Fatalf("rejected: %s", rejection.Detail)
		}
		return string(e.Conversation)
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

// TestIDsThatAreNoNames makes no conversation of ids that are longer than any name.
func TestIDsThatAreNoNames(t *testing.T) {
	longest := strings.Repeat("|", 4<<10)
	for _, test := range []struct {
		from, to string
		has      bool
	}{{longest, "b", true}, {"a", longest, true}, {longest + "|", "b", false}, {"a", longest + "|", false}} {
		row := fmt.Sprintf(`{"msgid":1,"target_type":"single","from_id":%q,"target_id":%q}`, test.from, test.to)
		e, rejection := event.NewNormalizer(appKey).Normalize([]byte(row))
		if rejection != nil || (len(e.Conversation) > 0) != test.has || bytes.Contains(e.Value, []byte("conversation_id")) != test.has {
			t.Errorf("ids of %d and %d bytes: the conversation has %d, rejected: %v", len(test.from), len(test.to), len(e.Conversation), rejection)
		}
	}
}
