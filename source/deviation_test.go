package source

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

// TestRepliesWithOneMeaningAreTaken reads replies that are not as documented, twice: each deviation is told once, and counted.
func TestRepliesWithOneMeaningAreTaken(t *testing.T) {
	encoded := func(encoding string) map[string]string { return map[string]string{"Content-Encoding": encoding} }
	one := pageJSON(1, "", rowsOf(1, 1)...)
	behind := func(body string) []answer { return []answer{page(2, "C", rowsOf(1, 2)...), {body: body}} }
	for _, test := range []struct {
		name, deviation, want string
		answers               []answer
	}{
		{"no messages of none", deviatesMessages, "", []answer{{body: `{"total":0}`}}},
		{"an object of none", deviatesMessages, "", []answer{{body: `{"total":0,"messages":{}}`}}},
		{"no messages behind the last", deviatesMessages, "12", behind(`{"total":2}`)},
		{"null behind the last", deviatesMessages, "12", behind(`{"total":2,"count":0,"messages":null}`)},
		{"numbers in quotes", deviatesNumber, "1", []answer{{body: `{"total":"1","count":"1","messages":[{"msgid":1}]}`}}},
		{"count that was asked for", deviatesCount, "1", []answer{{body: `{"total":1,"count":1000,"messages":[{"msgid":1}]}`}}},
		{"count of the window", deviatesCount, "123", []answer{
			{body: `{"total":3,"cursor":"C","count":3,"messages":[{"msgid":1},{"msgid":2}]}`}, {body: `{"total":3,"count":3,"messages":[{"msgid":3}]}`},
		}},
		{"no total", deviatesTotal, "123", []answer{
			{body: `{"cursor":"A","messages":[{"msgid":1}]}`}, {body: `{"cursor":"B","messages":[{"msgid":2}]}`}, {body: `{"messages":[{"msgid":3}]}`},
		}},
		{"no total, a cursor that stays", deviatesTotal, "12", slices.Concat([]answer{
			{body: `{"cursor":"A","messages":[{"msgid":1}]}`}, {body: `{"cursor":"A","messages":[{"msgid":2}]}`},
		}, slices.Repeat([]answer{{body: `{"cursor":"A","messages":[]}`}}, mostIdle))},
		{"byte order mark", deviatesBOM, "1", []answer{{body: "\ufeff" + one}}},
		{"204", deviatesStatus, "", slices.Repeat([]answer{{status: 204}}, damagedAfter+1)},
		{"204 behind the last", deviatesStatus, "12", slices.Concat([]answer{page(2, "C", rowsOf(1, 2)...)}, slices.Repeat([]answer{{status: 204}}, damagedAfter+1))},
		{"gzip that is none", deviatesEncoding, "1", []answer{{body: one, header: encoded("gzip")}}},
		{"gzip that does not say so", deviatesEncoding, "1", []answer{{body: zipped(one)}}},
		{"a charset as an encoding", deviatesEncoding, "1", []answer{{body: one, header: encoded("utf-8")}}},
		{"as documented", "", "1", []answer{{body: one}}},
		{"gzip", "", "1", []answer{{body: zipped(one), header: encoded("gzip")}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen recorder
				told := 0
				cfg := testConfig(&script{answers: slices.Repeat(test.answers, 2)})
				cfg.Observer = seen.observer()
				cfg.Warn = func(_ string, attrs ...slog.Attr) {
					if told++; attrs[0].Value.String() != test.deviation {
						t.Errorf("told of %v, want %q", attrs[0], test.deviation)
					}
				}
				c := newTestClient(t, cfg)
				for range 2 {
					pages, err := readAll(t.Context(), c, messages(), settled(time.Hour))
					if err != nil {
						t.Fatal(err)
					}
					if got := msgids(pages); got != test.want {
						t.Errorf("got rows %q, want %q", got, test.want)
					}
				}
				deviates := test.deviation != ""
				if (told == 1) != deviates || slices.Contains(seen.classes, classDeviating) != deviates {
					t.Errorf("told %d times, the classes are %q", told, seen.classes)
				}
			})
		})
	}
}

// TestWithoutTotalsNoPageIsPassedOver begins anew where a page had to be asked for again: a cursor may have moved on meanwhile.
func TestWithoutTotalsNoPageIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{
			{body: `{"cursor":"A","messages":[{"msgid":1}]}`}, {status: 502}, {body: `{"cursor":"A","messages":[{"msgid":3}]}`},
		}}
		_, err := readAll(t.Context(), newTestClient(t, testConfig(s)), messages(), settled(time.Hour))
		if fault := wantFault(t, err, pipeline.Restart); fault.Span <= 0 {
			t.Errorf("the window keeps its length: %v", err)
		}
	})
}

// TestWithoutTotalsWindowsStayShort asks for a shorter window once far more came than suits.
func TestWithoutTotalsWindowsStayShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		for i := range 30 {
			s.answers = append(s.answers, answer{body: fmt.Sprintf(`{"cursor":"C%d","messages":[%s]}`, i, pageRows(i))})
		}
		_, err := readAll(t.Context(), newTestClient(t, testConfig(s)), messages(), settled(time.Hour))
		if fault := wantFault(t, err, pipeline.Restart); fault.Span <= 0 || fault.Span > 40*time.Minute {
			t.Errorf("an hour is to be asked for as %v", fault.Span)
		}
	})
}

func pageRows(n int) string {
	text := pageJSON(0, "", rowsOf(1+n*1000, 1000)...)
	return text[len(`{"total":0,"cursor":"","count":1000,"messages":[`) : len(text)-len(`]}`)]
}

// TestTotalThatIsNotStated is none, except of a window without rows.
func TestTotalThatIsNotStated(t *testing.T) {
	for body, want := range map[string]int64{`{"messages":[{"msgid":1}]}`: -1, `{"messages":[]}`: 0, `{"total":7,"messages":[{"msgid":1}]}`: 7} {
		got, err := newTestClient(t, testConfig(&script{answers: []answer{{body: body}}})).Total(t.Context(), messages(), settled(time.Hour))
		if err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", body, got, err, want)
		}
	}
}
