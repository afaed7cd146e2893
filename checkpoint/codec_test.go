package checkpoint_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/pipeline"
)

const (
	backlogForm = `[{"end_time":"2023-11-14T20:13:20Z","until":"2023-11-14T21:13:20Z","span_seconds":60,` +
		`"overlap_ids":[1],"overlap_hashes":[],"live_ids":[7,2],"live_hashes":[]},` +
		`{"end_time":"2023-11-14T21:13:21Z","until":"2023-11-14T22:13:42Z","span_seconds":0,` +
		`"overlap_ids":[],"overlap_hashes":[-1],"live_ids":[],"live_hashes":[-7]}]`
	positionForm = `{"version":1,"app_key":"4f7aef34fb361292c566a1cd","stream":"groups/10055201","end_time":"2023-11-14T22:13:42Z",` +
		`"span_seconds":90,"overlap_ids":[2,1,9223372036854775804],` +
		`"overlap_hashes":[-9223372036854775808,9223372036854775806,9223372036854775809],"backlog":` + backlogForm + `,"sequence":2,` +
		`"counts":{"windows":2,"rows":8,"published":4,"skipped":2,"rejected":1,"mismatches":1,"gap_seconds":7},` +
		`"saved_at":"2023-11-14T22:14:00.987654321Z"}`
	ledgerForm = `{"version":1,"app_key":"4f7aef34fb361292c566a1cd","stream":"groups/10055201","begin_time":"2023-11-14T22:13:30Z",` +
		`"end_time":"2023-11-14T22:13:42Z","sequence":2,"moved_from":"2023-11-14T22:13:32Z","moved_to":"2023-11-14T22:13:42Z",` +
		`"total":9,"rows":8,"repeated":1,"skipped":2,"published":4,"rejected":1,"pages":2,` +
		`"requests":3,"restarts":1,"mismatch":true,"backlog":true,"started_at":"2023-11-14T22:13:50.123456789Z",` +
		`"offsets":[{"topic":"jmessage.group","partition":3,"first":17,"last":21}],"duration_seconds":1.234567891}`
	pauseForm  = `{"version":1,"app_key":"4f7aef34fb361292c566a1cd","app":true,"streams":["groups/10055201"],"by":"alice","at":"2023-11-14T22:13:42Z"}`
	noticeForm = `{"version":1,"kind":"mismatch","app_key":"4f7aef34fb361292c566a1cd","stream":"groups/10055201",` +
		`"begin_time":"2023-11-14T22:13:30Z","end_time":"2023-11-14T22:13:42Z","detail":"a window","total":9,"rows":8,` +
		`"at":"2023-11-14T22:13:51Z"}`
)

// elsewhere is a time zone that is not UTC.
func elsewhere() *time.Location { return time.FixedZone("elsewhere", 8*60*60) }

