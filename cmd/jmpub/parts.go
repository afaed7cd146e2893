package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
	"github.com/jmpub/jmpub/sink"
	"github.com/jmpub/jmpub/source"
)

// parts are what commands that work on an app are made of. Each opens what it needs.
type parts struct {
	cfg      *config
	log      *slog.Logger
	observer *pipeline.Observer
	retry    pipeline.Retry
	conn     *kafka.Conn
	source   *source.Client
	topics   *sink.Topics
	sink     *sink.Writer
	store    pipeline.Checkpoints
	archive  *checkpoint.Archive
	// transactionalID is empty where delivery is at least once.
	transactionalID string
	// kafka and files are the store, whichever it is.
	kafka *checkpoint.Kafka
	files *checkpoint.Files
	close []func()
	// reached tells that the API has answered something, committed that something was published.
	reached, committed atomic.Bool
}

// connectTimeout is how long the first contact with Kafka may take before the settings are blamed.
const connectTimeout = 15 * time.Second

func newParts(cfg *config, log *slog.Logger) *parts {
	p := &parts{cfg: cfg, log: log}
	p.observe()
	return p
}

// observe lets these be told what happens. It comes before everything is opened.
func (a *parts) observe(observers ...*pipeline.Observer) {
	milestones := &pipeline.Observer{
		Request: func(_ pipeline.Stream, class string, _ time.Duration) {
			if class != "network" {
				a.reached.Store(true)
			}
		},
		Committed: func(*pipeline.Closed, [event.TargetCount]int) { a.committed.Store(true) },
	}
	a.observer = pipeline.Observers(append(observers, milestones)...)
	a.retry = pipeline.Retry{Notify: a.observer.Retry}
}

// Close lets go of what is held.
func (a *parts) Close() {
	for _, end := range slices.Backward(a.close) {
		end()
	}
	a.close = nil
}

// warn logs what an adapter reports. Its messages are constants.
func (a *parts) warn(message string, attrs ...slog.Attr) {
	a.log.LogAttrs(context.Background(), slog.LevelWarn, message, attrs...) //nolint:sloglint // The message is the adapter's constant.
}

// openAll opens everything, in the order in which wrong settings are best told.
func (a *parts) openAll(ctx context.Context) error {
	if err := a.openSource(ctx); err != nil {
		return err
	}
	if err := a.connect(ctx); err != nil {
		return err
	}
	if err := a.openSink(ctx); err != nil {
		return err
	}
	return a.greetRegistry(ctx)
}

// openSource makes the API's client and the first contact.
func (a *parts) openSource(ctx context.Context) error {
	src := a.cfg.source
	src.Retry, src.Observer, src.Warn = a.retry, a.observer, a.warn
	var err error
	if a.source, err = source.New(src); err != nil {
		return usageError{err}
	}
	a.close = append(a.close, a.source.Close)
	return a.greet(ctx)
}

// pipelineConfig is what a pipeline over these parts is made of.
func (a *parts) pipelineConfig() pipeline.Config {
	c := pipeline.Config{
		AppKey: a.cfg.source.AppKey, Streams: a.cfg.streams, Source: a.source, Sink: a.sink, Checkpoints: a.store,
		Start: a.cfg.start, Overlap: a.cfg.source.Overlap, Parallel: a.cfg.parallel, Retry: a.retry, Observer: a.observer,
		Recheck: a.cfg.recheck, Archive: a.archive, Totals: a.source,
		LiveFirst: a.cfg.liveFirst,
	}
	for _, stream := range a.cfg.statistics {
		c.Statistics = append(c.Statistics, pipeline.StatisticsConfig{
			AppKey: c.AppKey, Stream: stream, Units: a.cfg.units, Zone: a.cfg.source.TimeZone, Source: a.source, Every: a.cfg.statisticsEvery,
		})
	}
	if len(a.cfg.discover) > 0 {
		rate := a.cfg.source.Rate
		c.Discovery = &pipeline.DiscoveryConfig{
			Kinds: a.cfg.discover, Directory: a.source, Every: a.cfg.discoveryEvery, Pace: rate.Per / time.Duration(rate.Requests),
		}
	}
	return c
}

// expand reads the lists once and names every stream that they have, for work that comes to an end.
func (a *parts) expand(ctx context.Context) error {
	for _, kind := range a.cfg.discover {
		listing, err := a.source.List(ctx, kind)
		if err != nil {
			return err
		}
		for _, s := range listing.Streams {
			if !slices.Contains(a.cfg.streams, s) {
				a.cfg.streams = append(a.cfg.streams, s)
			}
		}
	}
	a.cfg.discover = nil
	if len(a.cfg.streams) == 0 {
		return errors.New("the lists have no streams, so there is nothing to read")
	}
	return nil
}

