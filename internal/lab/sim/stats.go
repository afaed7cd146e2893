package sim

import (
	"maps"
	"sync"
	"sync/atomic"
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

// counters count what happens. Safe for concurrent use; the zero value is ready.
type counters struct {
	requests, pages, rows, limited, expired, statistics, lists atomic.Int64

	mu     sync.Mutex
	codes  map[int]int64
	faults map[Fault]int64
}

func (t *counters) refuse(code int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.codes == nil {
		t.codes = make(map[int]int64)
	}
	t.codes[code]++
}

func (t *counters) fault(f Fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.faults == nil {
		t.faults = make(map[Fault]int64)
	}
	t.faults[f]++
}

// Stats returns the counts so far; the maps are the caller's, and never nil.
func (s *Server) Stats() Stats {
	t := &s.counters
	stats := Stats{
		Requests: t.requests.Load(), Pages: t.pages.Load(), Rows: t.rows.Load(),
		Limited: t.limited.Load(), Expired: t.expired.Load(),
		Statistics: t.statistics.Load(), Lists: t.lists.Load(),
		Codes: make(map[int]int64), Faults: make(map[Fault]int64),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.Copy(stats.Codes, t.codes)
	maps.Copy(stats.Faults, t.faults)
	for _, n := range stats.Codes {
		stats.Refused += n
	}
	return stats
}
