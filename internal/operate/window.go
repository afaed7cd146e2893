package operate

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/pipeline"
)

// Windows are the committed windows of a range, in the order of streams and times, and the time that none of them covers.
type Windows struct {
	Records []pipeline.Ledger
	Holes   []Hole
}

// ReadWindows reads the ledger.
func ReadWindows(ctx context.Context, cfg *settings.Config, log *slog.Logger, r Range) (*Windows, error) {
	wiring := newReading(cfg, log)
	defer wiring.Close()
	_, out, err := wiring.openOutput(ctx)
	if err != nil {
		return nil, err
	}
	w, err := r.window(time.Now())
	if err != nil {
		return nil, err
	}
	records, err := r.records(ctx, out.archive, w)
	if err != nil {
		return nil, err
	}
	holes := holesIn(records, r.expected(cfg), settled(w, time.Now()))
	slices.SortStableFunc(records, func(a, b pipeline.Ledger) int {
		return cmp.Or(strings.Compare(a.Stream.String(), b.Stream.String()), a.Begin.Compare(b.Begin), a.Started.Compare(b.Started))
	})
	return &Windows{Records: records, Holes: holes}, nil
}
