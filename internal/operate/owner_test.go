package operate

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/settings"
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
		o := newSeats()
		o.set([]*seat{{cfg: &settings.Config{}, owner: w.owner()}})
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
		o.take(true)
		wrong := errors.New("wrong credentials")
		w.fails <- wrong
		synctest.Wait()
		if !errors.Is(w.failed, wrong) {
			t.Errorf("the run ends with %v", w.failed)
		}
		o.take(false)
	})
}

// TestSeatsFollowTheFile expects apps that are new in a file to begin if the process has their shard, those that are gone or have changed to
// have come to their end, at the same time, and the others to go on.
func TestSeatsFollowTheFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		works := make(map[*settings.Config]*work)
		s := newSeats()
		a, b, c, d := &settings.Config{}, &settings.Config{}, &settings.Config{}, &settings.Config{}
		shard := map[*settings.Config]int{a: 0, b: 1, c: 0, d: 0}
		newSeat := func(cfg *settings.Config) *seat {
			works[cfg] = &work{}
			return &seat{cfg: cfg, shard: shard[cfg], owner: works[cfg].owner()}
		}
		change := func(apps ...*settings.Config) (int, int) {
			begun, gone := s.change(apps, newSeat)
			synctest.Wait()
			return begun, len(gone)
		}
		running := func() (list []bool) {
			for _, cfg := range []*settings.Config{a, b, c, d} {
				list = append(list, works[cfg] != nil && works[cfg].running == 1)
			}
			return list
		}
		if begun, gone := change(a, b); begun != 2 || gone != 0 || !slices.Equal(running(), []bool{false, false, false, false}) {
			t.Errorf("before the group has said anything: %d, %d, %v", begun, gone, running())
		}
		s.take([]int{0})
		synctest.Wait()
		if !slices.Equal(running(), []bool{true, false, false, false}) {
			t.Errorf("with a shard: %v", running())
		}
		if begun, gone := change(c, a, d); begun != 2 || gone != 1 || !slices.Equal(running(), []bool{true, false, true, true}) || works[a].began != 1 {
			t.Errorf("with others: %d, %d, %v", begun, gone, running())
		}
		before := time.Now()
		if begun, gone := change(b); begun != 1 || gone != 3 || !slices.Equal(running(), []bool{false, false, false, false}) {
			t.Errorf("with one of another shard: %d, %d, %v", begun, gone, running())
		}
		if took := time.Since(before); took != time.Second {
			t.Errorf("three apps took %s to end, want them to end at the same time", took)
		}
		s.take(nil)
		if begun, gone := change(a); begun != 1 || gone != 1 || works[a].running != 0 {
			t.Errorf("without a shard: %d, %d, %v", begun, gone, running())
		}
	})
}

// TestSeatsWaitForOneAnother expects the group's word to wait for apps that come to their end because the file has changed, and to count then.
func TestSeatsWaitForOneAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var old, young work
		a, b := &settings.Config{}, &settings.Config{}
		s := newSeats()
		s.set([]*seat{{cfg: a, owner: old.owner()}})
		s.take([]int{0})
		go s.change([]*settings.Config{b}, func(cfg *settings.Config) *seat { return &seat{cfg: cfg, owner: young.owner()} })
		synctest.Wait()
		began := time.Now()
		s.take(nil)
		if took := time.Since(began); took != 2*time.Second || old.running != 0 || young.began != 1 || young.running != 0 {
			t.Errorf("after %s, %d of the old app run, the new one began %d times, %d run", took, old.running, young.began, young.running)
		}
	})
}
