package event_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"weak"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/pipeline/event"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestNormalizeGolden holds the event (or the rejection) of each row in testdata/normalize against its golden file. row-*
// are the kinds of row that the API is known to give, irregular-* are rows that still become events, rejected-* do not.
func TestNormalizeGolden(t *testing.T) {
	for name, row := range storedRows(t, "*") {
		t.Run(name, func(t *testing.T) {
			got := render(t, row)
			golden := filepath.Join("testdata", "normalize", name+".golden")
			if *update {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v (run with -update to write it)", err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if rejected := bytes.HasPrefix(got, []byte("rejected")); rejected != strings.HasPrefix(name, "rejected-") {
				t.Errorf("the row's name does not fit: %s", got)
			}
			checkNormalized(t, row)
		})
	}
}

// render writes what becomes of a row for people.
func render(tb testing.TB, row []byte) []byte {
	tb.Helper()
	e, rejection := event.NewNormalizer(appKey).Normalize(row)
	if rejection != nil {
		id := "msgid unknown"
		if rejection.HasMsgID {
			id = fmt.Sprintf("msgid %d", rejection.MsgID)
		}
		return fmt.Appendf(nil, "rejected: %s (%s): %s\n", rejection.Reason, id, rejection.Detail)
	}
	pretty := jsontext.Value(bytes.Clone(e.Value))
	if err := pretty.Indent(); err != nil {
		tb.Fatalf("the event is not JSON: %v\n%s", err, e.Value)
	}
	return fmt.Appendf(nil, "topic %s\n%s\n", e.Target, pretty)
}

// storedRows reads the rows in testdata/normalize whose names match, without the line's end.
func storedRows(tb testing.TB, pattern string) map[string][]byte {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "normalize", pattern+".json"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("no rows %s in testdata/normalize: %v", pattern, err)
	}
	rows := make(map[string][]byte, len(files))
	for _, file := range files {
		row, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		rows[strings.TrimSuffix(filepath.Base(file), ".json")] = bytes.TrimSuffix(row, []byte("\n"))
	}
	return rows
}

// sampleRows are the kinds of row that the API is known to give, in a fixed order.
func sampleRows(tb testing.TB) [][]byte {
	tb.Helper()
	byName := storedRows(tb, "row-*")
	rows := make([][]byte, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		rows = append(rows, byName[name])
	}
	return rows
}

// TestNormalizeDepth goes to the limit: what jsontext can read becomes an event that it can read.
func TestNormalizeDepth(t *testing.T) {
	const most = 10_000
	for _, test := range []struct {
		field  string
		levels int
		reason event.Reason
	}{
		{field: "msg_body", levels: most - 1},
		{field: "msg_body", levels: most, reason: event.ReasonInvalidJSON},
		{field: "other", levels: most - 2},
		{field: "other", levels: most - 1, reason: event.ReasonInvalidJSON},
		{field: "from_id", levels: most - 2},
		{field: "from_id", levels: most - 1, reason: event.ReasonInvalidJSON},
	} {
		t.Run(fmt.Sprintf("%s/%d", test.field, test.levels), func(t *testing.T) {
			value := strings.Repeat("[", test.levels) + strings.Repeat("]", test.levels)
			row := fmt.Appendf(nil, `{"msgid":1,"%s":%s}`, test.field, value)
			checkNormalized(t, row)
			_, rejection := event.NewNormalizer(appKey).Normalize(row)
			if got := reasonOf(rejection); got != test.reason {
				t.Errorf("reason %q, want %q", got, test.reason)
			}
			if rejection != nil && !rejection.HasMsgID {
				t.Error("the msgid is not known")
			}
		})
	}
}

// TestNormalizeRowOfFields rejects a row of more fields than there is memory for, with its msgid.
func TestNormalizeRowOfFields(t *testing.T) {
	row := []byte(`{"msgid":1` + strings.Repeat(`,"a":1`, 1_000_000) + `}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, rejection := event.NewNormalizer(appKey).Normalize(row)
	runtime.ReadMemStats(&after)
	if got := reasonOf(rejection); got != event.ReasonTooLarge || rejection.MsgID != 1 || !rejection.HasMsgID {
		t.Errorf("got reason %q, want %q", got, event.ReasonTooLarge)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
		t.Errorf("%d MiB are allocated for it", used>>20)
	}
}

func reasonOf(r *event.Rejection) event.Reason {
	if r == nil {
		return ""
	}
	return r.Reason
}

// TestNormalizeManyFields finds a duplicate among very many names without comparing each with each.
func TestNormalizeManyFields(t *testing.T) {
	const count = 60_000
	var b bytes.Buffer
	b.WriteString(`{"msgid":1`)
	for i := range count {
		fmt.Fprintf(&b, `,"field_%d":%d`, i, i)
	}
	unique := append(bytes.Clone(b.Bytes()), '}')
	checkNormalized(t, unique)
	if _, rejection := event.NewNormalizer(appKey).Normalize(unique); rejection != nil {
		t.Errorf("rejected: %s", rejection.Detail)
	}
	b.WriteString(`,"field_77":0}`)
	_, rejection := event.NewNormalizer(appKey).Normalize(b.Bytes())
	if got := reasonOf(rejection); got != event.ReasonDuplicateField {
		t.Errorf("reason %q, want %q", got, event.ReasonDuplicateField)
	}
}

// TestNormalizeKeepsEvents holds that an event stays what it was when its row's memory is used again, when rows of any
// size follow, and when somebody appends to what another event has.
func TestNormalizeKeepsEvents(t *testing.T) {
	n := event.NewNormalizer(appKey)
	rows := append(sampleRows(t), storedRows(t, "irregular-conversation-escaped")["irregular-conversation-escaped"])
	var events []event.Event
	var want []event.Event
	for i := range 600 {
		for _, stored := range rows {
			row := bytes.Clone(stored)
			if i%100 == 0 { // A row that outgrows any chunk.
				row = append(row[:len(row)-1:len(row)-1], `,"long":"`...)
				row = append(append(row, bytes.Repeat([]byte("x"), i*40)...), `"}`...)
			}
			e, rejection := n.Normalize(row)
			if rejection != nil {
				t.Fatal(rejection.Detail)
			}
			clear(row)
			events = append(events, e)
			want = append(want, event.Event{
				Value: bytes.Clone(e.Value), Conversation: bytes.Clone(e.Conversation), Time: bytes.Clone(e.Time),
			})
			_ = append(e.Value, "overwritten"...)
			_ = append(e.Conversation, "overwritten"...)
			_ = append(e.Time, "overwritten"...)
		}
	}
	for i, e := range events {
		if !bytes.Equal(e.Value, want[i].Value) || !bytes.Equal(e.Conversation, want[i].Conversation) || !bytes.Equal(e.Time, want[i].Time) {
			t.Fatalf("event %d changed: %s, want %s", i, e.Value, want[i].Value)
		}
	}
}

