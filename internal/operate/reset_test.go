package operate

import (
	"context"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// ledgerNumbers are the numbers of the newest ledger records.
type ledgerNumbers map[pipeline.Stream]int64

func (ledgerNumbers) Lost(context.Context, map[pipeline.Stream]pipeline.Checkpoint) ([]pipeline.LostPosition, error) {
	return nil, nil
}

func (n ledgerNumbers) Sequences(context.Context, []pipeline.Stream) (map[pipeline.Stream]int64, error) {
	return n, nil
}

// TestResetGoesOnCounting expects the number of the next ledger record to be one that no record has had: neither those that the position knows
// of, nor those that the ledger still has, which may have lost the newest ones, or know of more than a position that was lost.
func TestResetGoesOnCounting(t *testing.T) {
	for _, test := range []struct{ position, ledger, want int64 }{{7, 7, 7}, {7, 0, 7}, {7, 5, 7}, {0, 9, 9}} {
		now := time.Now().UTC().Truncate(time.Second)
		stream, source := fakes.Messages(), fakes.NewSource()
		r := &reset{
			cfg: &settings.Config{}, stream: stream, begin: now.Add(-time.Hour), to: now.Add(-time.Hour), now: now,
			rows: &pipeline.RowReader{Source: source}, evidence: ledgerNumbers{stream: test.ledger},
		}
		next, err := r.apply(t.Context(), &pipeline.Checkpoint{Stream: stream, End: now, Sequence: test.position}, true)
		if err != nil || next.Sequence != test.want {
			t.Errorf("the position counts to %d and the ledger to %d: then to %d, %v", test.position, test.ledger, next.Sequence, err)
		}
	}
}
