package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// TestStartStaysWhereItWasUntilSomethingIsCommitted fails the first commits of a run that begins now, and expects the rows
// that came meanwhile: a start that is given as a duration back must not move on with the clock.
func TestStartStaysWhereItWasUntilSomethingIsCommitted(t *testing.T) {
	for _, liveFirst := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			rows := fakes.RowsFrom(time.Now().UTC().Add(time.Second), 60)
			kafka := fakes.NewKafka()
			commits := 0
			kafka.Fail = func(_ context.Context, op string) error {
				if op != "commit" {
					return nil
				}
				if commits++; commits > 3 {
					return nil
				}
				return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("injected")}
			}
			cfg := fakes.ConfigFor(fakes.NewSource(rows...), kafka, time.Time{})
			cfg.LiveFirst = liveFirst
			fakes.Run(t, cfg, 5*time.Minute)
			kafka.WantIDs(t, fakes.IDsOf(rows))
		})
	}
}

// TestForgottenPositionBeginsAtTheStartAnew deletes a position while it is published from, and expects the start to be taken
// by the clock of then.
func TestForgottenPositionBeginsAtTheStartAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := fakes.RowsFrom(time.Now().UTC(), 400)
		kafka := fakes.NewKafka()
		deleted := time.Time{}
		kafka.Fail = func(_ context.Context, op string) error {
			if op != "begin" || !deleted.IsZero() || time.Since(rows[0].At) < 5*time.Minute {
				return nil
			}
			deleted = time.Now()
			cp := kafka.Checkpoints[fakes.Messages()]
			cp.Forgotten = true
			kafka.Checkpoints[fakes.Messages()] = cp
			kafka.Claim = pipeline.Claim{ID: "1", Command: "delete", Done: true}
			return &pipeline.Fault{Class: pipeline.Fenced, Op: op, Err: errors.New("injected")}
		}
		cfg := fakes.ConfigFor(fakes.NewSource(rows...), kafka, time.Time{})
		cfg.Start.Back = time.Minute
		fakes.Run(t, cfg, 10*time.Minute)
		again := 0
		for _, l := range kafka.Ledger {
			if !l.Started.Before(deleted) && l.Begin.Before(deleted.Add(-70*time.Second)) {
				t.Errorf("a window that begins at %v was read after the position was forgotten at %v", l.Begin, deleted)
			}
			if !l.Started.Before(deleted) {
				again++
			}
		}
		if deleted.IsZero() || again == 0 {
			t.Errorf("deleted at %v, %d windows after that", deleted, again)
		}
	})
}
