package contract

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// TestAnyRowKeepsTheContract makes rows in which every field has any value, and holds what becomes of them.
func TestAnyRowKeepsTheContract(t *testing.T) {
	c := load(t)
	stored := rows(t)
	var samples []map[string]json.RawMessage
	for _, name := range slices.Sorted(maps.Keys(stored)) {
		var sample map[string]json.RawMessage
		if json.Unmarshal(stored[name], &sample) == nil && sample != nil {
			samples = append(samples, sample)
		}
	}
	published := make(map[string]int)
	rapid.Check(t, func(t *rapid.T) {
		fields := maps.Clone(rapid.SampledFrom(samples).Draw(t, "sample"))
		if rapid.IntRange(0, 9).Draw(t, "without msgid") == 0 {
			delete(fields, "msgid")
		}
		for range rapid.IntRange(0, 8).Draw(t, "changes") {
			fields[fieldName().Draw(t, "name")] = json.RawMessage(fieldValue().Draw(t, "value"))
		}
		row, err := json.Marshal(fields)
		if err != nil {
			t.Fatalf("make a row: %v", err)
		}
		r := recordOf(row)
		published[r.topic]++
		if err := r.check(c); err != nil {
			t.Fatalf("row %s: %v", row, err)
		}
	})
	for _, topic := range []string{"single", "group", "chatroom", "other", "rejected"} {
		if published[topic] == 0 {
			t.Errorf("no row went to %s: %v", topic, published)
		}
	}
}

// FuzzRow holds what becomes of any bytes to the contract.
func FuzzRow(f *testing.F) {
	c := load(f)
	for _, row := range rows(f) {
		f.Add(row)
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		if depth(row) > 9_000 { // The validator reads at most 10,000 levels, as jmpub does, but counts them otherwise.
			return
		}
		if err := recordOf(row).check(c); err != nil {
			t.Errorf("row %q: %v", row, err)
		}
	})
}

// depth is at least how deep a row nests.
func depth(row []byte) int { return strings.Count(string(row), "[") + strings.Count(string(row), "{") }

// fieldName is a name that rows have, or events, or none.
func fieldName() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{
		"target_type", "msg_type", "msg_ctime", "create_time", "from_id", "from_name", "from_type", "from_platform", "from_appkey",
		"target_id", "target_name", "target_appkey", "msg_level", "msg_body", "attributes", "text", "media", "time", "x", "", "群",
	})
}

// fieldValue is a JSON value of any kind.
func fieldValue() *rapid.Generator[string] {
	known := rapid.SampledFrom([]string{
		"0", "1", "-5", "1.0", "1e3", "1553222785", "1553222785613", "100000000000", "99999999999", "253402300799999",
		"253402300800000", "9223372036854775808", "null", "true", "[]", "{}", `""`, `"single"`, `"group"`, `"chatroom"`, `"room"`,
		`"text"`, `"image"`, `"voice"`, `"file"`, `"video"`, `"location"`, `"custom"`, `"a:b|c/d%e"`, `"\u0000\u001f\u0085\ufffe"`,
		`"\\\"\/\n"`, `"😀"`, `{"text":"x","extras":{"n":9007199254740993}}`, `{"text":1}`, `{"media_id":"q","fsize":1.5,"img_link":"u"}`,
		`{"video":{"media_id":"v"},"thumb":{"media_id":"t"},"duration":3}`, `{"video":{},"thumb":{"width":72}}`,
		`{"latitude":111.2,"longitude":1e2,"label":"l"}`, `{"latitude":"1"}`, `{"format":7,"hash":null}`,
	})
	made := rapid.Custom(func(t *rapid.T) string {
		quoted, err := jsontext.AppendQuote(nil, rapid.String().Draw(t, "text"))
		if err != nil {
			t.Fatalf("quote: %v", err)
		}
		return string(quoted)
	})
	return rapid.OneOf(known, known, made)
}
