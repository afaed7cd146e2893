package status

import (
	"time"

	"github.com/jmpub/jmpub/internal/words"
)

// The states of an app that a process has.
const (
	// StateStarting is one of which nothing was read yet since the process has it.
	StateStarting = "starting"
	// StatePublishing is one that is published.
	StatePublishing = "publishing"
	// StateFailed is one whose session has failed; it is tried again.
	StateFailed = "failed"
	// StatePaused is one that an operator has stopped.
	StatePaused = "paused"
)

// AppName tells apps apart.
type AppName struct {
	AppKey      string `json:"app_key"`
	TopicPrefix string `json:"topic_prefix"`
}

// AppState is what a process says of an app that it has, at one moment. What is not known is absent.
type AppState struct {
	AppName

	State string `json:"state"`
	// End is the committed end_time of the stream that is furthest behind, statistics left out. Backlog is up to where the oldest history behind
	// a position is published, where there is such.
	End     time.Time `json:"end_time,omitzero"`
	Backlog time.Time `json:"backlog_end_time,omitzero"`
	// LagSeconds is how far behind the local clock the stream is read that is furthest behind; negative where it is read further than that.
	LagSeconds *float64 `json:"lag_seconds,omitempty"`
	// Requests are those of the last minute. QuotaLimit and QuotaRemaining are how many requests a minute the API allows, and how many of them
	// were left, as it said last.
	Requests       int64 `json:"requests_per_minute"`
	QuotaLimit     *int  `json:"quota_limit,omitempty"`
	QuotaRemaining *int  `json:"quota_remaining,omitempty"`
	// Error is the last error, shortened; while the app has failed, why it has.
	Error   string    `json:"error,omitempty"`
	ErrorAt time.Time `json:"error_at,omitzero"`
}

// longestError is how many bytes of an error others are told.
const longestError = 200

// Names are the apps that are shown, whoever has them.
func (p *Process) Names() []AppName {
	var names []AppName
	for _, s := range p.shown() {
		names = append(names, s.name())
	}
	return names
}

func (s *Status) name() AppName { return AppName{s.opts.AppKey, s.opts.TopicPrefix} }

// Owned is the state of each app that the process has. It looks at one app after the other, for a moment each, as whoever takes the metrics does.
func (p *Process) Owned() []AppState {
	shown := p.shown()
	all := make([]AppState, 0, len(shown))
	for _, s := range shown {
		if one, ok := s.owned(); ok {
			all = append(all, one)
		}
	}
	return all
}

// owned is the app's state; not ok where another process has it, or nobody knows yet who does.
func (s *Status) owned() (one AppState, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.role != owner {
		return one, false
	}
	now := s.process.opts.Now()
	one = AppState{
		AppName: s.name(), State: StateStarting, Requests: s.requests.sum(now, requestSlot),
		Error: words.Shorten(s.problem, longestError), ErrorAt: s.problemAt.UTC().Truncate(time.Second),
	}
	if s.quota != nil {
		one.QuotaRemaining = new(s.quota.Remaining)
		if s.quota.Limit > 0 {
			one.QuotaLimit = new(s.quota.Limit)
		}
	}
	for stream := range s.inOrder(now) {
		one.take(stream)
	}
	switch {
	case s.failed:
		one.State = StateFailed
	case s.paused.App:
		one.State = StatePaused
	}
	return one, true
}

// take takes in a stream.
func (a *AppState) take(s *StreamSnapshot) {
	if s.Dropped || s.statistics {
		return
	}
	if s.seen {
		a.State = StatePublishing
	}
	a.End = earliest(a.End, s.Committed)
	a.Backlog = earliest(a.Backlog, s.BacklogEnd)
	if lag := tenths(s.LagSeconds); !s.Read.IsZero() && (a.LagSeconds == nil || lag > *a.LagSeconds) {
		a.LagSeconds = &lag
	}
}

// earliest is the earlier one of two times, in UTC; zero is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b.UTC()
	}
	return a
}
