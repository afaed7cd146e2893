package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// TestRetryGivesUpWhereTheErrorSaysSo fails without end, and passes in time.
func TestRetryGivesUpWhereTheErrorSaysSo(t *testing.T) {
	for _, tc := range []struct {
		within, passes time.Duration
		gives          pipeline.Class
	}{
		{10 * time.Second, time.Hour, pipeline.Abort},
		{10 * time.Second, 9 * time.Second, pipeline.Permanent}, // What comes then.
		{0, time.Hour, pipeline.Permanent},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin, asked := time.Now(), 0
			retry := pipeline.Retry{Max: time.Second}
			err := retry.Do(t.Context(), "ask", func(context.Context) error {
				const most = 5000 // Once a second, that is more than an hour.
				if asked++; time.Since(begin) >= tc.passes || asked > most {
					return &pipeline.Fault{Class: pipeline.Permanent}
				}
				return &pipeline.Fault{Class: pipeline.Transient, Op: "ask", Err: errors.New("gone"), Hint: "look", Within: tc.within}
			})
			took := time.Since(begin)
			if pipeline.ClassOf(err) != tc.gives || tc.gives == pipeline.Abort && (err.Error() != "ask: gone (look)" || took > tc.within+2*time.Second) ||
				tc.gives == pipeline.Permanent && took < tc.passes {
				t.Errorf("within %v, passes after %v: %v, which is %s, after %v", tc.within, tc.passes, err, pipeline.ClassOf(err), took)
			}
		})
	}
}

// TestRetryWaitsAsLongAsItIsAsked never asks again sooner than the other side has said, and goes on asking for as long as it takes.
func TestRetryWaitsAsLongAsItIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const after, fails = 90 * time.Second, 40 // An hour of it.
		var asked []time.Time
		retry := pipeline.Retry{Max: time.Second}
		err := retry.Do(t.Context(), "ask", func(context.Context) error {
			if asked = append(asked, time.Now()); len(asked) > fails {
				return nil
			}
			return &pipeline.Fault{Class: pipeline.Transient, Op: "ask", Err: errors.New("busy"), After: after}
		})
		if err != nil || len(asked) != fails+1 {
			t.Fatalf("asked %d times: %v", len(asked), err)
		}
		for i := range fails {
			if wait := asked[i+1].Sub(asked[i]); wait < after {
				t.Errorf("asked again after %s", wait)
			}
		}
	})
}
