package operate

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/web"
	"github.com/jmpub/jmpub/pipeline"
)

// PauseOptions say what is paused, or goes on again.
type PauseOptions struct {
	// Streams are those that it is about; none is the whole app, with which each of its streams goes on.
	Streams []pipeline.Stream
	// Resume has them go on.
	Resume bool
	// By is who wants it, Remote from where: what is paused says the first, and the notices say both.
	By, Remote string
}

// Pause pauses an app, or streams of it, or has them go on, and returns what is paused then. It takes the writer's place, so whoever publishes
// begins anew and finds it. Where that changes nothing, nothing is written, and who has paused it and when stays as it was. Each stream that is
// paused or resumed has a notice in the same transaction, and so has the app.
func Pause(ctx context.Context, cfg *settings.Config, log *slog.Logger, o PauseOptions) (*pipeline.Pause, error) {
	if err := o.check(cfg); err != nil {
		return nil, err
	}
	action, detail, about := actionPause, "nothing is published until it is resumed", o.Streams
	if o.Resume {
		action, detail = actionResume, "it is published again from where it stood"
	}
	if len(about) == 0 {
		about = []pipeline.Stream{{}} // Without a kind it is the whole app.
	}
	w := newReading(cfg, log)
	defer w.Close()
	out, err := w.openOutput(ctx)
	if err != nil {
		return nil, err
	}
	if err = w.checkWrite(ctx, out); err != nil {
		return nil, err
	}
	var next pipeline.Pause
	err = w.exclusive(out, action+" "+o.subject()).Commit(ctx, func(ctx context.Context, d *pipeline.Draft) error {
		now, failed := out.pauses.Paused(ctx)
		if failed != nil {
			return failed
		}
		if o.Resume && now.App && len(o.Streams) > 0 {
			return usage.Errorf("stream: the whole app is paused, and a stream of it does not go on by itself; resume the app, without a stream")
		}
		next = now
		for _, s := range about {
			after := next.With(s, !o.Resume)
			if after.Same(&next) {
				continue
			}
			after.By, after.At = o.By, time.Now().UTC()
			next = after
			d.SetPause(next)
			d.Notify(notice(cfg, &web.Call{By: o.By, Remote: o.Remote}, action, s, detail))
		}
		return nil
	})
	return &next, startError(err)
}

// check refuses what is not paused by itself, and what these settings do not publish: who misspells a stream would believe it paused. What is
// resumed may have left the settings meanwhile.
func (o *PauseOptions) check(cfg *settings.Config) error {
	for _, s := range o.Streams {
		switch {
		case s.Kind == pipeline.StreamStatistics:
			return usage.Errorf("stream: %s is not paused by itself; leave it out of JMPUB_STREAMS", s)
		case !o.Resume && !slices.Contains(cfg.Streams, s) && !slices.Contains(cfg.Discover, s.Kind):
			return usage.Errorf("stream: %s is none of those that are published: %s", s, strings.Join(cfg.Selected(), ", "))
		}
	}
	return nil
}

// subject is what it is about, for people.
func (o *PauseOptions) subject() string {
	if len(o.Streams) == 0 {
		return "the app"
	}
	names := make([]string, len(o.Streams))
	for i, s := range o.Streams {
		names[i] = s.String()
	}
	return strings.Join(names, ", ")
}
