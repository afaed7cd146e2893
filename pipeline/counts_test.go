package pipeline_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// TestEventsThatAreTooLargeCountAsRejected has Kafka refuse some events as too large: in the ledger and the position they are among the
// rejected, and each window adds up.
func TestEventsThatAreTooLargeCountAsRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		rows := fakes.RowsFrom(begin, 100)
		kafka := fakes.NewKafka()
		cfg := fakes.ConfigFor(fakes.NewSource(rows...), kafka, begin)
		cfg.Sink = refusing{kafka}
		fakes.Run(t, cfg, 5*time.Minute)
		refused := int64(0)
		for _, r := range rows {
			if r.ID%10 == 7 {
				refused++
			}
		}
		for i := range kafka.Ledger {
			if l := &kafka.Ledger[i]; l.Rows != l.Repeated+l.Skipped+l.Published+l.Rejected {
				t.Errorf("a window does not add up: %+v", l)
			}
		}
		if c := kafka.Position(fakes.Messages()).Counts; refused == 0 || c.Rejected != refused || c.Published != int64(len(rows))-refused {
			t.Errorf("the position counts %+v, want %d rejected of %d", c, refused, len(rows))
		}
	})
}

// TestARowThatIsAwayForAWindowIsPublishedOnce has a row stand in a window, not in the next one, whose overlap has its time too, and then
// again in the third.
func TestARowThatIsAwayForAWindowIsPublishedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-10 * time.Minute)
		rows := fakes.RowsFrom(begin, 120)
		const span, overlap = 10 * time.Second, 30 * time.Second
		source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
		source.Span, source.Overlap = span, overlap
		without := fakes.NewSource(slices.Concat(rows[:8], rows[9:])...)
		source.OpenHook = func(n int, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			if n == 2 {
				return without.Window(s, w), nil
			}
			return source.Window(s, w), nil
		}
		cfg := fakes.ConfigFor(source, kafka, begin)
		cfg.Overlap, cfg.Parallel = overlap, 1
		fakes.Run(t, cfg, 10*time.Minute)
		kafka.WantIDs(t, fakes.IDsOf(rows))
	})
}

// TestNumbersGoOnBehindADeletedPosition deletes the position between two runs: the records of the ledger go on with their numbers.
func TestNumbersGoOnBehindADeletedPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		kafka := fakes.NewKafka()
		cfg := fakes.ConfigFor(fakes.NewSource(fakes.RowsFrom(begin, 600)...), kafka, begin)
		fakes.Run(t, cfg, 5*time.Minute)
		err := exclusive(kafka).Commit(t.Context(), func(_ context.Context, d *pipeline.Draft) error {
			d.DeletePosition(fakes.Messages())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		before := len(kafka.Ledger)
		fakes.Run(t, cfg, 5*time.Minute)
		for i := range kafka.Ledger {
			if got := kafka.Ledger[i].Sequence; got != int64(i)+1 {
				t.Fatalf("record %d, of which %d stand before the position was deleted, has the number %d", i+1, before, got)
			}
		}
		if len(kafka.Ledger) == before {
			t.Error("the second run published nothing")
		}
	})
}
