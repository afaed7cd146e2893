package pipeline_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// TestLateRowsArePublishedOnce lets rows appear after their time was read, some sooner, some later, while
// sessions fail now and then.
func TestLateRowsArePublishedOnce(t *testing.T) {
	for _, failing := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(3, 4))
			begin := time.Now().UTC()
			rows := rowsFrom(begin, 3000)
			late := 0
			for i := range rows {
				if i%200 != 7 {
					continue
				}
				rows[i].late = 2 * time.Minute // Within the first recheck.
				if i%400 == 7 {
					rows[i].late = 20 * time.Minute // Within the second.
				}
				late++
			}
			source, kafka := newFakeSource(rows...), newFakeKafka()
			if failing {
				kafka.fail = func(_ context.Context, op string) error {
					if dice.IntN(200) > 0 || op == "open" || op == "load" {
						return nil
					}
					return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("injected")}
				}
			}
			cfg := configFor(source, kafka, begin)
			cfg.Recheck, cfg.Archive, cfg.Totals = []time.Duration{10 * time.Minute, 30 * time.Minute}, kafka, source
			if err := runFor(t, cfg, 100*time.Minute); err != nil {
				t.Fatalf("run: %v", err)
			}
			got, want := kafka.ids(), idsOf(rows)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("failing %t: %d events, want %d", failing, len(got), len(want))
			}
			marked, told := int64(0), int64(0)
			for _, l := range kafka.ledger {
				if l.Late {
					marked += l.Published
				}
			}
			for _, n := range kafka.notices {
				if n.Kind == pipeline.NoticeLateRows {
					told += n.Rows
				}
			}
			if marked != int64(late) || told != marked {
				t.Errorf("failing %t: %d late rows in the ledger, %d in notices, want %d", failing, marked, told, late)
			}
			if counts := kafka.checkpoints[messages()].Counts; counts.Published != int64(len(rows)) {
				t.Errorf("failing %t: %d are counted, want %d", failing, counts.Published, len(rows))
			}
			// Steps of 2 and of 6 minutes, and a few halvings for each late row.
			if limit := 50 + 17 + late*40; source.totals > limit {
				t.Errorf("failing %t: %d requests for totals, want at most %d", failing, source.totals, limit)
			}
		})
	}
}

// TestRecheckCostsLittleWhereNothingIsLate counts the requests of quiet hours.
func TestRecheckCostsLittleWhereNothingIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		source, kafka := newFakeSource(rowsFrom(begin, 2*3600)...), newFakeKafka()
		cfg := configFor(source, kafka, begin)
		cfg.Recheck, cfg.Archive, cfg.Totals = []time.Duration{10 * time.Minute}, kafka, source
		if err := runFor(t, cfg, 2*time.Hour); err != nil {
			t.Fatalf("run: %v", err)
		}
		if source.totals < 50 || source.totals > 60 {
			t.Errorf("%d requests for totals, want one each two minutes", source.totals)
		}
	})
}