// greet makes the first contact with the API. What an API that is busy or broken answers is waited for later on; one that
// cannot be reached at all is most likely a wrong setting.
func (a *parts) greet(ctx context.Context) error {
	check, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	_, err := a.source.Now(check, a.cfg.contact())
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

// connect makes the first contact with Kafka, with a deadline: later on an unreachable broker is waited for, but at the
// start it is most likely a wrong setting.
func (a *parts) connect(ctx context.Context) error {
	check, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := kafka.Check(check, a.cfg.kafka); err != nil {
		return err
	}
	conn, err := kafka.Open(a.cfg.kafka)
	if err != nil {
		return usageError{err}
	}
	a.conn = conn
	a.close = append(a.close, conn.Close)
	return nil
}

// openSink makes sink and checkpoints. The transactional id needs the app's shard, and so the number of partitions of the
// checkpoint topic; that is why the topics come first.
func (a *parts) openSink(ctx context.Context) error {
	topicConfig := a.cfg.topicConfig
	topicConfig.Client, topicConfig.Retry, topicConfig.Warn = a.conn.Client, a.retry, a.warn
	topics, err := sink.NewTopics(topicConfig)
	if err != nil {
		return usageError{err}
	}
	a.topics = topics
	if err = kafka.CheckDescribe(ctx, a.cfg.kafka, topics.Names()); err != nil {
		return err
	}
	if err = topics.Ensure(ctx); err != nil {
		return err
	}
	if !a.cfg.start.At.IsZero() || a.cfg.start.Back > 0 {
		oldest := a.cfg.start.At
		if oldest.IsZero() {
			oldest = time.Now().Add(-a.cfg.start.Back)
		}
		if err = topics.CheckRetention(a.cfg.sink.RecordTime, oldest); err != nil {
			return usageError{err}
		}
	}
	cfg := a.cfg.sink
	cfg.ReplayID = a.cfg.replay
	if a.cfg.exactlyOnce() {
		a.transactionalID = fmt.Sprintf("%s-%d", a.cfg.group, checkpoint.ShardOf(a.cfg.source.AppKey, topics.Partitions(pipeline.TopicCheckpoints)))
		if a.cfg.replay != "" { // A replay is a writer of its own.
			a.transactionalID += "-" + a.cfg.replay
		}
		cfg.TransactionalID = a.transactionalID
	}
	if a.sink, err = sink.NewWriter(topics, cfg); err != nil {
		return usageError{err}
	}
	a.archive = checkpoint.NewArchive(a.conn.Client, topics.Routing().Own(pipeline.TopicWindows), a.cfg.source.AppKey,
		func() int { return topics.Partitions(pipeline.TopicWindows) }, a.retry)
	if !a.cfg.exactlyOnce() {
		return a.openFiles()
	}
	a.kafka = checkpoint.NewKafka(a.conn.Client, topics.Routing().Own(pipeline.TopicCheckpoints), a.cfg.source.AppKey,
		func() int { return topics.Partitions(pipeline.TopicCheckpoints) }, a.retry)
	a.kafka.Replay = a.cfg.replay
	a.store = a.kafka
	return nil
}

// checkRights finds, for a command that publishes, every right that is missing before anything is taken from a process that
// may be publishing now. Where there are no transactions, only a write itself tells whether it is allowed.
func (a *parts) checkRights(ctx context.Context) error {
	names := a.topics.Names()
	var read []string
	if a.kafka != nil {
		if err := a.conn.CheckWrite(ctx, a.retry, a.transactionalID, names); err != nil {
			return err
		}
		read = append(read, a.topics.Routing().Own(pipeline.TopicCheckpoints))
	}
	if len(a.cfg.recheck) > 0 { // What was published is read back to find which rows came late.
		read = append(read, a.topics.Routing().Events()...)
		read = append(read, a.topics.Routing().Own(pipeline.TopicRejected), a.topics.Routing().Own(pipeline.TopicWindows))
	}
	return a.conn.CheckRead(ctx, read)
}

// runError makes a mistake of the settings out of what ended a run that has published nothing.
func (a *parts) runError(err error) error {
	if a.committed.Load() {
		return err
	}
	return startError(err)
}

// replayDir is the folder of a replay's positions, within that of the live ones.
func replayDir(id string) string { return "replay-" + id }

func (a *parts) openFiles() error {
	dir := a.cfg.checkpointDir
	if a.cfg.replay != "" { // A folder of its own, and so a lock of its own.
		dir = filepath.Join(dir, replayDir(a.cfg.replay))
	}
	files, err := checkpoint.OpenFiles(dir, a.cfg.source.AppKey)
	if err != nil {
		return usageError{err}
	}
	files.Retry = a.retry
	a.close = append(a.close, func() { _ = files.Close() }) // Only the lock.
	a.files, a.store = files, files
	return nil
}

// startError makes a mistake of the settings out of what cannot mend itself.
func startError(err error) error {
	if fault, ok := errors.AsType[*pipeline.Fault](err); ok && fault.Class == pipeline.Permanent {
		return usageError{err}
	}
	return err
}
