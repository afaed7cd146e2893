package status

import (
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/jmpub/jmpub/internal/words"
)

// readiness is the body of /readyz where there is one app.
type readiness struct {
	Ready bool `json:"ready"`
	// Why says what is missing.
	Why string `json:"why,omitempty"`
	// Degraded says what does not work for now, which nobody may notice yet.
	Degraded []degradation `json:"degraded,omitempty"`
	// Warnings say what will go wrong if nobody acts.
	Warnings []string `json:"warnings,omitempty"`
	Snapshot
}

// processReadiness is the body of /readyz where there are many apps.
type processReadiness struct {
	Ready bool `json:"ready"`
	// Why says what is missing of the first app that is not ready.
	Why string `json:"why,omitempty"`
	// Degraded says what does not work for now, and for which app; at most maxWarnings.
	Degraded []degradation `json:"degraded,omitempty"`
	// Warnings say what will go wrong if nobody acts, and of which app; at most maxWarnings. WarningsLeftOut is how many more there are.
	Warnings        []string `json:"warnings,omitempty"`
	WarningsLeftOut int      `json:"warnings_left_out,omitempty"`
	Version         string   `json:"version"`
	AppsTotal       int      `json:"apps_total"`
	AppsOwned       int      `json:"apps_owned"`
	// AppsReady are those that are as they should be, standbys among them.
	AppsReady int            `json:"apps_ready"`
	Apps      []appReadiness `json:"apps"`
}

// appReadiness is one of many apps.
type appReadiness struct {
	AppKey      string `json:"app_key"`
	TopicPrefix string `json:"topic_prefix"`
	Ready       bool   `json:"ready"`
	Why         string `json:"why,omitempty"`
	Standby     bool   `json:"standby,omitempty"`
	// Streams is how many lines its status has: those of a list are one.
	Streams int `json:"streams"`
	// LagSeconds and UnreadSeconds are those of the stream furthest behind, statistics left out, which are read seldom; -1 while they are
	// not known.
	LagSeconds    float64 `json:"lag_seconds"`
	UnreadSeconds float64 `json:"unread_seconds"`
	RowsPerSecond float64 `json:"rows_per_second"`
	Published     int64   `json:"published"`
	// Problem is the last error, shortened.
	Problem   string    `json:"problem,omitempty"`
	ProblemAt time.Time `json:"problem_at,omitzero"`
}

// The bounds of what is said of many apps.
const (
	maxWarnings = 20
	// allTexts is about how many bytes all reasons and problems may have, shortText and longText what one of them may have at least and at
	// most.
	allTexts  = 80_000
	shortText = 60
	longText  = 400
)

// Ready is the body of /readyz, with all that there is to know, and whether everything is as it should be.
func (p *Process) Ready() (body any, ready bool) {
	if p.opts.Many {
		all := p.judgeAll()
		return all, all.Ready
	}
	s := p.only()
	if s == nil {
		return readiness{Why: "there is no app yet", Snapshot: Snapshot{Version: p.opts.Version}}, false
	}
	one := s.judge()
	return one, one.Ready
}

// judge tells an app ready once every stream that is not dropped has been read or committed lately, no further than the clock goes.
func (s *Status) judge() readiness {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.process.opts.Now()
	body := readiness{
		Degraded: append(s.process.degraded(now), s.degraded(now)...), Warnings: textsOf(s.warnings(now)),
		Snapshot: s.snapshot(now),
	}
	body.Why = s.missing(now)
	body.Ready = body.Why == ""
	return body
}

// notPublished is why an app is not ready whose session has failed.
const notPublished = "the app is not published"

// missing is why the app is not as it should be; empty where it is. Whoever stands by does not read, and is as it should be. The caller holds
// the lock.
func (s *Status) missing(now time.Time) string {
	switch {
	case s.failed:
		return notPublished + ": " + s.problem
	case s.role == standby, s.paused.App:
		return ""
	}
	for stream := range s.inOrder(now) {
		if why := stream.missing(); why != "" {
			return why
		}
	}
	return ""
}

// farthestAhead is by how much a stream may be read further than the local clock goes.
const farthestAhead = 30 * time.Second

