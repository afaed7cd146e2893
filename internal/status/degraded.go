package status

import (
	"fmt"
	"time"

	"github.com/jmpub/jmpub/internal/words"
	"github.com/jmpub/jmpub/pipeline"
)

// degradation is what does not work for now, and since when. Readiness is lost only when it lasts: a stream is still ready then, because
// nobody but jmpub would do it better.
type degradation struct {
	Why   string    `json:"why"`
	Since time.Time `json:"since"`
}

// degradedAfter is how long something may not work before it is told. It is as long as a request may take.
const degradedAfter = 30 * time.Second

// answered takes in how the API has answered. The caller holds the lock.
func (s *Status) answered(o *pipeline.RequestAnswered) {
	switch o.Class {
	case "network", "server_error", "unauthorized", "malformed":
		if s.apiFailing.IsZero() {
			s.apiFailing = s.process.opts.Now().Add(-o.Took)
		}
		s.apiClass = o.Class
	default: // It works, or says itself what is wrong with the request.
		s.apiFailing = time.Time{}
	}
}

// degraded is what does not work for this app alone. The caller holds the lock.
func (s *Status) degraded(now time.Time) []degradation {
	if !lasts(s.apiFailing, now) {
		return nil
	}
	return []degradation{{"the API gives no answer of use: " + s.apiClass, s.apiFailing.UTC().Truncate(time.Second)}}
}

// degraded is what does not work for all apps.
func (p *Process) degraded(now time.Time) []degradation {
	if p.opts.KafkaSilentSince == nil {
		return nil
	}
	since := p.opts.KafkaSilentSince()
	if !lasts(since, now) {
		return nil
	}
	return []degradation{{"Kafka does not answer", since.UTC().Truncate(time.Second)}}
}

func lasts(since, now time.Time) bool { return !since.IsZero() && now.Sub(since) >= degradedAfter }

// Summary says in a sentence what the process does, for a supervisor that shows it. works is set once an app of it is published, or all are
// published by others.
func (p *Process) Summary() (text string, works bool) {
	body := p.judgeAll()
	starting, standby, failed := 0, 0, 0
	for _, s := range p.shown() {
		s.mu.Lock()
		state, seen := s.state(), s.seen()
		s.mu.Unlock()
		switch {
		case state == stateFailed:
			failed++
		case state == stateStandby:
			standby++
		case !seen:
			starting++
		}
	}
	publishing := body.AppsTotal - standby - failed - starting
	works = publishing > 0 || standby == body.AppsTotal
	switch {
	case body.AppsTotal == 1 && standby == 1:
		text = "standing by: another process publishes the app"
	case body.AppsTotal == 1 && publishing == 1:
		text = fmt.Sprintf("publishing, %.0f s behind the clock, %.0f rows/s", body.Apps[0].LagSeconds, body.Apps[0].RowsPerSecond)
	case body.AppsTotal == 1 && starting == 1:
		text = "starting"
	default:
		text = fmt.Sprintf("%d apps: %d published, %d starting, %d failed, %d with other processes", body.AppsTotal, publishing, starting, failed, standby)
	}
	if len(body.Degraded) > 0 {
		text += "; " + body.Degraded[0].Why + " since " + body.Degraded[0].Since.Format(time.RFC3339)
	} else if works && !body.Ready {
		text += "; " + words.Shorten(body.Why, longText)
	}
	return text, works
}

// seen tells that something of the app was read or committed since the process has it. The caller holds the lock.
func (s *Status) seen() bool {
	for _, state := range s.streams {
		if p := state.where(); !p.headAt.IsZero() {
			return true
		}
	}
	return false
}
