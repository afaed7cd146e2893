package audit_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
	"github.com/jmpub/jmpub/pipeline/event"
)

func missingIDs(all []*audit.Difference) []int64 {
	var ids []int64
	for _, d := range all {
		for _, m := range d.Missing {
			ids = append(ids, m.MsgID)
		}
	}
	return ids
}

func repair(t *testing.T, w *world, d *audit.Difference) int64 {
	t.Helper()
	var rows int64
	err := w.Commit(t.Context(), func(ctx context.Context, draft *pipeline.Draft) (err error) {
		rows, err = d.Publish(ctx, w, draft, time.Now())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestAuditFindsWhatIsLate finds exactly the rows that appeared after their windows were read, publishes them, and finds nothing
// then; also where a range in the middle was read again.
func TestAuditFindsWhatIsLate(t *testing.T) {
	for _, test := range []struct{ again, noTotals bool }{{}, {again: true}, {noTotals: true}, {true, true}} {
		again := test.again
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now().UTC()
			rows := fakes.RowsFrom(begin, 1200)
			late := []int64{rows[3].ID, rows[300].ID, rows[301].ID, rows[777].ID, rows[1100].ID}
			for i := range rows {
				if slices.Contains(late, rows[i].ID) {
					rows[i].Late = time.Hour
				}
			}
			// A row without a msgid is late too.
			rows[500].Raw, rows[500].Late = `{"no_msgid":500}`, time.Hour
			w := newWorld(rows...)
			w.source.NoTotals = test.noTotals
			time.Sleep(20 * time.Minute)
			for at := time.Duration(0); at < 20*time.Minute; at += time.Minute {
				w.read(t, messages(), begin.Add(at), begin.Add(at+time.Minute))
			}
			if again {
				w.read(t, messages(), begin.Add(250*time.Second), begin.Add(400*time.Second))
			}
			if found := w.differences(t); len(found) > 0 {
				t.Errorf("before rows appear: %+v", found[0])
			}
			time.Sleep(time.Hour)
			requests := w.source.TotalsAsked()
			found := w.differences(t)
			want := append(slices.Clone(late), 0)
			got := missingIDs(found)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("missing %v, want %v", got, want)
			}
			if n := w.source.TotalsAsked() - requests; n > 6*20 {
				t.Errorf("%d requests for totals", n)
			}
			for _, d := range found {
				repair(t, w, d)
			}
			twice := make(map[int64]int)
			for i := 250; again && i <= 400; i++ {
				if rows[i].Late == 0 && i > 250 {
					twice[rows[i].ID] = 2
				}
			}
			w.wantOnce(t, twice)
			if len(w.Rejected) != 1 || len(w.Notices) != len(found) {
				t.Errorf("%d rejected rows, %d notices for %d differences", len(w.Rejected), len(w.Notices), len(found))
			}
			if found = w.differences(t); len(found) > 0 {
				t.Errorf("after the repair: %+v", found[0])
			}
		})
	}
}

// TestLateRowsArePublishedOnceByAll has several look at the same ledger before any of them publishes: what one has published,
// the others find published.
func TestLateRowsArePublishedOnceByAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		rows := fakes.RowsFrom(begin, 300)
		rows[100].Late, rows[101].Late = time.Hour, time.Hour
		rows[110].Raw, rows[110].Late = `{"no_msgid":1}`, time.Hour
		w := newWorld(rows...)
		time.Sleep(5 * time.Minute)
		w.read(t, messages(), begin, begin.Add(150*time.Second))
		w.read(t, messages(), begin.Add(150*time.Second), begin.Add(299*time.Second))
		time.Sleep(time.Hour)
		first, second, third := w.differences(t), w.differences(t), w.differences(t)
		if len(first) != 1 || len(second) != 1 || len(third) != 1 || len(first[0].Missing) != 3 {
			t.Fatalf("differences %+v, %+v, %+v", first, second, third)
		}
		if n := repair(t, w, first[0]); n != 3 {
			t.Errorf("the first one publishes %d rows, want 3", n)
		}
		// The run may read the time again, too.
		if n := repair(t, w, second[0]); n != 0 {
			t.Errorf("the second one publishes %d rows", n)
		}
		w.read(t, messages(), begin.Add(60*time.Second), begin.Add(150*time.Second))
		if n := repair(t, w, third[0]); n != 0 {
			t.Errorf("the third one publishes %d rows", n)
		}
		if len(w.Notices) != 1 || w.published()[rows[100].ID] != 2 { // Once by the repair, once by the reset.
			t.Errorf("%d notices, and a late row is published %d times", len(w.Notices), w.published()[rows[100].ID])
		}
	})
}