// TestNormalizeForgetsRows holds that a normalizer, which lives as long as its stream, keeps no page alive.
func TestNormalizeForgetsRows(t *testing.T) {
	n := event.NewNormalizer(appKey)
	var events []event.Event
	normalize := func(stored []byte) weak.Pointer[byte] {
		row := bytes.Clone(stored)
		e, _ := n.Normalize(row)
		events = append(events, e)
		return weak.Make(&row[0])
	}
	for name, stored := range storedRows(t, "*") {
		if len(stored) < 16 { // Go keeps several such in one block of memory.
			continue
		}
		row := normalize(stored)
		runtime.GC()
		if row.Value() != nil {
			t.Errorf("%s is still in memory", name)
		}
	}
	runtime.KeepAlive(n)
	runtime.KeepAlive(events)
}

// TestNormalizeAllocations holds that rows share allocations.
func TestNormalizeAllocations(t *testing.T) {
	rows := sampleRows(t)
	n := event.NewNormalizer(appKey)
	perPage := testing.AllocsPerRun(200, func() {
		for _, row := range rows {
			n.Normalize(row)
		}
	})
	if perRow := perPage / float64(len(rows)); perRow > 0.5 {
		t.Errorf("%.2f allocations a row, want at most 0.5", perRow)
	}
}

const appKey = "4f7aef34fb361292c566a1cd"

// TestMemoryIsFreed makes windows of events one after the other, whose memory is handed over and freed: what is made next does not touch what
// is not freed yet, and nothing is left of what is. So it is wherever in its memory a window ends.
func TestMemoryIsFreed(t *testing.T) {
	windows := func(rows, size int) {
		n := event.NewNormalizer(appKey)
		first := eventsOf(t, n, rows, "1", size)
		memory := n.TakeMemory()
		second := eventsOf(t, n, rows, "2", size)
		wantEvents(t, first, "1", size)
		memory.Free()
		gone := 0
		for _, e := range first {
			if bytes.Count(e.Value, []byte{0}) == len(e.Value) {
				gone++
			}
		}
		if gone < rows*9/10 { // The first of a stream stand in smaller chunks, which are not kept.
			t.Errorf("%d of %d events are gone", gone, len(first))
		}
		memory.Free() // Nothing is freed twice.
		third := eventsOf(t, n, rows, "3", size)
		wantEvents(t, second, "2", size)
		wantEvents(t, third, "3", size)
	}
	for rows := 1000; rows < 1030; rows++ {
		windows(rows, 500)
	}
	windows(400, 20_000)
}

// TestMemoryIsUsedAgain makes windows of events whose memory is freed.
func TestMemoryIsUsedAgain(t *testing.T) {
	for _, size := range []int{500, 5_000} {
		n := event.NewNormalizer(appKey)
		allocated := testing.AllocsPerRun(10, func() {
			eventsOf(t, n, 1000, "x", size)
			used := n.TakeMemory()
			used.Free()
		})
		if allocated > 25 { // There are some 40 chunks in a window of small ones. The list of events grows, too.
			t.Errorf("%v allocations for 1000 events of %d bytes", allocated, size)
		}
	}
}

// eventsOf makes some events of the same text, which is so many times a letter.
func eventsOf(t *testing.T, n *event.Normalizer, rows int, letter string, size int) (events []event.Event) {
	t.Helper()
	row := []byte(`{"msgid":1,"msg_type":"text","msg_body":{"text":"` + strings.Repeat(letter, size) + `"},"target_type":"single"}`)
	for range rows {
		e, rejection := n.Normalize(row)
		if rejection != nil {
			t.Fatal(rejection.Detail)
		}
		events = append(events, e)
	}
	return events
}

func wantEvents(t *testing.T, events []event.Event, letter string, size int) {
	t.Helper()
	text := []byte(`"text":"` + strings.Repeat(letter, size) + `"`)
	for _, e := range events {
		if bytes.Count(e.Value, text) != 2 {
			t.Fatalf("an event became %q", e.Value)
		}
	}
}
