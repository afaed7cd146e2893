package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
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

// throttle lets one of each kind through in a while, and counts the others.
type throttle struct {
	every time.Duration

	mu   sync.Mutex // Guards last.
	last map[string]*throttled
}

type throttled struct {
	at         time.Time
	suppressed int
}

// allow tells whether one of the kind may be told now, and how many were not told since the last one.
func (t *throttle) allow(kind string) (told bool, suppressed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = make(map[string]*throttled)
	}
	state, ok := t.last[kind]
	if !ok {
		const kinds = 1000 // The kinds are few; if they are not, the oldest count is of no use.
		if len(t.last) >= kinds {
			clear(t.last)
		}
		t.last[kind] = &throttled{at: time.Now()}
		return true, 0
	}
	if time.Since(state.at) < t.every {
		state.suppressed++
		return false, 0
	}
	suppressed = state.suppressed
	*state = throttled{at: time.Now()}
	return true, suppressed
}

const (
	// logEvery is how often the same kind of trouble is logged.
	logEvery = time.Minute
	// briefWait is the wait below which a try again is everyday business: Kafka's coordinator asks for it after each
	// transaction.
	briefWait = 250 * time.Millisecond
)

// logObserver tells the log what an operator must know, once each; what comes often is left to the metrics.
func logObserver(log *slog.Logger) *pipeline.Observer {
	ctx := context.Background()
	trouble := &throttle{every: logEvery}
	return &pipeline.Observer{
		Retry: func(op string, err error, wait time.Duration) {
			if wait < briefWait {
				log.DebugContext(ctx, "trying again", slog.String("op", op), slog.Duration("wait", wait), slog.Any("error", err))
				return
			}
			family, _, _ := strings.Cut(op, " [") // Without the window, which is another one each time.
			if told, suppressed := trouble.allow(family); told {
				log.WarnContext(ctx, "trying again", slog.String("op", op), slog.Duration("wait", wait),
					slog.Int("not_logged", suppressed), slog.Any("error", err))
			}
		},
		Restart: func(s pipeline.Stream, w pipeline.Window, err error) {
			if told, suppressed := trouble.allow("restart " + s.String()); told {
				log.InfoContext(ctx, "reading the window again", slog.String("stream", s.String()),
					slog.String("window", w.String()), slog.Int("not_logged", suppressed), slog.Any("error", err))
			}
		},
		Committed: func(c *pipeline.Closed, _ [event.TargetCount]int) {
			log.DebugContext(ctx, "window committed",
				slog.String("stream", c.Ledger.Stream.String()), slog.Any("window", c.Ledger.Window),
				slog.Int64("rows", c.Ledger.Rows), slog.Int64("published", c.Ledger.Published),
				slog.Int64("skipped", c.Ledger.Skipped), slog.Int64("rejected", c.Ledger.Rejected),
				slog.Int("requests", c.Ledger.Requests), slog.Duration("took", c.Ledger.Duration))
		},
		Rejected: func(s pipeline.Stream, r event.Rejection) {
			if told, suppressed := trouble.allow("rejected " + string(r.Reason)); told {
				log.WarnContext(ctx, "row rejected", slog.String("stream", s.String()), slog.String("reason", string(r.Reason)),
					slog.String("detail", r.Detail), slog.Int64("msgid", r.MsgID), slog.Int("not_logged", suppressed))
			}
		},
		Notice: func(n pipeline.Notice) {
			level := slog.LevelWarn
			if n.Kind == pipeline.NoticeReplayStarted || n.Kind == pipeline.NoticeReplayFinished {
				level = slog.LevelInfo
			}
			log.Log(ctx, level, "notice", slog.String("kind", string(n.Kind)), slog.String("stream", n.Stream.String()),
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
		Discovered: func(streams int, sweep time.Duration) {
			log.InfoContext(ctx, "streams of the app's lists", slog.Int("streams", streams), slog.String("sweep_takes_about", sweep.Round(time.Second).String()))
		},
		Cut: func(s pipeline.Stream, w pipeline.Window) {
			log.InfoContext(ctx, "window left uncommitted; it is read again at the next start",
				slog.String("stream", s.String()), slog.String("window", w.String()))
		},
	}
}
