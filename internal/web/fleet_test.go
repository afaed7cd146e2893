package web

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/fleet"
)

// TestWhoAsksOftenIsToldTheSame for three seconds, also what went wrong, and nobody waits for longer than Kafka is waited for.
func TestWhoAsksOftenIsToldTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		var wrong error
		a := fleets{ask: func(context.Context) (*fleet.Fleet, error) {
			asked++
			return &fleet.Fleet{}, wrong
		}}
		find := func(times int, says error) {
			t.Helper()
			for range 3 {
				if found, err := a.get(t.Context()); !errors.Is(err, says) || (found == nil) != (says != nil) || asked != times {
					t.Errorf("%v, %v; it was asked %d times, want %d", found, err, asked, times)
				}
			}
		}
		find(1, nil)
		time.Sleep(answerAge - time.Nanosecond)
		find(1, nil)
		wrong = errors.New("Kafka is away")
		time.Sleep(time.Nanosecond)
		find(2, wrong)
		time.Sleep(answerAge)
		began := time.Now()
		a.ask = func(ctx context.Context) (*fleet.Fleet, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		_, err := a.get(t.Context())
		if err == nil || !strings.Contains(err.Error(), "within 5s") || time.Since(began) != askTime {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// TestAnAnswerIsBounded: the first apps are told, which are those that matter most, and how many are left out.
func TestAnAnswerIsBounded(t *testing.T) {
	for apps, left := range map[int]int{maxApps: 0, maxApps + 7: 7} {
		a := fleets{ask: func(context.Context) (*fleet.Fleet, error) {
			return &fleet.Fleet{Apps: make([]fleet.App, apps)}, nil
		}}
		found, err := a.get(t.Context())
		if err != nil || len(found.Apps) != maxApps || found.LeftOut != left {
			t.Errorf("of %d apps %d are told, and %d left out; %v", apps, len(found.Apps), found.LeftOut, err)
		}
	}
}
