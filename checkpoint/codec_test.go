package checkpoint_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/pipeline"
)

const (
	positionForm = `{"version":1,"app_key":"4f7aef34fb361292c566a1cd","stream":"groups/10055201","end_time":"2023-11-14T22:13:42Z",` +
		`"span_seconds":90,"seen":[2,1,9223372036854775804],"seen_rejected":[-9223372036854775808,9223372036854775806,9223372036854775809],` +
		`"counts":{"windows":2,"rows":8,"published":4,"skipped":2,"rejected":1,"mismatches":1,"gap_seconds":7},` +
		`"saved_at":"2023-11-14T22:14:00.987654321Z"}`
	ledgerForm = `{"version":1,"app_key":"4f7aef34fb361292c566a1cd","stream":"groups/10055201","begin_time":"2023-11-14T22:13:30Z",` +
		`"end_time":"2023-11-14T22:13:42Z","total":9,"rows":8,"repeated":1,"skipped":2,"published":4,"rejected":1,"pages":2,` +
		`"requests":3,"restarts":1,"mismatch":true,"started_at":"2023-11-14T22:13:50.123456789Z",` +
		`"offsets":[{"topic":"jmessage.group","partition":3,"first":17,"last":21}],"duration_seconds":1.234567891}`
	noticeForm = `{"version":1,"kind":"mismatch","app_key":"4f7aef34fb361292c566a1cd","stream":"groups/10055201",` +
		`"begin_time":"2023-11-14T22:13:30Z","end_time":"2023-11-14T22:13:42Z","detail":"a window","total":9,"rows":8,` +
		`"at":"2023-11-14T22:13:51Z"}`
)

// elsewhere is a time zone that is not UTC.
func elsewhere() *time.Location { return time.FixedZone("elsewhere", 8*60*60) }

func TestForm(t *testing.T) {
	closed := window(stream(t, "groups/10055201"), 1)
	foreign := *closed
	foreign.Checkpoint.End = closed.Checkpoint.End.In(elsewhere())
	foreign.Checkpoint.SavedAt = closed.Checkpoint.SavedAt.In(elsewhere())
	foreign.Ledger.Begin, foreign.Ledger.End = closed.Ledger.Begin.In(elsewhere()), closed.Ledger.End.In(elsewhere())
	foreign.Ledger.Started = closed.Ledger.Started.In(elsewhere())
	for _, c := range []*pipeline.Closed{closed, &foreign} {
		position, err := checkpoint.Encode(&c.Checkpoint)
		form(t, position, err, positionForm)
		ledger, err := checkpoint.EncodeLedger(&c.Ledger)
		form(t, ledger, err, ledgerForm)
		notice, err := checkpoint.EncodeNotice(&c.Notices[0])
		form(t, notice, err, noticeForm)
	}
	cp, err := checkpoint.Decode([]byte(positionForm), appKey, "here")
	decoded(t, cp, err, closed.Checkpoint)
	ledger, err := checkpoint.DecodeLedger([]byte(ledgerForm), "here")
	decoded(t, ledger, err, closed.Ledger)
	notice, err := checkpoint.DecodeNotice([]byte(noticeForm), "here")
	decoded(t, notice, err, closed.Notices[0])
}

func form(t *testing.T, got []byte, err error, want string) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	same(t, "as JSON", string(got), want)
}

func decoded(t *testing.T, got any, err error, want any) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	same(t, "decoded", got, want)
}

// TestEmptyForm writes lists without elements as lists, and reads what a stream's first window leaves.
func TestEmptyForm(t *testing.T) {
	messages := pipeline.Stream{Kind: pipeline.StreamMessages}
	cp := pipeline.Checkpoint{AppKey: appKey, Stream: messages, End: second(0), SavedAt: second(1)}
	value, err := checkpoint.Encode(&cp)
	if err != nil || !strings.Contains(string(value), `"seen":[],"seen_rejected":[]`) {
		t.Errorf("%s, %v", value, err)
	}
	got, err := checkpoint.Decode(value, appKey, "here")
	decoded(t, got, err, cp)
	ledger := pipeline.Ledger{AppKey: appKey, Stream: messages, Window: pipeline.Window{Begin: second(0), End: second(0)}}
	value, err = checkpoint.EncodeLedger(&ledger)
	if err != nil || !strings.Contains(string(value), `"offsets":[]`) || strings.Contains(string(value), "replay") {
		t.Errorf("%s, %v", value, err)
	}
	back, err := checkpoint.DecodeLedger(value, "here")
	decoded(t, back, err, ledger)
}

