package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// TestCoverageModel reads at random over several days, in order, behind the position and again; with gaps, late rows, rows that Kafka
// cannot take and clocks that are wrong. Each commit begins at what the one before it committed, as after a restart. What is
// covered is what a model counts that knows nothing of positions.
func TestCoverageModel(t *testing.T) {
	for seed := range fakes.Seeds(6) {
		dice := rand.New(rand.NewPCG(seed, 7))
		begin := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		kafka := fakes.NewKafka()
		walk := &coverageWalk{dice: dice, kafka: kafka, model: newCoverageModel(begin, 16), stream: user("ann"), oldest: begin.Add(48 * time.Hour)}
		write := &pipeline.Exclusive{
			Command: "test", Sink: refusing{kafka}, Checkpoints: &fakes.Store{Kafka: kafka}, Claims: kafka, Coverage: kafka,
		}
		for step := range 60 {
			err := write.Commit(t.Context(), func(ctx context.Context, d *pipeline.Draft) error {
				for range 1 + dice.IntN(3) {
					if err := walk.window(ctx, d); err != nil {
						return err
					}
				}
				cp, _ := d.Position(walk.stream)
				switch dice.IntN(12) {
				case 0: // It is set back, by more than what its checkpoint has the coverage of.
					cp = cp.ResetTo(later(walk.oldest, cp.End.Add(-time.Duration(dice.IntN(40*3600))*time.Second)), pipeline.RowSet{}, time.Second)
				case 1: // A range of it is read again.
					w := pipeline.Window{End: cp.End.Add(-time.Duration(dice.IntN(30*3600)) * time.Second)}
					w.Begin = later(walk.oldest, w.End.Add(-time.Duration(1+dice.IntN(30*3600))*time.Second))
					var err error
					if cp, err = cp.Uncover(w, pipeline.RowSet{}, pipeline.RowSet{}, time.Second); err != nil {
						return err
					}
				case 2: // Some of the time is left out.
					if len(cp.Backlog) == 0 {
						cp = cp.ResetTo(cp.End.Add(time.Duration(dice.IntN(4*3600))*time.Second), pipeline.RowSet{}, time.Second)
					}
				default:
				}
				if cp.End.After(walk.oldest.Add(10 * 24 * time.Hour)) {
					cp = cp.ResetTo(walk.oldest, pipeline.RowSet{}, time.Second)
				}
				d.SetPosition(&cp)
				return nil
			})
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if step%10 == 9 {
				walk.model.compare(t, kafka, walk.stream)
			}
			for _, c := range kafka.Position(walk.stream).Coverage {
				if stored := kafka.Days[fakes.DayKey{Stream: walk.stream, Day: c.Day}]; !reflect.DeepEqual(c, stored) {
					t.Errorf("the checkpoint has %+v, the topic %+v", c, stored)
				}
			}
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		if kafka.DaysRead == 0 {
			t.Errorf("seed %d: no day came back", seed)
		}
	}
}

// TestCoverageOfARun reads some days of history, live first or in order, while commits fail and positions are set back. What is covered
// agrees with the ledger and with what stands in Kafka.
func TestCoverageOfARun(t *testing.T) {
	for seed := range fakes.Seeds(4) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now().UTC()
			begin := start.Add(-52 * time.Hour)
			rows := slices.DeleteFunc(fakes.RowsFrom(begin, 54*3600), func(r fakes.Row) bool { return r.At.Unix()%97 != 0 })
			for i := range rows {
				if i%13 == 3 {
					rows[i].Raw = `{"no_msgid":` + rows[i].At.Format("150405") + `1` + rows[i].At.Format("02") + `}`
				}
			}
			source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
			source.PageSize, source.Span = 500, 17*time.Minute
			source.Latency = time.Second
			kafka.Fail = nowAndThen(seed, kafka)
			cfg := fakes.ConfigFor(source, kafka, begin)
			cfg.LiveFirst, cfg.Parallel = seed%2 == 0, 1
			for _, back := range []time.Duration{30 * time.Hour, 20 * time.Minute, 49 * time.Hour} {
				if err := fakes.RunFor(t, cfg, 6*time.Minute); err != nil {
					t.Fatalf("seed %d: run: %v", seed, err)
				}
				kafka.Fail = nil
				setBack(t, source, kafka, start.Add(-back))
				kafka.Fail = nowAndThen(seed+10, kafka)
			}
			if err := fakes.RunFor(t, cfg, time.Hour); err != nil {
				t.Fatalf("seed %d: run: %v", seed, err)
			}
			model := newCoverageModel(pipeline.DayOf(begin), 4)
			stood := make(map[time.Time]int64)
			for i := range kafka.Ledger {
				l := &kafka.Ledger[i]
				model.moved(l)
				if l.Rejected > 0 {
					model.count(l.End.Add(-time.Nanosecond), func(h *pipeline.HourCounts) { h.Rows += l.Rejected; h.Rejected += l.Rejected })
				}
				for _, o := range l.Offsets {
					for at := o.First; at <= o.Last && o.Topic != fakes.TopicRejected; at++ {
						sent := time.UnixMilli(kafka.Committed[at].ServerTime).UTC()
						model.count(sent, func(h *pipeline.HourCounts) { h.Rows++; h.Published++ })
						stood[pipeline.DayOf(sent)] = max(stood[pipeline.DayOf(sent)], o.Last)
					}
				}
			}
			model.last = stood
			model.compare(t, kafka, fakes.Messages())
			whole := kafka.Days[fakes.DayKey{Stream: fakes.Messages(), Day: pipeline.DayOf(start.Add(-24 * time.Hour))}]
			if !whole.Whole(pipeline.Window{Begin: whole.Day, End: whole.Day.Add(24 * time.Hour)}) {
				t.Errorf("seed %d: of yesterday %v were read", seed, whole.Read)
			}
			if t.Failed() {
				t.FailNow()
			}
		})
	}
}

