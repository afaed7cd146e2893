package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jmpub/jmpub/internal/secret"
)

const text = "p&ss/w+rd \"<é>"

// holder has a secret where fmt calls no methods.
type holder struct {
	hidden secret.Secret
	Shown  secret.Secret `json:"shown" xml:"shown,attr"`
}

func TestNothingPrintsASecret(t *testing.T) {
	s := secret.New(text)
	h := holder{s, s}
	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t", "%p", "%08b", "%-20s"} {
		for _, value := range []any{s, &s, h, &h, []secret.Secret{s}, map[string]secret.Secret{"a": s}, errors.Join(fmt.Errorf(verb, s))} {
			printed = append(printed, fmt.Sprintf(verb, value))
		}
	}
	asJSON, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	asXML, err := xml.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(handler).Info("m", slog.Any("secret", s), slog.Any("holder", h), slog.Any("pointer", &h))
	}
	for _, output := range append(printed, string(asJSON), string(asXML), log.String()) {
		if strings.Contains(output, "ss/w") || strings.Contains(output, fmt.Sprintf("%x", "ss/w")) {
			t.Errorf("it shows the secret: %s", output)
		}
	}
	if string(asJSON) != `{"shown":"********"}` {
		t.Errorf("as JSON it is %s", asJSON)
	}
}

func TestReveal(t *testing.T) {
	var read secret.Secret
	if err := json.Unmarshal([]byte(`"a"`), &read); err != nil || read.Reveal() != "a" || read.IsEmpty() {
		t.Errorf("read %q, %v", read.Reveal(), err)
	}
	for name, empty := range map[string]secret.Secret{"zero": {}, "of nothing": secret.New("")} {
		if !empty.IsEmpty() || empty.Reveal() != "" || fmt.Sprint(empty) != "" {
			t.Errorf("%s: %q is not empty", name, empty.Reveal())
		}
	}
}

// TestRedact hides a password in every form in which a server may show it, or a library what a server has shown.
func TestRedact(t *testing.T) {
	for _, text := range []string{text, "0123456789abcdef01234567", "ümläut 👍 pass", "back\\slash'n\ttab+/-_=", "bytes\xff\xfe here"} {
		r := secret.NewRedactor(secret.Credentials{User: "other", Password: secret.New("another one")},
			secret.Credentials{User: "key", Password: secret.New(text)})
		for name, shown := range forms(text) {
			got := r.Redact("before " + shown + " after")
			if got != "before "+secret.Mask+" after" && !strings.HasPrefix(name, "base64") {
				t.Errorf("%s: %q became %q", name, shown, got)
			}
			if len(got) > len(shown)-len(text)/2+len("before  after ") && strings.HasPrefix(name, "base64") {
				t.Errorf("%s: %q became %q", name, shown, got)
			}
			begin := r.Begin("before "+shown+" after", len("before ")+len(shown)/2)
			if begin != "before "+secret.Mask+"…" && !strings.HasPrefix(name, "base64") {
				t.Errorf("%s, half of it: %q", name, begin)
			}
			if got := r.Error(errors.New(shown)).Error(); !strings.Contains(got, secret.Mask) {
				t.Errorf("%s: the error is %q", name, got)
			}
		}
		if shown := fmt.Sprintf("%+v %#v", r, &r); strings.Contains(shown, text) {
			t.Errorf("printed, the redactor shows %s", shown)
		}
	}
}

