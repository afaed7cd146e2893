package main

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// meetingReport has an audit wait for others once it has found a difference.
type meetingReport struct{ arrive func() }

func (r meetingReport) Difference(*audit.Difference) error { r.arrive(); return nil }
func (meetingReport) Note(string)                          {}
func (meetingReport) Holes([]audit.Hole) error             { return nil }
func (meetingReport) Statistics([]operate.DayCounts) error { return nil }

// TestThreeRepairsAtOnce has three audits find the same rows missing before any of them publishes one, beside a run: each row is
// published once, and for all of them everything is published in the end.
func TestThreeRepairsAtOnce(t *testing.T) {
	t.Parallel()
	s := newStation(t, func(o *sim.Options) {
		o.Late, o.LateFrom, o.LateBy, o.End = 0.01, time.Hour, 2*time.Hour, o.Begin.Add(20*time.Minute) // Nothing comes after the late rows.
	})
	run := s.startLive()
	run.until("published", func() bool { return !run.at.End.Before(s.end) })
	run.stop()
	s.skipped.Store(int64(3 * time.Hour))
	run = s.startLive()
	run.until("begun", func() bool { return run.sessions > 0 })
	cfg, meet := s.config(), meeting(3)
	var all sync.WaitGroup
	var repaired atomic.Int64
	for range 3 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // So that a mistake ends the test.
			defer cancel()
			result, err := operate.Audit(ctx, cfg, slog.New(slog.DiscardHandler), operate.AuditOptions{
				Range: operate.Range{Span: operate.Span{From: settings.Moment{At: s.begin}, To: settings.Moment{At: s.end}}}, Step: time.Hour, Repair: true,
				Confirm: func(operate.AuditCost) bool { return true }, Report: meetingReport{sync.OnceFunc(meet)},
			})
			if err != nil {
				t.Error(err)
				return
			}
			if result.Missing == 0 || !result.Complete() {
				t.Errorf("an audit ends with %+v", result)
			}
			repaired.Add(result.Repaired)
		})
	}
	all.Wait()
	run.stop()
	if repaired.Load() == 0 {
		t.Error("nothing was repaired")
	}
	s.wantTimes(func(second time.Time) (due, more int) {
		if second.Before(s.end) {
			return 1, 0
		}
		return 0, 1
	})
}