// TestCoverageOfAnEarlierPosition begins the coverage of a day anew with a new position, in whatever order its days come; late rows
// of a day that the position does not know go on with what an earlier one left.
func TestCoverageOfAnEarlierPosition(t *testing.T) {
	kafka := fakes.NewKafka()
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	s := user("ann")
	commit := func(fill pipeline.Fill) {
		t.Helper()
		write := &pipeline.Exclusive{Command: "test", Sink: kafka, Checkpoints: &fakes.Store{Kafka: kafka}, Claims: kafka, Coverage: kafka}
		if err := write.Commit(t.Context(), fill); err != nil {
			t.Fatal(err)
		}
	}
	// window reads an hour of a day, and publishes a row.
	window := func(day time.Time, hour int, backlog bool) {
		t.Helper()
		commit(func(ctx context.Context, d *pipeline.Draft) error {
			begin := day.Add(time.Duration(hour) * time.Hour)
			w := pipeline.Window{Begin: begin, End: begin.Add(time.Hour)}
			b := &pipeline.Batch{AppKey: fakes.AppKey, Stream: s, Window: w, Events: []event.Event{{MsgID: 1, ServerTime: begin.UnixMilli()}}}
			if err := d.Publish(ctx, b); err != nil {
				return err
			}
			next, _ := d.Position(s)
			if !backlog {
				next.End = w.End
			}
			l := pipeline.Ledger{AppKey: fakes.AppKey, Stream: s, Window: w, MovedFrom: w.Begin, MovedTo: w.End, Published: 1, Backlog: backlog}
			return d.CloseWindow(ctx, l, next)
		})
	}
	late := func(day time.Time) {
		t.Helper()
		commit(func(ctx context.Context, d *pipeline.Draft) error {
			w := pipeline.Window{Begin: day, End: day.Add(time.Hour)}
			b := &pipeline.Batch{AppKey: fakes.AppKey, Stream: s, Window: w, Events: []event.Event{{MsgID: 2, ServerTime: day.UnixMilli()}}}
			if err := d.Publish(ctx, b); err != nil {
				return err
			}
			l := pipeline.Ledger{AppKey: fakes.AppKey, Stream: s, Window: w, Published: 1, Late: true}
			return d.CloseLate(ctx, b, l, pipeline.Notice{Kind: pipeline.NoticeLateRows})
		})
	}
	sums := func(day time.Time) (published, late int64, ranges int) {
		c := kafka.Days[fakes.DayKey{Stream: s, Day: day}]
		for _, h := range c.Hours {
			published += h.Published
			late += h.Late
		}
		return published, late, len(c.Read)
	}
	want := func(what string, day time.Time, published, late int64, ranges int) {
		t.Helper()
		if p, l, r := sums(day); p != published || l != late || r != ranges {
			t.Errorf("%s: %d were published, %d of them late, %d ranges read; want %d, %d, %d", what, p, l, r, published, late, ranges)
		}
	}
	second, third := day.Add(24*time.Hour), day.Add(48*time.Hour)
	window(day, 0, false)
	window(second, 0, false)
	window(third, 0, false)
	commit(func(_ context.Context, d *pipeline.Draft) error { d.DeletePosition(s); return nil })
	late(day)
	late(day)
	want("late rows without a position", day, 3, 2, 1)
	if !kafka.Position(s).Forgotten {
		t.Error("late rows made a position")
	}
	window(third, 5, false)
	want("the day of the new position", third, 1, 0, 1)
	window(second, 5, true)
	window(second, 7, true)
	want("a day behind it", second, 2, 0, 2)
	late(day)
	want("late rows of a day that it does not know", day, 4, 3, 1)
}

