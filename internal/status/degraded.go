package status

import (
	"fmt"
	"maps"
	"strconv"
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

// delay is what keeps an app's messages from being published in time, for now. Its warning says since when.
type delay struct {
	degradation

	code  string
	facts map[string]string
}

const (
	// degradedAfter is how long something may not work before it is told. It is as long as a request may take.
	degradedAfter = 30 * time.Second
	// lateAfter is the lag from which on messages are late where something explains it.
	lateAfter = 15 * time.Second
	// slowAnswer and slowCommit are times that make messages late by themselves.
	slowAnswer = 5 * time.Second
	slowCommit = 5 * time.Second
	// apart is how far apart refusals of requests, or tries of calls, may be to be one trouble: a quota is for a minute, and waits are no longer.
	apart = 90 * time.Second
)

// period is how long something has gone on.
type period struct{ since, last time.Time }

// goesOn notes that something goes on. It began at since, if it did not go on before.
func (p *period) goesOn(since, now time.Time) {
	if p.since.IsZero() {
		p.since = since
	}
	p.last = now
}

// again notes that something has happened once more. Where the last time was long ago, it begins.
func (p *period) again(since, now time.Time) {
	if now.Sub(p.last) > apart {
		*p = period{}
	}
	p.goesOn(since, now)
}

// isRecent tells that it has happened, and that the last time was not long ago.
func (p *period) isRecent(now time.Time) bool { return !p.since.IsZero() && now.Sub(p.last) <= apart }

// troubles is what may make messages late.
type troubles struct {
	// failing is while the API gives no answer of use, slowAnswers while it answers slowly, and slowCommits while Kafka commits slowly. refused is while
	// the API refuses requests because of the quota, tried while calls are tried again, and nothing is read or committed.
	failing, slowAnswers, slowCommits, refused, tried period
	// class is that of the API's last answer which is of no use; answer and commit are what the last ones took.
	class          string
	answer, commit time.Duration
}

// answered takes in how the API has answered.
func (t *troubles) answered(o *pipeline.RequestAnswered, now time.Time) {
	began := now.Add(-o.Took)
	switch o.Class {
	case "network", "server_error", "unauthorized", "malformed":
		t.class = o.Class
		t.failing.goesOn(began, now)
		return
	case classRefused:
		t.refused.again(began, now)
	default: // It works, or says itself what is wrong with the request.
		if t.answer = o.Took; t.answer >= slowAnswer {
			t.slowAnswers.goesOn(began, now)
		} else {
			t.slowAnswers = period{}
		}
	}
	t.failing = period{}
}

// classRefused is the class of an answer that refuses a request because of the quota.
const classRefused = "rate_limited"

// committed takes in how long a transaction took.
func (t *troubles) committed(took time.Duration, now time.Time) {
	t.tried = period{}
	if t.commit = took; took >= slowCommit {
		t.slowCommits.goesOn(now.Add(-took), now)
	} else {
		t.slowCommits = period{}
	}
}

// delays are what keeps the app's messages from being published in time. The caller holds the lock.
func (s *Status) delays(now time.Time) []delay {
	t := &s.troubles
	if lasts(t.failing.since, now) {
		return []delay{delayed(WarningAPIFailing, t.failing.since, "the API gives no answer of use: "+t.class, map[string]string{"class": t.class})}
	}
	read, committed := s.late(now)
	if _, silent := s.process.silence(now); silent { // That is why, and is told once for all apps.
		committed = false
	}
	switch {
	case t.refused.isRecent(now) && (read || lasts(t.refused.since, now)): // Each minute it is caught up with, and late again.
		return []delay{s.overQuota(now)}
	case read && lasts(t.slowAnswers.since, now):
		took := t.answer.Round(time.Second)
		return []delay{delayed(WarningAPISlow, t.slowAnswers.since, fmt.Sprintf("the API takes %s for an answer", took), map[string]string{"took": seconds(took)})}
	case committed && lasts(t.slowCommits.since, now):
		took := t.commit.Round(time.Second)
		return []delay{delayed(WarningKafkaSlow, t.slowCommits.since, fmt.Sprintf("Kafka takes %s for a transaction", took), map[string]string{"took": seconds(took)})}
	case committed && t.tried.isRecent(now) && lasts(t.tried.since, now):
		problem := words.Shorten(s.problem, longText)
		return []delay{delayed(WarningRetries, t.tried.since, "what fails is tried again and again: "+problem, map[string]string{"error": problem})}
	default:
		return nil
	}
}

// overQuota says that requests are refused, and how many of them are this process's own. The caller holds the lock.
func (s *Status) overQuota(now time.Time) delay {
	used := strconv.FormatInt(s.requests.sum(now, requestSlot), 10)
	why, facts := "the API refuses requests because the app's quota is used up; this process has made "+used+" in the last minute", map[string]string{"used": used}
	if s.quota != nil && s.quota.Limit > 0 {
		limit := strconv.Itoa(s.quota.Limit)
		why += " of " + limit
		facts["limit"] = limit
	}
	return delayed(WarningQuota, s.troubles.refused.since, why, facts)
}

// late tells whether a stream is read late, and whether one is published late. The caller holds the lock.
func (s *Status) late(now time.Time) (read, committed bool) {
	if s.role != owner {
		return false, false
	}
	for stream, state := range s.streams {
		p := state.where()
		if state.dropped || s.paused.Has(stream) || stream.Kind == pipeline.StreamStatistics {
			continue
		}
		read = read || lags(p.read, now) && lags(p.committed, now)
		committed = committed || lags(p.committed, now)
	}
	return read, committed
}

func lags(upTo, now time.Time) bool { return now.Sub(upTo) > lateAfter }

// delayed makes one. facts may be nil.
func delayed(code string, since time.Time, why string, facts map[string]string) delay {
	since = since.UTC().Truncate(time.Second)
	all := map[string]string{"since": since.Format(time.RFC3339)}
	maps.Copy(all, facts)
	return delay{degradation{why, since}, code, all}
}

func (d *delay) warning() Warning {
	return Warning{Code: d.code, Text: d.Why + ", since " + d.facts["since"], Facts: d.facts}
}

// degraded is what does not work for this app alone. The caller holds the lock.
func (s *Status) degraded(now time.Time) []degradation {
	var all []degradation
	for _, d := range s.delays(now) {
		all = append(all, d.degradation)
	}
	return all
}

// silence is that Kafka does not answer, which delays all apps.
func (p *Process) silence(now time.Time) (d delay, is bool) {
	if p.opts.KafkaSilentSince == nil {
		return delay{}, false
	}
	since := p.opts.KafkaSilentSince()
	return delayed(WarningKafka, since, "Kafka does not answer", nil), lasts(since, now)
}

// silentAfter is how long Kafka may not have answered before nobody waits for it who only wants to know how things are.
const silentAfter = 10 * time.Second

// KafkaSilent is an error where it makes no sense to ask Kafka: it has not answered for a while.
func (p *Process) KafkaSilent() error {
	if p.opts.KafkaSilentSince == nil {
		return nil
	}
	since := p.opts.KafkaSilentSince()
	if since.IsZero() || p.opts.Now().Sub(since) < silentAfter {
		return nil
	}
	return fmt.Errorf("no answer from Kafka since %s", since.UTC().Format(time.RFC3339))
}

// degraded is what does not work for all apps.
func (p *Process) degraded(now time.Time) []degradation {
	if d, is := p.silence(now); is {
		return []degradation{d.degradation}
	}
	return nil
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
