package pipeline_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// TestOnlyAnotherRunReplacesARun fences a run again and again, as a broker does that has forgotten whose transaction it had aborted: alone,
// behind a command that has left, and behind one that died there. The run goes on each time, and each row is there once; it
// leaves when another run says that it has the place, and names that one.
func TestOnlyAnotherRunReplacesARun(t *testing.T) {
	for _, claim := range []pipeline.Claim{{}, {ID: "1", Command: "delete", Done: true}, {ID: "1", Command: "delete"}} {
		for _, at := range []string{"begin", "publish", "commit", "open"} {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now().UTC()
				rows := fakes.RowsFrom(begin, 1100)
				source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
				const fencings = 5
				fenced := 0
				kafka.Fail = func(_ context.Context, op string) error {
					if due := time.Duration(fenced+1) * 3 * time.Minute; op != at && fenced < fencings || time.Since(begin) < due {
						return nil
					}
					kafka.Claim = claim
					if fenced++; fenced > fencings {
						kafka.Run = pipeline.Claim{ID: "2", Command: "process 7 on another"}
					}
					return &pipeline.Fault{Class: pipeline.Fenced, Op: op, Err: errors.New("another may have the id")}
				}
				err := fakes.RunFor(t, fakes.ConfigFor(source, kafka, begin), time.Hour)
				if at == "open" { // Nobody opens anything while all is well.
					if err != nil || fenced > 0 {
						t.Errorf("%+v: %d fencings: %v", claim, fenced, err)
					}
					return
				}
				if pipeline.ClassOf(err) != pipeline.Fenced || fenced != fencings+1 || !strings.Contains(err.Error(), "process 7 on another") {
					t.Errorf("%s, %+v: after %d fencings: %v, want it replaced by the last", at, claim, fenced, err)
				}
				published := kafka.IDs()
				if len(published) < 900 || !slices.Equal(published, fakes.IDsOf(rows[:len(published)])) {
					t.Errorf("%s, %+v: %d rows are published, want each of the first ones once", at, claim, len(published))
				}
			})
		}
	}
}

// TestOfRunsThatFenceEachOtherOneStays begins runs at the same moment, on networks where each says that it has the place some time after
// it fenced the others. One of them stays, and each row is there once.
func TestOfRunsThatFenceEachOtherOneStays(t *testing.T) {
	for seed := range fakes.Seeds(12) {
		synctest.Test(t, func(t *testing.T) {
			draw := rand.New(rand.NewPCG(seed, 1))
			late := make([]time.Duration, 2+draw.IntN(3))
			for i := range late {
				late[i] = time.Duration(draw.Int64N(int64(5 * time.Second)))
			}
			begin := time.Now().UTC()
			rows := fakes.RowsFrom(begin, 500)
			kafka := fakes.NewKafka()
			var all sync.WaitGroup
			var stayed atomic.Int64
			for _, late := range late {
				cfg := fakes.ConfigFor(fakes.NewSource(rows...), kafka, begin)
				writer := kafka.NewWriter()
				cfg.Sink, cfg.Checkpoints, cfg.Owners = writer, writer.Store(), lateOwner{kafka, late}
				all.Go(func() {
					switch err := fakes.RunFor(t, cfg, 10*time.Minute); {
					case err == nil:
						stayed.Add(1)
					case pipeline.ClassOf(err) != pipeline.Fenced:
						t.Error(err)
					}
				})
			}
			all.Wait()
			if stayed.Load() != 1 {
				t.Errorf("seed %d: %d of %d runs stayed", seed, stayed.Load(), len(late))
			}
			kafka.WantIDs(t, fakes.IDsOf(rows))
		})
	}
}

// lateOwner is a run's way to say that it has the place; what it says arrives late.
type lateOwner struct {
	pipeline.Owners

	late time.Duration
}

func (l lateOwner) Own(ctx context.Context, run pipeline.Claim) error {
	if err := pipeline.Sleep(ctx, l.late); err != nil {
		return err
	}
	return l.Owners.Own(ctx, run)
}

// lostWord is a run's way to say that it has the place; the answer to its first word is lost.
type lostWord struct {
	pipeline.Owners

	said *int
}

func (l lostWord) Own(ctx context.Context, run pipeline.Claim) error {
	err := l.Owners.Own(ctx, run)
	if *l.said++; *l.said == 1 {
		return &pipeline.Fault{Class: pipeline.Abort, Op: "own", Err: errors.New("no answer")}
	}
	return err
}

// TestAPredecessorsWordArrivesLate has what the run before has sent arrive when this one has the place. When this run is fenced later on, by
// nobody, it knows that word for what it is, and says once more that it has the place.
func TestAPredecessorsWordArrivesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		rows := fakes.RowsFrom(begin, 500)
		kafka := fakes.NewKafka()
		predecessor := pipeline.Claim{ID: "1", Command: "process 7"}
		kafka.Run = predecessor
		fenced := false
		kafka.Fail = func(_ context.Context, op string) error {
			if op != "commit" || fenced || time.Since(begin) < 3*time.Minute {
				return nil
			}
			fenced, kafka.Run = true, predecessor
			return &pipeline.Fault{Class: pipeline.Fenced, Op: op, Err: errors.New("another may have the id")}
		}
		cfg, said := fakes.ConfigFor(fakes.NewSource(rows...), kafka, begin), 0
		cfg.Owners = lostWord{kafka, &said}
		if err := fakes.RunFor(t, cfg, 10*time.Minute); err != nil || !fenced || said < 2 {
			t.Errorf("fenced %t, said %d times: %v", fenced, said, err)
		}
		if kafka.Run.ID == predecessor.ID {
			t.Error("the predecessor has the last word")
		}
		kafka.WantIDs(t, fakes.IDsOf(rows))
	})
}

// TestStoppedWhenItIsFenced asks a run to end at the moment in which it is fenced: it leaves as if it had not been, as it may not be replaced.
func TestStoppedWhenItIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		kafka := fakes.NewKafka()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		kafka.Fail = func(_ context.Context, op string) error {
			if op != "commit" {
				return nil
			}
			stop()
			return &pipeline.Fault{Class: pipeline.Fenced, Op: op, Err: errors.New("another may have the id")}
		}
		p, err := pipeline.New(fakes.ConfigFor(fakes.NewSource(fakes.RowsFrom(begin, 100)...), kafka, begin))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
}