// TestCoverageCannotBeRead has the whole window fail, and come once, with its sums, when it can be read again.
func TestCoverageCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now().UTC()
		begin := start.Add(-50 * time.Hour)
		rows := slices.DeleteFunc(fakes.RowsFrom(begin, 51*3600), func(r fakes.Row) bool { return r.At.Unix()%600 != 0 })
		source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
		source.Span = time.Hour
		cfg := fakes.ConfigFor(source, kafka, begin)
		fakes.Run(t, cfg, 10*time.Minute)
		setBack(t, source, kafka, begin.Add(time.Hour))
		failures := 0
		kafka.Fail = func(_ context.Context, op string) error {
			if op != "coverage" || failures == 3 {
				return nil
			}
			failures++
			return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("injected")}
		}
		fakes.Run(t, cfg, 20*time.Minute)
		published := int64(0)
		for _, c := range kafka.Days {
			for _, h := range c.Hours {
				published += h.Published
			}
		}
		if n := len(kafka.IDs()); failures != 3 || published != int64(n) || n < len(rows) {
			t.Errorf("after %d failures %d are counted, %d were published", failures, published, n)
		}
	})
}

// TestReplaysLeaveTheCoverageAlone replays an hour that is published: the coverage says of it what it said before.
func TestReplaysLeaveTheCoverageAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Truncate(time.Hour)
		rows := fakes.RowsFrom(begin, 600)
		source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
		if err := fakes.RunFor(t, fakes.ConfigFor(source, kafka, begin), time.Hour); err != nil {
			t.Fatal(err)
		}
		before := fmt.Sprintf("%+v", coverageOf(kafka))
		if len(kafka.Days) == 0 || len(kafka.IDs()) != len(rows) {
			t.Fatalf("%d rows are published, and %d days known", len(kafka.IDs()), len(kafka.Days))
		}
		again := fakes.ConfigFor(source, kafka, begin)
		again.Replay, again.Until = "again", begin.Add(10*time.Minute)
		clear(kafka.Checkpoints) // A replay has positions of its own.
		if err := fakes.RunFor(t, again, time.Hour); err != nil {
			t.Fatal(err)
		}
		if n := len(kafka.IDs()); n < len(rows)+500 {
			t.Errorf("%d rows are published after the replay", n)
		}
		if after := fmt.Sprintf("%+v", coverageOf(kafka)); after != before {
			t.Errorf("the coverage was\n%s, and is\n%s", before, after)
		}
	})
}

// coverageOf is what stands there of each day.
func coverageOf(kafka *fakes.Kafka) []pipeline.Coverage {
	var all []pipeline.Coverage
	for _, key := range slices.SortedFunc(maps.Keys(kafka.Days), func(a, b fakes.DayKey) int { return a.Day.Compare(b.Day) }) {
		all = append(all, kafka.Days[key])
	}
	return all
}
