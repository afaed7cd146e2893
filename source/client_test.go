package source

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// TestForgottenStreamsLeaveNothing plans windows of streams that come and go, and then of one that came back: it has lost its
// place in the poll interval, and nothing else.
func TestForgottenStreamsLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(&script{answers: []answer{page(0, "")}})
		cfg.Rate.Requests = maxRequests // No request waits for the quota.
		c := newTestClient(t, cfg)
		plan := func(s pipeline.Stream) time.Duration {
			t.Helper()
			before := time.Now()
			now, err := c.Now(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			p, err := c.Plan(t.Context(), s, pipeline.Position{End: now.Add(-time.Minute), Span: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			waited := time.Since(before)
			if _, err = readAll(t.Context(), c, s, p.Window); err != nil {
				t.Fatal(err)
			}
			return waited
		}
		for i := range 1000 {
			s := pipeline.Stream{Kind: pipeline.StreamGroups, Name: strconv.Itoa(i)}
			plan(s)
			c.Forget(s)
		}
		if len(c.streams) > 0 {
			t.Errorf("%d streams are still known", len(c.streams))
		}
		back := pipeline.Stream{Kind: pipeline.StreamGroups, Name: "7"}
		c.Forget(back) // Also one that is not known.
		if waited := plan(back); waited > 0 {
			t.Errorf("a stream that came back waited %v", waited)
		}
		if waited := plan(back); waited != c.cfg.Poll {
			t.Errorf("its second window at the head came after %v, want %v", waited, c.cfg.Poll)
		}
	})
}
