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
			part := chains[0].From(first.Begin)
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
		if nothing := chains[0].From(time.Now()); len(nothing.Windows) > 0 {
			t.Errorf("from now on there are %d windows", len(nothing.Windows))
		}
	})
}

// TestChainsKnowAPositionThatWasSetBack from windows that were begun in another order than the one in which they follow.
func TestChainsKnowAPositionThatWasSetBack(t *testing.T) {
	begin := time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)
	record := func(minute int, started, took time.Duration) pipeline.Ledger {
		from := begin.Add(time.Duration(minute) * time.Minute)
		return pipeline.Ledger{
			AppKey: appKey, Stream: messages(), Started: begin.Add(time.Hour + started), Duration: took,
			Window: pipeline.Window{Begin: from.Add(-2 * time.Second), End: from.Add(time.Minute)},
		}
	}
	side := []pipeline.Ledger{
		record(0, 5*time.Second, time.Second), record(1, 0, 7*time.Second), record(2, 3*time.Second, 5*time.Second), // The first was begun again.
	}
	if chains := pipeline.Chains(slices.Clone(side)); len(chains) != 1 || len(chains[0].Windows) != 3 {
		t.Errorf("windows begun side by side make the chains %+v", chains)
	}
	back := slices.Concat(side, []pipeline.Ledger{record(1, 30*time.Second, time.Second), record(2, 31*time.Second, time.Second)})
	chains := pipeline.Chains(back)
	if len(chains) != 1 || len(chains[0].Windows) != 3 || !chains[0].Windows[1].Started.Equal(begin.Add(time.Hour+30*time.Second)) {
		t.Errorf("after the position was set back the chains are %+v", chains)
	}
}
