package audit_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

func group(name string) pipeline.Stream {
	return pipeline.Stream{Kind: pipeline.StreamGroups, Name: name}
}

// attend calls a search when it wants to be called, until ctx is done.
func attend(ctx context.Context, search *audit.LateRows, w *world) error {
	for {
		next, err := search.Attend(ctx, w)
		if err != nil {
			return err
		}
		if err := pipeline.Sleep(ctx, time.Until(next)); err != nil {
			return err
		}
	}
}

// follow lets a run read streams window by window, while a search looks for late rows, until so much time has passed.
func follow(t *testing.T, w *world, search *audit.LateRows, d time.Duration, streams ...pipeline.Stream) {
	t.Helper()
	begin := time.Now().UTC()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- attend(ctx, search, w) }()
	for at := time.Duration(0); at < d; at += time.Minute {
		time.Sleep(time.Minute + 10*time.Second - time.Since(begin.Add(at)))
		for _, s := range streams {
			w.read(t, s, begin.Add(at), begin.Add(at+time.Minute))
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the search ended with %v", err)
	}
}

// TestAStreamThatFailsKeepsNobody searches the streams behind one that cannot be asked, tells of that, and comes back to it.
func TestAStreamThatFailsKeepsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		begin := time.Now().UTC()
		bad, good := group("1"), group("2")
		for i, s := range []pipeline.Stream{bad, good} {
			rows := fakes.RowsFrom(begin.Add(time.Second), 600)
			for j := range rows {
				rows[j].ID += int64(i) * 1_000_000
				if j%100 == 50 {
					rows[j].Late = 5 * time.Minute
				}
			}
			w.source.Of[s] = rows
		}
		var failed []string
		checked := false
		search := searching(w, 10*time.Minute)
		search.Observer = func(o pipeline.Observation) {
			retry, ok := o.(pipeline.RetryScheduled)
			if !ok || pipeline.ClassOf(retry.Err) != pipeline.Abort || retry.Wait <= 0 {
				t.Errorf("%+v", o)
			}
			failed = append(failed, retry.Op)
		}
		w.source.OpenHook = func(_ int, s pipeline.Stream, _ pipeline.Window) (pipeline.Pages, error) {
			if s != bad || time.Since(begin) > 40*time.Minute {
				return nil, nil
			}
			if time.Since(begin) > 30*time.Minute && !checked {
				checked = true
				times := w.published()
				for _, r := range w.source.Of[good] {
					if times[r.ID] != 1 {
						t.Errorf("while one fails, the row %v after the begin of the other is missing", r.At.Sub(begin))
					}
				}
			}
			return nil, &pipeline.Fault{Class: pipeline.Restart, Op: "read", Err: errors.New("no page comes")}
		}
		follow(t, w, search, time.Hour, bad, good)
		w.wantOnce(t, nil)
		if !checked || len(failed) == 0 || slices.ContainsFunc(failed, func(op string) bool { return !strings.HasSuffix(op, " of "+bad.String()) }) {
			t.Errorf("failures of %v", failed)
		}
	})
}

// TestSearchGoesOnWhereACheckpointSays continues behind the marks of the checkpoints, and asks streams that are not named after
// the longest delay alone.
func TestSearchGoesOnWhereACheckpointSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(fakes.RowsFrom(time.Now().UTC(), 3600)...)
		begin := time.Now().UTC()
		time.Sleep(time.Hour)
		w.read(t, messages(), begin, begin.Add(10*time.Minute))
		for s, marks := range map[pipeline.Stream][]pipeline.Rechecked{
			messages(): {{After: 10 * time.Minute, End: begin.Add(5 * time.Minute)}}, group("7"): nil,
			{Kind: pipeline.StreamStatistics, Name: "users"}: nil,
		} {
			w.Checkpoints[s] = pipeline.Checkpoint{AppKey: appKey, Stream: s, End: begin.Add(11 * time.Minute), Rechecked: marks}
		}
		search := searching(w, 10*time.Minute, 2*time.Hour)
		search.Named = func(s pipeline.Stream) bool { return s == messages() }
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute+time.Second)
		defer cancel()
		_ = attend(ctx, search, w)
		if len(w.asked) != 1 || !w.asked[0].Since.Equal(begin.Add(-5*time.Minute)) || !slices.Equal(w.asked[0].Streams, []pipeline.Stream{messages()}) {
			t.Errorf("ledger records that were asked for: %+v", w.asked)
		}
		want := []pipeline.Rechecked{{After: 10 * time.Minute, End: begin.Add(10 * time.Minute)}, {After: 2 * time.Hour, End: begin.Add(11*time.Minute - 2*time.Hour - 2*24*time.Minute)}}
		if got := w.Checkpoints[messages()].Rechecked; !slices.Equal(got, want) {
			t.Errorf("the checkpoint says that windows were asked up to %v, want %v", got, want)
		}
	})
}

