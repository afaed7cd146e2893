package status

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/words"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// Overview is how a process does, all of its apps together, at one moment.
type Overview struct {
	Version string    `json:"version"`
	Now     time.Time `json:"now"`
	Started time.Time `json:"started_at"`
	// TimeZone is the API's for the first app, in which people read times; empty where there is no app.
	TimeZone string    `json:"time_zone"`
	Verdict  Verdict   `json:"verdict"`
	Apps     AppCounts `json:"apps"`
	// RowsPerSecond is the mean of the last seconds; Targets says the same of events by where they go, Events and Rows how many there were
	// since the process began.
	RowsPerSecond float64      `json:"rows_per_second"`
	Rows          int64        `json:"rows"`
	Events        int64        `json:"events"`
	Targets       []TargetFlow `json:"targets"`
	// Lag, Quota and Retention are nil while nothing is known.
	Lag          *Lag             `json:"lag"`
	Quota        *Quota           `json:"quota"`
	Retention    *Retention       `json:"retention"`
	Transactions Transactions     `json:"transactions"`
	Rejected     map[string]int64 `json:"rejected"`
	Requests     map[string]int64 `json:"requests"`
	// RequestsPerMinute are those of the last minute.
	RequestsPerMinute int64 `json:"requests_per_minute"`
	// Warnings say what will go wrong if nobody acts, and of which app; at most 20.
	Warnings        []Warning `json:"warnings"`
	WarningsLeftOut int       `json:"warnings_left_out"`
}

// AppCounts are apps by their states. Ready are those that are as they should be, whatever their state.
type AppCounts struct {
	Total   int `json:"total"`
	Owned   int `json:"owned"`
	Standby int `json:"standby"`
	Joining int `json:"joining"`
	Failed  int `json:"failed"`
	Ready   int `json:"ready"`
}

// TargetFlow is what goes to a target.
type TargetFlow struct {
	Target        string  `json:"target"`
	Published     int64   `json:"published"`
	RowsPerSecond float64 `json:"rows_per_second"`
}

// StreamName says of which stream of which app something is.
type StreamName struct {
	AppName

	Stream string `json:"stream"`
}

// Lag is that of the stream whose position is furthest behind.
type Lag struct {
	StreamName

	// Committed is up to when everything is in Kafka, LagSeconds how long ago that was by the local clock.
	Committed  time.Time `json:"committed_to"`
	LagSeconds float64   `json:"lag_seconds"`
	// Read is up to when the stream is read, where that is known; what follows Committed is not in Kafka yet.
	Read time.Time `json:"read_to,omitzero"`
}

// Quota is how many requests a minute the API allows and how many of them were left, as it said last; sums over the apps of which it said so.
type Quota struct {
	Apps      int `json:"apps"`
	Limit     int `json:"limit"`
	Remaining int `json:"remaining"`
	// Lowest is the app of which the fewest are left.
	Lowest LowestQuota `json:"lowest"`
}

// LowestQuota is the quota of one app.
type LowestQuota struct {
	AppName

	Remaining int `json:"remaining"`
}

// Retention is how long until the oldest second that is not read leaves the API's history, and of which stream.
type Retention struct {
	StreamName

	LeftSeconds float64   `json:"left_seconds"`
	Unread      time.Time `json:"unread_since"`
}

// Transactions are Kafka transactions that were committed since the process began, and how long they took, from their begin to their commit.
type Transactions struct {
	Count int64 `json:"count"`
	// Last is the newest one, Mean is over those of the last minute; zero where there was none.
	Last float64 `json:"last_ms"`
	Mean float64 `json:"mean_ms"`
}

// Level is how much a verdict asks for.
type Level string

// The levels, from the least on.
const (
	LevelOK      Level = "ok"
	LevelWarning Level = "warning"
	LevelError   Level = "error"
)

