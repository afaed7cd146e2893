package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/tests/allocations"
	"github.com/jmpub/jmpub/pipeline"
)

func texts(rows [][]byte) []string {
	var all []string
	for _, r := range rows {
		all = append(all, string(r))
	}
	return all
}

func TestDecodePage(t *testing.T) {
	for _, test := range []struct {
		name, body string
		total      int64
		cursor     string
		rows       []string
	}{
		{"page", `{"total":2,"cursor":"C","count":2,"messages":[{"a":1},{"b":2}]}`, 2, "C", []string{`{"a":1}`, `{"b":2}`}},
		{"other order and unknown fields", `{"x":[{}],"messages":[{}],"count":1,"cursor":null,"y":{"total":9},"total":1}`, 1, "", []string{`{}`}},
		{"white space stays out of rows", " {\n\"total\" : 2 ,\"messages\": [ {\"a\": 1 } ,\n\t2 ] } \n", 2, "", []string{`{"a": 1 }`, `2`}},
		{"rows of any kind", `{"total":6,"messages":[null,1.50,"s",[1],true,{}]}`, 6, "", []string{`null`, `1.50`, `"s"`, `[1]`, `true`, `{}`}},
		{"empty", `{"total":0,"cursor":"","count":0,"messages":[]}`, 0, "", nil},
		{"no messages of none", `{"total":0,"count":0}`, 0, "", nil},
		{"no messages as an object", `{"total":0,"messages":{ }}`, 0, "", nil},
		{"numbers in quotes", `{"total":"12","count":"2","messages":[1,2]}`, 12, "", []string{"1", "2"}},
		{"numbers with a fraction", `{"total":12.0,"count":2.00,"messages":[1,2]}`, 12, "", []string{"1", "2"}},
		{"total is null", `{"total":null,"messages":[]}`, -1, "", nil},
		{"null is empty", `{"total":0,"messages":null}`, 0, "", nil},
		{"no total", `{"count":0,"messages":[]}`, -1, "", nil},
		{"duplicate names in a row", `{"total":1,"messages":[{"a":1,"a":2}]}`, 1, "", []string{`{"a":1,"a":2}`}},
		{"no UTF-8 in a row", "{\"total\":1,\"messages\":[{\"a\":\"\xff\"}]}", 1, "", []string{"{\"a\":\"\xff\"}"}},
		{"lone surrogate in a row", `{"total":1,"messages":[{"a":"\ud800"}]}`, 1, "", []string{`{"a":"\ud800"}`}},
		{"large numbers in a row", `{"total":1,"messages":[{"a":9007199254740993,"b":1e999}]}`, 1, "", []string{`{"a":9007199254740993,"b":1e999}`}},
		{"escapes in names and cursor", `{"\u0074otal":1,"cursor":"a\/b\"","messages":[1]}`, 1, `a/b"`, []string{`1`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := decodePage([]byte(test.body), maxPageSize, nil)
			if err != nil {
				t.Fatalf("decode: %v", err)
			}
			if got.total != test.total || got.cursor != test.cursor || !slices.Equal(texts(got.rows), test.rows) {
				t.Errorf("got %d %q %q, want %d %q %q", got.total, got.cursor, texts(got.rows), test.total, test.cursor, test.rows)
			}
		})
	}
}

func TestDecodePageRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":              ``,
		"html":                 `<html><body>502 Bad Gateway</body></html>`,
		"array":                `[]`,
		"string":               `"messages"`,
		"null":                 `null`,
		"truncated":            `{"total":2,"count":2,"messages":[{"a":1},{"b"`,
		"truncated after rows": `{"total":2,"count":2,"messages":[{"a":1},{"b":2}]`,
		"trailing bytes":       `{"total":0,"messages":[]}x`,
		"two pages":            `{"total":0,"messages":[]}{"total":0,"messages":[]}`,
		"no messages":          `{"total":5,"count":0}`,
		"nothing known":        `{}`,
		"messages are null":    `{"total":5,"messages":null}`,
		"messages are {}":      `{"total":5,"messages":{}}`,
		"null, no total":       `{"messages":null}`,
		"messages is a string": `{"total":0,"messages":""}`,
		"messages is a row":    `{"total":0,"messages":{"msgid":1}}`,
		"count is less":        `{"total":2,"count":1,"messages":[1,2]}`,
		"count is more":        `{"total":2,"count":3,"messages":[1,2]}`,
		"count is no number":   `{"total":2,"count":"two","messages":[1,2]}`,
		"total is a string":    `{"total":"","messages":[1,2]}`,
		"total is a fraction":  `{"total":2.5,"messages":[1,2]}`,
		"total is negative":    `{"total":-1,"messages":[]}`,
		"total is too large":   `{"total":9223372036854775808,"messages":[]}`,
		"cursor is a number":   `{"total":1,"cursor":7,"messages":[1]}`,
		"messages twice":       `{"total":1,"messages":[1],"messages":[]}`,
		"total twice":          `{"total":1,"total":2,"messages":[1]}`,
		"cursor twice":         `{"total":1,"cursor":"a","cursor":"b","messages":[1]}`,
		"comment":              `{"total":1,"messages":[1]} // end`,
		"broken row":           `{"total":1,"messages":[{"a":}]}`,
	} {
		if got, err := decodePage([]byte(body), maxPageSize, nil); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}

