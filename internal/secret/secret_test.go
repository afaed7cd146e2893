package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/url"
	"strings"
	"testing"

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

// TestRedact hides a password in every form in which a server may show it.
func TestRedact(t *testing.T) {
	r := secret.NewRedactor("key", secret.New(text))
	token := base64.StdEncoding.EncodeToString([]byte("key:" + text))
	quoted, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	if err = encoder.Encode(text); err != nil {
		t.Fatal(err)
	}
	for name, shown := range map[string]string{
		"as it is": text, "token": token, "token without padding": strings.TrimRight(token, "="),
		"token in a URL's alphabet": base64.URLEncoding.EncodeToString([]byte("key:" + text)),
		"JSON":                      string(quoted), "JSON without HTML escapes": strings.TrimSpace(plain.String()),
		"JSON with escaped slashes": strings.ReplaceAll(string(quoted), "/", `\/`),
		"query":                     url.QueryEscape(text), "path": url.PathEscape(text),
		"query, small digits": "p%26ss%2fw%2brd+%22%3c%c3%a9%3e", "query of a token": url.QueryEscape(token), "HTML": html.EscapeString(text),
	} {
		got := r.Redact("before " + shown + " after")
		if !strings.Contains(got, secret.Mask) || strings.Contains(got, "rd") || strings.Contains(got, token[8:16]) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := r.Redact("nothing of it"); got != "nothing of it" {
		t.Errorf("%q", got)
	}
	if got := secret.NewRedactor("key", secret.Secret{}).Redact("abc"); got != "abc" {
		t.Errorf("without a password: %q", got)
	}
	if shown := fmt.Sprintf("%+v %#v", r, &r); strings.Contains(shown, "ss/w") {
		t.Errorf("printed, the redactor shows %s", shown)
	}
}