// Verdict is the one sentence that an operator wants to read.
type Verdict struct {
	Level Level `json:"level"`
	// Code names the kind of the verdict, for who says it in other words.
	Code string `json:"code"`
	Text string `json:"text"`
	// Hint says what to do; empty where there is nothing to do.
	Hint string `json:"hint"`
	// At is up to when everything is in Kafka, but for a backlog; zero where that is not known.
	At time.Time `json:"at,omitzero"`
}

// The codes of verdicts.
const (
	VerdictPublished  = "published"
	VerdictCatchingUp = "catching_up"
	VerdictStandby    = "standby"
	VerdictStarting   = "starting"
	VerdictNoApp      = "no_app"
	VerdictPaused     = "paused"
	VerdictWarning    = "warning"
	VerdictNotRead    = "not_read"
	VerdictFailed     = "failed"
)

// behindAfter is the lag of a position from which on an app is catching up: where nothing comes, a position stands for up to 5 minutes.
const behindAfter = 10 * time.Minute

// flow is what passes through a process, of all apps that it ever had. Safe for concurrent use.
type flow struct {
	mu        sync.Mutex
	rows      int64
	targets   [event.TargetCount]int64
	perSecond [event.TargetCount]rate
	all       rate
	// transactions are counted, and what they took in microseconds.
	transactions       int64
	last               time.Duration
	counted, tookMicro rate
}

func (f *flow) committed(now time.Time, c *pipeline.WindowCommitted) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows += c.Ledger.Rows
	f.all.add(now, rowSlot, c.Ledger.Rows)
	for target, n := range c.Events {
		f.targets[target] += int64(n)
		f.perSecond[target].add(now, rowSlot, int64(n))
	}
}

func (f *flow) transaction(now time.Time, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.transactions++
	f.last = took
	f.counted.add(now, requestSlot, 1)
	f.tookMicro.add(now, requestSlot, took.Microseconds())
}

// tell puts what passed into an overview.
func (f *flow) tell(now time.Time, o *Overview) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o.Rows, o.RowsPerSecond = f.rows, float64(f.all.sum(now, rowSlot))/fullSlots
	for target, n := range f.targets {
		o.Events += n
		o.Targets = append(o.Targets, TargetFlow{
			event.Target(target).String(), n, float64(f.perSecond[target].sum(now, rowSlot)) / fullSlots,
		})
	}
	o.Transactions = Transactions{Count: f.transactions, Last: milliseconds(f.last)}
	if n := f.counted.sum(now, requestSlot); n > 0 {
		o.Transactions.Mean = milliseconds(time.Duration(f.tookMicro.sum(now, requestSlot)/n) * time.Microsecond)
	}
}

func milliseconds(d time.Duration) float64 { return tenths(d.Seconds() * 1000) }

// Overview looks at one app after the other, for a moment each.
func (p *Process) Overview() *Overview {
	now := p.opts.Now()
	o := &Overview{
		Version: p.opts.Version, Now: now.UTC(), Started: p.started.UTC(), Rejected: make(map[string]int64), Requests: make(map[string]int64),
		Warnings: p.warnings(now),
	}
	p.flow.tell(now, o)
	var worst judged
	for _, s := range p.shown() {
		s.sumUp(o, &worst, now)
	}
	if worst.zone != nil {
		o.TimeZone = worst.zone.String()
	}
	o.Verdict = verdict(o, &worst)
	return o
}

// judged is what is wrong, as far as the apps were looked at.
type judged struct {
	// failed and notReady are of the first app of which that holds.
	failed, notReady string
	notReadyApps     int
	catchingUp       bool
	// paused is of the first app of which something is.
	paused string
	// clocks tells that an app has warned of clocks that disagree.
	clocks bool
	// backlog is up to where the oldest history behind a position is published; zero where there is none.
	backlog time.Time
	zone    *time.Location
}

// warn adds an app's warnings to an overview. The caller holds the lock.
func (s *Status) warn(o *Overview, worst *judged, now time.Time) {
	for _, w := range s.toldOf(now) {
		switch {
		case w.Code == WarningClocks && worst.clocks: // One app's word is enough: they have the same local clock.
		case len(o.Warnings) == maxWarnings:
			o.WarningsLeftOut++
		default:
			o.Warnings = append(o.Warnings, w.of(s))
		}
		worst.clocks = worst.clocks || w.Code == WarningClocks
	}
}

