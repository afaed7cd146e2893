package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/status"
)

const (
	// sampleEvery is how often a sample is taken, samples how many are kept: those of an hour.
	sampleEvery = 10 * time.Second
	samples     = 360
	minutes     = 60
)

// Sample is how the process did in the seconds before a moment. What is not known is absent.
type Sample struct {
	At time.Time `json:"at"`
	// RowsPerSecond are events by target, since the sample before this one.
	RowsPerSecond map[string]float64 `json:"rows_per_second"`
	// LagSeconds is that of the position that is furthest behind.
	LagSeconds     *float64 `json:"lag_seconds,omitempty"`
	QuotaRemaining *int     `json:"quota_remaining,omitempty"`
	// Transactions are those since the sample before this one, TransactionMS how long they took on average in the last minute.
	Transactions  int64    `json:"transactions"`
	TransactionMS *float64 `json:"transaction_ms,omitempty"`
	Requests      int64    `json:"requests_per_minute"`
}

// history has samples of the last hour. Its size is the same however many apps there are. Safe for concurrent use.
type history struct {
	mu   sync.Mutex
	ring [samples]Sample
	next int
	n    int
	last *status.Overview
}

// run takes samples until ctx is done.
func (h *history) run(ctx context.Context, look func() *status.Overview) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	h.take(look())
	for {
		select {
		case <-ticker.C:
			h.take(look())
		case <-ctx.Done():
			return
		}
	}
}

// take takes in an overview. From the second one on it makes a sample.
func (h *history) take(o *status.Overview) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.last
	h.last = o
	if before == nil {
		return
	}
	seconds := o.Now.Sub(before.Now).Seconds()
	if seconds <= 0 { // The clock was set back.
		return
	}
	s := Sample{
		At: o.Now, RowsPerSecond: make(map[string]float64, len(o.Targets)), Transactions: o.Transactions.Count - before.Transactions.Count,
		Requests: o.RequestsPerMinute,
	}
	for i, t := range o.Targets {
		s.RowsPerSecond[t.Target] = float64(t.Published-before.Targets[i].Published) / seconds
	}
	if o.Lag != nil {
		s.LagSeconds = new(o.Lag.LagSeconds)
	}
	if o.Quota != nil {
		s.QuotaRemaining = new(o.Quota.Remaining)
	}
	if o.Transactions.Mean > 0 {
		s.TransactionMS = new(o.Transactions.Mean)
	}
	h.ring[h.next] = s
	h.next = (h.next + 1) % samples
	h.n = min(h.n+1, samples)
}

// since are the samples since a time, the oldest one first.
func (h *history) since(t time.Time) []Sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := []Sample{}
	for i := range h.n {
		if s := h.ring[(h.next-h.n+i+samples)%samples]; s.At.After(t) {
			all = append(all, s)
		}
	}
	return all
}

// History are samples, the oldest one first.
type History struct {
	EverySeconds float64  `json:"every_seconds"`
	Samples      []Sample `json:"samples"`
}

func (s *Server) serveHistory(w http.ResponseWriter, r *http.Request) {
	n := minutes
	if text := r.URL.Query().Get("minutes"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > minutes {
			refuse(w, http.StatusBadRequest, errors.New("minutes: "+strconv.Quote(text)+" is not a number from 1 to 60").Error())
			return
		}
	}
	answer(w, http.StatusOK, compact{History{sampleEvery.Seconds(), s.history.since(time.Now().Add(-time.Duration(n) * time.Minute))}})
}
