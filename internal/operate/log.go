package operate

import (
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// throttle lets one of each kind through in a while, and counts the others.
type throttle struct {
	every time.Duration

	mu   sync.Mutex // Guards last.
	last map[string]throttled
}

type throttled struct {
	at         time.Time
	suppressed int
}

// allow tells whether one of the kind may be logged now, and how many were not since the last one.
func (t *throttle) allow(kind string) (ok bool, suppressed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	state, known := t.last[kind]
	if known && time.Since(state.at) < t.every {
		state.suppressed++
		t.last[kind] = state
		return false, 0
	}
	const kinds = 1000 // The kinds are few; if they are not, the oldest count is of no use.
	if !known && len(t.last) >= kinds {
		clear(t.last)
	}
	t.last[kind] = throttled{at: time.Now()}
	return true, state.suppressed
}

const (
	// logEvery is how often the same kind of trouble is logged.
	logEvery = time.Minute
	// briefWait is the wait below which a try again is everyday business: Kafka's coordinator asks for it after each
	// transaction.
	briefWait = 250 * time.Millisecond
)

// logObserver logs what an operator must know, once each; what comes often is left to the metrics.
func logObserver(log *slog.Logger) pipeline.Observer {
	trouble := &throttle{every: logEvery, last: make(map[string]throttled)}
	return func(o pipeline.Observation) {
		switch o := o.(type) {
		case pipeline.RetryScheduled:
			logRetry(log, trouble, &o)
		case pipeline.WindowRestarted:
			if ok, suppressed := trouble.allow("restart " + o.Stream.String()); ok {
				log.Info("window read again", slog.String("stream", o.Stream.String()),
					slog.String("window", o.Window.String()), slog.Int("not_logged", suppressed), slog.Any("error", o.Err))
			}
		case pipeline.WindowCommitted:
			l := o.Ledger
			log.Debug("window committed",
				slog.String("stream", l.Stream.String()), slog.Any("window", l.Window),
				slog.Int64("rows", l.Rows), slog.Int64("published", l.Published),
				slog.Int64("skipped", l.Skipped), slog.Int64("rejected", l.Rejected),
				slog.Int("requests", l.Requests), duration("took", l.Duration))
		case pipeline.RowRejected:
			r := &o.Rejection
			if ok, suppressed := trouble.allow("rejected " + string(r.Reason)); ok {
				log.Warn("row rejected", slog.String("stream", o.Stream.String()), slog.String("reason", string(r.Reason)),
					slog.String("detail", r.Detail), slog.Int64("msgid", r.MsgID), slog.Int("not_logged", suppressed))
			}
		case pipeline.NoticePublished:
			logNotice(log, &o.Notice)
		case pipeline.ClocksCompared:
			logClocks(log, &o)
		case pipeline.StreamStarted:
			logOldStart(log, trouble, o.Checkpoint)
		case pipeline.SessionStarted:
			if o.Err != nil {
				log.Warn("position read again from the checkpoints", slog.Any("error", o.Err))
			}
		case pipeline.StreamDropped:
			log.Error("stream dropped; the others go on", slog.String("stream", o.Stream.String()), slog.Any("error", o.Err))
		case pipeline.StreamsDiscovered:
			log.Info("streams of the app's lists", slog.Int("streams", o.Streams), duration("sweep", o.Sweep))
			if o.LeftOut > 0 {
				log.Warn("streams of the app's lists are not read, because there are too many", slog.Int("left_out", o.LeftOut),
					slog.String("hint", "read the stream messages instead, which has the messages of all users and groups, or raise JMPUB_DISCOVERY_MAX"))
			}
		case pipeline.WindowAbandoned:
			log.Info("window left uncommitted; it is read again at the next start",
				slog.String("stream", o.Stream.String()), slog.String("window", o.Window.String()))
		case pipeline.ClaimAwaited:
			log.Warn("another command is at work; waiting for it", slog.String("command", o.Claim.Command), slog.Time("since", o.Claim.At),
				slog.String("hint", "it is waited for until it has left, for a minute at most: it may have been killed"))
		default: // Left to the metrics.
		}
	}
}

// logClocks tells when the API's clock and the local one begin to disagree, and when that is over.
func logClocks(log *slog.Logger, o *pipeline.ClocksCompared) {
	if !o.Changed {
		return
	}
	clocks := []any{slog.Time("api", o.Server), slog.Time("local", o.Local), duration("difference", o.Server.Sub(o.Local))}
	if !o.Disagree {
		log.Info("the API's clock and the local one agree again", clocks...)
		return
	}
	log.Warn("the API's clock and the local one disagree; nothing is read that only one of them says is over", append(clocks,
		slog.String("hint", "set the clock that is wrong; the local one is kept right by NTP"))...)
}

// duration is a time with its unit, "282ms", in text and in JSON, where slog would write nanoseconds without one.
func duration(key string, d time.Duration) slog.Attr {
	return slog.String(key, d.Round(time.Millisecond).String())
}

// startSlack is what a start of 60 days ago may be older than that when it is reached.
const startSlack = 2 * time.Minute

// logOldStart tells at once of a stream that begins before what the API holds; the notice of the gap comes with its first window.
func logOldStart(log *slog.Logger, trouble *throttle, cp *pipeline.Checkpoint) {
	oldest := time.Now().Add(-pipeline.History).UTC().Truncate(time.Second)
	if !cp.End.Before(oldest.Add(-startSlack)) {
		return
	}
	if ok, suppressed := trouble.allow("old start"); ok {
		log.Warn("the start lies before what the API holds; reading begins at the oldest that it has",
			slog.String("stream", cp.Stream.String()), slog.Time("start", cp.End), slog.Time("oldest", oldest), slog.Int("not_logged", suppressed),
			slog.String("hint", "JMPUB_START=60d asks for all that there is; what lies before it is reported as a gap"))
	}
}

func logRetry(log *slog.Logger, trouble *throttle, o *pipeline.RetryScheduled) {
	wait := duration("wait", o.Wait)
	if o.Wait < briefWait {
		log.Debug("call tried again", slog.String("op", o.Op), wait, slog.Any("error", o.Err))
		return
	}
	family, _, _ := strings.Cut(o.Op, " [") // Without the window, which is another one each time.
	if ok, suppressed := trouble.allow(family); ok {
		log.Warn("call tried again", slog.String("op", o.Op), wait, slog.Int("not_logged", suppressed), slog.Any("error", o.Err))
	}
}

func logNotice(log *slog.Logger, n *pipeline.Notice) {
	write := log.Warn
	if n.Kind == pipeline.NoticeReplayStarted || n.Kind == pipeline.NoticeReplayFinished || n.Kind == pipeline.NoticeAdmin {
		write = log.Info
	}
	write("notice", slog.String("kind", string(n.Kind)), slog.String("stream", n.Stream.String()),
		slog.Any("window", n.Window), slog.String("detail", n.Detail))
}
