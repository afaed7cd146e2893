package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/jmpub/jmpub/pipeline"
)

// isTerminal tells whether what is written to w is seen by a person.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// newLogger writes to w in the given form; the empty form is text on a terminal and JSON elsewhere.
func newLogger(w io.Writer, level slog.Level, form string) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if form == "text" || form == "" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

// logObserver tells the log what an operator must know, once each; what comes often is left to the metrics.
func logObserver(log *slog.Logger) *pipeline.Observer {
	ctx := context.Background()
	return &pipeline.Observer{
		Retry: func(op string, err error, wait time.Duration) {
			log.WarnContext(ctx, "trying again", slog.String("op", op), slog.Duration("wait", wait), slog.Any("error", err))
		},
		Restart: func(s pipeline.Stream, w pipeline.Window, err error) {
			log.InfoContext(ctx, "reading the window again",
				slog.String("stream", s.String()), slog.String("window", w.String()), slog.Any("error", err))
		},
		Committed: func(c *pipeline.Closed, _ [pipeline.TargetCount]int) {
			log.DebugContext(ctx, "window committed",
				slog.String("stream", c.Ledger.Stream.String()), slog.Any("window", c.Ledger.Window),
				slog.Int64("rows", c.Ledger.Rows), slog.Int64("published", c.Ledger.Published),
				slog.Int64("skipped", c.Ledger.Skipped), slog.Int64("rejected", c.Ledger.Rejected),
				slog.Int("requests", c.Ledger.Requests), slog.Duration("took", c.Ledger.Duration))
		},
		Rejected: func(s pipeline.Stream, r pipeline.Rejection) {
			log.WarnContext(ctx, "row rejected", slog.String("stream", s.String()),
				slog.String("reason", string(r.Reason)), slog.String("detail", r.Detail), slog.Int64("msgid", r.MsgID))
		},
		Notice: func(n pipeline.Notice) {
			log.WarnContext(ctx, "notice", slog.String("kind", string(n.Kind)), slog.String("stream", n.Stream.String()),
				slog.Any("window", n.Window), slog.String("detail", n.Detail))
		},
		Session: func(err error) {
			if err != nil {
				log.WarnContext(ctx, "reading the position anew from the checkpoints", slog.Any("error", err))
			}
		},
		Dropped: func(s pipeline.Stream, err error) {
			log.ErrorContext(ctx, "stream dropped; the others go on",
				slog.String("stream", s.String()), slog.Any("error", err))
		},
		Cut: func(s pipeline.Stream, w pipeline.Window) {
			log.InfoContext(ctx, "window left uncommitted; it is read again at the next start",
				slog.String("stream", s.String()), slog.String("window", w.String()))
		},
	}
}
