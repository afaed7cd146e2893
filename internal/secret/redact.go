package secret

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strings"
)

// Redactor masks the credentials of one user in text that somebody else wrote: an error page of a proxy may show the request
// that it got. The zero value masks nothing.
type Redactor struct {
	// replace is a closure for the same reason as in [Secret].
	replace func(text string) string
}

// NewRedactor masks a password, and the token that HTTP Basic authentication makes of it and the user's name, as they are and
// as JSON, URLs and HTML write them.
func NewRedactor(user string, password Secret) Redactor {
	if password.IsEmpty() {
		return Redactor{}
	}
	credentials := []byte(user + ":" + password.Reveal())
	var forms []string
	for _, plain := range []string{
		password.Reveal(),
		base64.RawStdEncoding.EncodeToString(credentials), // A prefix of the token with its padding.
		base64.RawURLEncoding.EncodeToString(credentials),
	} {
		forms = append(forms, written(plain)...)
	}
	slices.SortStableFunc(forms, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // The longest that fits wins.
	var pairs []string
	for _, form := range slices.Compact(forms) {
		pairs = append(pairs, form, Mask)
	}
	replacer := strings.NewReplacer(pairs...)
	return Redactor{replace: replacer.Replace}
}

// Redact masks the credentials in a text.
func (r Redactor) Redact(text string) string {
	if r.replace == nil {
		return text
	}
	return r.replace(text)
}

// written are the ways in which a text may be written.
func written(text string) []string {
	quoted, err := json.Marshal(text)
	if err != nil { // A string is always JSON.
		return []string{text}
	}
	asJSON := string(quoted[1 : len(quoted)-1])
	// Marshal also escapes what only HTML needs.
	plainJSON := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(asJSON)
	query, path := url.QueryEscape(text), url.PathEscape(text)
	forms := []string{
		text, asJSON, plainJSON, slashed(asJSON), slashed(plainJSON), html.EscapeString(text),
		query, strings.ReplaceAll(query, "+", "%20"), path,
	}
	for _, escaped := range []string{query, strings.ReplaceAll(query, "+", "%20"), path} {
		forms = append(forms, lowerHex(escaped))
	}
	return forms
}

// slashed escapes the slashes in JSON, as some writers do.
func slashed(quoted string) string { return strings.ReplaceAll(quoted, "/", `\/`) }

// lowerHex writes the digits of percent escapes small, as some writers do.
func lowerHex(escaped string) string {
	b := []byte(escaped)
	for i := range b {
		if (i >= 1 && escaped[i-1] == '%' || i >= 2 && escaped[i-2] == '%') && 'A' <= b[i] && b[i] <= 'F' {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}