// missing is why a stream is not as it should be; empty where it is.
func (s *StreamSnapshot) missing() string {
	switch {
	case s.Dropped, s.Paused:
		return ""
	case s.Unreadable > 0:
		return "a position of " + s.Stream + " cannot be read, so nothing of its stream is published; `jmpub checkpoint list` says what replaces it"
	case !s.Read.IsZero() && s.LagSeconds < -farthestAhead.Seconds():
		return fmt.Sprintf("%s is read up to %s, which has not come yet by the local clock", s.Stream, s.Read.Format(time.RFC3339))
	case !s.Fresh:
		return fmt.Sprintf("nothing was read of %s in the last %s", s.Stream, s.stale)
	default:
		return ""
	}
}

// judgeAll looks at one app after the other.
func (p *Process) judgeAll() processReadiness {
	shown := p.shown()
	body := processReadiness{
		Version: p.opts.Version, AppsTotal: len(shown), Apps: make([]appReadiness, 0, len(shown)), Degraded: p.degraded(p.opts.Now()),
	}
	clocks := false
	for _, s := range shown {
		b := s.brief()
		if b.app.Ready {
			body.AppsReady++
		} else if body.Why == "" {
			body.Why = s.says(words.Shorten(b.why, longText))
		}
		if b.owned {
			body.AppsOwned++
		}
		if !clocks { // One app's word is enough: they have the same local clock.
			b.warnings, clocks = append(b.disagreement, b.warnings...), len(b.disagreement) > 0
		}
		for _, d := range b.degraded {
			if len(body.Degraded) < maxWarnings {
				body.Degraded = append(body.Degraded, degradation{s.says(d.Why), d.Since})
			}
		}
		for _, w := range b.warnings {
			if len(body.Warnings) == maxWarnings {
				body.WarningsLeftOut++
				continue
			}
			body.Warnings = append(body.Warnings, s.says(w.Text))
		}
		body.Apps = append(body.Apps, b.app)
	}
	body.Ready = body.AppsReady == body.AppsTotal
	shortenAll(body.Apps)
	return body
}

// says is a sentence about the app.
func (s *Status) says(text string) string {
	if s.opts.TopicPrefix == "" {
		return s.opts.AppKey + ": " + text
	}
	return fmt.Sprintf("%s (%s): %s", s.opts.AppKey, s.opts.TopicPrefix, text)
}

// brief is what is told of one of many apps.
type brief struct {
	app appReadiness
	// why is the whole reason why it is not ready.
	why                    string
	owned                  bool
	disagreement, warnings []Warning
	degraded               []degradation
}

// brief looks at the app.
func (s *Status) brief() brief {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.process.opts.Now()
	why := s.missing(now)
	app := appReadiness{
		AppKey: s.opts.AppKey, TopicPrefix: s.opts.TopicPrefix, Ready: why == "", Why: why, Standby: s.role == standby, Streams: len(s.streams),
		RowsPerSecond: tenths(s.rowsPerSecond(now)), Problem: s.problem, ProblemAt: s.problemAt.Truncate(time.Second),
	}
	if s.failed {
		app.Why = notPublished // The problem is beside it.
	}
	app.LagSeconds, app.UnreadSeconds = furthestBehind(s.inOrder(now))
	for _, state := range s.streams {
		app.Published += state.totals.published
	}
	return brief{app, why, s.role == owner, s.disagreement(), append(s.pauses(), s.leaving(now)...), s.degraded(now)}
}

// furthestBehind are the lag and the age of the oldest unread second of the streams that are furthest behind.
func furthestBehind(streams iter.Seq[*StreamSnapshot]) (lag, unread float64) {
	lag, unread = math.Inf(-1), math.Inf(-1)
	for s := range streams {
		if s.Dropped || s.statistics {
			continue
		}
		if !s.Read.IsZero() {
			lag = max(lag, s.LagSeconds)
		}
		if !s.Read.IsZero() || !s.Committed.IsZero() {
			unread = max(unread, s.UnreadSeconds)
		}
	}
	return known(lag), known(unread)
}

// known is a time in tenths of a second, or -1 where there was none.
func known(seconds float64) float64 {
	if math.IsInf(seconds, -1) {
		return -1
	}
	return tenths(seconds)
}

func tenths(x float64) float64 { return math.Round(x*10) / 10 }

// shortenAll has long reasons and problems share the room that there is for all of them.
func shortenAll(apps []appReadiness) {
	long := 0
	for i := range apps {
		for _, text := range []string{apps[i].Why, apps[i].Problem} {
			if len(text) > shortText {
				long++
			}
		}
	}
	most := min(max(allTexts/max(long, 1), shortText), longText)
	for i := range apps {
		apps[i].Why, apps[i].Problem = words.Shorten(apps[i].Why, most), words.Shorten(apps[i].Problem, most)
	}
}
