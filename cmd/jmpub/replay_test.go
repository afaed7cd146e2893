//go:build integration

package main

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestRelativeReplayIsFixedOnce gives the same command with relative times again and again, interrupted each time, until it is
// complete: it is one replay, of the time that it began with, and each row of that is there once. Given once more it asks, and is refused
// where nobody answers; with a yes, and later, it is another replay.
func TestRelativeReplayIsFixedOnce(t *testing.T) {
	s := newStation(t)
	args := []string{"replay", "--from", "20m", "--to", "2m"}
	setEnv(t, s.env)
	resumed := 0
	for allowed := int64(12); ; allowed += 4 { // More each time, until a window is through and another one begun.
		var out, said journal
		ctx, cancel := context.WithCancel(t.Context())
		var left atomic.Int64
		left.Store(allowed)
		tell := func() {
			if left.Add(-1) < 0 {
				cancel()
			}
		}
		s.asked.Store(&tell)
		code := execute(ctx, args, &out, &said)
		cancel()
		if strings.Contains(said.String(), "goes on, with the times that it had") {
			resumed++
		}
		if code == exitDone {
			break
		}
		if code != exitInterrupted || allowed > 400 {
			t.Fatalf("exit code %d: %s", code, said.String())
		}
		time.Sleep(time.Second) // Real time has to pass, so that the times are others.
	}
	quiet := func() {}
	s.asked.Store(&quiet)
	ids := s.replays()
	if len(ids) != 1 || resumed == 0 {
		t.Fatalf("there are the replays %v, gone on with %d times", ids, resumed)
	}
	for id := range ids {
		parts := strings.Split(id, "-")
		begin, err := time.Parse("20060102T150405Z", parts[0])
		if err != nil {
			t.Fatal(err)
		}
		s.compare("jmessage", s.truth(false, [2]time.Time{begin, begin.Add(18 * time.Minute)}))
	}
	if again := try(t, s.env, args...); again.code != exitFailed || !strings.Contains(again.stderr, "--id") {
		t.Errorf("given once more: exit code %d: %s", again.code, again.stderr)
	}
	if again := try(t, s.env, append(args, "--yes")...); again.code != exitDone || len(s.replays()) != 2 {
		t.Errorf("given once more with --yes: exit code %d: %s", again.code, again.stderr)
	}

	short := []string{"replay", "--from", "5m", "--to", "4m58s", "--to-topic-prefix", "short"}
	s.env = with(s.env, "JMPUB_TOPIC_PREFIX", "short")
	for i := range 2 {
		if got := try(t, s.env, short...); got.code != exitDone {
			t.Errorf("exit code %d: %s", got.code, got.stderr)
		}
		if got := len(s.replays()); got != i+1 {
			t.Errorf("there are %d replays, want %d", got, i+1)
		}
		time.Sleep(2 * time.Second) // As above.
	}
	named := []string{"replay", "--from", "5m", "--to", "4m", "--id", "named"}
	if got := try(t, s.env, named...); got.code != exitDone {
		t.Errorf("with a name: exit code %d: %s", got.code, got.stderr)
	}
	if got := try(t, s.env, named...); got.code != exitUsage || !strings.Contains(got.stderr, "another range each time") {
		t.Errorf("with the same name: exit code %d: %s", got.code, got.stderr)
	}
}