// sumUp adds an app to an overview.
func (s *Status) sumUp(o *Overview, worst *judged, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.Apps.Total++
	switch s.state() {
	case stateFailed:
		o.Apps.Failed++
	case stateOwner:
		o.Apps.Owned++
	case stateStandby:
		o.Apps.Standby++
	default:
		o.Apps.Joining++
	}
	if worst.zone == nil {
		worst.zone = s.opts.Zone
	}
	why := s.missing(now)
	switch {
	case why == "":
		o.Apps.Ready++
	case s.failed && worst.failed == "":
		worst.failed = s.says(words.Shorten(s.problem, longText))
	case !s.failed && s.seenAnything(now):
		worst.notReadyApps++
		if worst.notReady == "" {
			worst.notReady = s.says(words.Shorten(why, longText))
		}
	}
	if worst.paused == "" && s.paused.Any() {
		worst.paused = s.says(s.pauses()[0].Text)
	}
	s.warn(o, worst, now)
	for reason, n := range s.totals.rejected {
		o.Rejected[string(reason)] += n
	}
	for class, n := range s.totals.requests {
		o.Requests[class] += n
	}
	o.RequestsPerMinute += s.requests.sum(now, requestSlot)
	if s.role == standby {
		return
	}
	o.take(s, now, worst)
}

// seenAnything tells whether something was read or committed since the process has the app. The caller holds the lock.
func (s *Status) seenAnything(now time.Time) bool {
	if now.Sub(s.started) >= staleAfter {
		return true
	}
	for one := range s.inOrder(now) {
		if one.seen {
			return true
		}
	}
	return false
}

// take takes in the positions and the quota of an app. The caller holds the app's lock.
func (o *Overview) take(s *Status, now time.Time, worst *judged) {
	for one := range s.inOrder(now) {
		if one.Dropped || one.statistics || one.Committed.IsZero() {
			continue
		}
		name := StreamName{s.name(), one.Stream}
		if o.Lag == nil || one.Committed.Before(o.Lag.Committed) {
			o.Lag = &Lag{name, one.Committed.UTC(), tenths(now.Sub(one.Committed).Seconds()), one.Read.UTC()}
			if one.Read.IsZero() {
				o.Lag.Read = time.Time{}
			}
		}
		if o.Retention == nil || one.RetentionLeftSeconds < o.Retention.LeftSeconds {
			unread := now.Add(-time.Duration(one.UnreadSeconds * float64(time.Second)))
			o.Retention = &Retention{name, math.Round(one.RetentionLeftSeconds), unread.UTC().Truncate(time.Second)}
		}
		worst.backlog = earliest(worst.backlog, one.BacklogEnd)
		behind := max(one.UnreadSeconds, 0)
		worst.catchingUp = worst.catchingUp || behind > behindAfter.Seconds()
	}
	if s.quota == nil {
		return
	}
	lowest := LowestQuota{s.name(), s.quota.Remaining}
	if o.Quota == nil {
		o.Quota = &Quota{Lowest: lowest}
	}
	o.Quota.Apps++
	o.Quota.Limit += s.quota.Limit
	o.Quota.Remaining += s.quota.Remaining
	if lowest.Remaining < o.Quota.Lowest.Remaining {
		o.Quota.Lowest = lowest
	}
}