// TestUnknownFields passes over what a later release may add.
func TestUnknownFields(t *testing.T) {
	more := `{"later":{"deep":[1,2]},"replay":"r-1",`
	if _, err := checkpoint.Decode([]byte(more+positionForm[1:]), appKey, "here"); err != nil {
		t.Error(err)
	}
	if _, err := checkpoint.DecodeLedger([]byte(more+ledgerForm[1:]), "here"); err != nil {
		t.Error(err)
	}
	if _, err := checkpoint.DecodeNotice([]byte(more+noticeForm[1:]), "here"); err != nil {
		t.Error(err)
	}
}

func TestDamaged(t *testing.T) {
	const where = "jmessage.checkpoints/3 at offset 17"
	for _, tc := range []struct{ name, old, replacement, want string }{
		{"no JSON", positionForm, "?", "damaged"},
		{"nothing", positionForm, "", "damaged"},
		{"null", positionForm, "null", "no version"},
		{"a list", positionForm, "[]", "array"},
		{"two values", positionForm, positionForm + positionForm, "damaged"},
		{"cut off", `,"saved_at":"2023-11-14T22:14:00.987654321Z"}`, "", "damaged"},
		{"a field twice", `"span_seconds"`, `"seen":[],"span_seconds"`, "duplicate"},
		{"no UTF-8", "groups/10055201", "users/\xff", "UTF-8"},
		{"no version", `"version":1,`, "", "no version"},
		{"version 0", `"version":1`, `"version":0`, "no version"},
		{"a version in words", `"version":1`, `"version":"1"`, "version cannot be a string"},
		{"a newer version", `"version":1`, `"version":2`, "newer jmpub"},
		{"a much newer version", positionForm, `{"version":9,"seen":{}}`, "newer jmpub"},
		{"no app", `"app_key":"4f7aef34fb361292c566a1cd",`, "", "app_key is missing"},
		{"another app", "4f7a", "4f7b", `"4f7bef34fb361292c566a1cd"`},
		{"no stream", `"stream":"groups/10055201",`, "", "stream is missing"},
		{"an unknown stream", "groups/", "rooms/", "rooms/"},
		{"no end", `"end_time":"2023-11-14T22:13:42Z",`, "", "end_time is missing"},
		{"null as end", `"2023-11-14T22:13:42Z"`, "null", "end_time is missing"},
		{"no time", "2023-11-14T22:13:42Z", "yesterday", "yesterday"},
		{"a time without a zone", "22:13:42Z", "22:13:42", "damaged"},
		{"zero end", "2023-11-14T22:13:42Z", "0001-01-01T00:00:00Z", "end_time is not a whole second"},
		{"end in parts of a second", "22:13:42Z", "22:13:42.5Z", "end_time is not a whole second"},
		{"negative span", `"span_seconds":90`, `"span_seconds":-1`, "-1 seconds are out of range"},
		{"endless span", `"span_seconds":90`, `"span_seconds":1e300`, "1e300 seconds are out of range"},
		{"a span in words", `"span_seconds":90`, `"span_seconds":"90s"`, `"90s" is no number`},
		{"no ids", `"seen":[2,1,9223372036854775804],`, "", "seen is missing"},
		{"null as ids", `[2,1,9223372036854775804]`, "null", "seen is missing"},
		{"an id in quotes", `[2,1,`, `["2",1,`, "first id"},
		{"an id twice", `[2,1,`, `[2,0,`, "not ascending"},
		{"unsorted ids", `[2,1,`, `[2,-1,`, "not ascending"},
		{"an id with a fraction", `[2,1,`, `[2,1.5,`, "not ascending"},
		{"a first id beyond 64 bits", `[2,1,`, `[9223372036854775808,1,`, "first id"},
		{"a further id beyond 64 bits", `9223372036854775804`, `9223372036854775805`, "not ascending"},
		{"ids that wrap around", `9223372036854775809]`, `18446744073709551615]`, "not ascending"},
		{"counts in words", `"windows":2`, `"windows":"2"`, "counts.windows cannot be a string"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			damaged := strings.Replace(positionForm, tc.old, tc.replacement, 1)
			if damaged == positionForm {
				t.Fatal("nothing was replaced")
			}
			cp, err := checkpoint.Decode([]byte(damaged), appKey, where)
			fault(t, err, where, tc.want)
			same(t, "with an error", cp, pipeline.Checkpoint{})
		})
	}
}

