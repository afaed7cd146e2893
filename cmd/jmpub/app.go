package main

import (
	"context"
	"log/slog"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/pipeline"
)

// app is everything that publishes one app's streams, wired.
type app struct {
	*parts

	status   *status.Status
	pipeline *pipeline.Pipeline
	// listener serves the status page; nil where it is off.
	listener net.Listener
}

// newApp wires an app. Nothing has been published when it returns; with an error, nothing is left open.
func newApp(ctx context.Context, cfg *settings.Config, log *slog.Logger, extra ...*pipeline.Observer) (*app, error) {
	a := &app{parts: newParts(cfg, log)}
	if err := a.wire(ctx, extra); err != nil {
		a.Close()
		return nil, startError(err)
	}
	return a, nil
}

func (a *app) wire(ctx context.Context, extra []*pipeline.Observer) error {
	cfg := a.cfg
	a.status = status.New(status.Options{
		AppKey: cfg.Source.AppKey, Delivery: cfg.Delivery(), Streams: cfg.Named(), Discover: cfg.Discover,
		Version: buildVersion(), Warn: cfg.RetentionWarn, StatisticsStale: staleReadings * cfg.StatisticsEvery,
	})
	a.observe(append(extra, a.status.Observer(), logObserver(a.log))...)
	if err := a.openAll(ctx); err != nil {
		return err
	}
	if err := a.checkRights(ctx); err != nil {
		return err
	}
	if cfg.Listen != "off" {
		var lc net.ListenConfig
		var err error
		if a.listener, err = lc.Listen(ctx, "tcp", cfg.Listen); err != nil {
			return usage.Errorf("JMPUB_LISTEN: %w; choose another address, or off", err)
		}
		a.close = append(a.close, func() { _ = a.listener.Close() }) // Serve may have closed it.
	}
	var err error
	a.pipeline, err = pipeline.New(a.pipelineConfig())
	return err
}

// Run publishes until ctx is done and serves the status page meanwhile.
func (a *app) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	serving, stop := context.WithCancel(ctx)
	if a.listener != nil {
		group.Go(func() error { return a.status.Serve(serving, a.listener) })
	}
	group.Go(func() error {
		a.watch(serving)
		return nil
	})
	group.Go(func() error {
		defer stop()
		return a.runError(a.pipeline.Run(ctx))
	})
	return group.Wait()
}

// staleReadings is after how many readings of statistics that did not come they are missed.
const staleReadings = 3

const (
	// watchEvery is how often the retention clock is looked at, remindEvery how often the same warning is repeated.
	watchEvery  = time.Minute
	remindEvery = time.Hour
)

// watch warns of unread time that soon leaves the API's history, until ctx is done.
func (a *app) watch(ctx context.Context) {
	last := time.Time{}
	for pipeline.Sleep(ctx, watchEvery) == nil {
		leaving := a.status.Leaving()
		if len(leaving) == 0 || time.Since(last) < remindEvery {
			continue
		}
		last = time.Now()
		for _, text := range leaving {
			a.log.WarnContext(ctx, "unread history is about to be lost", slog.String("what", text),
				slog.String("mend", "raise JMPUB_API_RATE if the app's quota allows it, or see what holds the run up"))
		}
	}
}
