package operate

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// work is what an owner begins and ends.
type work struct {
	began, running int
	roles          []bool
	failed         error
	fails          chan error
}

func (w *work) owner() *owner {
	w.fails = make(chan error)
	return &owner{
		publish: func(ctx context.Context) error {
			w.began++
			w.running++
			defer func() { w.running-- }()
			select {
			case err := <-w.fails:
				return err
			case <-ctx.Done():
				time.Sleep(time.Second) // A window is being committed.
				return nil
			}
		},
		fail:    func(err error) { w.failed = err },
		standBy: func(is bool) { w.roles = append(w.roles, is) },
	}
}

// TestOwnerFollowsTheGroup expects a process to publish while it has the app's shard, without a break where it keeps it, and to have come to its
// end when it has let go.
func TestOwnerFollowsTheGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w work
		o := w.owner()
		for _, step := range []struct {
			shards         []int
			began, running int
			roles          []bool
		}{
			{nil, 0, 0, []bool{true}},
			{nil, 0, 0, []bool{true}},
			{[]int{3}, 0, 0, []bool{true}},
			{[]int{0, 3}, 1, 1, []bool{true, false}},
			{[]int{0}, 1, 1, []bool{true, false}},
			{nil, 1, 0, []bool{true, false, true}},
			{[]int{0}, 2, 1, []bool{true, false, true, false}},
			{nil, 2, 0, []bool{true, false, true, false, true}},
		} {
			before := w.running
			began := time.Now()
			o.take(step.shards)
			if waited := time.Since(began); (waited > 0) != (before > step.running) {
				t.Errorf("%v: it took %s", step.shards, waited)
			}
			synctest.Wait()
			if w.began != step.began || w.running != step.running || !slices.Equal(w.roles, step.roles) {
				t.Errorf("%v: began %d, running %d, stood by %v; want %+v", step.shards, w.began, w.running, w.roles, step)
			}
		}
		if w.failed != nil {
			t.Error(w.failed)
		}
	})
}

// TestOwnerThatFailsEndsTheRun expects what ends publishing for good to end the process's run.
func TestOwnerThatFailsEndsTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w work
		o := w.owner()
		o.take([]int{0})
		wrong := errors.New("wrong credentials")
		w.fails <- wrong
		synctest.Wait()
		if !errors.Is(w.failed, wrong) {
			t.Errorf("the run ends with %v", w.failed)
		}
		o.take(nil)
	})
}
