package operate

import (
	"context"
	"time"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/sink"
)

// repair publishes what an audit finds missing. Its writer is opened with the first difference.
type repair struct {
	cfg   *settings.Config
	conn  *kafka.Conn
	retry pipeline.Retry
	warn  func(string)

	writer *sink.Sink
	store  pipeline.Checkpoints
}

// publish publishes what a difference is missing, and returns how many rows those were.
func (r *repair) publish(ctx context.Context, d *pipeline.Difference) (int64, error) {
	if r.writer == nil {
		if err := r.open(ctx); err != nil {
			return 0, err
		}
	}
	closed, err := pipeline.Repair(ctx, r.writer, r.store, d, time.Now())
	if err != nil {
		return 0, err
	}
	return closed.Ledger.Published + closed.Ledger.Rejected, nil
}

// open makes a writer of the audit's own: the live one is not fenced.
func (r *repair) open(ctx context.Context) error {
	cfg := r.cfg.Sink
	cfg.Client, cfg.Retry, cfg.Warn = r.conn.Client, r.retry, r.warn
	if r.cfg.ExactlyOnce() {
		cfg.TransactionalID = r.cfg.Group + "-repair-" + r.cfg.Source.AppKey
	}
	writer, err := sink.New(cfg)
	if err != nil {
		return err
	}
	if err := writer.Open(ctx); err != nil {
		return startError(err)
	}
	r.writer = writer
	r.store = checkpoint.NewKafka(r.conn.Client, cfg.Prefix+"."+string(pipeline.TopicCheckpoints), r.cfg.Source.AppKey,
		func() int { return writer.Partitions(pipeline.TopicCheckpoints) }, r.retry)
	return nil
}
