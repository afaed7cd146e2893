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
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/pipeline"
)

// Positions are the app's positions, those of replays too. Nothing is written, and nobody is fenced.
func Positions(ctx context.Context, cfg *settings.Config, log *slog.Logger) ([]pipeline.Checkpoint, error) {
	w := newReading(cfg, log)
	defer w.Close()
	p, err := w.openPositions(ctx)
	if err != nil {
		return nil, err
	}
	return p.list(ctx)
}

// newReading is the wiring of a command that begins at no time of its own.
func newReading(cfg *settings.Config, log *slog.Logger) *wiring {
	own := *cfg
	own.Start = pipeline.Start{} // Nothing is read from there.
	return newWiring(&own, log)
}

// openOutput opens Kafka, or the files, for a command that works on what is there.
func (w *wiring) openOutput(ctx context.Context) (*kafka.Conn, *output, error) {
	conn, err := w.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	out, err := w.openSink(ctx, conn)
	return conn, out, err
}

// positions are one app's positions, in Kafka or in files.
type positions struct {
	appKey string
	// kafka is nil where positions are in the files of a folder.
	kafka *checkpoint.Kafka
	files *checkpoint.Files
	dir   string
}

func (w *wiring) openPositions(ctx context.Context) (*positions, error) {
	_, out, err := w.openOutput(ctx)
	if err != nil {
		return nil, err
	}
	return w.positionsOf(out), nil
}

func (w *wiring) positionsOf(out *output) *positions {
	return &positions{appKey: w.cfg.Source.AppKey, kafka: out.kafka, files: out.files, dir: w.cfg.CheckpointDir}
}

// list reads all of them, but for those that are forgotten.
func (p *positions) list(ctx context.Context) ([]pipeline.Checkpoint, error) {
	all, err := p.readAll(ctx)
	return slices.DeleteFunc(all, func(cp pipeline.Checkpoint) bool { return cp.Forgotten }), startError(err)
}

func (p *positions) readAll(ctx context.Context) ([]pipeline.Checkpoint, error) {
	if p.kafka != nil {
		return p.kafka.All(ctx)
	}
	live, err := p.files.Load(ctx)
	if err != nil {
		return nil, err
	}
	all := slices.Collect(maps.Values(live))
	dirs, err := filepath.Glob(filepath.Join(p.dir, replayDir("*")))
	for _, dir := range dirs {
		err = errors.Join(err, p.inReplay(dir, func(files *checkpoint.Files) error {
			replayed, unread := files.Load(ctx)
			all = slices.AppendSeq(all, maps.Values(replayed))
			return unread
		}))
	}
	slices.SortFunc(all, func(a, b pipeline.Checkpoint) int {
		return cmp.Or(strings.Compare(a.Replay, b.Replay), strings.Compare(a.Stream.String(), b.Stream.String()))
	})
	return all, err
}

// inReplay opens the files of a replay.
func (p *positions) inReplay(dir string, fn func(*checkpoint.Files) error) error {
	files, err := checkpoint.OpenFiles(dir, p.appKey)
	if err != nil {
		return err
	}
	return errors.Join(fn(files), files.Close())
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
