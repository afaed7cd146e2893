package pipeline_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// witness is evidence from a fake Kafka's ledger, which loses nothing.
type witness struct{ *fakes.Kafka }

// Lost holds the positions against the ledger.
func (w witness) Lost(_ context.Context, positions map[pipeline.Stream]pipeline.Checkpoint) ([]pipeline.LostPosition, error) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	if len(w.Ledger) == 0 {
		return nil, nil
	}
	newest := w.Ledger[len(w.Ledger)-1]
	cp, there := positions[newest.Stream]
	if cp.Sequence == newest.Sequence {
		return nil, nil
	}
	return []pipeline.LostPosition{{Stream: newest.Stream, Gone: !there, End: cp.End, Published: newest.MovedTo}}, nil
}

// Sequences is that of the newest record.
func (w witness) Sequences(context.Context, []pipeline.Stream) (map[pipeline.Stream]int64, error) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	return map[pipeline.Stream]int64{fakes.Messages(): w.Ledger[len(w.Ledger)-1].Sequence}, nil
}

// stopped is evidence that is read after the process was stopped for a while, in which something happened.
type stopped struct {
	witness

	meanwhile func()
}

// Lost holds the positions of before against the ledger of now.
func (s *stopped) Lost(ctx context.Context, positions map[pipeline.Stream]pipeline.Checkpoint) ([]pipeline.LostPosition, error) {
	if s.meanwhile != nil {
		s.meanwhile()
		s.meanwhile = nil
	}
	return s.witness.Lost(ctx, positions)
}

// TestNothingIsLostThatAnotherHasMoved stops a process between its reading of the positions and of what was published, while another one, which
// ends or goes on, takes the app over: nothing is said to be lost. The first run leaves where it was replaced, and each row is there once.
func TestNothingIsLostThatAnotherHasMoved(t *testing.T) {
	for name, first := range map[string]bool{"the first position": true, "a later one": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now().UTC()
				rows := fakes.RowsFrom(begin, 900)
				kafka := fakes.NewKafka()
				config := func() pipeline.Config {
					cfg := fakes.ConfigFor(fakes.NewSource(rows...), kafka, begin)
					writer := kafka.NewWriter()
					cfg.Sink, cfg.Checkpoints = writer, writer.Store()
					return cfg
				}
				if !first {
					if err := fakes.RunFor(t, config(), time.Minute); err != nil {
						t.Fatal(err)
					}
				}
				cfg, ended := config(), make(chan error, 1)
				cfg.Evidence = &stopped{witness{kafka}, func() {
					other := config()
					other.Name = "process 7 on another"
					go func() { ended <- fakes.RunFor(t, other, 10*time.Minute) }()
					time.Sleep(3 * time.Minute)
				}}
				err := fakes.RunFor(t, cfg, 5*time.Minute)
				if pipeline.ClassOf(err) != pipeline.Fenced || !strings.Contains(err.Error(), "process 7 on another") {
					t.Errorf("the run that was stopped ends with %v, want it replaced", err)
				}
				if err := <-ended; err != nil {
					t.Errorf("the run that has replaced it: %v", err)
				}
				kafka.WantIDs(t, fakes.IDsOf(rows[:len(kafka.IDs())]))
				if n := len(kafka.IDs()); n < 500 {
					t.Errorf("%d rows are published", n)
				}
			})
		})
	}
}

// TestLostPositionEndsTheRun takes the position away, or sets an older one in its place, while a run runs and between two runs: nothing
// is published again. What a run accepts is accepted by the next one too.
func TestLostPositionEndsTheRun(t *testing.T) {
	for name, older := range map[string]bool{"gone": false, "older": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now().UTC()
				rows := fakes.RowsFrom(begin, 900)
				source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
				cfg := fakes.ConfigFor(source, kafka, begin)
				cfg.Evidence = witness{kafka}
				if err := fakes.RunFor(t, cfg, time.Minute); err != nil {
					t.Fatal(err)
				}
				backup := kafka.Position(fakes.Messages())
				lose := func() {
					if delete(kafka.Checkpoints, fakes.Messages()); older {
						kafka.Checkpoints[fakes.Messages()] = backup
					}
				}
				commits := 0
				kafka.Fail = func(_ context.Context, op string) error {
					if op != "begin" {
						return nil
					}
					if commits++; commits != 10 {
						return nil
					}
					lose()
					return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("injected")}
				}
				found := "messages is published up to 2000-01-01T00:0"
				says := "there is no checkpoint of it"
				if older {
					says = "its checkpoint says " + pipeline.FormatTime(backup.End)
				}
				var published []int64
				for _, when := range []string{"while it runs", "at the next start"} {
					err := fakes.RunFor(t, cfg, 5*time.Minute)
					if pipeline.ClassOf(err) != pipeline.Permanent || !strings.Contains(err.Error(), found) || !strings.Contains(err.Error(), says) {
						t.Fatalf("%s: %v, want %q and %q", when, err, found, says)
					}
					published = kafka.IDs()
					if !slices.Equal(published, fakes.IDsOf(rows[:len(published)])) {
						t.Fatalf("%s: published %v", when, published)
					}
				}
				accepting, err := pipeline.New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				accepting.AcceptLost()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				failed := false
				kafka.Fail = func(_ context.Context, op string) error { // What is accepted outlives a session that commits nothing.
					if op != "commit" || failed {
						return nil
					}
					failed = true
					return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("injected")}
				}
				if err := accepting.Run(ctx); err != nil {
					t.Fatal(err)
				}
				from := begin
				if older {
					from = backup.End
				}
				again := kafka.IDs()[len(published)]
				row := slices.IndexFunc(rows, func(r fakes.Row) bool { return r.ID == again })
				if row < 0 || rows[row].At.Before(from.Add(-2*time.Second)) || rows[row].At.After(from.Add(2*time.Second)) {
					t.Errorf("the run that accepts it begins with row %d of %d, want that of %v", row, len(rows), from)
				}
				for i, l := range kafka.Ledger {
					if l.Sequence != int64(i)+1 {
						t.Fatalf("ledger record %d has the number %d", i+1, l.Sequence)
					}
				}
				if err := fakes.RunFor(t, cfg, time.Minute); err != nil {
					t.Errorf("the run after that: %v", err)
				}
			})
		})
	}
}
