package words_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/jmpub/jmpub/internal/words"
)

// hostile is what a terminal obeys, or does not show.
const hostile = "a\x1b[2J\rb\x00\x7f\u009b31m\u202ec\u2066\u200e\u061c\u200b\u2028\u2029\ufeff\u3164\U000e0041\x9b\xff"

// isPlain tells of a text that does nothing to a terminal but stand there.
func isPlain(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool {
		return r != '\n' && r != '\t' && !unicode.IsGraphic(r) || r == 0x3164
	}) < 0
}

func TestVisible(t *testing.T) {
	const shown = `a\u001b[2J\u000db\u0000\u007f\u009b31m\u202ec\u2066\u200e\u061c\u200b\u2028\u2029\ufeff\u3164\udb40\udc41\x9b\xff`
	if got := words.Visible(hostile); got != shown || !isPlain(got) {
		t.Errorf("%s", got)
	}
	for _, text := range []string{"", "two\n\tlines", "用户　名", "é́ 👍🏽 \ufffd"} {
		if got := words.Visible(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	if got := words.Line("a\n\tb"); got != `a\u000a\u0009b` {
		t.Errorf("a line is %s", got)
	}
}

// TestVisibleJSON is the same JSON as before.
func TestVisibleJSON(t *testing.T) {
	before := strings.ToValidUTF8(hostile, "")
	var out bytes.Buffer
	encoder := json.NewEncoder(&words.Writer{Out: &out})
	encoder.SetIndent("", "\t")
	if err := encoder.Encode(map[string]string{before: before}); err != nil {
		t.Fatal(err)
	}
	if !isPlain(out.String()) {
		t.Errorf("it shows %q", out.String())
	}
	var after map[string]string
	if err := json.Unmarshal(out.Bytes(), &after); err != nil || after[before] != before {
		t.Errorf("%q became %q, %v", before, after, err)
	}
}

// FuzzVisible shows nothing that a terminal obeys, and is what it was when it is shown again.
func FuzzVisible(f *testing.F) {
	f.Add(hostile)
	f.Fuzz(func(t *testing.T, text string) {
		once := words.Visible(text)
		if !utf8.ValidString(once) || words.Visible(once) != once || strings.ContainsAny(once, "\x1b\r\x7f\u009b\u202e") {
			t.Errorf("%q becomes %q", text, once)
		}
	})
}