func TestForm(t *testing.T) {
	plain := window(stream(t, "groups/10055201"), 1)
	local := *plain
	for _, at := range []*time.Time{
		&local.Checkpoint.End, &local.Checkpoint.SavedAt, &local.Ledger.Begin, &local.Ledger.End,
		&local.Ledger.MovedFrom, &local.Ledger.MovedTo, &local.Ledger.Started,
	} {
		*at = at.In(elsewhere())
	}
	local.Checkpoint.Backlog = slices.Clone(plain.Checkpoint.Backlog)
	for i := range local.Checkpoint.Backlog {
		b := &local.Checkpoint.Backlog[i]
		b.End, b.Until = b.End.In(elsewhere()), b.Until.In(elsewhere())
	}
	for _, c := range []*closed{plain, &local} {
		position, err := checkpoint.Encode(&c.Checkpoint)
		form(t, position, err, positionForm)
		ledger, err := checkpoint.EncodeLedger(&c.Ledger)
		form(t, ledger, err, ledgerForm)
		notice, err := checkpoint.EncodeNotice(&c.Notices[0])
		form(t, notice, err, noticeForm)
	}
	cp, err := checkpoint.Decode([]byte(positionForm), appKey, "here")
	decoded(t, cp, err, plain.Checkpoint)
	ledger, err := checkpoint.DecodeLedger([]byte(ledgerForm), "here")
	decoded(t, ledger, err, plain.Ledger)
	var notice pipeline.Notice // Nothing in jmpub reads notices; who does finds the fields by their names.
	err = json.Unmarshal([]byte(noticeForm), &notice)
	decoded(t, notice, err, plain.Notices[0])
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
	if err != nil || !strings.Contains(string(value), `"overlap_ids":[],"overlap_hashes":[],"counts"`) {
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
		{"a field twice", `"span_seconds"`, `"overlap_ids":[],"span_seconds"`, "duplicate"},
		{"no UTF-8", "groups/10055201", "users/\xff", "UTF-8"},
		{"no version", `"version":1,`, "", "no version"},
		{"version 0", `"version":1`, `"version":0`, "no version"},
		{"a version in words", `"version":1`, `"version":"1"`, "version cannot be a string"},
		{"a newer version", `"version":1`, `"version":2`, "newer jmpub"},
		{"a much newer version", positionForm, `{"version":9,"overlap_ids":{}}`, "newer jmpub"},
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
		{"no ids", `"overlap_ids":[2,1,9223372036854775804],`, "", "overlap_ids is missing"},
		{"null as ids", `[2,1,9223372036854775804]`, "null", "overlap_ids is missing"},
		{"an id in quotes", `[2,1,`, `["2",1,`, "first id"},
		{"an id twice", `[2,1,`, `[2,0,`, "not ascending"},
		{"unsorted ids", `[2,1,`, `[2,-1,`, "not ascending"},
		{"an id with a fraction", `[2,1,`, `[2,1.5,`, "not ascending"},
		{"a first id beyond 64 bits", `[2,1,`, `[9223372036854775808,1,`, "first id"},
		{"a further id beyond 64 bits", `9223372036854775804`, `9223372036854775805`, "not ascending"},
		{"ids that wrap around", `9223372036854775809]`, `18446744073709551615]`, "not ascending"},
		{"no hashes", `"overlap_hashes":[-9223372036854775808,9223372036854775806,9223372036854775809],`, "", "overlap_hashes is missing"},
		{"a negative number of a record", `"sequence":2`, `"sequence":-2`, "sequence is -2"},
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

// TestDamagedBacklog reads ranges in the order of time that leave time between them, and refuses all others: which rows stand near
// their ends would be known wrongly.
func TestDamagedBacklog(t *testing.T) {
	value := func(backlog string) []byte { return []byte(strings.Replace(positionForm, backlogForm, backlog, 1)) }
	cp, err := checkpoint.Decode([]byte(positionForm), appKey, "here")
	if err != nil || len(cp.Backlog) != 2 || !cp.Backlog[0].End.Equal(cp.Unread()) || len(cp.Backlog[0].LiveIDs) != 2 {
		t.Fatalf("%+v, %v", cp, err)
	}
	first, second, _ := strings.Cut(strings.Trim(backlogForm, "[]"), "},{")
	first, second = first+"}", "{"+second
	for _, good := range []string{"[" + first + "]", "[" + second + "]"} {
		if cp, err := checkpoint.Decode(value(good), appKey, "here"); err != nil || len(cp.Backlog) != 1 {
			t.Errorf("%s: %+v, %v", good, cp.Backlog, err)
		}
	}
	for _, backlog := range []string{"[]", "null"} {
		cp, err := checkpoint.Decode(value(backlog), appKey, "here")
		if err != nil || cp.Backlog != nil {
			t.Errorf("%s: %+v, %v", backlog, cp.Backlog, err)
		}
	}
	for _, tc := range []struct{ name, old, replacement, want string }{
		{"no live ids", `"live_ids":[7,2],`, "", "backlog.live_ids is missing"},
		{"no until", `"until":"2023-11-14T21:13:20Z",`, "", "backlog.until is missing"},
		{"no overlap ids, in the second", `"overlap_ids":[],`, "", "backlog.overlap_ids is missing"},
		{"parts of a second", "20:13:20Z", "20:13:20.5Z", "not a whole second"},
		{"empty", "20:13:20Z", "21:13:20Z", "order of time"},
		{"backwards", "T20:13:20Z", "T21:13:22Z", "order of time"},
		{"behind the position", "22:13:42Z", "22:13:43Z", "order of time"},
		{"touching", "21:13:21Z", "21:13:20Z", "touch"},
		{"overlapping", "21:13:21Z", "21:00:00Z", "not in the order of time"},
		{"one within the other", "21:13:21Z", "20:00:00Z", "not in the order of time"},
		{"the newer one first", backlogForm, "[" + second + "," + first + "]", "not in the order of time"},
		{"one twice", backlogForm, "[" + first + "," + first + "]", "not in the order of time"},
		{"an id twice", "[7,2]", "[7,0]", "not ascending"},
		{"a negative span", `"span_seconds":60`, `"span_seconds":-60`, "-60 seconds are out of range"},
		{"an object", backlogForm, first, "backlog cannot be a object"},
	} {
		damaged := strings.Replace(backlogForm, tc.old, tc.replacement, 1)
		if damaged == backlogForm {
			t.Fatalf("%s: nothing was replaced", tc.name)
		}
		cp, err := checkpoint.Decode(value(damaged), appKey, "here")
		fault(t, err, "here", tc.want)
		same(t, tc.name, cp, pipeline.Checkpoint{})
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
		{`"sequence":2`, `"sequence":-2`, "sequence is -2"},
		{"22:13:32Z", "22:13:43Z", "moved_from"},
		{`"last":21`, `"last":16`, "[17, 16]"},
		{`"duration_seconds":1`, `"duration_seconds":-1`, "-1.234567891 seconds are out of range"},
		{`"rows":8`, `"rows":8.5`, "rows cannot be a number 8.5"},
	} {
		_, err := checkpoint.DecodeLedger([]byte(strings.Replace(ledgerForm, tc.old, tc.replacement, 1)), where)
		fault(t, err, where, tc.want)
	}
}

// TestImpossible refuses to write what could not be read.
func TestImpossible(t *testing.T) {
	messages := pipeline.Stream{Kind: pipeline.StreamMessages}
	for _, cp := range []pipeline.Checkpoint{
		{AppKey: appKey, Stream: messages, End: second(0), OverlapIDs: []int64{2, 1}},
		{AppKey: appKey, Stream: messages, End: second(0), OverlapIDs: []int64{1, 1}},
		{AppKey: appKey, Stream: messages, End: second(0), OverlapHashes: []int64{math.MaxInt64, math.MinInt64}},
		{AppKey: appKey, Stream: messages, End: second(0), Marks: []int64{2, 1}},
		{AppKey: appKey, Stream: messages, End: second(0), Backlog: []pipeline.Backlog{{LiveIDs: []int64{2, 1}}}},
		{AppKey: appKey, Stream: messages, End: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if value, err := checkpoint.Encode(&cp); err == nil {
			t.Errorf("wrote %s", value)
		}
	}
}
