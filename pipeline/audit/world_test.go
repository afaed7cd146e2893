package audit_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
	"github.com/jmpub/jmpub/pipeline/event"
)

// world is an API and the Kafka that a run writes to, both in memory. It is the archive of that Kafka, whose ledger has one
// partition, and a session in which nothing fails.
type world struct {
	*fakes.Kafka

	source *fakes.Source
	// deleted tells that retention has deleted the events.
	deleted bool
	// asked are the queries for ledger records.
	asked []audit.Query
	// writing is held by whoever writes: the place is not taken from anybody.
	writing sync.Mutex
}

func newWorld(rows ...fakes.Row) *world {
	w := &world{Kafka: fakes.NewKafka(), source: fakes.NewSource()}
	w.source.Of = map[pipeline.Stream][]fakes.Row{messages(): rows}
	return w
}

// published tells how often each row was published.
func (w *world) published() map[int64]int {
	times := make(map[int64]int)
	for _, id := range w.IDs() {
		times[id]++
	}
	return times
}

// read does what the run does with a window: it publishes what was not published by the windows before it. A position that was
// set back publishes everything again.
func (w *world) read(t *testing.T, s pipeline.Stream, from, to time.Time) {
	t.Helper()
	known := w.published()
	err := w.Commit(t.Context(), func(ctx context.Context, d *pipeline.Draft) error {
		in := pipeline.Window{Begin: from.Add(-2 * time.Second), End: to}
		record := pipeline.Ledger{AppKey: appKey, Stream: s, Window: in, MovedFrom: from, MovedTo: to, Started: time.Now(), Pages: 1, Requests: 1}
		batch := &pipeline.Batch{AppKey: appKey, Stream: s, Window: in}
		norm := event.NewNormalizer(appKey)
		for _, r := range w.source.Visible(s, in) {
			record.Rows++
			e, rejection := norm.Normalize(r.JSON())
			switch {
			case known[r.ID] > 0 && r.At.Before(from.Add(time.Second)):
				record.Skipped++
			case rejection != nil:
				rejection.Row = slices.Clone(rejection.Row)
				batch.Rejected = append(batch.Rejected, *rejection)
				record.Rejected++
			default:
				batch.Events = append(batch.Events, e)
				record.Published++
			}
		}
		record.Total = record.Rows
		next, _ := d.Position(s)
		next.AppKey, next.Stream, next.End = appKey, s, to
		return errors.Join(d.Publish(ctx, batch), d.CloseWindow(ctx, record, next))
	})
	if err != nil {
		t.Error(err)
	}
}

// Commit takes the writer's place, as a command does.
func (w *world) Commit(ctx context.Context, fill pipeline.Fill) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	e := pipeline.Exclusive{Command: "test", Sink: w, Checkpoints: &fakes.Store{Kafka: w.Kafka}, Claims: w, Coverage: w}
	return e.Commit(ctx, fill)
}

func (*world) Follow(context.Context, pipeline.Stream) error {
	return errors.New("nothing is followed")
}

func (*world) Sweep(int) time.Duration { return 0 }

func (w *world) Positions() map[pipeline.Stream]pipeline.Checkpoint {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	return maps.Clone(w.Checkpoints)
}

func (w *world) ledger() []pipeline.Ledger {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	return slices.Clone(w.Kafka.Ledger)
}

func (w *world) Ledger(_ context.Context, q audit.Query, fn func(*pipeline.Ledger, audit.Place) error) (audit.Frontier, error) {
	w.Mu.Lock()
	w.asked = append(w.asked, q)
	w.Mu.Unlock()
	ledger := w.ledger()
	for i := range ledger {
		l := &ledger[i]
		if l.Committed.Before(q.Since) || q.Streams != nil && !slices.Contains(q.Streams, l.Stream) {
			continue
		}
		if err := fn(l, audit.Place{Offset: int64(i)}); err != nil {
			return nil, err
		}
	}
	return audit.Frontier{0: int64(len(ledger))}, nil
}

func (w *world) Newer(_ context.Context, s pipeline.Stream, behind audit.Frontier, fn func(*pipeline.Ledger, audit.Place) error) error {
	ledger := w.ledger()
	for i := behind[0]; i < int64(len(ledger)); i++ {
		if ledger[i].Stream == s {
			if err := fn(&ledger[i], audit.Place{Offset: i}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) At(_ context.Context, p audit.Place) (*pipeline.Ledger, error) {
	return &w.ledger()[p.Offset], nil
}

func (w *world) Records(_ context.Context, ranges []pipeline.OffsetRange, fn func(topic string, key, value []byte) error) error {
	if w.deleted {
		return nil
	}
	return w.RecordsAt(ranges, fn)
}

// look reads the ledger and returns an audit of all of it.
func (w *world) look(t *testing.T) (*audit.Audit, []audit.Chain) {
	t.Helper()
	var lineage audit.Lineage
	frontier, err := w.Ledger(t.Context(), audit.Query{}, func(l *pipeline.Ledger, at audit.Place) error {
		lineage.Add(l, at)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return &audit.Audit{
		AppKey: appKey, Rows: &pipeline.RowReader{Source: w.source}, Totals: w.source, Archive: w, Frontier: frontier,
	}, lineage.Chains(all)
}

// differences are what an audit of everything finds.
func (w *world) differences(t *testing.T) []*audit.Difference {
	t.Helper()
	a, chains := w.look(t)
	a.Step = time.Hour
	var found []*audit.Difference
	for _, c := range chains {
		if err := a.Check(t.Context(), &c, func(d *audit.Difference) error { found = append(found, d); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(found, func(a, b *audit.Difference) int { return cmp.Compare(a.Begin.Unix(), b.Begin.Unix()) })
	return found
}

// wantOnce expects each row to be published so many times, once where it is not named.
func (w *world) wantOnce(t *testing.T, except map[int64]int) {
	t.Helper()
	times := w.published()
	for _, rows := range w.source.Of {
		for _, r := range rows {
			want, named := except[r.ID]
			if !named {
				want = 1
			}
			if times[r.ID] != want && r.Raw == "" {
				t.Errorf("the row of %s is published %d times, want %d", pipeline.FormatTime(r.At), times[r.ID], want)
			}
		}
	}
}
