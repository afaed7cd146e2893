package rawjson_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/internal/rawjson"
)

// walk takes a value apart and writes it anew, without whitespace.
func walk(dst []byte, r *rawjson.Reader, within func(part []byte)) []byte {
	switch kind := r.Kind(); kind {
	case '{':
		dst = append(dst, '{')
		for r.Enter('{'); r.Member(); {
			within(r.QuotedName())
			dst = append(append(dst, r.QuotedName()...), ':')
			dst = append(walk(dst, r, within), ',')
		}
		return append(bytes.TrimSuffix(dst, []byte{','}), '}')
	case '[':
		dst = append(dst, '[')
		for r.Enter('['); r.Element(); {
			dst = append(walk(dst, r, within), ',')
		}
		return append(bytes.TrimSuffix(dst, []byte{','}), ']')
	default:
		value := r.Value()
		if value != nil {
			within(value)
		}
		return append(dst, value...)
	}
}

// FuzzReader holds that a walk accepts exactly what jsontext accepts, sees the same value, gives parts of the input, and after
// an error gives nothing more.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"", " ", "null", `"a"`, `"\ud83d"`, "-0.0", "12e400", `{"a":1,"a":[2, {"b":null}]}`, `[1,2`, `[1,]`, `{"a"}`, `{1:2}`,
		`{} {}`, `[tru]`, "{\"\xff\":\"\xfe\"}", `{"a":1}x`, strings.Repeat("[", 50) + strings.Repeat("]", 50),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 10_000 {
			t.Skip("the walk is recursive")
		}
		for name, c := range map[string]struct {
			reader  *rawjson.Reader
			options []jsontext.Options
		}{
			"strict": {reader: rawjson.Strict()},
			"lenient": {rawjson.Lenient(), []jsontext.Options{
				jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true), jsontext.PreserveRawStrings(true),
			}},
		} {
			checkWalk(t, name, c.reader, c.options, input)
		}
	})
}

func checkWalk(t *testing.T, name string, r *rawjson.Reader, options []jsontext.Options, input []byte) {
	t.Helper()
	want, wantErr := jsontext.AppendFormat(nil, input, options...)
	before := bytes.Clone(input)
	r.Open(input)
	got := walk(nil, r, func(part []byte) {
		if cap(part) != len(part) || r.Offset() < len(part) || !bytes.Equal(input[r.Offset()-len(part):r.Offset()], part) {
			t.Errorf("%s: %q is not the part of the input that ends at %d", name, part, r.Offset())
		}
	})
	r.End()
	if !bytes.Equal(before, input) {
		t.Errorf("%s: the input was changed", name)
	}
	if (r.Err() == nil) != (wantErr == nil) {
		t.Fatalf("%s: %q: %v, want %v", name, input, r.Err(), wantErr)
	}
	if wantErr != nil {
		stays(t, r)
		return
	}
	if options == nil { // Otherwise jsontext writes strings in their shortest form.
		want, _ = jsontext.AppendFormat(nil, input, jsontext.PreserveRawStrings(true))
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %q was read as %q, want %q", name, input, got, want)
	}
	if compact, err := r.AppendCompact(nil, input); err != nil || rawjson.Depth(compact) != rawjson.Depth(input) {
		t.Errorf("%s: %q compact is %q, %v", name, input, compact, err)
	}
}

// stays holds that nothing comes after an error, which stays the same.
func stays(t *testing.T, r *rawjson.Reader) {
	t.Helper()
	first := r.Err()
	r.Enter('{')
	r.End()
	r.Fail(errors.New("a later one"))
	if r.Member() || r.Element() || r.Value() != nil || r.Kind() != 0 || !errors.Is(r.Err(), first) {
		t.Errorf("after %v: something was read, or the error is %v", first, r.Err())
	}
}

func TestErrors(t *testing.T) {
	r := rawjson.Lenient()
	for input, want := range map[string]error{"": io.ErrUnexpectedEOF, "{": io.ErrUnexpectedEOF, "{} 1": rawjson.ErrTrailing} {
		r.Open([]byte(input))
		for r.Enter('{'); r.Member(); {
			r.Skip()
		}
		if r.End(); !errors.Is(r.Err(), want) {
			t.Errorf("%q: %v, want %v", input, r.Err(), want)
		}
	}
	r.Open([]byte("[]"))
	if r.Enter('{'); r.Err() == nil || r.Err().Error() != "[ stands where { should" {
		t.Errorf("an array where an object should be: %v", r.Err())
	}
}

// TestErrorsAreShort quotes neither a name nor the path to a place.
func TestErrorsAreShort(t *testing.T) {
	long := `"` + strings.Repeat("x", 100_000) + `"`
	for _, input := range []string{
		`{` + long + `:1,` + long + `:2}`, strings.Repeat(`{`+long+`:`, 3) + `x`, `[` + long + strings.Repeat("y", 100_000),
	} {
		r := rawjson.Strict()
		r.Open([]byte(input))
		r.Skip()
		if err := r.Err(); err == nil || len(err.Error()) > 200 {
			t.Errorf("%.300q", err)
		}
	}
}

func TestUnquote(t *testing.T) {
	for quoted, want := range map[string]string{`"a"`: "a", `""`: "", `"\u0061"`: "a", `"\ud83d\ude00"`: "😀"} {
		if got := rawjson.Unquote([]byte(quoted)); got == nil || string(got) != want {
			t.Errorf("%s is %q, want %q", quoted, got, want)
		}
	}
	for _, none := range []string{"", "1", "null", `{"a":1}`, `"\ud83d"`} {
		if got := rawjson.Unquote([]byte(none)); got != nil {
			t.Errorf("%s is %q, want no text", none, got)
		}
	}
}

func TestDepth(t *testing.T) {
	for value, want := range map[string]int{"1": 0, "[]": 1, `{"a":[1,{}]}`: 3, `[[`: 2} {
		if got := rawjson.Depth([]byte(value)); got != want {
			t.Errorf("%s nests %d deep, want %d", value, got, want)
		}
	}
}