// TestWindowsReadBeforeTheFirstRoundAreSearched lets a run read, in its first minutes, windows that ended a while before; and has it
// end before its first round and begin again an hour later. Rows that appeared after those windows had been read are found.
func TestWindowsReadBeforeTheFirstRoundAreSearched(t *testing.T) {
	for _, again := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now().UTC()
			rows := fakes.RowsFrom(begin, 1200)
			for i := range rows {
				if i%100 == 50 {
					rows[i].Late = 15 * time.Minute
				}
			}
			w := newWorld(rows...)
			time.Sleep(10 * time.Minute)
			for at := range 10 { // The history, at once.
				w.read(t, messages(), begin.Add(time.Duration(at)*time.Minute), begin.Add(time.Duration(at+1)*time.Minute))
			}
			first := searching(w, 20*time.Minute)
			if again {
				follow(t, w, first, 2*time.Minute, messages())
				time.Sleep(time.Hour)
				first = searching(w, 20*time.Minute)
			}
			follow(t, w, first, 45*time.Minute, messages())
			times := w.published()
			for _, r := range rows[:600] {
				if times[r.ID] != 1 {
					t.Errorf("again %t: the row of second %d is published %d times", again, int(r.At.Sub(begin).Seconds()), times[r.ID])
				}
			}
		})
	}
}

// TestWindowsReadByAWrongClockAreSearched reads windows while the local clock is months ahead: when they were read is not known, so
// they are asked for late rows.
func TestWindowsReadByAWrongClockAreSearched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		rows := fakes.RowsFrom(begin, 300)
		rows[150].Late = 10 * time.Minute
		w := newWorld(rows...)
		time.Sleep(6 * time.Minute)
		w.read(t, messages(), begin, begin.Add(5*time.Minute))
		w.read(t, messages(), begin.Add(5*time.Minute), begin.Add(5*time.Minute+10*time.Second))
		for i := range w.Kafka.Ledger {
			w.Kafka.Ledger[i].Started = time.Now().AddDate(0, 3, 0)
		}
		follow(t, w, searching(w, 20*time.Minute), 45*time.Minute)
		if n := w.published()[rows[150].ID]; n != 1 {
			t.Errorf("the row that was late is published %d times", n)
		}
	})
}

// TestLongWindowsKnowThoseBeforeThem: a row is late in a window that is much longer than the part of the ledger which is read for a search. What
// the window before it has published at its begin is not published again, whether the API states totals or not.
func TestLongWindowsKnowThoseBeforeThem(t *testing.T) {
	for _, noTotals := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now().UTC()
			rows := fakes.RowsFrom(begin, 7200)
			rows[5000].Late = 4 * time.Minute // Behind the end of the second window.
			rows[5000].Late += begin.Add(2 * time.Hour).Sub(rows[5000].At)
			w := newWorld(rows...)
			w.source.NoTotals = noTotals
			time.Sleep(time.Minute + 10*time.Second)
			w.read(t, messages(), begin, begin.Add(time.Minute))
			time.Sleep(time.Until(begin.Add(2*time.Hour + 10*time.Second)))
			w.read(t, messages(), begin.Add(time.Minute), begin.Add(2*time.Hour))
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
			defer cancel()
			search := searching(w, 10*time.Minute)
			go func() {
				time.Sleep(time.Minute)
				w.read(t, messages(), begin.Add(2*time.Hour), begin.Add(2*time.Hour+30*time.Second))
			}()
			_ = attend(ctx, search, w)
			w.wantOnce(t, nil)
			w.audited(t, noTotals)
		})
	}
}

// audited expects an audit of the time behind the second window's begin to find nothing.
func (w *world) audited(t *testing.T, noTotals bool) {
	t.Helper()
	a, _ := w.look(t)
	ledger := w.ledger()
	var lineage audit.Lineage
	for i := range ledger[1:] {
		lineage.Add(&ledger[1+i], audit.Place{Offset: int64(1 + i)})
	}
	a.Since = ledger[1].End.Add(-time.Hour)
	if !noTotals { // It is held against the rows then.
		a.Totals = wrongTotals{}
	}
	for _, c := range lineage.Chains(all) {
		if err := a.Check(t.Context(), &c, func(d *audit.Difference) error {
			t.Errorf("of %s, %d rows are missing", d.Window, len(d.Missing))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// wrongTotals are those of an API whose totals are never right.
type wrongTotals struct{}

func (wrongTotals) Total(context.Context, pipeline.Stream, pipeline.Window) (int64, error) {
	return 1 << 40, nil
}