// forms are ways to write a text, or two of them one after the other.
func forms(text string) map[string]string {
	token := base64.StdEncoding.EncodeToString([]byte("key:" + text))
	once := map[string]func(string) string{
		"as it is": func(s string) string { return s },
		"JSON":     func(s string) string { b, _ := json.Marshal(s); return string(b[1 : len(b)-1]) },
		"JSON without HTML escapes": func(s string) string {
			var b strings.Builder
			encoder := json.NewEncoder(&b)
			encoder.SetEscapeHTML(false)
			_ = encoder.Encode(s)
			return b.String()[1 : b.Len()-2]
		},
		"slashes":    func(s string) string { return strings.ReplaceAll(s, "/", `\/`) },
		"unicode":    func(s string) string { return each(s, func(r rune) string { return fmt.Sprintf(`\u%04X`, r) }) },
		"query":      url.QueryEscape,
		"path":       url.PathEscape,
		"percent":    func(s string) string { return bytewise(s, "%%%02x") },
		"hex":        func(s string) string { return bytewise(s, `\x%02X`) },
		"octal":      func(s string) string { return bytewise(s, `\%03o`) },
		"HTML":       html.EscapeString,
		"entities":   func(s string) string { return each(s, func(r rune) string { return fmt.Sprintf("&#%d;", r) }) },
		"hex marks":  func(s string) string { return each(s, func(r rune) string { return fmt.Sprintf("&#x%04x;", r) }) },
		"Go":         func(s string) string { return inner(strconv.Quote(s)) },
		"graphic":    func(s string) string { return inner(strconv.QuoteToGraphic(s)) },
		"ASCII":      func(s string) string { return inner(strconv.QuoteToASCII(s)) },
		"lower case": strings.ToLower,
	}
	all := map[string]string{
		"digits": hex.EncodeToString([]byte(text)), "token": strings.TrimRight(token, "="), "lower token": strings.ToLower(strings.TrimRight(token, "=")),
		"URL token":    base64.RawURLEncoding.EncodeToString([]byte("key:" + text)),
		"quoted token": url.QueryEscape(strings.TrimRight(token, "=")),
	}
	for _, before := range []string{"", "\x00user\x00", "a", "ab"} {
		all["base64 behind "+before] = base64.StdEncoding.EncodeToString([]byte(before + text + "\x00"))
	}
	for first, write := range once {
		for second, again := range once {
			beyond := strings.ContainsFunc(text, func(r rune) bool { return r > 0xffff || r == utf8.RuneError })
			if strings.Contains(first+second, "unicode") && beyond || second == "lower case" {
				continue // No writer does it so.
			}
			if escaped := again(write(text)); utf8.ValidString(text) || utf8.ValidString(escaped) && !strings.Contains(escaped, "\ufffd") {
				all[first+", "+second] = escaped
			}
		}
	}
	return all
}

func inner(quoted string) string { return quoted[1 : len(quoted)-1] }

func each(s string, write func(rune) string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteString(write(r))
	}
	return b.String()
}

func bytewise(s, verb string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, verb, s[i])
	}
	return b.String()
}

// TestRedactNothing leaves a text as it is.
func TestRedactNothing(t *testing.T) {
	for _, r := range []secret.Redactor{{}, secret.NewRedactor(), secret.NewRedactor(secret.Credentials{User: "key"}), secret.NewRedactor(secret.Credentials{Password: secret.New("x y z")})} {
		if got := r.Redact("nothing of it"); got != "nothing of it" {
			t.Errorf("%q", got)
		}
		if begin := r.Begin("nothing of it", 7); begin != "nothing…" {
			t.Errorf("it begins with %q", begin)
		}
	}
}

// TestRedactedError is what it was to whoever asks, but cannot be taken apart.
func TestRedactedError(t *testing.T) {
	r := secret.NewRedactor(secret.Credentials{User: "key", Password: secret.New(text)})
	cause := &fs.PathError{Op: "open", Path: "\x1b[31m\n" + text + strings.Repeat("x", 10_000), Err: fs.ErrNotExist}
	err := fmt.Errorf("read: %w", r.Error(cause))
	if found, ok := errors.AsType[*fs.PathError](err); !ok || found != cause || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not what it was", err)
	}
	for shown := err; shown != nil; shown = errors.Unwrap(shown) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
			if said := fmt.Sprintf(verb, shown); strings.Contains(said, "ss/w") || strings.Contains(said, "\x1b") || len(said) > 3000 {
				t.Errorf("%s shows %s", verb, said)
			}
		}
	}
	if again := r.Error(r.Error(cause)); again.Error() != r.Error(cause).Error() || r.Error(nil) != nil {
		t.Error("it changes each time")
	}
}

// TestOfProxy masks what stands in the address of a proxy, right or wrong.
func TestOfProxy(t *testing.T) {
	r := secret.NewRedactor(secret.OfProxy("http://u:p%40ssword@proxy:3128")...).With(secret.OfProxy("user:bad%zz/word@proxy")...).
		With(secret.OfProxy("proxy:3128")...).With(secret.OfProxy("")...)
	for _, said := range []string{
		"p%40ssword", "p@ssword", base64.StdEncoding.EncodeToString([]byte("u:p@ssword")), `invalid proxy "user:bad%zz/word@proxy"`,
	} {
		if got := r.Redact(said); !strings.Contains(got, secret.Mask) || strings.Contains(got, "word") {
			t.Errorf("%s became %s", said, got)
		}
	}
}
