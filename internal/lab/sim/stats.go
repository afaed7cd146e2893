package sim

import (
	"maps"
	"sync"
)

// Stats are counts since the start.
type Stats struct {
	// Requests are all that came to /v2 and /v1.
	Requests int64 `json:"requests"`
	// Pages and Rows were answered, whatever became of them on the way.
	Pages int64 `json:"pages"`
	Rows  int64 `json:"rows"`
	// Statistics and Lists were answered, besides.
	Statistics int64 `json:"statistics"`
	Lists      int64 `json:"lists"`
	// Refused requests were wrong: authentication, parameters, path, cursor. Codes has them by the code of the answer.
	Refused int64         `json:"refused"`
	Codes   map[int]int64 `json:"codes"`
	// Limited requests exceeded the quota; those that a fault answered with 429 are among the faults.
	Limited int64 `json:"limited"`
	// Expired cursors were refused for their age; they are among the refused.
	Expired int64 `json:"expired_cursors"`
	// Faults that took effect.
	Faults map[Fault]int64 `json:"faults"`
}

// counters count what happens. Safe for concurrent use.
type counters struct {
	mu    sync.Mutex
	stats Stats
}

func newCounters() *counters {
	return &counters{stats: Stats{Codes: make(map[int]int64), Faults: make(map[Fault]int64)}}
}

func (c *counters) count(change func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.stats)
}

func (c *counters) fault(f Fault) { c.count(func(s *Stats) { s.Faults[f]++ }) }

// Stats returns the counts so far; the maps are the caller's, and never nil.
func (s *Server) Stats() (now Stats) {
	s.counters.count(func(stats *Stats) {
		now = *stats
		now.Codes, now.Faults = maps.Clone(stats.Codes), maps.Clone(stats.Faults)
	})
	return now
}
