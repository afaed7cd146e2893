package sim_test

import (
	"bytes"
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// shown is what tests read of a row.
type shown struct {
	MsgID      int64          `json:"msgid"`
	TargetType string         `json:"target_type"`
	TargetID   string         `json:"target_id"`
	FromID     string         `json:"from_id"`
	FromType   string         `json:"from_type"`
	Platform   string         `json:"from_platform"`
	FromKey    string         `json:"from_appkey"`
	TargetKey  *string        `json:"target_appkey"`
	TargetName *string        `json:"target_name"`
	FromName   *string        `json:"from_name"`
	MsgType    string         `json:"msg_type"`
	Level      int            `json:"msg_level"`
	CreateTime int64          `json:"create_time"`
	MsgCTime   int64          `json:"msg_ctime"`
	SuiMtime   *int64         `json:"sui_mtime"`
	Body       map[string]any `json:"msg_body"`
	All        map[string]any `json:"-"`
}

// TestRows reads many rows strictly, and holds each against what the API's documents say of it.
func TestRows(t *testing.T) {
	t.Parallel()
	s := newSim(t, func(o *sim.Options) { o.Rate = 10 })
	rows, size, big := 0, 0, 0
	ids := make(map[int64]bool)
	for r := range s.Truth(sim.Range{Begin: now.Add(-time.Hour), End: now}) {
		if !jsontext.Value(r.Raw).IsValid() || bytes.ContainsAny(r.Raw, "\n\r") {
			t.Fatalf("no strict JSON in a line: %q", r.Raw)
		}
		var row shown
		if err := json.Unmarshal(r.Raw, &row); err != nil {
			t.Fatalf("%s: %v", r.Raw, err)
		}
		rows, size = rows+1, size+len(r.Raw)
		if row.MsgID != r.MsgID || !r.HasMsgID || row.MsgID <= math.MaxInt32 || ids[row.MsgID] {
			t.Fatalf("msgid %d, in the truth %d; used before: %t", row.MsgID, r.MsgID, ids[row.MsgID])
		}
		ids[row.MsgID] = true
		if row.MsgID > 1<<53 {
			big++
		}
		if row.MsgCTime != r.Time.UnixMilli() || row.TargetType != r.Target || !r.Appears.Equal(r.Time) {
			t.Fatalf("%+v is not %s", r, r.Raw)
		}
		create, unit := row.CreateTime, int64(1)
		if millis := slices.Contains([]string{"web", "j", "x"}, row.Platform); millis != (create > 1e11) && row.Platform != "i" {
			t.Fatalf("create_time %d from %s", create, row.Platform)
		}
		if create < 1e11 {
			create, unit = create*1000, 1000
		}
		if skew := create - row.MsgCTime; skew < -40_000-unit || skew > 5_000 {
			t.Fatalf("create_time is %d ms from msg_ctime", skew)
		}
		checkSides(t, s, &row)
	}
	if mean := size / rows; mean < 430 || mean > 560 {
		t.Errorf("%d bytes a row, want about 480", mean)
	}
	if big == 0 || big > rows/32 {
		t.Errorf("%d of %d msgids exceed what a float64 holds", big, rows)
	}
}

// checkSides looks at who a row is from, and to whom.
func checkSides(t *testing.T, s *sim.Server, row *shown) {
	t.Helper()
	if admin := row.FromType == "admin"; admin != (row.Platform == "api") || admin && (row.TargetName != nil || row.FromName != nil || row.TargetKey != nil) || row.SuiMtime != nil && !admin {
		t.Fatalf("from %s by %s: %+v", row.FromType, row.Platform, row)
	}
	if crossApp := row.FromKey != s.AppKey || row.TargetKey != nil && *row.TargetKey != s.AppKey && *row.TargetKey != ""; crossApp && row.Level != 1 {
		t.Fatalf("across apps on level %d", row.Level)
	}
	if row.TargetType != "single" && row.TargetKey != nil && *row.TargetKey != "" {
		t.Fatalf("%s with target_appkey %s", row.TargetType, *row.TargetKey)
	}
	if row.TargetType == "single" && row.TargetID == row.FromID || utf8.RuneCountInString(row.TargetID) == 0 {
		t.Fatalf("from %q to %q", row.FromID, row.TargetID)
	}
}

// TestEveryKindOfRow finds each in a day of history.
func TestEveryKindOfRow(t *testing.T) {
	t.Parallel()
	s := newSim(t, func(o *sim.Options) { o.Rate, o.IrregularRows, o.NullRows = 2, 0.05, 0.001 })
	missing := make(map[string]*regexp.Regexp)
	for name, pattern := range map[string]string{
		"text": `"msg_type":"text".*"msg_body":\{"text":"`, "image": `"msg_type":"image".*"width":\d+,"height":\d+`,
		"image with a link": `"img_link":"https:`, "image without a hash": `"format":"jpg","fsize":\d+,"extras"`,
		"voice": `"msg_type":"voice".*"duration":\d+,"format":"amr"`, "voice without a format": `"duration":\d+,"fsize"`,
		"file": `"msg_type":"file".*"fname":"报告`, "video with a thumb": `"thumb":\{"media_id".*"video":\{"media_id"`,
		"video without a thumb": `"msg_body":\{"duration":\d+,"video"`, "a crc above int32": `"media_crc32":4\d{9}`,
		"location": `"msg_type":"location".*"latitude":\d+\.\d+,"longitude":-`, "latitude 111.2": `"latitude":111\.2,`,
		"custom": `"msg_type":"custom","version"`, "64 bits": `"big":9223372036854775807,"unsigned":18446744073709551615`,
		"exponents": `1\.5e300`, "nested": `"nested":\{"list"`, "an empty body": `"msg_body":\{\}`, "unknown type": `"msg_type":"poll"`,
		"extras empty": `"extras":\{\}`, "extras as a list": `"extras":\[\]`, "extras as numbers": `"extras":\{"level":3\}`,
		"extras nested": `"extras":\{"k":"v","nested":\{`, "JSON in extras": `"customMsgBody":"\{\\"id\\"`, "no extras": `"msg_body":\{"text":"[^"]*"\}`,
		"Chinese": `"text":"[^"]*明天`, "emoji": `"text":"[^"]*🍜`, "astral plane": `𝒎`, "surrogates": `\\ud83d\\ude00`,
		"control characters": `\\u0001\\u001f\\b\\f`, "lines": `one\\nline`, "quotes": `say \\"hi\\"`, "HTML": `<b>bold`, "line separator": "\u2028",
		"group": `"target_type":"group"`, "chatroom": `"target_type":"chatroom"`, "robot": `"from_type":"robot"`,
		"admin": `^\{"sui_mtime":\d+,.*"from_type":"admin"`, "admin without sui_mtime": `^\{"version".*"from_type":"admin"`,
		"at nobody": `"at_list":\[\]`, "at somebody": `"at_list":\["`, "no_offline": `"no_offline":false,"no_notification":true`,
		"notification": `"notification":\{`, "to another app": `"target_appkey":"dcf7.*"msg_level":1`,
		"from another app": `"from_appkey":"dcf7.*"msg_level":1`, "seconds": `"create_time":\d{10},`, "milliseconds": `"create_time":\d{13},`,
		"platform a": `"from_platform":"a"`, "platform i": `"from_platform":"i"`, "platform w": `"from_platform":"w"`,
		"platform j": `"from_platform":"j"`, "platform web": `"from_platform":"web"`, "platform x": `"from_platform":"x"`,
		"platform api": `"from_platform":"api"`, "no set_from_name": `^\{"from_platform"`, "no from_name": `"from_appkey":"[^"]*","from_id"`,
		"no target_name": `"from_platform":"[^"]*","msg_type"`, "set_from_name": `"set_from_name":1`,
		"a name with a slash": `"from_id":"user \d+/%2F"`, "a Chinese name": `"from_id":"用户`,
		"null": `^null$`, "number": `^\d+$`, "array": `^\[\d+\]$`, "string": `^"\d+"$`, "msgid as a string": `^\{"msgid":"\d+"`,
		"no msgid": `^\{"msg_ctime":\d+,"target_type":"group"\}`, "msgid null": `"msgid":null`, "a huge msgid": `^\{"msgid":\d{20}`,
		"a fraction of a msgid": `^\{"msgid":\d+\.5`, "an object for a msgid": `^\{"msgid":\{`,
		"unknown target_type": `"target_type":"broadcast"`, "target_type as a number": `"target_type":3`, "no target_type": `"from_type":"user","target_appkey":"[^"]*","msgid"`,
		"numeric target_id": `"target_id":[12]\d{7},`, "unknown fields": `"x_unknown":\{`,
		"no msg_ctime": `"msgid":\d+,"x_unknown"`, "no create_time": `\},"from_type"`,
	} {
		missing[name] = regexp.MustCompile(pattern)
	}
	for r := range s.Truth(sim.Range{Begin: now.Add(-24 * time.Hour), End: now}) {
		for name, pattern := range missing {
			if pattern.Match(r.Raw) {
				delete(missing, name)
			}
		}
		if len(missing) == 0 {
			return
		}
	}
	for name, pattern := range missing {
		t.Errorf("no row has %s: %s", name, pattern)
	}
}

// TestIrregularRows looks at what the truth knows of them.
func TestIrregularRows(t *testing.T) {
	t.Parallel()
	const part, nulls = 0.1, 0.02
	s := newSim(t, func(o *sim.Options) { o.IrregularRows, o.NullRows = part, nulls })
	plain := newSim(t, nil)
	rows, irregular, null := 0, 0, 0
	seen := make(map[string]bool)
	same := make(map[string]bool)
	for r := range plain.Truth(sim.Range{Begin: now.Add(-2 * time.Hour), End: now}) {
		same[string(r.Raw)] = true
	}
	for r := range s.Truth(sim.Range{Begin: now.Add(-2 * time.Hour), End: now}) {
		rows++
		if string(r.Raw) == "null" {
			null++
		} else if !same[string(r.Raw)] {
			irregular++
		}
		if seen[string(r.Raw)] && string(r.Raw) != "null" {
			t.Fatalf("%s is there twice", r.Raw)
		}
		seen[string(r.Raw)] = true
		var row struct {
			MsgID  *int64 `json:"msgid"`
			Target any    `json:"target_type"`
		}
		usable := json.Unmarshal(r.Raw, &row) == nil && row.MsgID != nil
		target, _ := row.Target.(string)
		if usable != r.HasMsgID || usable && (*row.MsgID != r.MsgID || target != r.Target) || !usable && r.MsgID != 0 {
			t.Fatalf("the truth says msgid %d (%t), %q of %s", r.MsgID, r.HasMsgID, r.Target, r.Raw)
		}
	}
	if got := float64(irregular) / float64(rows); got < part*0.85 || got > part*1.15 {
		t.Errorf("%.3f of the rows are irregular, want %.2f", got, part)
	}
	if got := float64(null) / float64(rows); got < nulls*0.7 || got > nulls*1.3 {
		t.Errorf("%.3f of the rows are null, want %.2f", got, nulls)
	}
}

// TestAwkwardNames holds that each user, group and room can be asked for, and has its rows alone.
func TestAwkwardNames(t *testing.T) {
	t.Parallel()
	s := newSim(t, func(o *sim.Options) { o.Users = 60 })
	begin, end := now.Add(-time.Hour), now.Add(-time.Second)
	names := make(map[string]bool)
	for i := range s.Users {
		name := sim.Username(i)
		if n := len(name); n < 4 || n > 128 || names[name] {
			t.Errorf("user %d: %q has %d bytes; used before: %t", i, name, n, names[name])
		}
		names[name] = true
		_, rows := pages(t, s, path("users/"+name), begin, end, 1000)
		quoted, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.NewReplacer(`\u0026`, "&").Replace(string(quoted))
		for _, row := range rows {
			if !strings.Contains(row, want) {
				t.Fatalf("%s is in the history of %q", row, name)
			}
		}
		if len(rows) == 0 {
			t.Errorf("%q has no rows", name)
		}
	}
	if !names["用户0003"] || !names["user 0011/%2F"] || !names["a+b&c=0017?#"] || !names["a,b,0005"] {
		t.Errorf("names: %v", names)
	}
}
