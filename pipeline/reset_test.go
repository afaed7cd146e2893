package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// exclusive is the write of an operator's command.
func exclusive(kafka *fakes.Kafka) *pipeline.Exclusive {
	return &pipeline.Exclusive{Command: "reset", Sink: kafka, Checkpoints: &fakes.Store{Kafka: kafka}, Claims: kafka}
}

// setBack does what `checkpoint reset --to` does.
func setBack(t *testing.T, source *fakes.Source, kafka *fakes.Kafka, to time.Time) {
	t.Helper()
	err := exclusive(kafka).Commit(context.WithoutCancel(t.Context()), func(ctx context.Context, d *pipeline.Draft) error {
		before, err := (&pipeline.RowReader{Source: source}).RowsBefore(ctx, fakes.AppKey, fakes.Messages(), to)
		if err != nil {
			return err
		}
		cp, _ := d.Position(fakes.Messages())
		cp = cp.ResetTo(to, before, source.Overlap)
		d.SetPosition(&cp)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestResetOfAPositionWithABacklog sets the position anew while history behind it is being published: what lies before the time
// is published once, what lies behind it once more than it was.
func TestResetOfAPositionWithABacklog(t *testing.T) {
	for _, back := range []time.Duration{
		0, 30 * time.Second, 3 * time.Minute, 239 * time.Second, 240 * time.Second, 241 * time.Second, 242 * time.Second, 245 * time.Second,
		time.Hour, 23 * time.Hour, 24 * time.Hour,
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now().UTC()
			begin := start.Add(-24 * time.Hour)
			// Dense where the end of the backlog and the bounds of the reset are, and sparse before.
			rows := slices.DeleteFunc(fakes.RowsFrom(begin, 24*3600+1200), func(r fakes.Row) bool {
				return r.At.Before(start.Add(-10*time.Minute)) && r.At.Second() != 0
			})
			for i := range rows {
				switch i % 7 {
				case 3:
					rows[i].Raw = fmt.Sprintf(`{"no_msgid":%d}`, rows[i].ID)
				case 5:
					rows[i].Raw = fmt.Sprintf(`{"msgid":%d,"msgid":%d}`, rows[i].ID, rows[i].ID)
				}
			}
			source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
			source.PageSize, source.Span = 500, 5*time.Minute
			source.Latency = time.Second
			cfg := fakes.ConfigFor(source, kafka, begin)
			cfg.LiveFirst, cfg.Parallel = true, 1
			fakes.Run(t, cfg, 3*time.Minute) // The end of the backlog lies four minutes back now.
			backlog := kafka.Checkpoints[fakes.Messages()].Backlog
			if len(backlog) == 0 || !backlog[0].End.After(begin.Add(time.Hour)) {
				t.Fatalf("after three minutes the backlog is %+v", backlog)
			}
			oldest := backlog[0]
			times := make(map[int64]int)
			to := time.Now().UTC().Add(-back)
			again := make(map[int64]bool)
			for _, id := range everything(kafka) {
				again[id] = true
			}
			setBack(t, source, kafka, to)
			for _, r := range rows {
				times[r.ID] = 1
				if again[r.ID] && !r.At.Before(to) {
					times[r.ID] = 2
				}
				if back == 0 && !again[r.ID] && r.At.Before(to) && r.At.After(oldest.Until) {
					times[r.ID] = 0 // It was skipped.
				}
			}
			fakes.Run(t, cfg, 20*time.Minute)
			for _, id := range everything(kafka) {
				times[id]--
			}
			for i, r := range rows {
				if times[r.ID] != 0 {
					t.Fatalf("to %v ago: row %d, %v before the end of the backlog, was published %d times too seldom", back, i, oldest.Until.Sub(r.At), times[r.ID])
				}
			}
			if cp := kafka.Checkpoints[fakes.Messages()]; len(cp.Backlog) > 0 {
				t.Errorf("to %v ago: the backlog is there still: %+v", back, cp.Backlog)
			}
		})
	}
}

// uncover does what `checkpoint reset --from --to` does, and returns the position before it.
func uncover(t *testing.T, source *fakes.Source, kafka *fakes.Kafka, w pipeline.Window) pipeline.Checkpoint {
	t.Helper()
	var before pipeline.Checkpoint
	err := exclusive(kafka).Commit(context.WithoutCancel(t.Context()), func(ctx context.Context, d *pipeline.Draft) error {
		justBefore, err := (&pipeline.RowReader{Source: source}).RowsBefore(ctx, fakes.AppKey, fakes.Messages(), w.Begin)
		if err != nil {
			return err
		}
		upTo, err := (&pipeline.RowReader{Source: source}).RowsBefore(ctx, fakes.AppKey, fakes.Messages(), w.End.Add(time.Second))
		if err != nil {
			return err
		}
		before, _ = d.Position(fakes.Messages())
		cp, err := before.Uncover(w, justBefore, upTo, source.Overlap)
		d.SetPosition(&cp)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return before
}

// TestUncoveredRangeIsPublishedOnceMore has ranges published again, one upon the other, near the live position and near the ends of
// what is being published behind it: each row comes once, and once more for each range that had it when nothing of it was still to come.
func TestUncoveredRangeIsPublishedOnceMore(t *testing.T) {
	for seed := range fakes.Seeds(24) {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 3))
			start := time.Now().UTC()
			begin := start.Add(-3 * time.Hour)
			rows := slices.DeleteFunc(fakes.RowsFrom(begin, 3*3600+2400), func(r fakes.Row) bool {
				return r.At.Before(start.Add(-15*time.Minute)) && r.At.Second()%10 != 0
			})
			for i := range rows {
				if i%11 == 3 {
					rows[i].Raw = fmt.Sprintf(`{"msgid":%d,"msgid":%d}`, rows[i].ID, rows[i].ID)
				}
			}
			source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
			source.PageSize, source.Span = 500, 5*time.Minute
			source.Latency = time.Second
			cfg := fakes.ConfigFor(source, kafka, begin)
			cfg.LiveFirst, cfg.Parallel = seed%2 == 0, 1
			times := make(map[int64]int)
			for _, r := range rows {
				times[r.ID] = 1
			}
			for range 1 + dice.IntN(3) {
				if err := fakes.RunFor(t, cfg, 30*time.Second+time.Duration(dice.IntN(120))*time.Second); err != nil {
					t.Fatalf("seed %d: run: %v", seed, err)
				}
				published := make(map[int64]int)
				for _, id := range everything(kafka) {
					published[id]++
				}
				// Ends near what matters, and anywhere.
				cp := kafka.Position(fakes.Messages())
				near := []time.Time{cp.End, begin.Add(time.Duration(dice.IntN(3*3600)) * time.Second)}
				for _, b := range cp.Backlog {
					near = append(near, b.End, b.Until)
				}
				ends := []time.Time{
					near[dice.IntN(len(near))].Add(time.Duration(dice.IntN(9)-4) * time.Second),
					near[dice.IntN(len(near))].Add(time.Duration(dice.IntN(9)-4) * time.Second),
				}
				slices.SortFunc(ends, time.Time.Compare)
				w := pipeline.Window{Begin: ends[0], End: ends[1]}
				before := uncover(t, source, kafka, w)
				if w.End.After(before.End) {
					w.End = before.End
				}
				for _, r := range rows {
					// What is still to come is not asked for twice.
					if published[r.ID] == times[r.ID] && w.Begin.Before(w.End) && !r.At.Before(w.Begin) && !r.At.After(w.End) {
						times[r.ID]++
					}
				}
			}
			if err := fakes.RunFor(t, cfg, 45*time.Minute); err != nil {
				t.Fatalf("seed %d: run: %v", seed, err)
			}
			for _, id := range everything(kafka) {
				times[id]--
			}
			for i, r := range rows {
				if times[r.ID] != 0 {
					t.Fatalf("seed %d: row %d of %s was published %d times too seldom", seed, i, r.At, times[r.ID])
				}
			}
			if cp := kafka.Position(fakes.Messages()); len(cp.Backlog) > 0 {
				t.Errorf("seed %d: the backlog is there still: %+v", seed, cp.Backlog)
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
			rows := fakes.RowsFrom(begin, 600)
			source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
			var fenced atomic.Bool
			time.AfterFunc(time.Minute, func() { fenced.Store(true) })
			kafka.Fail = func(_ context.Context, op string) error {
				if op != "begin" || !fenced.CompareAndSwap(true, false) {
					return nil
				}
				if reset { // Its command has announced itself, and takes a while.
					kafka.Claim = pipeline.Claim{ID: "1", Command: "reset"}
					time.AfterFunc(20*time.Second, func() { // The fake is locked now.
						kafka.Mu.Lock()
						defer kafka.Mu.Unlock()
						cp := kafka.Checkpoints[fakes.Messages()]
						kafka.Checkpoints[fakes.Messages()] = cp.ResetTo(begin.Add(2*time.Minute), pipeline.NewRowSet(fakes.IDsOf(rows[110:120]), nil), time.Second)
						kafka.Claim.Done = true
					})
				}
				if !reset {
					kafka.Run = pipeline.Claim{ID: "2", Command: "process 7 on another"}
				}
				return &pipeline.Fault{Class: pipeline.Fenced, Op: op, Err: errors.New("fenced")}
			}
			err := fakes.RunFor(t, fakes.ConfigFor(source, kafka, begin), 10*time.Minute)
			if want := pipeline.Fenced; !reset {
				if got := pipeline.ClassOf(err); err == nil || got != want {
					t.Errorf("the run ended with %v, want it fenced", err)
				}
				return
			}
			if err != nil {
				t.Fatalf("run: %v", err)
			}
			published := kafka.IDs()
			again := slices.Index(published[1:], rows[120].ID) + 1
			again += slices.Index(published[again+1:], rows[120].ID) + 1
			if again <= 120 || !slices.Equal(published[:again], fakes.IDsOf(rows[:again])) || !slices.Equal(published[again:], fakes.IDsOf(rows[120:])) {
				t.Errorf("%d rows were published, from the time of the reset on from the %d. on; want all, and once more those behind it", len(published), again)
			}
		})
	}
}

