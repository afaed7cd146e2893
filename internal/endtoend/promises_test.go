package endtoend_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/sim"
	"github.com/jmpub/jmpub/pipeline"
)

// wantWhole runs the job to its end and expects every row exactly once.
func wantWhole(t *testing.T, j *job) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := j.run(ctx, nil); err != nil {
		t.Fatalf("run: %v", err)
	}
	if ctx.Err() != nil {
		t.Fatal("the run did not come to the end of the history in time")
	}
	report := j.compare(t)
	if !report.OK() || report.Rows == 0 {
		t.Errorf("%s", report.String())
	}
}

func TestWholeHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10, func(o *sim.Options) { o.Rate, o.OddRows = 2, 0.02 })
	wantWhole(t, w.job("whole"))
}

// TestKilledAtEachStep cuts a run off at each of its exchanges with the API and with Kafka in turn, before and after it
// took place, starts it again, and expects every row exactly once.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, func(o *sim.Options) { o.Rate, o.OddRows = 1, 0.05 })
	counter := &cut{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := w.job("count").run(ctx, counter); err != nil {
		t.Fatal(err)
	}
	steps := counter.n.Load()
	t.Logf("a run has %d exchanges", steps)
	for n := int64(1); n <= steps; n++ {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d lost %t", n, lost), func(t *testing.T) {
				t.Parallel()
				j := w.job(fmt.Sprintf("kill-%d-%t", n, lost))
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := j.run(ctx, &cut{at: n, lost: lost}); err != nil && pipeline.ClassOf(err) == pipeline.Fenced {
					t.Fatalf("cut run: %v", err)
				}
				wantWhole(t, j)
			})
		}
	}
}
