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

// Delete forgets a position. It takes the place of whoever writes that position: the live run, or the replay, which ends then.
func Delete(ctx context.Context, cfg *settings.Config, log *slog.Logger, o DeleteOptions) error {
	w := newReading(cfg, log)
	w.replay = o.Replay
	defer w.Close()
	out, err := w.openOutput(ctx)
	if err != nil {
		return err
	}
	if err = w.checkWrite(ctx, out); err != nil {
		return err
	}
	absent := fmt.Errorf("%s has no such position; see `jmpub checkpoint list`", o.Stream)
	all, err := w.positions(ctx, out)
	if err != nil {
		return err
	}
	if _, there := find(all, o.Stream, o.Replay); !there {
		return absent
	}
	question := ""
	if o.Replay == "" {
		question = fmt.Sprintf("%s will begin at JMPUB_START again, and publish what it published since then once more.", o.Stream)
	}
	if !o.Confirm(question) {
		return errNotConfirmed()
	}
	return startError(w.exclusive(out, "delete the position of "+o.Stream.String()).Commit(ctx,
		func(_ context.Context, d *pipeline.Draft) error {
			if _, there := d.Position(o.Stream); !there {
				return absent
			}
			d.DeletePosition(o.Stream)
			return nil
		}))
}
