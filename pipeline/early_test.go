package pipeline_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// earlyConfig publishes rows when they are first seen.
func earlyConfig(source pipeline.Source, kafka *fakes.Kafka, begin time.Time) pipeline.Config {
	cfg := fakes.ConfigFor(source, kafka, begin)
	cfg.Early = true
	return cfg
}

// liveRows are rows, a second apart from now on, of which each tenth appears so late, still within the time in which rows settle.
func liveRows(n int, late time.Duration) []fakes.Row {
	rows := fakes.RowsFrom(time.Now().UTC().Add(500*time.Millisecond), n)
	for i := range rows {
		if i%10 == 7 {
			rows[i].Late = late
		}
	}
	return rows
}

// TestRowsArePublishedWhenTheyAreSeen follows a stream in which something happens each second: each row is published once, within a poll and
// the second that the API's bounds take, also one that appears behind those that follow it; no position moves over what has not settled, and
// what all of it takes are 60 requests a minute at most.
func TestRowsArePublishedWhenTheyAreSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const minutes = 10
		rows := liveRows(minutes*60, 3*time.Second)
		at := make(map[int64]fakes.Row)
		for _, r := range rows {
			at[r.ID] = r
		}
		source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
		source.PageSize = 100
		cfg := earlyConfig(source, kafka, time.Now().UTC().Add(-time.Minute))
		seen, early := 0, int64(0)
		cfg.Observer = func(o pipeline.Observation) {
			c, ok := o.(pipeline.WindowCommitted)
			if !ok {
				return
			}
			if settled := time.Now().Add(-source.Settle); c.Checkpoint.End.After(settled) {
				t.Errorf("the position is at %s, where only what is before %s has settled", c.Checkpoint.End, settled)
			}
			if lag := time.Since(c.Checkpoint.End); lag > source.Settle+10*time.Second && c.Ledger.Early && c.Checkpoint.End.After(rows[5].At) {
				t.Errorf("the position is %s behind what is published early", lag)
			}
			ids := kafka.IDs()
			for _, id := range ids[seen:] {
				r := at[id]
				waited := time.Since(r.At.Add(r.Late))
				if beginning := r.At.Before(rows[5].At); waited > 3*time.Second && !beginning { // The minute before is read then.
					t.Errorf("the row of %s is published %s after it has appeared", r.At, waited)
				}
			}
			seen = len(ids)
			early += c.Ledger.EarlyRows
			if l := c.Ledger; l.Published+l.Rejected != l.Rows-l.Repeated-l.Skipped-l.EarlyRows {
				t.Errorf("the ledger record does not add up: %+v", l)
			}
		}
		fakes.Run(t, cfg, minutes*time.Minute+10*time.Second)
		wantAllOnce(t, kafka, rows)
		if requests := source.Opens() + source.Looks(); requests > 60*minutes {
			t.Errorf("%d requests in %d minutes, want 60 a minute at most", requests, minutes)
		}
		if early < int64(len(rows))*9/10 {
			t.Errorf("windows found %d rows that were published early, want nearly all %d", early, len(rows))
		}
		cp := kafka.Position(fakes.Messages())
		if lag := time.Since(cp.End); lag > source.Settle+10*time.Second {
			t.Errorf("the position is %s behind", lag)
		}
		if n := len(cp.EarlyIDs); n > 20 {
			t.Errorf("the position knows %d rows that were published early, want those of the last seconds", n)
		}
	})
}

func wantAllOnce(t *testing.T, kafka *fakes.Kafka, rows []fakes.Row) {
	t.Helper()
	got, want := kafka.IDs(), fakes.IDsOf(rows)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d rows are published, %d different ones, want %d", len(got), len(slices.Compact(slices.Clone(got))), len(want))
	}
}

// TestEarlyRowsOutliveAnything ends the run every few seconds, now and then for longer, and has any call fail by chance: each row is published
// once all the same.
func TestEarlyRowsOutliveAnything(t *testing.T) {
	for _, liveFirst := range []bool{false, true} {
		for seed := range fakes.Seeds(6) {
			synctest.Test(t, func(t *testing.T) {
				dice := rand.New(rand.NewPCG(seed, 7))
				const length = 40 * time.Minute
				rows := liveRows(int(length/time.Second), 4*time.Second)
				source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
				source.PageSize = []int{4, 10, 100}[dice.IntN(3)]
				broken := rand.New(rand.NewPCG(seed, 9))
				kafka.Fail = func(_ context.Context, op string) error {
					if broken.IntN(60) > 0 {
						return nil
					}
					return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("injected")}
				}
				failing := rand.New(rand.NewPCG(seed, 8)) // Its own, because looks are made beside commits.
				source.EarlyHook = func(int) error {
					if failing.IntN(20) > 0 {
						return nil
					}
					return &pipeline.Fault{Class: pipeline.Permanent, Op: "look", Err: errors.New("injected")}
				}
				begin := time.Now().UTC()
				for time.Since(begin) < length {
					cfg := earlyConfig(source, kafka, begin)
					cfg.LiveFirst = liveFirst
					cfg.Early = dice.IntN(8) > 0
					fakes.Run(t, cfg, time.Duration(5+dice.IntN(60))*time.Second)
					if dice.IntN(5) == 0 {
						time.Sleep(time.Duration(dice.IntN(720)) * time.Second)
					}
				}
				kafka.Fail = nil
				fakes.Run(t, earlyConfig(source, kafka, begin), 3*time.Minute)
				wantAllOnce(t, kafka, rows)
				if t.Failed() {
					t.Fatalf("live first %t, seed %d", liveFirst, seed)
				}
			})
		}
	}
}

