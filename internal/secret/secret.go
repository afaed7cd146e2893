// Package secret keeps passwords out of everything that is printed: of what jmpub writes itself, and of what others write back.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// Mask stands where a secret would be.
const Mask = "********"

// Secret is a text that prints as [Mask], whatever prints it; one that is empty, as the zero value is, prints as nothing. Only
// [Secret.Reveal] gives the text away.
type Secret struct {
	// reveal is a closure because a printer that ignores methods, as fmt does within unexported fields, finds no text in it.
	reveal func() string
}

// New makes a secret of a text.
func New(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{reveal: func() string { return text }}
}

// Reveal is the text itself, for whoever has to send it.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsEmpty tells that there is no secret.
func (s Secret) IsEmpty() bool { return s.reveal == nil }

// String hides the secret.
func (s Secret) String() string {
	if s.IsEmpty() {
		return ""
	}
	return Mask
}

// Format hides the secret from every verb. Without it a wrong one, such as %d, would show what is inside.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText hides the secret from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the text in, for readers of settings.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = New(string(text))
	return nil
}

// LogValue hides the secret from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
