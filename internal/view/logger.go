package view

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// isTerminal tells whether what is written to w, or above the bar that it is, is seen by a person.
func isTerminal(w io.Writer) bool {
	if bar, ok := w.(*Progress); ok {
		w = bar.screen
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// NewLogger writes to w in the given form; the empty form is text on a terminal and JSON elsewhere.
func NewLogger(w io.Writer, level slog.Level, form string) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if form == "text" || form == "" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}
