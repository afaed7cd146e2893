package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/regular"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/pipeline"
)

// Positions are the app's positions, those of replays too. Nothing is written, and nobody is fenced.
func Positions(ctx context.Context, cfg *settings.Config, log *slog.Logger) ([]pipeline.Checkpoint, error) {
	w := newReading(cfg, log)
	defer w.Close()
	out, err := w.openOutput(ctx)
	if err != nil {
		return nil, err
	}
	return w.positions(ctx, out)
}

// PositionsAndPause are [Positions], and what of the app is paused.
func PositionsAndPause(ctx context.Context, cfg *settings.Config, log *slog.Logger) ([]pipeline.Checkpoint, pipeline.Pause, error) {
	w := newReading(cfg, log)
	defer w.Close()
	out, err := w.openOutput(ctx)
	if err != nil {
		return nil, pipeline.Pause{}, err
	}
	all, err := w.positions(ctx, out)
	if err != nil {
		return nil, pipeline.Pause{}, err
	}
	paused, err := out.pauses.Paused(ctx)
	return all, paused, startError(err)
}

// DeleteOptions say which position is forgotten.
type DeleteOptions struct {
	Stream pipeline.Stream
	// Replay is the id of the replay whose position it is; empty for the live one.
	Replay  string
	Confirm Confirm
}

// Delete forgets a position. It takes the place of whoever writes that position: the live run, or the replay, which ends then.
func Delete(ctx context.Context, cfg *settings.Config, log *slog.Logger, o DeleteOptions) error {
	if o.Replay != "" {
		if err := checkReplay("--replay", o.Replay); err != nil {
			return err
		}
	}
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
	absent := fmt.Errorf("%s has no such position in %s; see `jmpub checkpoint list`", o.Stream, cfg.TopicNames())
	if o.Replay != "" {
		absent = fmt.Errorf("%w, and --to-topic-prefix for a replay to other topics", absent)
	}
	all, err := w.positions(ctx, out)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(cp pipeline.Checkpoint) bool { return cp.Stream == o.Stream && cp.Replay == o.Replay }) {
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
		func(ctx context.Context, d *pipeline.Draft) error {
			switch cp, there := d.Position(o.Stream); {
			case cp.Damage != nil && o.Replay == "":
				return w.forget(ctx, out, d, o.Stream)
			case !there && cp.Damage == nil:
				return absent
			}
			d.DeletePosition(o.Stream)
			return nil
		}))
}

// forget forgets a live position that cannot be read. The number of its stream's newest ledger record is left in the ledger.
func (w *wiring) forget(ctx context.Context, out *output, d *pipeline.Draft, s pipeline.Stream) error {
	newest, err := out.evidence.Sequences(ctx, []pipeline.Stream{s})
	now := time.Now().UTC()
	d.SetPosition(&pipeline.Checkpoint{
		AppKey: w.cfg.Source.AppKey, Stream: s, End: now.Truncate(time.Second), Sequence: newest[s], SavedAt: now, Forgotten: true,
	})
	return err
}

// newReading is the wiring of a command that begins at no time of its own.
func newReading(cfg *settings.Config, log *slog.Logger, observers ...pipeline.Observer) *wiring {
	own := *cfg
	own.Start = pipeline.Start{} // Nothing is read from there.
	return newWiring(&own, log, observers...)
}

// positions are the app's positions, live ones and those of replays, but for those that are forgotten.
func (w *wiring) positions(ctx context.Context, out *output) ([]pipeline.Checkpoint, error) {
	all, err := w.readPositions(ctx, out)
	return slices.DeleteFunc(all, func(cp pipeline.Checkpoint) bool { return cp.Forgotten }), startError(err)
}

func (w *wiring) readPositions(ctx context.Context, out *output) ([]pipeline.Checkpoint, error) {
	if out.kafka != nil {
		return out.kafka.All(ctx)
	}
	live, err := out.files.Load(ctx)
	if err != nil {
		return nil, err
	}
	all := slices.Collect(maps.Values(live))
	dirs, err := filepath.Glob(filepath.Join(w.cfg.CheckpointDir, checkpoint.ReplayFolder(w.cfg.Topics.Prefix, "*")))
	for _, dir := range dirs {
		replayed, unread := w.replayPositions(ctx, dir)
		all = slices.AppendSeq(all, maps.Values(replayed))
		err = errors.Join(err, unread)
	}
	slices.SortFunc(all, func(a, b pipeline.Checkpoint) int {
		return cmp.Or(strings.Compare(a.Replay, b.Replay), strings.Compare(a.Stream.String(), b.Stream.String()))
	})
	return all, err
}

// replayPositions are those in the folder of a replay.
func (w *wiring) replayPositions(ctx context.Context, dir string) (map[pipeline.Stream]pipeline.Checkpoint, error) {
	if err := regular.CheckFolder(dir); err != nil {
		return nil, usage.Errorf("JMPUB_CHECKPOINT: %w", err)
	}
	files, err := checkpoint.OpenFiles(dir, w.cfg.Source.AppKey)
	if err != nil {
		return nil, err
	}
	positions, err := files.Load(ctx)
	return positions, errors.Join(err, files.Close())
}