// TestQuietStreamsCostNoMore: a stream in which nothing happens commits as seldom as without looks, asks hardly more, and is known to be read.
func TestQuietStreamsCostNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, kafka := fakes.NewSource(), fakes.NewKafka()
		var head time.Time
		cfg := earlyConfig(source, kafka, time.Now().UTC())
		cfg.Observer = func(o pipeline.Observation) {
			if read, ok := o.(pipeline.HeadRead); ok {
				head = read.End
			}
		}
		fakes.Run(t, cfg, 10*time.Minute)
		if got := kafka.Transactions; got < 15 || got > 22 {
			t.Errorf("%d transactions in ten idle minutes, want about 20", got)
		}
		if requests := source.Opens() + source.Looks(); requests > 10*30+2*kafka.Transactions {
			t.Errorf("%d requests in ten minutes", requests)
		}
		if lag := time.Since(head); lag > 10*time.Second {
			t.Errorf("head is %s behind, want it to follow the clock", lag)
		}
	})
}

// TestEarlyRowsOfAPositionThatIsSet: where an operator sets a position back, what was published early comes again like all else behind it; where
// it is set ahead, or a range is published again, it is still known.
func TestEarlyRowsOfAPositionThatIsSet(t *testing.T) {
	end := time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)
	cp := pipeline.Checkpoint{Stream: fakes.Messages(), End: end, EarlyIDs: []int64{1, 2}, EarlyHashes: []int64{3, 4}}
	back, ahead := cp.ResetTo(end.Add(-time.Minute), pipeline.RowSet{}, 0), cp.ResetTo(end.Add(2*time.Second), pipeline.RowSet{}, 0)
	if len(back.EarlyIDs)+len(back.EarlyHashes) != 0 || len(ahead.EarlyIDs) != 2 || len(ahead.EarlyHashes) != 2 {
		t.Errorf("set back: %v %v, ahead: %v %v", back.EarlyIDs, back.EarlyHashes, ahead.EarlyIDs, ahead.EarlyHashes)
	}
	again := pipeline.Window{Begin: end.Add(-time.Hour), End: end.Add(-time.Minute)}
	uncovered, err := cp.Uncover(again, pipeline.RowSet{}, pipeline.RowSet{}, 0)
	if err != nil || len(uncovered.EarlyIDs) != 2 || len(uncovered.Backlog) != 1 || len(uncovered.Backlog[0].EarlyIDs) != 0 {
		t.Errorf("a range again: %+v, %v", uncovered, err)
	}
	cp.Backlog = []pipeline.Backlog{{End: again.Begin, Until: again.End.Add(-time.Second), EarlyIDs: []int64{5}, EarlyHashes: []int64{6}}}
	again.Begin = again.Begin.Add(time.Minute)
	if joined, err := cp.Uncover(again, pipeline.RowSet{}, pipeline.RowSet{}, 0); err != nil || len(joined.Backlog) != 1 || len(joined.Backlog[0].EarlyHashes) != 1 {
		t.Errorf("a range again that touches the backlog: %+v, %v", joined, err)
	}
}

// TestChainsCountEarlyRows: the windows of a time in which rows were published early add up to what the API has.
func TestChainsCountEarlyRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := liveRows(300, 3*time.Second)
		source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
		source.PageSize = 100
		fakes.Run(t, earlyConfig(source, kafka, time.Now().UTC()), 6*time.Minute)
		var lineage audit.Lineage
		records := int64(0)
		for i := range kafka.Ledger {
			if l := &kafka.Ledger[i]; l.Early {
				records++
			}
			lineage.Add(&kafka.Ledger[i], audit.Place{Offset: int64(i)})
		}
		chains := lineage.Chains(func(pipeline.Stream, pipeline.Window) bool { return true })
		if len(chains) != 1 {
			t.Fatalf("%d chains, want one", len(chains))
		}
		if got := chains[0].Rows(); got != int64(len(rows)) || records < 60 {
			t.Errorf("the chain knows %d rows of %d; %d records of early ones", got, len(rows), records)
		}
	})
}

// hanging is an API that does not answer looks.
type hanging struct{ *fakes.Source }

func (hanging) Early(ctx context.Context, _ pipeline.Stream, since time.Time) (pipeline.Window, pipeline.Page, error) {
	<-ctx.Done()
	return pipeline.Window{Begin: since, End: since}, pipeline.Page{}, ctx.Err()
}

// TestALookKeepsNoTurn: of two apps that share a single turn, one gets no answer to its looks. The other one is published all the same, and so is the
// first one, by its windows.
func TestALookKeepsNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bounds := pipeline.NewBounds(pipeline.Limits{Fetches: 1, MemoryBytes: 64 << 20, Streamed: 1, Commits: 1})
		begin := time.Now().UTC()
		rows, other := liveRows(300, 0), liveRows(300, 0)
		stuck, free := fakes.NewKafka(), fakes.NewKafka()
		apps := []pipeline.Config{
			earlyConfig(hanging{fakes.NewSource(rows...)}, stuck, begin), earlyConfig(fakes.NewSource(other...), free, begin),
		}
		ended := make(chan error)
		for i := range apps {
			apps[i].Bounds = bounds
			go func() { ended <- fakes.RunFor(t, apps[i], 6*time.Minute) }()
		}
		for range apps {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		wantAllOnce(t, stuck, rows)
		wantAllOnce(t, free, other)
	})
}
