package rawjson_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/internal/rawjson"
)

// inputs are JSON of all kinds, plain and otherwise, and what breaks it.
func inputs() []string {
	deep := func(n int, open, inner, closing string) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(closing, n)
	}
	return []string{
		"", " \t\r\n", "null", "true", "false", "nul", "nulll", "truefalse", "True", "\v1", "\x001",
		"0", "-0", "-", "01", "1.", "1.5", "1.e1", "1e", "1e+", "12E-34", "-12.0e+400", "+1", ".5", "1 2", "1,2", "0x1",
		`""`, `"a"`, `"12345678"`, `"1234567`, `"abc\"def\\"`, `"\/\b\f\n\r\t\u00e9\uD83D\uDE00"`, `"\ud83d"`, `"\u12`, `"\u12g4"`, `"\x"`, `"\`,
		"\"a\x1fb\"", "\"1234567\x00\"", "\"\x7f\x80\xff\"", "\"\xe4\xbb\"", "\"\xe4\xbb", `"今天晚上 ok"`, "\"\xed\xa0\x80\"", "\ufeff{}",
		"{}", "{ }", "[]", "[ ]", `{"a":1}`, `{"a":1,"a":2,"\u0061":3}`, `{"\ud83d":1}`, "{\"\xff\":\"\xfe\"}",
		` { "a" : [ 1 , 2.5 ,"x"	] , "b" : { "c" : null , "d":[{}, []] } } `,
		`{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1,,"b":2}`, `{"a":1 "b":2}`, `{"a":1"b":2}`, `[1"a"]`, `{"a"::1}`, `{"a",1}`, `{:1}`, `{,}`, `{1:2}`, `{null:1}`, `{{}:1}`, `{"a":1]`, `{"a":1`,
		`{"a":`, `{"a`, `{`, `}`, `[1,]`, `[,1]`, `[1 2]`, `[1:2]`, `[1}`, `[1,2`, `[`, `]`, `{}}`, `{} {}`, `{},{}`, `{}x`, `[{"a":1},{"b":[2]},3]`,
		deep(63, "[", "1", "]"), deep(64, "[", "", "]"), deep(65, "[", "{}", "]"), deep(64, `{"a":`, "1", "}"), deep(65, `{"a":`, `"b"`, "}"),
		deep(70, "[", "x", "]"), deep(200, `[{"a":`, "0", "}]"),
	}
}

// FuzzWalk calls the methods of two readers in any order, of which one leaves all to jsontext: they say the same each time, and fail with
// the same error.
func FuzzWalk(f *testing.F) {
	for _, input := range inputs() {
		// Values alone; into all that there is; members by name; and what nobody should call so.
		for _, calls := range []string{"VVO", "EMVMVMVMOZ", "EEEMEMEMVVVLLLZ", "KEKLVKLVKLVKLKZ", "MLVEZKMOVVEL", "ENNNNOZ", "ENNENNMNNLZ", "NEENMVVNLNKNZ", strings.Repeat("E", 70) + "V" + strings.Repeat("L", 70) + "Z"} {
			f.Add([]byte(input), calls)
		}
	}
	f.Fuzz(func(t *testing.T, input []byte, calls string) {
		walking, decoding := rawjson.Lenient(), rawjson.LenientDecoder()
		for _, again := range []bool{false, true} { // What the first input left behind must not matter to the second.
			if again {
				input = bytes.TrimRight(input, "}] ")
			}
			before := bytes.Clone(input)
			walking.Open(input)
			decoding.Open(input)
			for i, call := range calls {
				got, want := say(walking, call), say(decoding, call)
				if got != want {
					t.Fatalf("%q: %c, call %d of %q, says %s, want %s", input, call, i, calls, got, want)
				}
			}
			if !bytes.Equal(before, input) {
				t.Fatalf("%q became %q", before, input)
			}
		}
		walking.Release()
		if walking.Open(nil); walking.Kind() != 0 || walking.Offset() != 0 {
			t.Errorf("%q is there still", input)
		}
	})
}

// say calls a method of a reader, and says what came of it.
func say(r *rawjson.Reader, call rune) string {
	answer := ""
	switch call {
	case 'V':
		value := r.Value()
		answer = fmt.Sprintf("%q %t %d", value, value == nil, cap(value))
	case 'E':
		kind := r.Kind()
		if kind != '{' {
			kind = '['
		}
		r.Enter(kind)
	case 'A':
		r.Enter('{')
	case 'M':
		answer = fmt.Sprintf("%t %q %q", r.Member(), r.QuotedName(), r.Name())
	case 'N':
		value, ok := r.MemberValue()
		answer = fmt.Sprintf("%t %q %q %q %d", ok, r.QuotedName(), r.Name(), value, cap(value)) + fmt.Sprint(" ", r.NameOffset())
	case 'L':
		answer = strconv.FormatBool(r.Element())
	case 'K':
		answer = r.Kind().String()
	case 'Z':
		r.End()
	default:
	}
	return fmt.Sprint(answer, " at ", r.Offset(), ": ", r.Err())
}

// TestIsCompact tells white space that means nothing from that of texts.
func TestIsCompact(t *testing.T) {
	for value, want := range map[string]bool{
		"1": true, `" a b "`: true, `{"a b":" "}`: true, `[[],{}]`: true, "{ }": false, "[1 ]": false, "[1,\n2]": false, `{"a" :1}`: false, `{"a":[1,	2]}`: false,
	} {
		r := rawjson.Lenient()
		r.Open([]byte(`{"before": {"a": 1}, "it" : ` + value + ` ,"behind" : 2}`))
		r.Enter('{')
		_, _ = r.MemberValue()
		if found, _ := r.MemberValue(); string(found) != value || r.IsCompact() != want {
			t.Errorf("%s: %q is compact: %t", value, found, r.IsCompact())
		}
		r.Open([]byte(`{"it":` + value + `}`))
		r.Enter('{')
		if found, _ := r.MemberValue(); string(found) != value || r.IsCompact() != want {
			t.Errorf("%s without any around it: %q is compact: %t", value, found, r.IsCompact())
		}
	}
	if r := rawjson.LenientDecoder(); r.Value() != nil || r.IsCompact() {
		t.Error("jsontext does not tell, and is taken to")
	}
}

// FuzzCompact holds compact JSON to what jsontext makes of it.
func FuzzCompact(f *testing.F) {
	for _, input := range inputs() {
		f.Add([]byte(input))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		before := []byte("before")
		want, wantErr := jsontext.AppendFormat(before, input,
			jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true), jsontext.PreserveRawStrings(true))
		got, err := rawjson.Lenient().AppendCompact(before, input)
		if !bytes.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("%q: %q, %v; want %q, %v", input, got, err, want, wantErr)
		}
	})
}