func TestRowsDoNotShareTheirEnds(t *testing.T) {
	body := []byte(`{"total":2,"messages":[{"a":1},{"b":2}]}`)
	got, err := decodePage(body, maxPageSize, nil)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	_ = append(got.rows[0], "overwritten"...)
	if string(got.rows[1]) != `{"b":2}` {
		t.Errorf("appending to a row changed the next one: %s", got.rows[1])
	}
}

// TestPageHasRowsOfAPage stops at the row beyond those that may come, whatever is behind it.
func TestPageHasRowsOfAPage(t *testing.T) {
	if got, err := decodePage([]byte(`{"total":9,"messages":[1,2,3]}`), 3, nil); err != nil || len(got.rows) != 3 {
		t.Errorf("a full page: %v", err)
	}
	if _, err := decodePage([]byte(`{"total":9,"messages":[1,2,3,4,}`), 3, nil); !errors.Is(err, errTooMany) {
		t.Errorf("got %v, want %v", err, errTooMany)
	}
}

func TestDecodeDamaged(t *testing.T) {
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	for _, test := range []struct {
		name string
		rows []string
	}{
		{"none", []string{`{"a":1}`}},
		{"raw control character", []string{`{"a":1}`, "{\"a\":\"x\x01y\"}", `{"b":2}`}},
		{"comment", []string{`{"msg_level" : 0 // 0: within the app` + "\n}", `{"b":2}`}},
		{"missing comma", []string{`{"a":1 "b":{"c":[]}}`, `{"a":1}`}},
		{"brackets in a string", []string{`{"a":"}]\"}",}`, `{}`}},
		{"unknown escape", []string{`{"a":"\x41"}`}},
		{"no value", []string{`{}`, `NaN`, `{}`, `-`}},
		{"too deep", []string{`{}`, deep, `{}`}},
		{"several", []string{`{"a":}`, `{,}`, `{"ok":1}`, `tru`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := []byte(pageJSON(7, "C", test.rows...))
			got, _, err := decodeDamaged(body, maxPageSize)
			if err != nil {
				t.Fatalf("decode: %v", err)
			}
			if !slices.Equal(texts(got.rows), test.rows) {
				t.Errorf("got %.200q, want %.200q", texts(got.rows), test.rows)
			}
			if got.total != 7 || got.cursor != "C" {
				t.Errorf("got total %d and cursor %q", got.total, got.cursor)
			}
		})
	}
}

func TestDecodeDamagedRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"truncated":               `{"total":2,"count":2,"messages":[{"a":1},{"b"`,
		"truncated damage":        `{"total":2,"count":2,"messages":[{"a":},{"b":`,
		"html":                    `<html></html>`,
		"bracket too many":        `{"total":1,"count":1,"messages":[{"a":}}]}`,
		"a row swallows the next": `{"total":2,"count":2,"messages":[{"a":{,{"b":2}}]}`,
		"open string":             `{"total":2,"count":2,"messages":[{"a":"x},{"b":2}]}`,
	} {
		if got, _, err := decodeDamaged([]byte(body), maxPageSize); err == nil {
			t.Errorf("%s: got %q, want an error", name, texts(got.rows))
		}
	}
}

