package view

import (
	"io"
	"log/slog"
)

// NewLogger writes to w in the given form; the empty form is text on a terminal and JSON elsewhere.
func NewLogger(w io.Writer, level slog.Level, form string) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if form == "text" || form == "" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}