// TestDeepJSON nests as deep as jsontext reads, and one level deeper, in a page and by itself.
func TestDeepJSON(t *testing.T) {
	for _, levels := range []int{63, 64, 65, 9_999, 10_000, 10_001, 1_000_000} {
		for _, open := range []string{"[", `{"a":`} {
			closing := map[string]string{"[": "]", `{"a":`: "}"}[open]
			input := []byte(strings.Repeat(open, levels) + "1" + strings.Repeat(closing, levels))
			walking, decoding := rawjson.Lenient(), rawjson.LenientDecoder()
			for _, calls := range []string{"VZ", "EVLZ", "EMVMZ"} {
				walking.Open(input)
				decoding.Open(input)
				for _, call := range calls {
					if got, want := say(walking, call), say(decoding, call); got != want {
						t.Fatalf("%d levels of %s: %c of %s says %.100s, want %.100s", levels, open, call, calls, got, want)
					}
				}
			}
		}
	}
}

// BenchmarkReader splits a row of 480 bytes into its members; an operation is one row.
func BenchmarkReader(b *testing.B) {
	row := []byte(`{"set_from_name":1,"from_platform":"a","target_name":"","msg_type":"text","version":1,"target_id":"10055201",` +
		`"from_appkey":"4f7aef34fb361292c566a1cd","from_name":"custom name nnn","from_id":"user_0001","msg_body":{"text":"` +
		strings.Repeat("今天晚上 ok ", 5) + `","extras":{"level":3,"k":"v","nested":{"a":[1,2,3]}}},"create_time":1490930940,` +
		`"from_type":"user","target_appkey":"","target_type":"group","msgid":2456348996,"msg_ctime":1490930941708,"msg_level":0}`)
	for name, r := range map[string]*rawjson.Reader{"walk": rawjson.Lenient(), "jsontext": rawjson.LenientDecoder()} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(row)))
			b.ReportAllocs()
			for b.Loop() {
				r.Open(row)
				r.Enter('{')
				for more := true; more; {
					_, more = r.MemberValue()
				}
				if r.End(); r.Err() != nil {
					b.Fatal(r.Err())
				}
			}
		})
	}
}
