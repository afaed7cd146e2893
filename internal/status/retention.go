package status

import (
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// position is up to where a stream is read and committed, and what is left behind it.
type position struct {
	// read and committed are end_times; headAt is when read last moved.
	read, committed time.Time
	headAt          time.Time
	// backlog is up to where the oldest range of the backlog is committed, and backlogUntil where that ends; zero without one.
	backlog, backlogUntil time.Time
}

// unread is the oldest second not yet read; zero where nothing is known.
func (p *position) unread() time.Time {
	switch {
	case !p.backlog.IsZero():
		return p.backlog
	case p.read.After(p.committed):
		return p.read
	default:
		return p.committed
	}
}

// where is the position that is shown: of a list's streams, that of the one which is furthest behind, read when any of them
// was.
func (s *streamState) where() position {
	if s.members == nil {
		return s.position
	}
	var oldest position
	var headAt time.Time
	for _, p := range s.members {
		if oldest.unread().IsZero() || p.unread().Before(oldest.unread()) {
			oldest = *p
		}
		if p.headAt.After(headAt) {
			headAt = p.headAt
		}
	}
	oldest.headAt = headAt
	return oldest
}

// move takes in a checkpoint.
func (p *position) move(cp *pipeline.Checkpoint) {
	p.committed, p.backlog, p.backlogUntil = cp.End, time.Time{}, time.Time{}
	if len(cp.Backlog) > 0 {
		p.backlog, p.backlogUntil = cp.Backlog[0].End, cp.Backlog[0].Until
	}
}

// left is how long until the oldest second not yet read leaves the API's history.
func (p *position) left(now time.Time) time.Duration {
	if unread := p.unread(); !unread.IsZero() {
		return max(0, pipeline.History-now.Sub(unread))
	}
	return pipeline.History
}

// Leaving says, for each stream with unread time that soon leaves the API's history, how soon that is.
func (s *Status) Leaving() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return textsOf(s.leaving(s.process.opts.Now()))
}

// leaving is Leaving for whoever holds the lock.
func (s *Status) leaving(now time.Time) []Warning {
	var all []Warning
	for stream, state := range s.streams {
		p := state.where()
		if left := p.left(now); !state.dropped && left < s.opts.Warn {
			all = append(all, s.retentionWarning(stream.String(), p.unread(), left))
		}
	}
	slices.SortFunc(all, func(a, b Warning) int { return strings.Compare(a.Text, b.Text) })
	return all
}
