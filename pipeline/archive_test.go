package pipeline_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// ledgerOf makes records in the order in which they were committed. Times are seconds; until is where a past ends, 0 without.
func ledgerOf(windows ...[4]int) []pipeline.Ledger {
	var records []pipeline.Ledger
	for i, w := range windows {
		l := pipeline.Ledger{
			Stream: messages(), Window: pipeline.Window{Begin: at(w[0]), End: at(w[1])}, Published: int64(w[2]),
			Committed: at(1_000_000 + i),
			Started:   at(1_000_000 - i), // What was read first is not always committed first.
		}
		if w[3] > 0 {
			l.PastUntil = at(w[3])
		}
		records = append(records, l)
	}
	return records
}

func at(seconds int) time.Time { return time.Unix(int64(seconds), 0).UTC() }

func TestChains(t *testing.T) {
	type chain struct {
		begin, end int64
		windows    int
		rows       int64
	}
	for _, test := range []struct {
		name    string
		records []pipeline.Ledger
		want    []chain
	}{
		{"in order", ledgerOf([4]int{0, 100, 5}, [4]int{98, 200, 6}, [4]int{198, 300, 7}), []chain{{0, 300, 3, 18}}},
		{"a hole", ledgerOf([4]int{0, 100, 5}, [4]int{150, 200, 6}), []chain{{0, 100, 1, 5}, {150, 200, 1, 6}}},
		{
			"set back, and read again in part",
			ledgerOf([4]int{0, 100, 5}, [4]int{98, 200, 6}, [4]int{198, 300, 7}, [4]int{298, 400, 8}, [4]int{98, 250, 9}),
			[]chain{{0, 100, 1, 5}, {98, 250, 1, 9}, {298, 400, 1, 8}},
		},
		{
			"set back, and read again whole",
			ledgerOf([4]int{0, 100, 5}, [4]int{98, 200, 6}, [4]int{198, 300, 7}, [4]int{50, 250, 9}, [4]int{248, 400, 10}),
			[]chain{{0, 100, 1, 5}, {50, 400, 2, 19}},
		},
		{
			"a past behind the live position",
			ledgerOf([4]int{9998, 10_100, 1}, [4]int{0, 5000, 2, 10_000}, [4]int{10_098, 10_200, 3}, [4]int{4998, 10_000, 4, 10_000}, [4]int{10_198, 10_300, 5}),
			[]chain{{0, 10_000, 2, 6}, {9998, 10_300, 3, 9}},
		},
		{
			"set back to a past",
			ledgerOf([4]int{0, 1000, 1}, [4]int{998, 2000, 2}, [4]int{9998, 10_100, 3}, [4]int{500, 3000, 4, 10_000}, [4]int{2998, 10_000, 5, 10_000}),
			[]chain{{0, 1000, 1, 1}, {500, 10_000, 2, 9}, {9998, 10_100, 1, 3}},
		},
	} {
		var got []chain
		for _, c := range pipeline.Chains(test.records) {
			w := c.Window()
			got = append(got, chain{w.Begin.Unix(), w.End.Unix(), len(c.Windows), c.Rows()})
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: chains %v, want %v", test.name, got, test.want)
		}
	}
}

// TestChainsOfOneTransaction does not take a transaction's records for a position that was set back, whichever partition was
// quicker.
func TestChainsOfOneTransaction(t *testing.T) {
	records := ledgerOf([4]int{0, 100, 5}, [4]int{98, 200, 6}, [4]int{198, 300, 7}, [4]int{298, 400, 8})
	for i := range records {
		records[i].Committed = at(1_000_000).Add(time.Duration(-i) * time.Millisecond)
	}
	chains := pipeline.Chains(records)
	if len(chains) != 1 || chains[0].Rows() != 26 {
		t.Errorf("chains %+v, want one with 26 rows", chains)
	}
}

// TestLateRowsBelongToTheWindowThatCounts leaves out late rows of a window that was read again afterwards.
func TestLateRowsBelongToTheWindowThatCounts(t *testing.T) {
	records := ledgerOf([4]int{0, 100, 5}, [4]int{98, 200, 6}, [4]int{98, 200, 1}, [4]int{0, 100, 1}, [4]int{98, 200, 7})
	records[2].Late, records[3].Late = true, true
	chains := pipeline.Chains(records)
	if len(chains) != 2 || chains[0].Rows() != 5+1 || chains[1].Rows() != 7 {
		t.Errorf("chains %+v, want 6 and 7 rows", chains)
	}
}

// TestAuditAfterLiveFirstFindsNothing holds a history that was read at two places, then set back, against the API; and finds
// exactly the row that appeared afterwards.
func TestAuditAfterLiveFirstFindsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-3 * time.Hour)
		rows := rowsFrom(begin, 3*3600+300)
		rows[5000].late = 24 * time.Hour
		source, kafka := newFakeSource(rows...), newFakeKafka()
		source.pageSize, source.span = 500, 10*time.Minute
		cfg := configFor(source, kafka, begin)
		cfg.LiveFirst = true
		if err := runFor(t, cfg, 20*time.Minute); err != nil {
			t.Fatalf("run: %v", err)
		}
		setBack(t, source, kafka, begin.Add(90*time.Minute))
		if err := runFor(t, cfg, 10*time.Minute); err != nil {
			t.Fatalf("run: %v", err)
		}
		audit := func() (missing []int64) {
			var records []pipeline.Ledger
			if err := kafka.Windows(t.Context(), begin, func(l *pipeline.Ledger) error { records = append(records, *l); return nil }); err != nil {
				t.Fatal(err)
			}
			a := &pipeline.Audit{AppKey: appKey, Source: source, Totals: source, Archive: kafka, Step: time.Hour}
			for _, c := range pipeline.Chains(records) {
				err := a.Check(t.Context(), &c, func(d *pipeline.Difference) error {
					if d.Extra != 0 {
						t.Errorf("%+v", d)
					}
					for _, m := range d.Missing {
						missing = append(missing, m.MsgID)
					}
					_, err := pipeline.Repair(t.Context(), kafka, kafka, d, time.Now())
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			return missing
		}
		if missing := audit(); len(missing) > 0 {
			t.Errorf("%d rows are missing before one appears", len(missing))
		}
		time.Sleep(24 * time.Hour)
		if missing := audit(); !slices.Equal(missing, []int64{rows[5000].id}) {
			t.Errorf("missing: %v, want %d", missing, rows[5000].id)
		}
		if missing := audit(); len(missing) > 0 {
			t.Errorf("missing after the repair: %v", missing)
		}
	})
}
