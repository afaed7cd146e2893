package view

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/words"
)

// Logs make the loggers of a process, which write to one place, a line at a time.
type Logs struct {
	out   io.Writer
	level slog.Level
	text  bool
}

// NewLogs writes to w in the given form; the empty form is text on a terminal and JSON elsewhere.
func NewLogs(w io.Writer, level slog.Level, form string) *Logs {
	return &Logs{
		out: &oneByOne{out: &words.Writer{Out: w}}, level: level, text: form == "text" || form == "" && isTerminal(w),
	}
}

// Without is a logger of what others wrote without these credentials, in lines of bounded length, and without what a terminal would obey.
func (l *Logs) Without(r secret.Redactor) *slog.Logger {
	opts := &slog.HandlerOptions{Level: l.level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		const most = 8 << 10
		if err, ok := a.Value.Any().(error); ok {
			return slog.String(a.Key, r.Begin(err.Error(), most))
		}
		if a.Value.Kind() == slog.KindString {
			return slog.String(a.Key, r.Begin(a.Value.String(), most))
		}
		return a
	}}
	if l.text {
		return slog.New(slog.NewTextHandler(l.out, opts))
	}
	return slog.New(slog.NewJSONHandler(l.out, opts))
}

// NewLogger is a logger by itself; see [Logs].
func NewLogger(w io.Writer, level slog.Level, form string, r secret.Redactor) *slog.Logger {
	return NewLogs(w, level, form).Without(r)
}

// oneByOne writes one text after another: each handler of slog has a lock of its own.
type oneByOne struct {
	mu  sync.Mutex
	out io.Writer
}

// Write implements [io.Writer].
func (w *oneByOne) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(text)
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