func TestDamagedPast(t *testing.T) {
	const past = `{"end_time":"2023-11-14T21:00:00Z","until":"2023-11-14T22:00:00Z","span_seconds":90,"seen":[1],"seen_rejected":[],` +
		`"joint":[7,1],"joint_rejected":[]}`
	value := func(past string) []byte {
		return []byte(strings.TrimSuffix(positionForm, "}") + `,"past":` + past + "}")
	}
	cp, err := checkpoint.Decode(value(past), appKey, "here")
	if err != nil || cp.Past == nil || !cp.Past.End.Equal(cp.Unread()) || len(cp.Past.Joint) != 2 {
		t.Fatalf("%+v, %v", cp, err)
	}
	again, err := checkpoint.Encode(&cp)
	form(t, again, err, string(value(past)))
	for _, tc := range []struct{ old, replacement, want string }{
		{`"joint":[7,1],`, "", "past.joint is missing"},
		{`"until":"2023-11-14T22:00:00Z",`, "", "past.until is missing"},
		{"21:00:00Z", "21:00:00.5Z", "not a whole second"},
		{"T21:", "T22:", "order of time"},
		{"2023-11-14T22:00", "2023-11-15T22:00", "order of time"},
		{"[7,1]", "[7,0]", "not ascending"},
	} {
		_, err := checkpoint.Decode(value(strings.Replace(past, tc.old, tc.replacement, 1)), appKey, "here")
		fault(t, err, "here", tc.want)
	}
}

func TestDamagedLedger(t *testing.T) {
	const where = "jmessage.windows/3 at offset 17"
	for _, tc := range []struct{ old, replacement, want string }{
		{`"version":1`, `"version":2`, "newer jmpub"},
		{`"app_key":"4f7aef34fb361292c566a1cd",`, "", "app_key is missing"},
		{`"begin_time":"2023-11-14T22:13:30Z",`, "", "begin_time is missing"},
		{"22:13:30Z", "22:13:43Z", "before"},
		{"22:13:30Z", "22:13:30.1Z", "begin_time is not a whole second"},
		{`"last":21`, `"last":16`, "[17, 16]"},
		{`"duration_seconds":1`, `"duration_seconds":-1`, "-1.234567891 seconds are out of range"},
		{`"rows":8`, `"rows":8.5`, "rows cannot be a number 8.5"},
	} {
		_, err := checkpoint.DecodeLedger([]byte(strings.Replace(ledgerForm, tc.old, tc.replacement, 1)), where)
		fault(t, err, where, tc.want)
	}
	for _, tc := range []struct{ old, replacement, want string }{
		{`"version":1`, `"version":2`, "newer jmpub"},
		{`"kind":"mismatch",`, "", "kind is missing"},
		{"22:13:30Z", "22:13:43Z", "before"},
	} {
		_, err := checkpoint.DecodeNotice([]byte(strings.Replace(noticeForm, tc.old, tc.replacement, 1)), where)
		fault(t, err, where, tc.want)
	}
}

// TestImpossible refuses to write what could not be read.
func TestImpossible(t *testing.T) {
	messages := pipeline.Stream{Kind: pipeline.StreamMessages}
	for _, cp := range []pipeline.Checkpoint{
		{AppKey: appKey, Stream: messages, End: second(0), Seen: []int64{2, 1}},
		{AppKey: appKey, Stream: messages, End: second(0), Seen: []int64{1, 1}},
		{AppKey: appKey, Stream: messages, End: second(0), SeenRejected: []int64{math.MaxInt64, math.MinInt64}},
		{AppKey: appKey, Stream: messages, End: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if value, err := checkpoint.Encode(&cp); err == nil {
			t.Errorf("wrote %s", value)
		}
	}
}
