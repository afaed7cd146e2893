package view

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/words"
)

// NewLogger writes to w in the given form; the empty form is text on a terminal and JSON elsewhere. What others wrote is logged
// without the credentials, in lines of bounded length, and without what a terminal would obey.
func NewLogger(w io.Writer, level slog.Level, form string, r secret.Redactor) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		const most = 8 << 10
		if err, ok := a.Value.Any().(error); ok {
			return slog.String(a.Key, r.Begin(err.Error(), most))
		}
		if a.Value.Kind() == slog.KindString {
			return slog.String(a.Key, r.Begin(a.Value.String(), most))
		}
		return a
	}}
	out := &words.Writer{Out: w}
	if form == "text" || form == "" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(out, opts))
	}
	return slog.New(slog.NewJSONHandler(out, opts))
}

// TakeLibraryLogs sends what libraries write to the standard logger to log instead, where net/http, for one, would print rows that came
// behind the end of a reply. What they quote is left out.
func TakeLibraryLogs(log *slog.Logger) {
	slog.SetLogLoggerLevel(slog.LevelWarn)
	slog.SetDefault(slog.New(libraryLog{log.Handler()}))
}

// libraryLog passes on what libraries report, without content.
type libraryLog struct{ slog.Handler }

// Handle cuts a report off where it begins to quote.
func (l libraryLog) Handle(ctx context.Context, r slog.Record) error {
	report, _, _ := strings.Cut(r.Message, `"`)
	own := slog.NewRecord(r.Time, r.Level, "a library reported something", r.PC)
	own.AddAttrs(slog.String("report", report))
	return l.Handler.Handle(ctx, own)
}
