package view_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/view"
)

// TestTailLines has a line for each record, in which nothing is hidden and nothing commands the terminal.
func TestTailLines(t *testing.T) {
	at := time.Date(2026, 11, 28, 1, 2, 3, 0, time.UTC)
	event := func(text string) *operate.TailRecord {
		e := &operate.TailEvent{MsgType: "text", Text: text, Time: "2026-11-28T01:00:00.000Z"}
		e.From.ID, e.From.Name, e.Target.ID = "user_1", "李四", "10055201"
		return &operate.TailRecord{Topic: "jmessage.group", Time: at, Kind: "group", Event: e}
	}
	millis := event("")
	millis.Event.Time, millis.Event.ClientTime = nil, float64(at.UnixMilli())
	for _, tc := range []struct {
		r    *operate.TailRecord
		want string
	}{
		{event("hello"), "2026-11-28 09:00:00  group     李四 (user_1) → 10055201             text  hello"},
		{event("a\x1b[31mb\u202ec\nd"), `a\u001b[31mb\u202ec\u000ad`},
		{millis, "2026-11-28 09:02:03  group "},
		{&operate.TailRecord{
			Topic: "jmessage.rejected", Time: at, Kind: "rejected", Value: json.RawMessage(`"{\"a\""`),
			Headers: map[string]string{"jmpub_reason": "invalid_json", "jmpub_detail": "it ends\x1b", "jmpub_stream": "messages"},
		}, `2026-11-28 09:02:03  rejected  invalid_json  messages: it ends\u001b  "{\"a\""`},
		{&operate.TailRecord{
			Topic: "jmessage.notices", Time: at, Kind: "notices", Value: json.RawMessage(`{"kind":"gap","stream":"messages","detail":"an hour is gone"}`),
		}, "2026-11-28 09:02:03  notices   gap  messages: an hour is gone"},
		{&operate.TailRecord{Topic: "other.topic", Time: at, Key: "k", Value: json.RawMessage(`"v"`)}, `2026-11-28 09:02:03  other.topic  k  "v"`},
	} {
		var out bytes.Buffer
		lines := &view.TailLines{Out: &out, Zone: time.FixedZone("", 8*3600)}
		if err := lines.Show(tc.r); err != nil || !strings.Contains(out.String(), tc.want) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%v, it shows\n%q, want\n%q", err, out.String(), tc.want)
		}
	}
	var out bytes.Buffer
	lines := &view.TailLines{Out: &out, Zone: time.UTC}
	if err := lines.Show(event(strings.Repeat("長", 1<<20))); err != nil || out.Len() > 20_000 {
		t.Errorf("%v, a line of %d bytes", err, out.Len())
	}
}