// verdict is what an overview comes to.
func verdict(o *Overview, worst *judged) Verdict {
	v := Verdict{Level: LevelOK}
	upTo := ""
	if o.Lag != nil {
		at := func(t time.Time) string { return t.In(worst.zone).Format(time.DateTime) }
		v.At = o.Lag.Committed
		upTo = "everything up to " + at(v.At) + " is in Kafka"
		if !worst.backlog.IsZero() {
			upTo = "new messages up to " + at(v.At) + " are in Kafka, and history up to " + at(worst.backlog)
		}
	}
	say := func(level Level, code, text, hint string) Verdict {
		v.Level, v.Code, v.Text, v.Hint = level, code, text, hint
		return v
	}
	switch {
	case o.Apps.Total == 0:
		return say(LevelWarning, VerdictNoApp, "there is no app yet", "")
	case o.Apps.Failed > 0:
		are := "are"
		if o.Apps.Failed == 1 {
			are = "is"
		}
		return say(LevelError, VerdictFailed, fmt.Sprintf("%d of %s %s not published: %s", o.Apps.Failed, words.Count(o.Apps.Total, "app", "apps"), are, worst.failed),
			"it is tried again by itself; put right what the error names")
	case worst.notReadyApps > 0:
		return say(LevelError, VerdictNotRead, worst.notReady, "see the log, and `jmpub apps`")
	case o.Apps.Standby == o.Apps.Total:
		return say(LevelOK, VerdictStandby, "another process publishes; this one stands by", "")
	case worst.paused != "":
		return say(LevelWarning, VerdictPaused, worst.paused, "resume it, or the API forgets it after 60 days")
	case upTo == "":
		return say(LevelWarning, VerdictStarting, "nothing was read yet", "it begins within a minute, if the API answers")
	case len(o.Warnings) > 0:
		return say(LevelWarning, VerdictWarning, strings.Join([]string{upTo, o.Warnings[0].Text}, "; "), "see the warnings")
	case worst.catchingUp:
		return say(LevelOK, VerdictCatchingUp, "catching up: "+upTo, "")
	default:
		return say(LevelOK, VerdictPublished, upTo, "")
	}
}

// AppDetail is all that is known of an app that the process has.
type AppDetail struct {
	Snapshot

	TopicPrefix string `json:"topic_prefix"`
	// TimeZone is the API's, in which people read times.
	TimeZone string `json:"time_zone"`
	State    string `json:"state"`
	Ready    bool   `json:"ready"`
	// Why says what is missing.
	Why      string    `json:"why,omitempty"`
	Warnings []Warning `json:"warnings"`
	// RejectedBy are rejected rows by reason.
	RejectedBy map[string]int64 `json:"rejected_by_reason"`
	// RequestsPerMinute are those of the last minute; the quota is what the API said last, absent before it did.
	RequestsPerMinute int64 `json:"requests_per_minute"`
	QuotaLimit        *int  `json:"quota_limit,omitempty"`
	QuotaRemaining    *int  `json:"quota_remaining,omitempty"`
}

// App is what is known of an app; an empty prefix is whatever prefix it has. Not there is one that the process does not know.
func (p *Process) App(name AppName) (detail *AppDetail, there bool) {
	all := p.shown()
	i := slices.IndexFunc(all, func(s *Status) bool {
		return s.opts.AppKey == name.AppKey && (name.TopicPrefix == "" || s.opts.TopicPrefix == name.TopicPrefix)
	})
	if i < 0 {
		return nil, false
	}
	return all[i].detail(), true
}

func (s *Status) detail() *AppDetail {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.process.opts.Now()
	d := &AppDetail{
		Snapshot: s.snapshot(now), TopicPrefix: s.opts.TopicPrefix, TimeZone: s.opts.Zone.String(), State: s.state(), RequestsPerMinute: s.requests.sum(now, requestSlot),
		RejectedBy: make(map[string]int64), Warnings: append(s.process.warnings(now), s.toldOf(now)...),
	}
	if s.paused.App && !s.failed {
		d.State = StatePaused
	}
	d.Why = s.missing(now)
	d.Ready = d.Why == ""
	for reason, n := range s.totals.rejected {
		d.RejectedBy[string(reason)] = n
	}
	if s.quota != nil {
		d.QuotaRemaining, d.QuotaLimit = new(s.quota.Remaining), new(s.quota.Limit)
	}
	if d.Streams == nil {
		d.Streams = []StreamSnapshot{}
	}
	return d
}