// TestRunPublishesSomeMeanwhile takes out of a difference what a reset has published since, and publishes the rest.
func TestRunPublishesSomeMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		rows := fakes.RowsFrom(begin, 200)
		rows[50].Late, rows[150].Late = time.Hour, time.Hour
		w := newWorld(rows...)
		time.Sleep(5 * time.Minute)
		w.read(t, messages(), begin, begin.Add(199*time.Second))
		time.Sleep(time.Hour)
		found := w.differences(t)
		w.read(t, messages(), begin.Add(120*time.Second), begin.Add(199*time.Second))
		if len(found) != 1 || repair(t, w, found[0]) != 1 {
			t.Fatalf("differences %+v", found)
		}
		if times := w.published(); times[rows[50].ID] != 1 || times[rows[150].ID] != 1 {
			t.Errorf("published %d and %d times", times[rows[50].ID], times[rows[150].ID])
		}
	})
}

// TestAReplayPublishesNothingForTheRun has a replay bring late rows after they were found to be missing: they are the replay's, and a repair
// publishes them all the same.
func TestAReplayPublishesNothingForTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		rows := fakes.RowsFrom(begin, 200)
		rows[50].Late, rows[150].Late = time.Hour, time.Hour
		w := newWorld(rows...)
		time.Sleep(5 * time.Minute)
		w.read(t, messages(), begin, begin.Add(199*time.Second))
		time.Sleep(time.Hour)
		found := w.differences(t)
		err := w.Commit(t.Context(), func(ctx context.Context, d *pipeline.Draft) error {
			in := pipeline.Window{Begin: begin, End: begin.Add(199 * time.Second)}
			batch := &pipeline.Batch{AppKey: appKey, Stream: messages(), Window: in}
			norm := event.NewNormalizer(appKey)
			for _, r := range rows {
				e, _ := norm.Normalize(r.JSON())
				batch.Events = append(batch.Events, e)
			}
			n := int64(len(rows))
			record := pipeline.Ledger{AppKey: appKey, Stream: messages(), Window: in, Replay: "r", Rows: n, Published: n, Total: n, Pages: 1}
			next, _ := d.Position(messages())
			return errors.Join(d.Publish(ctx, batch), d.CloseWindow(ctx, record, next))
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != 1 || repair(t, w, found[0]) != 2 {
			t.Errorf("differences %+v, which are not repaired", found)
		}
		if found = w.differences(t); len(found) > 0 {
			t.Errorf("after the repair: %+v", found[0])
		}
	})
}

// TestGoneAndDeleted names what the API does not have any more, and names nothing where Kafka has deleted what was published.
func TestGoneAndDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		rows := fakes.RowsFrom(begin, 100)
		w := newWorld(rows...)
		time.Sleep(5 * time.Minute)
		w.read(t, messages(), begin, begin.Add(99*time.Second))
		w.source.Of[messages()] = slices.Delete(slices.Clone(rows), 40, 42)
		found := w.differences(t)
		want := []int64{rows[40].ID, rows[41].ID}
		slices.Sort(want)
		if len(found) != 1 || found[0].Extra != 2 || !slices.Equal(found[0].Gone, want) || found[0].Repairable() {
			t.Errorf("gone from the API: %+v, want %v", found, want)
		}
		w.deleted = true
		w.source.Of[messages()] = slices.Insert(slices.Clone(rows), 51, fakes.Row{ID: 999_999, At: begin.Add(50 * time.Second)})
		found = w.differences(t)
		if len(found) != 1 || found[0].Deleted != 100 || found[0].Repairable() || len(found[0].Missing) > 0 {
			t.Errorf("deleted from Kafka: %+v", found)
		}
	})
}

// TestRangesAreReadAnew reads a range again when it has to be, in shorter parts when the source asks for that, tells of it, and
// gives up in the end.
func TestRangesAreReadAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		rows := fakes.RowsFrom(begin, 600)
		w := newWorld(rows...)
		time.Sleep(time.Hour)
		restarts := 0
		reader := &pipeline.RowReader{Source: w.source, Observer: func(o pipeline.Observation) {
			if _, restarted := o.(pipeline.WindowRestarted); restarted {
				restarts++
			}
		}}
		all := pipeline.Window{Begin: begin, End: begin.Add(599 * time.Second)}
		n := 0
		w.source.OpenHook = func(_ int, _ pipeline.Stream, in pipeline.Window) (pipeline.Pages, error) {
			switch n++; {
			case n%3 == 1: // The cursor expires behind the first page.
				return &fakes.Pages{Parts: [][][]byte{nil}, Err: &pipeline.Fault{Class: pipeline.Restart, Op: "read", Err: errors.New("expired")}}, nil
			case in.End.Sub(in.Begin) > 2*time.Minute:
				return nil, &pipeline.Fault{Class: pipeline.Restart, Op: "read", Err: errors.New("too long"), Span: in.End.Sub(in.Begin) / 2}
			default:
				return nil, nil
			}
		}
		ids := make(map[string]bool)
		err := reader.Each(t.Context(), messages(), all, func(row []byte) { ids[string(row)] = true })
		if err != nil || len(ids) != len(rows) || restarts == 0 {
			t.Errorf("%d rows, %v, %d restarts", len(ids), err, restarts)
		}
		w.source.OpenHook = func(int, pipeline.Stream, pipeline.Window) (pipeline.Pages, error) {
			return nil, &pipeline.Fault{Class: pipeline.Restart, Op: "read", Err: errors.New("expired")}
		}
		restarts = 0
		if err = reader.Each(t.Context(), messages(), all, func([]byte) {}); pipeline.ClassOf(err) != pipeline.Abort || restarts < 3 || restarts > 20 {
			t.Errorf("it ends with %v, %d restarts", err, restarts)
		}
	})
}

