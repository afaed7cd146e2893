package operate

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/pipeline"
)

// DeleteOptions say which position is forgotten.
type DeleteOptions struct {
	Stream pipeline.Stream
	// Replay is the id of the replay whose position it is; empty for the live one.
	Replay  string
	Confirm Confirm
}

// Delete forgets a position.
func Delete(ctx context.Context, cfg *settings.Config, log *slog.Logger, o DeleteOptions) error {
	w := newReading(cfg, log)
	defer w.Close()
	p, err := w.openPositions(ctx)
	if err != nil {
		return err
	}
	all, err := p.list(ctx)
	if err != nil {
		return err
	}
	if _, there := find(all, o.Stream, o.Replay); !there {
		return fmt.Errorf("%s has no such position; see `jmpub checkpoint list`", o.Stream)
	}
	question := ""
	if o.Replay == "" {
		question = fmt.Sprintf("%s will begin at JMPUB_START again, and publish what it published since then once more.", o.Stream)
	}
	if !o.Confirm(question) {
		return errNotConfirmed()
	}
	return p.remove(ctx, o.Stream, o.Replay)
}
