package operate

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
		var a answers
		asked := 0
		var wrong error
		ask := func(context.Context) (*fleet.Fleet, error) {
			asked++
			return &fleet.Fleet{}, wrong
		}
		find := func(times int, says error) {
			t.Helper()
			for range 3 {
				if found, err := a.find(t.Context(), ask); !errors.Is(err, says) || (found == nil) != (says != nil) || asked != times {
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
		_, err := a.find(t.Context(), func(ctx context.Context) (*fleet.Fleet, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		if err == nil || !strings.Contains(err.Error(), "within 5s") || time.Since(began) != askTime {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// TestAnAnswerIsBounded: the first apps are told, which are those that matter most, and how many are left out.
func TestAnAnswerIsBounded(t *testing.T) {
	for apps, left := range map[int]int{maxAnswer: 0, maxAnswer + 7: 7} {
		var a answers
		found, err := a.find(t.Context(), func(context.Context) (*fleet.Fleet, error) {
			return &fleet.Fleet{Apps: make([]fleet.App, apps)}, nil
		})
		if err != nil || len(found.Apps) != maxAnswer || found.LeftOut != left {
			t.Errorf("of %d apps %d are told, and %d left out; %v", apps, len(found.Apps), found.LeftOut, err)
		}
	}
}
