package secret

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
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
	forms := []string{text, html.EscapeString(text)}
	for _, form := range []string{asJSON, plainJSON} {
		forms = append(forms, form, strings.ReplaceAll(form, "/", `\/`)) // Some writers escape slashes.
	}
	query := url.QueryEscape(text)
	digits := regexp.MustCompile("%[0-9A-F]{2}")
	for _, form := range []string{query, strings.ReplaceAll(query, "+", "%20"), url.PathEscape(text)} {
		forms = append(forms, form, digits.ReplaceAllStringFunc(form, strings.ToLower)) // Some write small digits.
	}
	return forms
}
