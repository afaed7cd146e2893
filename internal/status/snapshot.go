package status

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// Snapshot is the status at one moment; it does not change.
type Snapshot struct {
	AppKey   string `json:"app_key"`
	Delivery string `json:"delivery"`
	Version  string `json:"version"`
	// Standby tells that another process of the group publishes the app.
	Standby bool `json:"standby,omitempty"`
	// RowsPerSecond is the mean of the last seconds.
	RowsPerSecond float64 `json:"rows_per_second"`
	// Events are published events by target.
	Events    map[string]int64 `json:"events"`
	Rows      int64            `json:"rows"`
	Published int64            `json:"published"`
	Skipped   int64            `json:"skipped"`
	Repeated  int64            `json:"repeated"`
	Rejected  int64            `json:"rejected"`
	Windows   int64            `json:"windows"`
	Restarts  int64            `json:"window_restarts"`
	Retries   int64            `json:"retries"`
	Requests  map[string]int64 `json:"requests"`
	Streams   []StreamSnapshot `json:"streams"`
	// SweepSeconds is about how long it takes until a window of each stream of the lists was read; 0 without any.
	SweepSeconds float64 `json:"sweep_seconds,omitempty"`
	// ClockDifferenceSeconds is by how much the API's clock was ahead of the local one at the last reply.
	ClockDifferenceSeconds float64 `json:"clock_difference_seconds"`
	// Last is the ledger record of the window committed last; nil before the first.
	Last *pipeline.Ledger `json:"last_window,omitempty"`
	// Problem is the last error, in one sentence; while the app's session has failed, why it has.
	Problem   string    `json:"problem,omitempty"`
	ProblemAt time.Time `json:"problem_at,omitzero"`
}

// StreamSnapshot is one stream at one moment.
type StreamSnapshot struct {
	Stream string `json:"stream"`
	// Streams is how many streams of a list this stands for; 0 for a single one. Times are those of the one furthest behind.
	Streams int `json:"streams,omitempty"`
	// Read and Committed are end_times; zero before the first window.
	Read      time.Time `json:"read_to,omitzero"`
	Committed time.Time `json:"committed_to,omitzero"`
	// LagSeconds is how far behind the local clock the stream is read, negative where it is read further than that; -1 before the first
	// window, where there is no Read.
	LagSeconds float64 `json:"lag_seconds"`
	// UnreadSeconds is the age of the oldest second not yet read; -1 while it is not known, where there is neither Committed nor Read.
	UnreadSeconds float64 `json:"unread_seconds"`
	// BacklogEnd is up to where the oldest range of the backlog is published, BacklogUntil where it ends; zero without one.
	BacklogEnd   time.Time `json:"backlog_end_time,omitzero"`
	BacklogUntil time.Time `json:"backlog_until,omitzero"`
	// RetentionLeftSeconds is how long until the oldest second not yet read leaves the API's history.
	RetentionLeftSeconds float64 `json:"retention_left_seconds"`
	Rows                 int64   `json:"rows"`
	Published            int64   `json:"published"`
	Dropped              bool    `json:"dropped,omitempty"`
	// Paused tells that an operator has stopped it.
	Paused bool `json:"paused,omitempty"`
	// Unreadable is how many of its streams are not read because their positions cannot be.
	Unreadable int `json:"unreadable,omitempty"`
	// Fresh tells that something was read or committed lately, within stale.
	Fresh      bool `json:"fresh"`
	stale      time.Duration
	statistics bool
	// seen tells that something was read or committed at all since the process has the app.
	seen bool
}

// Snapshot copies what is known now.
func (s *Status) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot(s.process.opts.Now())
}

// snapshot is Snapshot for whoever holds the lock.
func (s *Status) snapshot(now time.Time) Snapshot {
	snap := Snapshot{
		AppKey: s.opts.AppKey, Delivery: s.opts.Delivery, Version: s.process.opts.Version, Standby: s.role == standby,
		RowsPerSecond: s.rowsPerSecond(now), Events: make(map[string]int64), Requests: make(map[string]int64),
		Retries: s.totals.retries, Problem: s.problem, ProblemAt: s.problemAt, SweepSeconds: s.sweep.Seconds(),
		Last: s.last, ClockDifferenceSeconds: s.difference().Seconds(),
	}
	for one := range s.inOrder(now) {
		snap.Streams = append(snap.Streams, *one)
	}
	maps.Copy(snap.Requests, s.totals.requests)
	for _, state := range s.streams {
		t := &state.totals
		snap.Rows += t.rows
		snap.Published += t.published
		snap.Skipped += t.skipped
		snap.Repeated += t.repeated
		snap.Rejected += t.rejected
		snap.Windows += t.windows
		for target, n := range t.events {
			snap.Events[event.Target(target).String()] += n
		}
		for _, n := range t.restarts {
			snap.Restarts += n
		}
	}
	return snap
}

// inOrder are the streams in the order of their names, one at a time: there may be thousands, and they are looked at every few seconds. What is
// given is valid until the next one. The caller holds the lock.
func (s *Status) inOrder(now time.Time) iter.Seq[*StreamSnapshot] {
	if len(s.names) != len(s.streams) { // Streams are added, and never taken away.
		s.names = slices.SortedFunc(maps.Keys(s.streams), func(a, b pipeline.Stream) int { return cmp.Compare(a.String(), b.String()) })
	}
	return func(yield func(*StreamSnapshot) bool) {
		var one StreamSnapshot
		for _, name := range s.names {
			if one = s.stream(name, s.streams[name], now); !yield(&one) {
				return
			}
		}
	}
}

// difference is by how much the API's clock was ahead of the local one at the last reply. The caller holds the lock.
func (s *Status) difference() time.Duration { return s.clocks.Server.Sub(s.clocks.Local) }

func (s *Status) stream(stream pipeline.Stream, state *streamState, now time.Time) StreamSnapshot {
	p := state.where()
	stale := staleAfter
	if stream.Kind == pipeline.StreamStatistics {
		stale = s.opts.StatisticsStale
		if p.headAt.IsZero() { // They come after all messages, so the first ones take a while.
			p.headAt = s.started
		}
	}
	snap := StreamSnapshot{
		Stream: stream.String(), Streams: len(state.members), Read: p.read, Committed: p.committed, LagSeconds: -1,
		UnreadSeconds: -1, BacklogEnd: p.backlog, BacklogUntil: p.backlogUntil,
		RetentionLeftSeconds: p.left(now).Seconds(),
		Rows:                 state.totals.rows, Published: state.totals.published, Dropped: state.dropped, Paused: s.paused.Has(stream), Unreadable: len(state.unreadable),
		Fresh: !p.headAt.IsZero() && now.Sub(p.headAt) < stale, stale: stale,
		statistics: stream.Kind == pipeline.StreamStatistics, seen: !p.headAt.IsZero(),
	}
	if !p.read.IsZero() {
		snap.LagSeconds = now.Sub(p.read).Seconds()
	}
	if unread := p.unread(); !unread.IsZero() {
		snap.UnreadSeconds = now.Sub(unread).Seconds()
	}
	return snap
}
