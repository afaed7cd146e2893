package world

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// trace is what happened, in simulated time. Safe for concurrent use.
type trace struct {
	began time.Time

	mu    sync.Mutex
	lines []string
}

func (t *trace) add(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, fmt.Sprintf("+%-14s ", time.Since(t.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

// last are the newest lines.
func (t *trace) last(n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines[max(0, len(t.lines)-n):], "\n")
}

// logged puts what a process logs into the trace, as long as it is alive.
type logged struct {
	trace *trace
	who   string
	link  *link
}

// Enabled implements [slog.Handler].
func (*logged) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle implements [slog.Handler].
func (l *logged) Handle(_ context.Context, r slog.Record) error {
	if l.link.killed.Load() {
		return nil
	}
	var b strings.Builder
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%q", a.Key, a.Value.String())
		return true
	})
	l.trace.add("%s: %s %s%s", l.who, r.Level, r.Message, b.String())
	return nil
}

// WithAttrs implements [slog.Handler].
func (l *logged) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements [slog.Handler].
func (l *logged) WithGroup(string) slog.Handler { return l }
