package operate

import (
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

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

// allow tells whether one of the kind may be logged now, and how many were not since the last one.
func (t *throttle) allow(kind string) (ok bool, suppressed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = make(map[string]*throttled)
	}
	state := t.last[kind]
	if state == nil {
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

// logObserver logs what an operator must know, once each; what comes often is left to the metrics.
func logObserver(log *slog.Logger) *pipeline.Observer {
	trouble := &throttle{every: logEvery}
	return &pipeline.Observer{
		Retry: func(op string, err error, wait time.Duration) {
			if wait < briefWait {
				log.Debug("call tried again", slog.String("op", op), slog.Int64("wait_ms", wait.Milliseconds()), slog.Any("error", err))
				return
			}
			family, _, _ := strings.Cut(op, " [") // Without the window, which is another one each time.
			if ok, suppressed := trouble.allow(family); ok {
				log.Warn("call tried again", slog.String("op", op), slog.Int64("wait_ms", wait.Milliseconds()),
					slog.Int("not_logged", suppressed), slog.Any("error", err))
			}
		},
		Restart: func(s pipeline.Stream, w pipeline.Window, err error) {
			if ok, suppressed := trouble.allow("restart " + s.String()); ok {
				log.Info("window read again", slog.String("stream", s.String()),
					slog.String("window", w.String()), slog.Int("not_logged", suppressed), slog.Any("error", err))
			}
		},
		Committed: func(c *pipeline.Closed, _ [event.TargetCount]int) {
			log.Debug("window committed",
				slog.String("stream", c.Ledger.Stream.String()), slog.Any("window", c.Ledger.Window),
				slog.Int64("rows", c.Ledger.Rows), slog.Int64("published", c.Ledger.Published),
				slog.Int64("skipped", c.Ledger.Skipped), slog.Int64("rejected", c.Ledger.Rejected),
				slog.Int("requests", c.Ledger.Requests), slog.Int64("took_ms", c.Ledger.Duration.Milliseconds()))
		},
		Rejected: func(s pipeline.Stream, r event.Rejection) {
			if ok, suppressed := trouble.allow("rejected " + string(r.Reason)); ok {
				log.Warn("row rejected", slog.String("stream", s.String()), slog.String("reason", string(r.Reason)),
					slog.String("detail", r.Detail), slog.Int64("msgid", r.MsgID), slog.Int("not_logged", suppressed))
			}
		},
		Notice: func(n pipeline.Notice) {
			write := log.Warn
			if n.Kind == pipeline.NoticeReplayStarted || n.Kind == pipeline.NoticeReplayFinished {
				write = log.Info
			}
			write("notice", slog.String("kind", string(n.Kind)), slog.String("stream", n.Stream.String()),
				slog.Any("window", n.Window), slog.String("detail", n.Detail))
		},
		Session: func(err error) {
			if err != nil {
				log.Warn("position read again from the checkpoints", slog.Any("error", err))
			}
		},
		Dropped: func(s pipeline.Stream, err error) {
			log.Error("stream dropped; the others go on",
				slog.String("stream", s.String()), slog.Any("error", err))
		},
		Discovered: func(streams int, sweep time.Duration) {
			log.Info("streams of the app's lists", slog.Int("streams", streams), slog.String("sweep_takes_about", sweep.Round(time.Second).String()))
		},
		Cut: func(s pipeline.Stream, w pipeline.Window) {
			log.Info("window left uncommitted; it is read again at the next start",
				slog.String("stream", s.String()), slog.String("window", w.String()))
		},
	}
}