func FuzzDecodePage(f *testing.F) {
	f.Add([]byte(`{"total":2,"cursor":"C","count":2,"messages":[{"a":1},{"b":2}]}`))
	f.Add([]byte(`{"total":2,"messages":null}`))
	f.Add([]byte("{\"total\":1,\"count\":2,\"messages\":[{\"a\":\"\x01\"} , 1 ]}"))
	f.Add([]byte(`<html>`))
	f.Add([]byte(`{"total":1,"messages":[{"a":}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		page, err := decodePage(body, maxPageSize, nil)
		room := [][]byte{[]byte("of"), []byte("another"), []byte("page")}
		if again, againErr := decodePage(body, maxPageSize, room[:2]); !slices.Equal(texts(page.rows), texts(again.rows)) || (page.rows == nil) != (again.rows == nil) ||
			fmt.Sprint(err) != fmt.Sprint(againErr) {
			t.Fatalf("in memory of another page: %q, %v; want %q, %v", texts(again.rows), againErr, texts(page.rows), err)
		}
		damaged, _, damagedErr := decodeDamaged(body, maxPageSize)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		if err == nil && (damagedErr != nil || !slices.Equal(texts(page.rows), texts(damaged.rows))) {
			t.Fatalf("a good page is read another way when damage is expected: %q, %v", texts(damaged.rows), damagedErr)
		}
		for _, row := range page.rows {
			if err == nil && (!bytes.Contains(body, row) || len(row) == 0) {
				t.Fatalf("row %q is no part of the body", row)
			}
		}
		for _, row := range damaged.rows {
			if damagedErr == nil && (!bytes.Contains(body, row) || len(row) == 0) {
				t.Fatalf("row %q of a damaged page is no part of the body", row)
			}
		}
		var whole struct {
			Total    *int64            `json:"total"`
			Messages []json.RawMessage `json:"messages"`
		}
		// A page is an object of JSON as others read it too, where its bytes are UTF-8. encoding/json takes names in any case.
		named := bytes.Count(body, []byte(`"messages"`)) == 1 && bytes.Count(bytes.ToLower(body), []byte(`"messages"`)) == 1
		if err == nil && named && json.Valid(body) {
			if jsonErr := json.Unmarshal(body, &whole); jsonErr == nil && len(whole.Messages) != len(page.rows) && !bytes.Contains(bytes.ToLower(body), []byte(`\u`)) {
				t.Fatalf("%d rows, another decoder finds %d", len(page.rows), len(whole.Messages))
			}
		}
	})
}

// benchmarkPage is one of ten pages of 1000 rows of about 480 bytes, as groups have them.
func benchmarkPage(n int) []byte {
	rows := make([]string, 1000)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"set_from_name":1,"from_platform":"a","target_name":"","msg_type":"text","version":1,"target_id":"10055201",`+
			`"from_appkey":"4f7aef34fb361292c566a1cd","from_name":"custom name nnn","from_id":"user_%04d","msg_body":{"text":"%s",`+
			`"extras":{"level":3,"k":"v","nested":{"a":[1,2,3]}}},"create_time":1490930940,"from_type":"user","target_appkey":"",`+
			`"target_type":"group","msgid":%d,"msg_ctime":1490930941708,"msg_level":0}`,
			i, strings.Repeat("今天晚上 ok ", 5), 2_456_348_996+1000*n+i)
	}
	cursor := "02838264C47BA022DE545AF2D013B59A"
	if n == 9 {
		cursor = ""
	}
	return []byte(pageJSON(10_000, cursor, rows...))
}

func BenchmarkDecodePage(b *testing.B) {
	b.SetBytes(int64(len(benchmarkPage(0))))
	b.ReportAllocs()
	run := decodesPage(b)
	for b.Loop() {
		run()
	}
}

func decodesPage(tb testing.TB) func() {
	tb.Helper()
	body := benchmarkPage(0)
	return func() {
		if page, err := decodePage(body, maxPageSize, nil); err != nil || len(page.rows) != 1000 {
			tb.Fatal(err)
		}
	}
}

func BenchmarkDecodeDamaged(b *testing.B) {
	body := bytes.Replace(benchmarkPage(0), []byte("user_0500"), []byte("user\x010500"), 1)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if page, _, err := decodeDamaged(body, maxPageSize); err != nil || len(page.rows) != 1000 {
			b.Fatal(err)
		}
	}
}

// BenchmarkClientWindow reads windows of ten pages; an operation is one of them.
func BenchmarkClientWindow(b *testing.B) {
	b.ReportAllocs()
	run := fetchesWindow(b)
	for b.Loop() {
		run()
	}
}

func fetchesWindow(tb testing.TB) func() {
	tb.Helper()
	var answers [10]string
	for i := range answers {
		answers[i] = string(benchmarkPage(i))
	}
	asked := 0
	cfg := testConfig(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
		_, _ = io.WriteString(w, answers[asked%len(answers)])
		asked++
	}))
	cfg.Rate = Rate{Requests: maxRequests, Per: 1}
	client, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return func() {
		pages, err := client.Open(tb.Context(), messages(), settled(1000))
		if err != nil {
			tb.Fatal(err)
		}
		defer pages.Free()
		for err == nil {
			_, err = pages.Next(tb.Context())
		}
		if !errors.Is(err, io.EOF) || asked%len(answers) != 0 {
			tb.Fatalf("%d requests: %v", asked, err)
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	b.ReportAllocs()
	run := plansWindow(b)
	for b.Loop() {
		run()
	}
}

// plansWindow lays out a window, and says how long the next one should be.
func plansWindow(tb testing.TB) func() {
	tb.Helper()
	p := testPlanner()
	now := time.Date(2026, 11, 24, 10, 0, 0, 500_000_000, time.UTC)
	pos := pipeline.Position{End: now.Add(-24 * time.Hour).Truncate(time.Second), Span: time.Hour}
	return func() {
		plan, wait := p.plan(pos, now, 0)
		if span := p.suggest(plan.Window, p.target/2, time.Hour); wait > 0 || span <= time.Hour {
			tb.Fatalf("%s, a wait of %s, and then %s", plan.Window, wait, span)
		}
	}
}

// TestAllocations counts what the way of a page to its rows allocates.
func TestAllocations(t *testing.T) {
	allocations.Check(t, "source", map[string]allocations.Operation{
		"decode a page of 1000 rows": decodesPage, "fetch ten pages of 1000 rows": fetchesWindow, "plan a window": plansWindow,
	})
}
