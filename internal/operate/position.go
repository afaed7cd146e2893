package operate

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/settings"
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

// newReading is the wiring of a command that begins at no time of its own.
func newReading(cfg *settings.Config, log *slog.Logger) *wiring {
	own := *cfg
	own.Start = pipeline.Start{} // Nothing is read from there.
	return newWiring(&own, log)
}

// positions are the app's positions, live ones and those of replays.
func (w *wiring) positions(ctx context.Context, out *output) ([]pipeline.Checkpoint, error) {
	if out.kafka != nil {
		all, err := out.kafka.All(ctx)
		return all, startError(err)
	}
	live, err := out.files.Load(ctx)
	if err != nil {
		return nil, startError(err)
	}
	all := slices.Collect(maps.Values(live))
	dirs, err := filepath.Glob(filepath.Join(w.cfg.CheckpointDir, replayDir("*")))
	for _, dir := range dirs {
		replayed, unread := w.replayPositions(ctx, dir)
		all = slices.AppendSeq(all, maps.Values(replayed))
		err = errors.Join(err, unread)
	}
	slices.SortFunc(all, func(a, b pipeline.Checkpoint) int {
		return cmp.Or(strings.Compare(a.Replay, b.Replay), strings.Compare(a.Stream.String(), b.Stream.String()))
	})
	return all, startError(err)
}

// replayPositions are those in the folder of a replay.
func (w *wiring) replayPositions(ctx context.Context, dir string) (map[pipeline.Stream]pipeline.Checkpoint, error) {
	files, err := checkpoint.OpenFiles(dir, w.cfg.Source.AppKey)
	if err != nil {
		return nil, err
	}
	positions, err := files.Load(ctx)
	return positions, errors.Join(err, files.Close())
}

// find is the position of a stream, live or of a replay.
func find(all []pipeline.Checkpoint, s pipeline.Stream, replay string) (pipeline.Checkpoint, bool) {
	for _, cp := range all {
		if cp.Stream == s && cp.Replay == replay {
			return cp, true
		}
	}
	return pipeline.Checkpoint{}, false
}
