package pipeline_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/jmpub/jmpub/pipeline"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestNormalizeGolden holds the event (or the rejection) of each row in testdata/normalize against its golden file.
func TestNormalizeGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/normalize/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rows in testdata/normalize: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			row, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			row = bytes.TrimRight(row, "\n")
			event, rejection := pipeline.Normalize(appKey, row)
			var got []byte
			if rejection != nil {
				got = []byte("rejected: " + string(rejection.Reason) + ": " + rejection.Detail + "\n")
			} else {
				pretty := jsontext.Value(bytes.Clone(event.Value))
				if err := pretty.Indent(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
					t.Fatalf("the event is not JSON: %v\n%s", err, event.Value)
				}
				got = append([]byte("topic "+event.Target.String()+"\n"), pretty...)
				got = append(got, '\n')
			}
			golden := strings.TrimSuffix(file, ".json") + ".golden"
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
			checkNormalized(t, row)
		})
	}
}

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
	if rejection != nil {
		if !bytes.Equal(rejection.Row, row) || rejection.Reason == "" || rejection.Detail == "" {
			t.Fatalf("rejection %+v does not carry the row and a reason", rejection)
		}
		if event.Value != nil {
			t.Fatalf("event and rejection for %q", row)
		}
		return
	}
	if !jsontext.Value(event.Value).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		t.Fatalf("the event of %q is not JSON: %s", row, event.Value)
	}
	if bytes.ContainsAny(event.Value, "\n\r") {
		t.Fatalf("the event of %q has line breaks: %s", row, event.Value)
	}
	rebuilt, err := pipeline.Rebuild(event.Value)
	if err != nil {
		t.Fatalf("rebuild %s: %v", event.Value, err)
	}
	if !pipeline.SameRow(rebuilt, row) {
		t.Fatalf("row     %s\nevent   %s\nrebuilt %s", row, event.Value, rebuilt)
	}
	again, _ := pipeline.Normalize(appKey, row)
	if !bytes.Equal(again.Value, event.Value) {
		t.Fatalf("the same row gave two events:\n%s\n%s", event.Value, again.Value)
	}
}

func FuzzNormalize(f *testing.F) {
	files, err := filepath.Glob("testdata/normalize/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		row, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(row)
	}
	f.Fuzz(func(t *testing.T, row []byte) { checkNormalized(t, row) })
}

// TestAnyRowCanBeRebuilt makes rows in which every field has any type.
func TestAnyRowCanBeRebuilt(t *testing.T) {
	names := []string{
		"msgid", "target_type", "msg_type", "msg_ctime", "create_time", "from_id", "from_name", "from_type", "from_platform",
		"from_appkey", "target_id", "target_name", "target_appkey", "msg_level", "msg_body", "version", "at_list", "attributes",
		"text", "time", "time_source", "client_time", "app_key", "from", "target", "媒体", `a\"b`, `\u006dsgid2`,
	}
	values := []string{
		"0", "1", "-0", "-5", "1.0", "1e3", "1553222785", "1553222785613", "9223372036854775807", "9223372036854775808",
		"253402300799999", "253402300800000", "100000000000", "99999999999", `""`, `"a"`, `"单聊 😀"`, `"\ud83d"`, `"\/\u0041\n"`,
		`"single"`, `"group"`, `"text"`, `"image"`, `"video"`, `"location"`, "null", "true", "[]", "[1, 2]", "{}",
		`{"text":"x y","extras":{"n":9007199254740993}}`, `{"media_id":"q","fsize":1.50,"img_link":"u"}`,
		`{"video":{"media_id":"v"},"thumb":{"media_id":"t"},"duration":3}`, `{"latitude":111.2,"longitude":1e2,"label":"l"}`,
	}
	rapid.Check(t, func(t *rapid.T) {
		chosen := rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID[string]).Draw(t, "names")
		var b strings.Builder
		b.WriteString("{")
		for i, name := range chosen {
			if i > 0 {
				b.WriteString(rapid.SampledFrom([]string{",", " ,\n "}).Draw(t, "comma"))
			}
			value := rapid.SampledFrom(values).Draw(t, name)
			if name == "msgid" && rapid.IntRange(0, 3).Draw(t, "odd") > 0 {
				value = "2456348996"
			}
			b.WriteString(`"` + name + `"` + rapid.SampledFrom([]string{":", " : "}).Draw(t, "colon") + value)
		}
		b.WriteString("}")
		checkNormalized(t, []byte(b.String()))
	})
}

// sampleRows are the rows of testdata that become events.
func sampleRows(tb testing.TB) [][]byte {
	tb.Helper()
	files, err := filepath.Glob("testdata/normalize/row-*.json")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no sample rows: %v", err)
	}
	var rows [][]byte
	for _, file := range files {
		row, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		rows = append(rows, bytes.TrimRight(row, "\n"))
	}
	return rows
}

// BenchmarkNormalize takes the sample rows, one after another; an operation is one row.
func BenchmarkNormalize(b *testing.B) {
	rows := sampleRows(b)
	size := 0
	for _, row := range rows {
		size += len(row)
	}
	b.SetBytes(int64(size / len(rows)))
	b.ReportAllocs()
	n := pipeline.NewNormalizer(appKey)
	i := 0
	for b.Loop() {
		if _, rejection := n.Normalize(rows[i%len(rows)]); rejection != nil {
			b.Fatal(rejection.Detail)
		}
		i++
	}
}
