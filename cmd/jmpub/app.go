package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/kafkaconn"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/sink"
	"github.com/jmpub/jmpub/source"
)

// app is everything that publishes one app's streams, wired.
type app struct {
	cfg      *config
	log      *slog.Logger
	conn     *kafkaconn.Conn
	source   *source.Client
	sink     *sink.Sink
	store    pipeline.Checkpoints
	close    []func()
	status   *status.Status
	pipeline *pipeline.Pipeline
	// listener serves the status page; nil where it is off.
	listener net.Listener
	// reached tells that the API has answered something.
	reached atomic.Bool
}

// connectTimeout is how long the first contact with Kafka may take before the settings are blamed.
const connectTimeout = 15 * time.Second

// newApp wires an app. Nothing has been published when it returns; with an error, nothing is left open.
func newApp(ctx context.Context, cfg *config, log *slog.Logger, extra ...*pipeline.Observer) (*app, error) {
	a := &app{cfg: cfg, log: log}
	if err := a.wire(ctx, extra); err != nil {
		a.Close()
		return nil, startError(err)
	}
	return a, nil
}

// Close lets go of what the app holds.
func (a *app) Close() {
	for _, end := range slices.Backward(a.close) {
		end()
	}
	a.close = nil
}

func (a *app) wire(ctx context.Context, extra []*pipeline.Observer) error {
	cfg := a.cfg
	a.status = status.New(status.Options{
		AppKey: cfg.source.AppKey, Delivery: cfg.delivery(), Streams: cfg.streams, Version: buildVersion(),
	})
	reached := &pipeline.Observer{Request: func(_ pipeline.Stream, class string, _ time.Duration) {
		if class != "network" {
			a.reached.Store(true)
		}
	}}
	observer := pipeline.Observers(append(extra, a.status.Observer(), logObserver(a.log), reached)...)
	retry := pipeline.Retry{Notify: observer.Retry}
	warn := func(message string) { a.log.WarnContext(ctx, "odd, but nothing stops", slog.String("what", message)) }

	src := cfg.source
	src.Retry, src.Observer, src.Warn = retry, observer, warn
	var err error
	if a.source, err = source.New(src); err != nil {
		return usageError{err}
	}
	a.close = append(a.close, a.source.Close)

	if err = a.greet(ctx); err != nil {
		return err
	}
	if err = a.connect(ctx); err != nil {
		return err
	}
	if err = a.openSink(ctx, retry, warn); err != nil {
		return err
	}
	if cfg.listen != "off" {
		var lc net.ListenConfig
		if a.listener, err = lc.Listen(ctx, "tcp", cfg.listen); err != nil {
			return usage("JMPUB_LISTEN: %w; choose another address, or off", err)
		}
		a.close = append(a.close, func() { _ = a.listener.Close() }) // Serve may have closed it.
	}
	a.pipeline, err = pipeline.New(pipeline.Config{
		AppKey: src.AppKey, Streams: cfg.streams, Source: a.source, Sink: a.sink, Checkpoints: a.store,
		Start: cfg.start, Overlap: src.Overlap, Parallel: cfg.parallel, Retry: retry, Observer: observer,
	})
	return err
}

// greet makes the first contact with the API. What an API that is busy or broken answers is waited for later on; one that
// cannot be reached at all is most likely a wrong setting.
func (a *app) greet(ctx context.Context) error {
	check, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	_, err := a.source.Now(check, a.cfg.streams[0])
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil || pipeline.ClassOf(err) == pipeline.Drop: // A stream that is gone leaves the others.
		return nil
	case check.Err() != nil && a.reached.Load():
		return nil
	default:
		return err
	}
}

// startError makes a mistake of the settings out of what cannot mend itself.
func startError(err error) error {
	if fault, ok := errors.AsType[*pipeline.Fault](err); ok && fault.Class == pipeline.Permanent {
		return usageError{err}
	}
	return err
}

// connect makes the first contact with Kafka, with a deadline: later on an unreachable broker is waited for, but at the
// start it is most likely a wrong setting.
func (a *app) connect(ctx context.Context) error {
	check, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := kafkaconn.Check(check, a.cfg.kafka); err != nil {
		return err
	}
	conn, err := kafkaconn.Open(a.cfg.kafka)
	if err != nil {
		return usageError{err}
	}
	a.conn = conn
	a.close = append(a.close, conn.Close)
	return nil
}

// openSink makes sink and checkpoints. The transactional id needs the app's shard, and so the number of partitions of the
// checkpoint topic; that is why the topics come first.
func (a *app) openSink(ctx context.Context, retry pipeline.Retry, warn func(string)) error {
	cfg := a.cfg.sink
	cfg.Client, cfg.Retry, cfg.Warn = a.conn.Client, retry, warn
	topics, err := sink.New(cfg)
	if err != nil {
		return usageError{err}
	}
	if err = topics.EnsureTopics(ctx); err != nil {
		return err
	}
	if !a.cfg.start.At.IsZero() || a.cfg.start.Back > 0 {
		oldest := a.cfg.start.At
		if oldest.IsZero() {
			oldest = time.Now().Add(-a.cfg.start.Back)
		}
		if err = topics.CheckRetention(oldest); err != nil {
			return usageError{err}
		}
	}
	if !a.cfg.exactlyOnce() {
		files, openErr := checkpoint.OpenFiles(a.cfg.checkpointDir, a.cfg.source.AppKey)
		if openErr != nil {
			return usageError{openErr}
		}
		files.Retry = retry
		a.close = append(a.close, func() { _ = files.Close() }) // Only the lock.
		a.sink, a.store = topics, files
		return nil
	}
	shard := checkpoint.ShardOf(a.cfg.source.AppKey, topics.Partitions(pipeline.TopicCheckpoints))
	cfg.TransactionalID = fmt.Sprintf("%s-%d", a.cfg.group, shard)
	if a.sink, err = sink.New(cfg); err != nil {
		return usageError{err}
	}
	a.store = checkpoint.NewKafka(a.conn.Client, cfg.Prefix+"."+string(pipeline.TopicCheckpoints), a.cfg.source.AppKey,
		func() int { return a.sink.Partitions(pipeline.TopicCheckpoints) }, retry)
	return nil
}

// Run publishes until ctx is done and serves the status page meanwhile.
func (a *app) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	serving, stop := context.WithCancel(ctx)
	if a.listener != nil {
		group.Go(func() error { return a.status.Serve(serving, a.listener) })
	}
	group.Go(func() error {
		defer stop()
		return a.pipeline.Run(ctx)
	})
	return group.Wait()
}
