package audit_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

func group(name string) pipeline.Stream {
	return pipeline.Stream{Kind: pipeline.StreamGroups, Name: name}
}

// follow lets a run read streams window by window, while a search looks for late rows, until so much time has passed.
func follow(t *testing.T, w *world, search *audit.LateRows, d time.Duration, streams ...pipeline.Stream) {
	t.Helper()
	search.AppKey, search.Source, search.Rows = appKey, w, &pipeline.RowReader{Source: w}
	search.Totals, search.Archive, search.Now = w, w, time.Now
	begin := time.Now().UTC()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- search.Run(ctx, w) }()
	for at := time.Duration(0); at < d; at += time.Minute {
		time.Sleep(time.Minute + 10*time.Second - time.Since(begin.Add(at)))
		for _, s := range streams {
			w.read(s, begin.Add(at), begin.Add(at+time.Minute))
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the search ended with %v", err)
	}
}

// TestLateRowsAreSearched lets rows appear sooner and later after they were read, and expects each of them once.
func TestLateRowsAreSearched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := rowsFrom(time.Now().UTC().Add(time.Second), 3600)
		late := 0
		for i := range rows {
			if i%200 == 7 && i < 3000 {
				rows[i].late = 2 * time.Minute
				if i%400 == 7 {
					rows[i].late = 20 * time.Minute
				}
				late++
			}
		}
		w := newWorld(rows...)
		search := &audit.LateRows{Delays: []time.Duration{10 * time.Minute, 30 * time.Minute}}
		follow(t, w, search, 100*time.Minute, messages())
		w.wantOnce(t, nil)
		if len(w.notices) != late {
			t.Errorf("%d notices, want %d", len(w.notices), late)
		}
		marks := w.positions[messages()].Rechecked
		for _, mark := range marks {
			if behind := time.Since(mark.End); behind < mark.After || behind > mark.After+mark.After/5+4*time.Minute {
				t.Errorf("after %v windows were asked up to %v ago", mark.After, behind)
			}
		}
		if len(marks) != 2 {
			t.Errorf("marks %v", marks)
		}
		// What was asked before is not read again.
		for _, q := range w.asked[len(w.asked)-3:] {
			if time.Since(q.Since) > time.Hour {
				t.Errorf("the ledger is read from %v ago on", time.Since(q.Since))
			}
		}
		if limit := 50 + 17 + late*40; w.requests > limit {
			t.Errorf("%d requests for totals, want at most %d", w.requests, limit)
		}
	})
}

// TestQuietHoursCostLittle counts the requests where nothing is late.
func TestQuietHoursCostLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(rowsFrom(time.Now().UTC(), 2*3600)...)
		follow(t, w, &audit.LateRows{Delays: []time.Duration{10 * time.Minute}}, 2*time.Hour, messages())
		if w.requests < 50 || w.requests > 60 {
			t.Errorf("%d requests for totals, want one each two minutes", w.requests)
		}
	})
}

// TestAStreamThatFailsKeepsNobody searches the streams behind one that cannot be asked, tells of that, and comes back to it.
func TestAStreamThatFailsKeepsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		begin := time.Now().UTC()
		bad, good := group("1"), group("2")
		for i, s := range []pipeline.Stream{bad, good} {
			rows := rowsFrom(begin.Add(time.Second), 600)
			for j := range rows {
				rows[j].id += int64(i) * 1_000_000
				if j%100 == 50 {
					rows[j].late = 5 * time.Minute
				}
			}
			w.rows[s] = rows
		}
		var failed []string
		checked := false
		search := &audit.LateRows{
			Delays: []time.Duration{10 * time.Minute},
			Observer: func(o pipeline.Observation) {
				retry, ok := o.(pipeline.RetryScheduled)
				if !ok || pipeline.ClassOf(retry.Err) != pipeline.Abort || retry.Wait <= 0 {
					t.Errorf("%+v", o)
				}
				failed = append(failed, retry.Op)
			},
		}
		w.open = func(s pipeline.Stream, _ pipeline.Window) (pipeline.Pages, error) {
			if s != bad || time.Since(begin) > 40*time.Minute {
				return nil, nil
			}
			if time.Since(begin) > 30*time.Minute && !checked {
				checked = true
				times := w.published()
				for _, r := range w.rows[good] {
					if times[r.id] != 1 {
						t.Errorf("while one fails, the row %v after the begin of the other is missing", r.at.Sub(begin))
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
		w := newWorld(rowsFrom(time.Now().UTC(), 3600)...)
		begin := time.Now().UTC()
		time.Sleep(time.Hour)
		w.read(messages(), begin, begin.Add(10*time.Minute))
		for s, marks := range map[pipeline.Stream][]pipeline.Rechecked{
			messages(): {{After: 10 * time.Minute, End: begin.Add(5 * time.Minute)}}, group("7"): nil,
			{Kind: pipeline.StreamStatistics, Name: "users"}: nil,
		} {
			w.positions[s] = pipeline.Checkpoint{AppKey: appKey, Stream: s, End: begin.Add(10 * time.Minute), Rechecked: marks}
		}
		search := &audit.LateRows{
			AppKey: appKey, Source: w, Rows: &pipeline.RowReader{Source: w}, Totals: w, Archive: w, Now: time.Now,
			Delays: []time.Duration{10 * time.Minute, 2 * time.Hour},
			Named:  func(s pipeline.Stream) bool { return s == messages() },
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute+time.Second)
		defer cancel()
		_ = search.Run(ctx, w)
		if len(w.asked) != 1 || !w.asked[0].Since.Equal(begin.Add(-5*time.Minute)) || !slices.Equal(w.asked[0].Streams, []pipeline.Stream{messages()}) {
			t.Errorf("ledger records that were asked for: %+v", w.asked)
		}
		want := []pipeline.Rechecked{{After: 10 * time.Minute, End: begin.Add(10 * time.Minute)}, {After: 2 * time.Hour, End: begin.Add(10*time.Minute - 2*time.Hour - 2*24*time.Minute)}}
		if got := w.positions[messages()].Rechecked; !slices.Equal(got, want) {
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
			rows := rowsFrom(begin, 1200)
			for i := range rows {
				if i%100 == 50 {
					rows[i].late = 15 * time.Minute
				}
			}
			w := newWorld(rows...)
			time.Sleep(10 * time.Minute)
			for at := range 10 { // The history, at once.
				w.read(messages(), begin.Add(time.Duration(at)*time.Minute), begin.Add(time.Duration(at+1)*time.Minute))
			}
			search := func() *audit.LateRows { return &audit.LateRows{Delays: []time.Duration{20 * time.Minute}} }
			first := search()
			if again {
				follow(t, w, first, 2*time.Minute, messages())
				time.Sleep(time.Hour)
				first = search()
			}
			follow(t, w, first, 45*time.Minute, messages())
			times := w.published()
			for _, r := range rows[:600] {
				if times[r.id] != 1 {
					t.Errorf("again %t: the row of second %d is published %d times", again, int(r.at.Sub(begin).Seconds()), times[r.id])
				}
			}
		})
	}
}
