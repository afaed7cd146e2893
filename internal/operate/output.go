package operate

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/regular"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/sink"
)

// output is where an app's events, ledger and positions are.
type output struct {
	conn     *kafka.Conn
	topics   *sink.Topics
	sink     *sink.Writer
	store    pipeline.Checkpoints
	claims   pipeline.Claims
	owners   pipeline.Owners
	pauses   pipeline.Pauses
	archive  *checkpoint.Archive
	coverage *checkpoint.Coverage
	notices  *checkpoint.Notices
	evidence *checkpoint.Evidence
	// transactionalID is empty where delivery is at least once.
	transactionalID string
	// kafka and files are the store, whichever it is.
	kafka *checkpoint.Kafka
	files *checkpoint.Files
}

// exclusive is the one write of a command: it takes the writer's place, with a run or without.
func (w *wiring) exclusive(out *output, command string) *pipeline.Exclusive {
	return &pipeline.Exclusive{
		Command: command, Sink: out.sink, Checkpoints: out.store, Claims: out.claims, Coverage: out.coverage, Observer: w.observer,
	}
}

// connect makes the first contact with Kafka. A broker that does not answer may not be up yet, so it is waited for; for some time
// only, for at the start it is most likely a wrong setting.
func (w *wiring) connect(ctx context.Context) (*kafka.Conn, error) {
	if w.shared != nil {
		return w.shared.conn, nil
	}
	check, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var partly, answer error
	err := w.retry.Do(check, "connect to Kafka", func(ctx context.Context) error {
		partly, answer = kafka.Check(ctx, w.cfg.Kafka)
		return answer
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case check.Err() != nil && answer != nil:
		return nil, fmt.Errorf("no Kafka within %s: %w", connectTimeout, answer)
	case err != nil:
		return nil, startError(err)
	}
	if partly != nil {
		w.log.WarnContext(ctx, "some brokers cannot be reached", slog.Any("error", partly))
	}
	conn, err := kafka.Open(w.cfg.Kafka)
	if err != nil {
		return nil, usage.Wrap(err)
	}
	w.close = append(w.close, conn.Close)
	return conn, nil
}

// transactionalID names the writer of an app's live positions, or of a replay. None of its parts can contain a slash, so no two
// writers share one: an app is fenced only by its own next writer.
func transactionalID(group, prefix, appKey, replay string) string {
	id := group + "/" + prefix + "/" + appKey
	if replay != "" {
		id += "/" + replay
	}
	return id
}

// skipped tells of records that stand where jmpub's own do and are none.
func (w *wiring) skipped() func(error) {
	trouble := &throttle{every: logEvery, last: make(map[string]throttled)}
	return func(err error) {
		if ok, suppressed := trouble.allow("record"); ok {
			w.warn("record passed over that is none of jmpub's", slog.Any("error", err), slog.Int("not_logged", suppressed))
		}
	}
}

// openOutput connects to Kafka, and makes the sink and what reads back what stands there.
func (w *wiring) openOutput(ctx context.Context) (*output, error) {
	conn, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	names := w.cfg.Topics
	names.Client, names.Retry, names.Warn = conn.Client, w.retry, w.warn
	topics, err := sink.NewTopics(names)
	if err != nil {
		return nil, usage.Wrap(err)
	}
	if err = w.ensureTopics(ctx, topics); err != nil {
		return nil, startError(err)
	}
	app, routing := w.cfg.Source.AppKey, topics.Routing()
	out := &output{conn: conn, topics: topics}
	out.archive = checkpoint.NewArchive(conn.Client, routing.Own(pipeline.TopicWindows), app,
		func() int { return topics.Partitions(pipeline.TopicWindows) }, w.retry)
	out.coverage = checkpoint.NewCoverage(conn.Client, routing.Own(pipeline.TopicCoverage), app,
		func() int { return topics.Partitions(pipeline.TopicCoverage) }, w.retry)
	out.notices = w.notices(out, app)                                    //nolint:contextcheck // It outlives the call.
	out.archive.Skipped, out.coverage.Skipped = w.skipped(), w.skipped() //nolint:contextcheck // They outlive the call.
	out.evidence = &checkpoint.Evidence{
		Archive: out.archive, Coverage: out.coverage, Named: w.cfg.Streams, Discovered: w.cfg.Discover, AtLeastOnce: !w.cfg.ExactlyOnce(),
	}
	cfg := w.cfg.Sink
	cfg.ReplayID, cfg.Observer = w.replay, w.observer
	if w.cfg.ExactlyOnce() { // A replay is a writer of its own.
		out.transactionalID = transactionalID(w.cfg.Group, names.Prefix, app, cmp.Or(w.writer, w.replay))
		cfg.TransactionalID = out.transactionalID
	}
	if out.sink, err = sink.NewWriter(topics, cfg); err != nil {
		return nil, usage.Wrap(err)
	}
	if w.shared != nil {
		out.archive.ReadTogether(&w.shared.together)
		out.coverage.ReadTogether(&w.shared.together)
	}
	if !w.cfg.ExactlyOnce() {
		return out, w.openFiles(ctx, out)
	}
	out.kafka = checkpoint.NewKafka(conn.Client, routing.Own(pipeline.TopicCheckpoints), app,
		func() int { return topics.Partitions(pipeline.TopicCheckpoints) }, w.retry)
	out.kafka.Replay, out.kafka.Group = w.replay, w.cfg.Group
	if w.shared != nil {
		out.kafka.ReadTogether(&w.shared.together)
	}
	out.store, out.claims, out.owners, out.pauses = out.kafka, out.kafka, out.kafka, out.kafka
	return out, nil
}

// ensureTopics makes the topics, or says what is wrong with those that are there.
func (w *wiring) ensureTopics(ctx context.Context, topics *sink.Topics) error {
	if w.shared.isAllowed(topics) { // They are looked at again when the sink is opened.
		return nil
	}
	if err := kafka.CheckDescribe(ctx, w.cfg.Kafka, topics.Names()); err != nil {
		return err
	}
	if err := topics.Ensure(ctx); err != nil {
		return err
	}
	return topics.CheckRetention(w.cfg.Sink.RecordTime, settings.Moment(w.cfg.Start).Resolve(time.Now()))
}

// openFiles makes the files the store.
func (w *wiring) openFiles(ctx context.Context, out *output) error {
	dir := w.cfg.CheckpointDir
	if w.replay != "" { // A folder of its own, and so locks of its own.
		dir = filepath.Join(dir, checkpoint.ReplayFolder(w.cfg.Topics.Prefix, w.replay))
		if err := regular.CheckFolder(dir); err != nil { // The operator may choose a link for the folder, and nobody one within it.
			return usage.Errorf("JMPUB_CHECKPOINT: %w", err)
		}
	}
	files, err := checkpoint.OpenFiles(dir, w.cfg.Source.AppKey)
	if err != nil {
		return usage.Errorf("JMPUB_CHECKPOINT: %w", err)
	}
	if detail := regular.ExposedFolder(dir); detail != "" {
		w.log.WarnContext(ctx, "others can change the checkpoints", slog.String("setting", "JMPUB_CHECKPOINT"), slog.String("detail", detail),
			slog.String("hint", "take the right to write from group and others (chmod go-w)"))
	}
	files.Retry, files.Replay = w.retry, w.replay
	w.close = append(w.close, func() { _ = files.Close() }) // Only locks.
	out.files, out.store, out.claims, out.owners, out.pauses = files, files, files, files, files
	return nil
}

// lock takes the files, if those are the store, for a process that publishes.
func (out *output) lock() error {
	if out.files == nil {
		return nil
	}
	if err := out.files.Lock(); err != nil {
		return usage.Errorf("JMPUB_CHECKPOINT: %w", err)
	}
	return nil
}

// checkRights finds, for a command that publishes, every right that is missing before anything is taken from a process that
// may be publishing now. Where there are no transactions, only a write itself shows whether it is allowed.
func (w *wiring) checkRights(ctx context.Context, out *output) error {
	if w.shared.isAllowed(out.topics) {
		return nil
	}
	if err := w.checkWrite(ctx, out); err != nil {
		return err
	}
	if err := out.conn.CheckRead(ctx, w.readBack(out.topics.Routing())); err != nil {
		return startError(err)
	}
	w.shared.allow(out.topics)
	return nil
}

// readBack are the topics that whoever publishes reads back.
func (w *wiring) readBack(routing *sink.Routing) []string {
	var read []string
	if w.replay == "" { // A replay leaves the coverage as it is, and its positions are held against nothing.
		read = append(read, routing.Own(pipeline.TopicCoverage), routing.Own(pipeline.TopicWindows))
	}
	if w.cfg.ExactlyOnce() {
		read = append(read, routing.Own(pipeline.TopicCheckpoints))
	}
	if len(w.cfg.Recheck) > 0 { // What was published is read back to find which rows came late.
		read = append(read, routing.Events()...)
		read = append(read, routing.Own(pipeline.TopicRejected))
	}
	return read
}

// checkWrite is the part of checkRights about what is written.
func (w *wiring) checkWrite(ctx context.Context, out *output) error {
	if out.kafka == nil {
		return nil
	}
	return startError(out.conn.CheckWrite(ctx, w.retry, out.transactionalID, out.topics.Names()))
}

// notices are those of an app; of all apps of the topic, where it is empty.
func (w *wiring) notices(out *output, app string) *checkpoint.Notices {
	all := checkpoint.NewNotices(out.conn.Client, out.topics.Routing().Own(pipeline.TopicNotices), app,
		func() int { return out.topics.Partitions(pipeline.TopicNotices) }, w.retry)
	all.Skipped = w.skipped()
	return all
}
