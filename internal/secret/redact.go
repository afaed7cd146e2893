package secret

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jmpub/jmpub/internal/words"
)

// Credentials are what one side shows to another.
type Credentials struct {
	User     string
	Password Secret
}

// Redactor masks credentials in text that somebody else wrote: an error page of a proxy may show the request that it got, and
// net/http quotes what it cannot read. The zero value masks nothing.
type Redactor struct {
	// folded is a closure for the same reason as in [Secret].
	folded func() []string
}

// NewRedactor masks passwords, and the tokens that HTTP Basic authentication and others make of them in base64, in every way in
// which a text may be written: as it is, in other letters, as hexadecimal digits, and escaped as JSON, Go, URLs or HTML do, or by
// several of them one after the other. A password of fewer than four bytes is not masked: it would be in every text.
func NewRedactor(all ...Credentials) Redactor { return Redactor{}.With(all...) }

// With is a redactor that masks these credentials too.
func (r Redactor) With(all ...Credentials) Redactor {
	const fewest = 4
	var texts []string
	if r.folded != nil {
		texts = slices.Clone(r.folded())
	}
	for _, c := range all {
		if password := c.Password.Reveal(); len(password) >= fewest {
			texts = append(texts, telling(c.User, password)...)
		}
	}
	if len(texts) == 0 {
		return Redactor{}
	}
	slices.Sort(texts)
	texts = slices.Compact(texts)
	return Redactor{folded: func() []string { return texts }}
}

// telling are the texts that tell a password, folded.
func telling(user, password string) []string {
	replaced := string([]rune(password)) // JSON has U+FFFD for a byte that is no UTF-8.
	texts := []string{
		password, replaced, strings.ToLower(replaced), strings.ToUpper(replaced), hex.EncodeToString([]byte(password)),
		base64.RawStdEncoding.EncodeToString([]byte(user + ":" + password)), // A prefix of the token with its padding.
	}
	// In base64 of anything that the password is a part of it stands in one of three ways, but for the letters at its ends, which
	// depend on what is around it.
	for before := range 3 {
		const bitsOfByte, bitsOfLetter, fewest = 8, 6, 6 // Fewer letters come about by chance.
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", before) + password))
		begin := (before*bitsOfByte + bitsOfLetter - 1) / bitsOfLetter
		end := (before + len(password)) * bitsOfByte / bitsOfLetter
		if end-begin >= fewest {
			texts = append(texts, encoded[begin:end])
		}
	}
	for i := range texts {
		texts[i] = fold(texts[i])
	}
	return texts
}

// fold makes the same of letters of both cases, of the two alphabets of base64, and of what a space is in a URL. It keeps the
// length.
func fold(text string) string {
	folded := []byte(text)
	for i, c := range folded {
		switch {
		case 'A' <= c && c <= 'Z':
			folded[i] = c - 'A' + 'a'
		case c == '-' || c == ' ':
			folded[i] = '+'
		case c == '_':
			folded[i] = '/'
		}
	}
	return string(folded)
}

// OfProxy are the credentials in the address of a proxy, as they are written and as they are sent. The address may be wrong.
func OfProxy(address string) []Credentials {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		address = rest
	}
	at := strings.LastIndexByte(address, '@') // No parser, which would want an address to be right.
	user, password, _ := strings.Cut(address[:max(at, 0)], ":")
	all := []Credentials{{user, New(password)}}
	plainUser, userErr := url.PathUnescape(user)
	if plain, err := url.PathUnescape(password); err == nil && userErr == nil {
		all = append(all, Credentials{plainUser, New(plain)})
	}
	return all
}

// Redact masks the credentials in a text.
func (r Redactor) Redact(text string) string { return r.redact(text, len(text)) }

// Begin masks the credentials in the beginning of a text, of about so many bytes. None are cut in two.
func (r Redactor) Begin(text string, most int) string {
	if len(text) <= most {
		return r.Redact(text)
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return r.redact(text, most) + "…"
}

// redact masks the credentials that begin before an end, and gives what is before it.
func (r Redactor) redact(text string, end int) string {
	if r.folded == nil {
		return text[:end]
	}
	const longestEscape = 64 // of a byte, escaped and escaped again
	longest := 0
	for _, telling := range r.folded() {
		longest = max(longest, len(telling))
	}
	found := r.find(whole(text[:min(len(text), end+longest*longestEscape)]), deepest)
	slices.SortFunc(found, func(a, b [2]int) int { return cmp.Compare(a[0], b[0]) })
	var b strings.Builder
	at := 0
	for _, span := range found {
		if span[0] < end && span[0] >= at {
			b.WriteString(text[at:span[0]] + Mask)
		}
		if span[0] < end {
			at = max(at, span[1])
		}
	}
	b.WriteString(text[min(at, end):end])
	return b.String()
}

// find finds the credentials, and where they stand in the text from which p was made.
func (r Redactor) find(p passage, depth int) (found [][2]int) {
	folded := fold(p.text)
	for _, telling := range r.folded() {
		for from := 0; ; {
			at := strings.Index(folded[from:], telling)
			if at < 0 {
				break
			}
			found = append(found, [2]int{p.begins[from+at], p.begins[from+at+len(telling)]})
			from += at + 1
		}
	}
	for _, escape := range escapes() {
		if depth == 0 {
			break
		}
		if undone, ok := p.undo(escape); ok {
			found = append(found, r.find(undone, depth-1)...)
		}
	}
	return found
}

// Error is an error as it may be shown: in one line, of bounded length, without credentials and what a terminal would obey. It is
// what err is, for [errors.Is] and [errors.As], but does not unwrap to it, so that nobody shows what is within.
func (r Redactor) Error(err error) error {
	if _, ok := err.(*redacted); err == nil || ok { //nolint:errorlint // Itself, not what is within.
		return err
	}
	const most = 2000
	return &redacted{words.Line(r.Begin(err.Error(), most)), func() error { return err }}
}

// redacted is an error whose text says no more than it may.
type redacted struct {
	text string
	// cause is a closure for the same reason as in [Secret].
	cause func() error
}

// Error is the text.
func (e *redacted) Error() string { return e.text }

// Is looks at the cause.
func (e *redacted) Is(target error) bool { return errors.Is(e.cause(), target) }

// As looks at the cause.
func (e *redacted) As(target any) bool { return errors.As(e.cause(), target) }
