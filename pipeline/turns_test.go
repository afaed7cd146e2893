package pipeline_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

func user(name string) pipeline.Stream {
	return pipeline.Stream{Kind: pipeline.StreamUsers, Name: name}
}

// TestTurnsAreFair lets many streams of different speed take turns, beside that of all messages.
func TestTurnsAreFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const streams = 40
		turns := pipeline.NewTurns(4, 100*time.Millisecond)
		turns.Share(streams)
		if got := turns.Sweep(); got != 4*time.Second {
			t.Errorf("a sweep is thought to take %v before anything is known, want 4s", got)
		}
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
		defer stop()
		var all sync.WaitGroup
		had := make([]int, streams)
		for i := range streams {
			all.Go(func() {
				s := user("user_" + string(rune('a'+i)))
				for turns.Take(ctx, s) == nil {
					had[i]++
					time.Sleep(time.Duration(1+i%3) * time.Second)
					turns.Give(s)
				}
			})
		}
		var longest time.Duration
		all.Go(func() {
			for ctx.Err() == nil {
				before := time.Now()
				if turns.Take(ctx, messages()) == nil {
					turns.Give(messages())
				}
				longest = max(longest, time.Since(before))
				time.Sleep(time.Second)
			}
		})
		all.Wait()
		least, most := had[0], had[0]
		for _, n := range had {
			least, most = min(least, n), max(most, n)
		}
		// Four at a time, two seconds each: twenty seconds for all.
		if least < 27 || most > 35 || longest > 0 {
			t.Errorf("from %d to %d turns, the messages waited for %v; want about thirty for each, and no waiting", least, most, longest)
		}
		if got := turns.Sweep(); got < 17*time.Second || got > 23*time.Second {
			t.Errorf("a sweep is thought to take %v, want about 20s", got)
		}
	})
}

func TestTurnsEndWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := pipeline.NewTurns(1, time.Second)
		if err := turns.Take(t.Context(), user("a")); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if err := turns.Take(ctx, user("b")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		turns.Give(user("a"))
		time.Sleep(time.Hour) // Nobody had anything to do; that is no slow turn.
		if err := turns.Take(t.Context(), user("b")); err != nil {
			t.Fatal(err)
		}
		turns.Give(user("b"))
		turns.Share(10)
		if got := turns.Sweep(); got != 10*time.Second {
			t.Errorf("a sweep is thought to take %v, want 10s", got)
		}
	})
}
