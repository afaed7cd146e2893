package pipeline

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func userStream(name string) Stream {
	return Stream{Kind: StreamUsers, Name: name}
}

// TestSlotsAreFair lets many streams of different speed take slots, next to that of all messages.
func TestSlotsAreFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const streams = 40
		slots := newFetchSlots(4, 100*time.Millisecond, NewBounds(Limits{Fetches: 1000}))
		if got := slots.sweep(streams); got != 4*time.Second {
			t.Errorf("a sweep is thought to take %v before anything is known, want 4s", got)
		}
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
		defer stop()
		var all sync.WaitGroup
		had := make([]int, streams)
		for i := range streams {
			all.Go(func() {
				s := userStream("user_" + string(rune('a'+i)))
				for {
					slot, err := slots.take(ctx, s, false)
					if err != nil {
						return
					}
					had[i]++
					time.Sleep(time.Duration(1+i%3) * time.Second)
					slot.giveBack()
				}
			})
		}
		var longest time.Duration
		all.Go(func() {
			for ctx.Err() == nil {
				before := time.Now()
				if slot, err := slots.take(ctx, Stream{Kind: StreamMessages}, false); err == nil {
					slot.giveBack()
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
			t.Errorf("from %d to %d slots, the messages waited for %v; want about thirty for each, and no waiting", least, most, longest)
		}
		if got := slots.sweep(streams); got < 17*time.Second || got > 23*time.Second {
			t.Errorf("a sweep is thought to take %v, want about 20s", got)
		}
	})
}

func TestSlotsEndWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := newFetchSlots(1, time.Second, NewBounds(Limits{Fetches: 1000}))
		slot, err := slots.take(t.Context(), userStream("a"), false)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err = slots.take(ctx, userStream("b"), false); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		slot.giveBack()
		time.Sleep(time.Hour) // Nobody had anything to do; that is no slow slot.
		if slot, err = slots.take(t.Context(), userStream("b"), false); err != nil {
			t.Fatal(err)
		}
		slot.giveBack()

		if got := slots.sweep(10); got != 10*time.Second {
			t.Errorf("a sweep is thought to take %v, want 10s", got)
		}
	})
}
