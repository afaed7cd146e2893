package audit_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// searching is a search for late rows in a world.
func searching(w *world, delays ...time.Duration) *audit.LateRows {
	return &audit.LateRows{
		AppKey: appKey, Source: w.source, Rows: &pipeline.RowReader{Source: w.source}, Totals: w.source, Archive: w, Delays: delays,
		Now: time.Now,
	}
}

// TestLateRowsArePublishedOnce lets rows appear after their time was read, some sooner, some later, while
// sessions fail now and then. Where none fails, the checkpoint says up to where windows were asked, and what was asked is not read
// again.
func TestLateRowsArePublishedOnce(t *testing.T) {
	for _, failing := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(3, 4))
			begin := time.Now().UTC()
			rows := fakes.RowsFrom(begin, 3000)
			late := 0
			for i := range rows {
				if i%200 != 7 {
					continue
				}
				rows[i].Late = 2 * time.Minute // Within the first delay.
				if i%400 == 7 {
					rows[i].Late = 20 * time.Minute // Within the second.
				}
				late++
			}
			w := newWorld(rows...)
			source, kafka := w.source, w.Kafka
			if failing {
				kafka.Fail = func(_ context.Context, op string) error {
					if dice.IntN(200) > 0 || op == "open" || op == "load" {
						return nil
					}
					return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("injected")}
				}
			}
			cfg := fakes.ConfigFor(source, kafka, begin)
			cfg.Attendants = []pipeline.Attendant{searching(w, 10*time.Minute, 30*time.Minute)}
			fakes.Run(t, cfg, 100*time.Minute)
			got, want := kafka.IDs(), fakes.IDsOf(rows)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("failing %t: %d events, want %d", failing, len(got), len(want))
			}
			marked, noticed := int64(0), int64(0)
			for i := range kafka.Ledger {
				if l := &kafka.Ledger[i]; l.Late {
					marked += l.Published
				}
			}
			for i := range kafka.Notices {
				if n := &kafka.Notices[i]; n.Kind == pipeline.NoticeLateRows {
					noticed += n.Rows
				}
			}
			if marked != int64(late) || noticed != marked {
				t.Errorf("failing %t: %d late rows in the ledger, %d in notices, want %d", failing, marked, noticed, late)
			}
			if counts := kafka.Position(messages()).Counts; counts.Published != int64(len(rows)) {
				t.Errorf("failing %t: %d are counted, want %d", failing, counts.Published, len(rows))
			}
			// Steps of 2 and of 6 minutes, and a few halvings for each late row.
			if limit := 50 + 17 + late*40; source.TotalsAsked() > limit {
				t.Errorf("failing %t: %d requests for totals, want at most %d", failing, source.TotalsAsked(), limit)
			}
			if failing {
				return
			}
			if len(kafka.Notices) != late {
				t.Errorf("%d notices, want %d", len(kafka.Notices), late)
			}
			marks := kafka.Position(messages()).Rechecked
			for _, mark := range marks {
				if behind := time.Since(mark.End); behind < mark.After || behind > mark.After+mark.After/5+4*time.Minute {
					t.Errorf("after %v windows were asked up to %v ago", mark.After, behind)
				}
			}
			if len(marks) != 2 {
				t.Errorf("marks %v", marks)
			}
			for _, q := range w.asked[len(w.asked)-3:] {
				if time.Since(q.Since) > time.Hour {
					t.Errorf("the ledger is read from %v ago on", time.Since(q.Since))
				}
			}
		})
	}
}

// slow takes a while to take the writer's place, and over each commit, so that others come in between.
type slow struct{ pipeline.Sink }

type slowCommit struct{ pipeline.Transaction }

func (s slow) Open(ctx context.Context) error {
	if err := pipeline.Sleep(ctx, 5*time.Second); err != nil {
		return err
	}
	return s.Sink.Open(ctx)
}

func (s slow) Begin(ctx context.Context) (pipeline.Transaction, error) {
	tx, err := s.Sink.Begin(ctx)
	return slowCommit{tx}, err
}

func (t slowCommit) Commit(ctx context.Context) error {
	if err := pipeline.Sleep(ctx, time.Second); err != nil {
		return err
	}
	return t.Transaction.Commit(ctx)
}

