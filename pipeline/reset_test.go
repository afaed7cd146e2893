package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// setBack does what `checkpoint reset` does.
func setBack(t *testing.T, source *fakeSource, kafka *fakeKafka, to time.Time) {
	t.Helper()
	ids, hashes, err := pipeline.IDsBefore(context.WithoutCancel(t.Context()), source, appKey, messages(), to)
	if err != nil {
		t.Fatal(err)
	}
	cp := kafka.checkpoints[messages()]
	kafka.checkpoints[messages()] = cp.ResetTo(to, ids, hashes)
}

// TestResetOfAPositionWithAPast sets the position anew while history behind it is being published: what lies before the time
// is published once, what lies behind it once more than it was.
func TestResetOfAPositionWithAPast(t *testing.T) {
	for _, back := range []time.Duration{
		0, 30 * time.Second, 3 * time.Minute, 239 * time.Second, 240 * time.Second, 241 * time.Second, 242 * time.Second, 245 * time.Second,
		time.Hour, 23 * time.Hour, 24 * time.Hour,
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now().UTC()
			begin := start.Add(-24 * time.Hour)
			// Dense where the joint and the edges of the reset are, and sparse before.
			rows := slices.DeleteFunc(rowsFrom(begin, 24*3600+1200), func(r fakeRow) bool {
				return r.at.Before(start.Add(-10*time.Minute)) && r.at.Second() != 0
			})
			for i := range rows {
				switch i % 7 {
				case 3:
					rows[i].raw = fmt.Sprintf(`{"no_msgid":%d}`, rows[i].id)
				case 5:
					rows[i].raw = fmt.Sprintf(`{"msgid":%d,"msgid":%d}`, rows[i].id, rows[i].id)
				}
			}
			source, kafka := newFakeSource(rows...), newFakeKafka()
			source.pageSize, source.span = 500, 5*time.Minute
			source.open = func(int, pipeline.Stream, pipeline.Window) (pipeline.Pages, error) {
				time.Sleep(time.Second)
				return nil, nil
			}
			cfg := configFor(source, kafka, begin)
			cfg.LiveFirst, cfg.Parallel = true, 1
			if err := runFor(t, cfg, 3*time.Minute); err != nil { // The joint lies four minutes back now.
				t.Fatalf("run: %v", err)
			}
			past := kafka.checkpoints[messages()].Past
			if past == nil || !past.End.After(begin.Add(time.Hour)) {
				t.Fatalf("after three minutes the past is %+v", past)
			}
			times := make(map[int64]int)
			to := time.Now().UTC().Add(-back)
			again := make(map[int64]bool)
			for _, id := range everything(kafka) {
				again[id] = true
			}
			setBack(t, source, kafka, to)
			for _, r := range rows {
				times[r.id] = 1
				if again[r.id] && !r.at.Before(to) {
					times[r.id] = 2
				}
				if back == 0 && !again[r.id] && r.at.Before(to) && r.at.After(past.Until) {
					times[r.id] = 0 // It was skipped.
				}
			}
			if err := runFor(t, cfg, 20*time.Minute); err != nil {
				t.Fatalf("run: %v", err)
			}
			for _, id := range everything(kafka) {
				times[id]--
			}
			for i, r := range rows {
				if times[r.id] != 0 {
					t.Fatalf("to %v ago: row %d, %v before the joint, was published %d times too seldom", back, i, past.Until.Sub(r.at), times[r.id])
				}
			}
			if cp := kafka.checkpoints[messages()]; cp.Past != nil {
				t.Errorf("to %v ago: the past is there still: %+v", back, cp.Past)
			}
		})
	}
}

// TestFencedByAResetThatIsBeingWritten goes on from the reset's position although it is not there yet when the run is fenced;
// fenced by a run that takes its place, it leaves.
func TestFencedByAResetThatIsBeingWritten(t *testing.T) {
	for _, reset := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now().UTC().Add(-5 * time.Minute)
			rows := rowsFrom(begin, 600)
			source, kafka := newFakeSource(rows...), newFakeKafka()
			var fenced atomic.Bool
			time.AfterFunc(time.Minute, func() { fenced.Store(true) })
			kafka.fail = func(_ context.Context, op string) error {
				if op != "begin" || !fenced.CompareAndSwap(true, false) {
					return nil
				}
				if reset {
					time.AfterFunc(2*time.Second, func() { // The fake is locked now.
						kafka.mu.Lock()
						defer kafka.mu.Unlock()
						cp := kafka.checkpoints[messages()]
						cp = cp.ResetTo(begin.Add(2*time.Minute), idsOf(rows[110:120]), nil)
						cp.Reset = "reset-1"
						kafka.checkpoints[messages()] = cp
					})
				}
				return &pipeline.Fault{Class: pipeline.Fenced, Op: op, Err: errors.New("fenced")}
			}
			err := runFor(t, configFor(source, kafka, begin), 10*time.Minute)
			if want := pipeline.Fenced; !reset {
				if got := pipeline.ClassOf(err); err == nil || got != want {
					t.Errorf("the run ended with %v, want it fenced", err)
				}
				return
			}
			if err != nil {
				t.Fatalf("run: %v", err)
			}
			published := kafka.ids()
			again := slices.Index(published[1:], rows[120].id) + 1
			again += slices.Index(published[again+1:], rows[120].id) + 1
			if again <= 120 || !slices.Equal(published[:again], idsOf(rows[:again])) || !slices.Equal(published[again:], idsOf(rows[120:])) {
				t.Errorf("%d rows were published, from the time of the reset on from the %d. on; want all, and once more those behind it", len(published), again)
			}
		})
	}
}

// TestAForgottenPositionExcusesOneFencing goes on after a position was deleted from outside, and leaves when it is replaced later.
func TestAForgottenPositionExcusesOneFencing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		source, kafka := newFakeSource(rowsFrom(begin, 1200)...), newFakeKafka()
		other := pipeline.Stream{Kind: pipeline.StreamGroups, Name: "7"}
		kafka.checkpoints[other] = pipeline.Checkpoint{AppKey: appKey, Stream: other, End: begin}
		fencings := 0
		kafka.fail = func(_ context.Context, op string) error {
			if op != "begin" || time.Since(begin) < time.Duration(fencings+1)*4*time.Minute {
				return nil
			}
			fencings++
			delete(kafka.checkpoints, other)
			return &pipeline.Fault{Class: pipeline.Fenced, Op: op, Err: errors.New("another has the id")}
		}
		err := runFor(t, configFor(source, kafka, begin), 20*time.Minute)
		if pipeline.ClassOf(err) != pipeline.Fenced || fencings != 2 {
			t.Errorf("after %d fencings: %v, want it fenced by the second", fencings, err)
		}
	})
}
