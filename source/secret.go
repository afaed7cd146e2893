package source

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that prints as a mask, whatever prints it.
type Secret string

const mask = "********"

// String hides the secret.
func (Secret) String() string { return mask }

// Format hides the secret from every verb. Without it a wrong one, such as %d, would show the text.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, mask) }

// MarshalText hides the secret from encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// LogValue hides the secret from logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(mask) }