// TestRepairsAtOnce has three audits find the same rows missing and repair them at the same moment, beside a run that has just begun
// to search for them by itself: each row is published once, and the run goes on.
func TestRepairsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		rows := fakes.RowsFrom(begin, 3000)
		for i := range rows {
			if i < 900 && i%50 == 27 {
				rows[i].Late = 20 * time.Minute
			}
		}
		w := newWorld(rows...)
		source, kafka := w.source, w.Kafka
		writer := kafka.NewWriter()
		cfg := fakes.ConfigFor(source, kafka, begin)
		cfg.Sink, cfg.Checkpoints = slow{writer}, writer.Store()
		search := searching(w, 30*time.Minute)
		cfg.Attendants = []pipeline.Attendant{search}
		// The run searches in its round of the 36th minute what has ended by the sixth, and in the later ones what came after that. The
		// audits have looked before; they publish at the moment of that round.
		var repairs sync.WaitGroup
		var repaired atomic.Int64
		for range 3 {
			repairs.Go(func() {
				time.Sleep(35 * time.Minute)
				found := w.find(t)
				if len(missingIDs(found)) != 18 {
					t.Errorf("an audit finds %d rows missing, want 18", len(missingIDs(found)))
				}
				time.Sleep(time.Until(begin.Add(36 * time.Minute)))
				repaired.Add(w.repair(t, found, func(s pipeline.Sink) pipeline.Sink { return slow{s} }))
			})
		}
		fakes.Run(t, cfg, 80*time.Minute)
		repairs.Wait()
		got, want := kafka.IDs(), fakes.IDsOf(rows)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%d events, want %d", len(got), len(want))
		}
		if n := repaired.Load(); n == 0 || n > 18 {
			t.Errorf("the audits say that they repaired %d rows, of 18", n)
		}
	})
}

// TestSearchCostsLittleWhereNothingIsLate counts the requests of quiet hours.
func TestSearchCostsLittleWhereNothingIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		w := newWorld(fakes.RowsFrom(begin, 2*3600)...)
		source, kafka := w.source, w.Kafka
		cfg := fakes.ConfigFor(source, kafka, begin)
		cfg.Attendants = []pipeline.Attendant{searching(w, 10*time.Minute)}
		fakes.Run(t, cfg, 2*time.Hour)
		if n := source.TotalsAsked(); n < 50 || n > 60 {
			t.Errorf("%d requests for totals, want one each two minutes", n)
		}
	})
}

// TestSearchCostsLittleWithoutTotals reads quiet hours once more where the API does not say how many rows they hold, and not window by
// window.
func TestSearchCostsLittleWithoutTotals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		w := newWorld(fakes.RowsFrom(begin, 2*3600)...)
		w.source.NoTotals = true
		cfg := fakes.ConfigFor(w.source, w.Kafka, begin)
		cfg.Attendants = []pipeline.Attendant{searching(w, 10*time.Minute)}
		fakes.Run(t, cfg, 2*time.Hour)
		windows := len(w.ledger())
		if n := w.source.Opens() - windows; n < 50 || n > 120 {
			t.Errorf("%d of %d windows were read once more, want a range each two minutes", n, windows)
		}
	})
}

// setBack does what `checkpoint reset` does.
func setBack(t *testing.T, source *fakes.Source, kafka *fakes.Kafka, to time.Time) {
	t.Helper()
	before, err := (&pipeline.RowReader{Source: source}).RowsBefore(context.WithoutCancel(t.Context()), fakes.AppKey, messages(), to)
	if err != nil {
		t.Fatal(err)
	}
	cp := kafka.Checkpoints[messages()]
	kafka.Checkpoints[messages()] = cp.ResetTo(to, before, time.Second)
}