// TestDailyCounts counts messages by days, from the offsets where the routing allows it and from the events elsewhere.
func TestDailyCounts(t *testing.T) {
	zone := time.FixedZone("CST", 8*3600)
	for name, topics := range map[string]map[string][]int{
		"a topic a target": {"group": {1}},
		"one topic":        {"group": {0, 1, 2, 3}},
		"another name":     {},
	} {
		synctest.Test(t, func(t *testing.T) {
			midnight := time.Date(2000, 1, 2, 0, 0, 0, 0, zone).UTC()
			time.Sleep(time.Until(midnight.Add(48 * time.Hour)))
			var rows []fakes.Row
			for i := range 3 * 24 * 6 {
				rows = append(rows, fakes.Row{ID: int64(i + 1), At: midnight.Add(-24*time.Hour + time.Duration(i)*10*time.Minute)})
			}
			rows[200].Late = 5 * 24 * time.Hour
			w := newWorld(rows...)
			for h := -24; h < 48; h += 5 {
				w.read(t, messages(), midnight.Add(time.Duration(h)*time.Hour), midnight.Add(time.Duration(h+5)*time.Hour))
			}
			// A range is read again: what was published twice counts once.
			w.read(t, messages(), midnight.Add(7*time.Hour), midnight.Add(19*time.Hour))
			time.Sleep(5 * 24 * time.Hour)
			for _, d := range w.differences(t) {
				repair(t, w, d)
			}
			var lineage audit.Lineage
			if _, err := w.Ledger(t.Context(), audit.Query{}, func(l *pipeline.Ledger, at audit.Place) error { lineage.Add(l, at); return nil }); err != nil {
				t.Fatal(err)
			}
			counter := audit.DailyCounter{Archive: w, Topics: routing(topics), Rejected: fakes.TopicRejected, Decode: audit.DecodeJSON}
			day := pipeline.PeriodOf(pipeline.Day, midnight.In(zone))
			counts, err := counter.Count(t.Context(), &lineage, messages(), []pipeline.Period{day, day.Add(1)})
			if err != nil || len(counts) != 2 {
				t.Fatalf("%s: %v, %v", name, counts, err)
			}
			for _, c := range counts {
				if c.Counts[1] != 144 || c.Counts[0]+c.Counts[2]+c.Counts[3] > 0 {
					t.Errorf("%s: on %s %v were published, want 144 to groups", name, c.Day, c.Counts)
				}
			}
		})
	}
}

func TestSums(t *testing.T) {
	sums := audit.NewSums(24*time.Hour, time.FixedZone("CST", 8*3600))
	midnight := int(time.Date(2026, 1, 1, 16, 0, 0, 0, time.UTC).Unix())
	replayed := windowOf(midnight, midnight+100, 50)
	replayed.Replay = "r"
	for _, l := range []pipeline.Ledger{
		windowOf(midnight-100, midnight, 5), windowOf(midnight, midnight+100, 7), lateIn(windowOf(midnight, midnight+100, 0), 2), replayed,
	} {
		sums.Add(&l)
	}
	all, total := sums.All(), sums.Total()
	if len(all) != 2 || all[0].Published != 5 || all[1].Published != 9 || all[1].Late != 2 || all[1].Replayed != 50 || total.Published != 14 {
		t.Errorf("sums %+v, altogether %+v", all, total)
	}
	if !all[1].Begin.Equal(at(midnight)) || all[1].Windows != 3 {
		t.Errorf("the second day is %+v", all[1])
	}
}

// TestEachWithin gives the windows of a range and no others.
func TestEachWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		w := newWorld()
		time.Sleep(10 * time.Minute)
		for i := range 10 {
			w.read(t, messages(), begin.Add(time.Duration(i)*time.Minute), begin.Add(time.Duration(i+1)*time.Minute))
		}
		var ends []time.Duration
		in := pipeline.Window{Begin: begin.Add(2 * time.Minute), End: begin.Add(4 * time.Minute)}
		err := audit.EachWithin(t.Context(), w, nil, in, func(l *pipeline.Ledger) error {
			ends = append(ends, l.End.Sub(begin)/time.Minute)
			return nil
		})
		if want := []time.Duration{3, 4, 5}; err != nil || !slices.Equal(ends, want) {
			t.Errorf("windows ending after minutes %v, %v; want %v", ends, err, want)
		}
	})
}

func routing(topics map[string][]int) map[string][]event.Target {
	all := make(map[string][]event.Target)
	for topic, targets := range topics {
		for _, target := range targets {
			all[topic] = append(all[topic], event.Target(target))
		}
	}
	return all
}
