package fakes

import (
	"context"
	"errors"

	"github.com/jmpub/jmpub/pipeline"
)

// Writer is one of several that write to the same Kafka. The one that took the writer's place last has it, and the others are
// fenced, as those are that share a transactional id. It is sink and checkpoints, and is used by one goroutine at a time.
type Writer struct {
	*Kafka

	// place is what was taken; zero before that.
	place int
}

var _ pipeline.Sink = (*Writer)(nil)

// NewWriter has not taken the place yet.
func (k *Kafka) NewWriter() *Writer { return &Writer{Kafka: k} }

// fenced is the fault of whoever has not the writer's place any more.
func (k *Kafka) fenced(place int, class pipeline.Class) error {
	if place == k.writer {
		return nil
	}
	return &pipeline.Fault{Class: class, Op: "write", Err: errors.New("another has the writer's place")}
}

// Open takes the place, and aborts what whoever had it left open. Who had it before, and did not forget it, must have it still.
func (w *Writer) Open(ctx context.Context) error {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	if err := w.try(ctx, "open"); err != nil {
		return err
	}
	if w.place > 0 {
		if err := w.fenced(w.place, pipeline.Fenced); err != nil {
			return err
		}
	}
	w.Opened++
	w.drop()
	w.writer++
	w.place = w.writer
	return nil
}

// Forget makes the next Open take the place, whoever has it.
func (w *Writer) Forget() { w.place = 0 }

// Begin starts a transaction. Whether the writer has its place still shows only when it writes.
func (w *Writer) Begin(ctx context.Context) (pipeline.Transaction, error) {
	w.Mu.Lock()
	mine := w.place == w.writer
	w.Mu.Unlock()
	if !mine {
		return &transaction{w.Kafka, w.place}, nil
	}
	return w.Kafka.Begin(ctx)
}

// Store is the Kafka as this writer's store of checkpoints.
func (w *Writer) Store() pipeline.Checkpoints { return &writerStore{Store{w.Kafka}, w} }

type writerStore struct {
	Store

	writer *Writer
}

// Stage keeps a commit for when the writer's transaction commits.
func (s *writerStore) Stage(c *pipeline.Commit) ([]pipeline.Record, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	if s.writer.place == s.Kafka.writer { // Otherwise it belongs to no transaction; to append it fails.
		s.tx.commits = append(s.tx.commits, c)
	}
	return nil, nil
}