// TestAuditAfterLiveFirstFindsNothing holds a history that was read at two places, then set back, then uncovered in the middle,
// against the API; and finds exactly the row that appeared afterwards.
func TestAuditAfterLiveFirstFindsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-3 * time.Hour)
		rows := fakes.RowsFrom(begin, 3*3600+300)
		rows[5000].Late = 24 * time.Hour
		w := newWorld(rows...)
		source, kafka := w.source, w.Kafka
		source.PageSize, source.Span = 500, 10*time.Minute
		cfg := fakes.ConfigFor(source, kafka, begin)
		cfg.LiveFirst = true
		fakes.Run(t, cfg, 20*time.Minute)
		setBack(t, source, kafka, begin.Add(90*time.Minute))
		fakes.Run(t, cfg, 10*time.Minute)
		again := pipeline.Window{Begin: begin.Add(33 * time.Minute), End: begin.Add(71 * time.Minute)}
		reader := &pipeline.RowReader{Source: source}
		before, err := reader.RowsBefore(t.Context(), fakes.AppKey, messages(), again.Begin)
		upTo, failed := reader.RowsBefore(t.Context(), fakes.AppKey, messages(), again.End.Add(time.Second))
		cp := kafka.Position(messages())
		next, refused := cp.Uncover(again, before, upTo, time.Second)
		if err = errors.Join(err, failed, refused); err != nil {
			t.Fatal(err)
		}
		kafka.Checkpoints[messages()] = next
		fakes.Run(t, cfg, 10*time.Minute)
		if left := kafka.Position(messages()).Backlog; len(left) > 0 {
			t.Fatalf("the range is not read yet: %+v", left)
		}
		compare := func() (missing []int64) {
			a, chains := w.look(t)
			a.Step = time.Hour
			for _, c := range chains {
				err := a.Check(t.Context(), &c, func(d *audit.Difference) error {
					if d.Extra != 0 || d.Deleted != 0 {
						t.Errorf("%+v", d)
					}
					for _, m := range d.Missing {
						missing = append(missing, m.MsgID)
					}
					return w.Commit(t.Context(), func(ctx context.Context, draft *pipeline.Draft) error {
						_, err := d.Publish(ctx, w, draft, time.Now())
						return err
					})
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			return missing
		}
		if missing := compare(); len(missing) > 0 {
			t.Errorf("%d rows are missing before one appears", len(missing))
		}
		time.Sleep(24 * time.Hour)
		if missing := compare(); !slices.Equal(missing, []int64{rows[5000].ID}) {
			t.Errorf("missing: %v, want %d", missing, rows[5000].ID)
		}
		if missing := compare(); len(missing) > 0 {
			t.Errorf("missing after the repair: %v", missing)
		}
	})
}

// TestAuditOfAPartKnowsWhatLiesBeforeIt finds, wherever an audit begins, the rows that are missing and none that the window
// before the first one has published, although windows overlap.
func TestAuditOfAPartKnowsWhatLiesBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-10 * time.Minute)
		rows := fakes.RowsFrom(begin, 590)
		var late []int64
		for i := range rows {
			if i%60 == 30 { // One in each window.
				rows[i].Late = time.Hour
				late = append(late, rows[i].ID)
			}
		}
		w := newWorld(rows...)
		source, kafka := w.source, w.Kafka
		fakes.Run(t, fakes.ConfigFor(source, kafka, begin), 2*time.Minute)
		time.Sleep(2 * time.Hour)
		if _, chains := w.look(t); len(chains) != 1 || chains[0].Len() < 10 {
			t.Fatalf("there are %d chains", len(chains))
		}
		for i, first := range kafka.Ledger {
			a, _ := w.look(t)
			var lineage audit.Lineage
			for j := range kafka.Ledger {
				lineage.Add(&kafka.Ledger[j], audit.Place{Offset: int64(j)})
			}
			parts := lineage.Chains(func(_ pipeline.Stream, w pipeline.Window) bool { return !w.Begin.Before(first.Begin) })
			if len(parts) != 1 || parts[0].Len() != len(kafka.Ledger)-i {
				t.Fatalf("from window %d on there are %d chains", i, len(parts))
			}
			var missing, want []int64
			err := a.Check(t.Context(), &parts[0], func(d *audit.Difference) error {
				for _, m := range d.Missing {
					missing = append(missing, m.MsgID)
				}
				return nil
			})
			for _, r := range rows {
				if slices.Contains(late, r.ID) && !r.At.Before(first.Begin) {
					want = append(want, r.ID)
				}
			}
			if err != nil || !slices.Equal(missing, want) {
				t.Errorf("from %s on, %v are missing, want %v; %v", first.Begin, missing, want, err)
			}
		}
	})
}
