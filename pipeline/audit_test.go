package pipeline_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// TestAuditOfAPartKnowsWhatLiesBeforeIt finds, wherever an audit begins, the rows that are missing and none that the window
// before the first one has published, although windows overlap.
func TestAuditOfAPartKnowsWhatLiesBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-10 * time.Minute)
		rows := rowsFrom(begin, 590)
		var late []int64
		for i := range rows {
			if i%60 == 30 { // One in each window.
				rows[i].late = time.Hour
				late = append(late, rows[i].id)
			}
		}
		source, kafka := newFakeSource(rows...), newFakeKafka()
		if err := runFor(t, configFor(source, kafka, begin), 2*time.Minute); err != nil {
			t.Fatalf("run: %v", err)
		}
		time.Sleep(2 * time.Hour)
		chains := pipeline.Chains(kafka.ledger)
		if len(chains) != 1 || len(chains[0].Windows) < 10 {
			t.Fatalf("the chains are %+v", chains)
		}
		for i, first := range chains[0].Windows {
			part := chains[0].Trim(func(l *pipeline.Ledger) bool { return !l.Begin.Before(first.Begin) })
			if len(part.Windows) != len(chains[0].Windows)-i {
				t.Errorf("from window %d on there are %d of %d", i, len(part.Windows), len(chains[0].Windows))
			}
			audit := pipeline.Audit{AppKey: appKey, Source: source, Totals: source, Archive: kafka}
			var missing, want []int64
			err := audit.Check(t.Context(), &part, func(d *pipeline.Difference) error {
				for _, m := range d.Missing {
					missing = append(missing, m.MsgID)
				}
				return nil
			})
			for _, r := range rows {
				if slices.Contains(late, r.id) && !r.at.Before(first.Begin) {
					want = append(want, r.id)
				}
			}
			if err != nil || !slices.Equal(missing, want) {
				t.Errorf("from %s on, %v are missing, want %v; %v", first.Begin, missing, want, err)
			}
		}
		if nothing := chains[0].Trim(func(*pipeline.Ledger) bool { return false }); len(nothing.Windows) > 0 {
			t.Errorf("of no window there are %d", len(nothing.Windows))
		}
	})
}