// TestOverlapChanges runs, with a reset between, under overlaps that grow and shrink, as when an operator has changed the setting for one
// of the two: what the longer one brings again and the shorter one has not remembered is not published again.
func TestOverlapChanges(t *testing.T) {
	for seed := range fakes.Seeds(8) {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 4))
			begin := time.Now().UTC().Add(-10 * time.Minute)
			rows := fakes.RowsFrom(begin, 1500)
			source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
			source.PageSize = 100
			times := make(map[int64]int)
			for _, row := range rows {
				times[row.ID] = 1
			}
			run := func(long time.Duration) {
				source.Overlap, source.Span = time.Duration(1+dice.IntN(30))*time.Second, time.Duration(1+dice.IntN(20))*time.Second
				cfg := fakes.ConfigFor(source, kafka, begin)
				cfg.Overlap = source.Overlap
				fakes.Run(t, cfg, long)
			}
			run(2 * time.Minute)
			for range 5 {
				run(time.Minute)
				source.Overlap = time.Duration(1+dice.IntN(30)) * time.Second
				w := pipeline.Window{Begin: begin.Add(time.Duration(100+dice.IntN(200)) * time.Second).Truncate(time.Second)}
				w.End = w.Begin.Add(time.Duration(1+dice.IntN(60)) * time.Second)
				if dice.IntN(2) == 0 {
					uncover(t, source, kafka, w)
				} else {
					w.End = time.Now().Add(-time.Minute).UTC().Truncate(time.Second)
					w.Begin = w.End
					setBack(t, source, kafka, w.Begin)
					w.End = time.Now()
				}
				published := everything(kafka)
				for _, row := range rows {
					if slices.Contains(published, row.ID) && !row.At.Before(w.Begin) && row.At.Before(w.End.Add(time.Second)) {
						times[row.ID]++
					}
				}
			}
			run(15 * time.Minute)
			for _, id := range everything(kafka) {
				times[id]--
			}
			for _, row := range rows {
				if times[row.ID] != 0 {
					t.Fatalf("seed %d: the row of %s was published %d times too seldom", seed, row.At, times[row.ID])
				}
			}
		})
	}
}
