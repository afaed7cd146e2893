package main

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/pipeline"
)

// TestResetAndDeleteAtOnce forgets the position while a range is asked for again. Whichever comes first, everything is published once
// more, as the deletion says, and the run goes on.
func TestResetAndDeleteAtOnce(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	run := s.startLive()
	before := run.live()
	sessions := run.sessionsNow()
	cfg, arrive := s.config(), meeting(2)
	from, to := s.begin.Add(3*time.Minute), s.begin.Add(6*time.Minute)
	var both sync.WaitGroup
	both.Go(func() {
		if _, err := s.reset(cfg, from, to, arrive); err != nil {
			t.Logf("after the deletion: %v", err) // There is no position whose history could be published again.
		}
	})
	both.Go(func() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := operate.Delete(ctx, cfg, slog.New(slog.DiscardHandler), operate.DeleteOptions{
			Stream: pipeline.Stream{Kind: pipeline.StreamMessages}, Confirm: func(string) bool { arrive(); return true },
		})
		if err != nil {
			t.Errorf("delete: %v", err)
		}
	})
	both.Wait()
	run.caughtUp(sessions)
	last := run.stop()
	s.wantTimes(func(second time.Time) (due, more int) {
		switch {
		case second.Before(before.End):
			return 2, within(second, from, to)
		case second.Before(last.End):
			return 1, 1
		default:
			return 0, 2
		}
	})
}

// TestDeleteOfAReplayLeavesTheRunAlone forgets a replay's position beside a run, which is not even interrupted.
func TestDeleteOfAReplayLeavesTheRunAlone(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	run := s.startLive()
	run.live()
	from, to := s.begin.Add(3*time.Minute), s.begin.Add(6*time.Minute)
	if out := try(t, s.env, "replay", "--from", from.Format(time.RFC3339), "--to", to.Format(time.RFC3339), "--id", "once"); out.code != exitDone {
		t.Fatalf("replay: exit code %d: %s", out.code, out.stderr)
	}
	if out := try(t, s.env, "checkpoint", "delete", "messages", "--replay", "once", "--yes"); out.code != exitDone {
		t.Errorf("delete: exit code %d: %s", out.code, out.stderr)
	}
	run.mu.Lock()
	windows := run.windows
	run.mu.Unlock()
	run.until("two windows more", func() bool { return run.windows >= windows+2 })
	if n := run.sessionsNow(); n != 1 {
		t.Errorf("the run was interrupted %d times", n-1)
	}
	last := run.stop()
	s.wantTimes(func(second time.Time) (due, more int) {
		if second.Before(last.End) {
			return 1 + within(second, from, to), 0
		}
		return 0, 1
	})
}
