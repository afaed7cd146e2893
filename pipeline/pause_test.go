package pipeline_test

import (
	"context"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// TestPauseWith adds and takes away, and a resumed app has nothing left that is paused.
func TestPauseWith(t *testing.T) {
	a, b := pipeline.Stream{Kind: pipeline.StreamUsers, Name: "ann"}, pipeline.Stream{Kind: pipeline.StreamUsers, Name: "bob"}
	var p pipeline.Pause
	p = p.With(b, true)
	p = p.With(a, true)
	p = p.With(a, true)
	if p.Has(pipeline.Stream{Kind: pipeline.StreamMessages}) || !p.Has(a) || !reflect.DeepEqual(p.Streams, []pipeline.Stream{a, b}) {
		t.Errorf("%+v", p)
	}
	all := p.With(pipeline.Stream{}, true)
	if !all.App || !all.Has(pipeline.Stream{Kind: pipeline.StreamMessages}) {
		t.Errorf("%+v", all)
	}
	p = p.With(a, false)
	if p.Has(a) || !p.Has(b) || !p.Any() {
		t.Errorf("%+v", p)
	}
	if all = all.With(pipeline.Stream{}, false); all.Any() {
		t.Errorf("%+v", all)
	}
}

// looker is an attendant that keeps which streams have positions for attendants.
type looker struct {
	last atomic.Pointer[map[pipeline.Stream]pipeline.Checkpoint]
}

func (l *looker) Attend(_ context.Context, s pipeline.Session) (time.Time, error) {
	l.last.Store(new(s.Positions()))
	return time.Now().Add(time.Minute), nil
}

// TestPausedIsNotPublished pauses one of two streams of a live run, then the app, as commands do, and resumes both: from the answer on nothing
// of what is paused is published, nor looked at by attendants, the other stream goes on, and in the end each row is there once.
func TestPausedIsNotPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		ann, bob, app := user("ann"), user("bob"), pipeline.Stream{}
		source, kafka, seen := fakes.NewSource(), fakes.NewKafka(), new(looker)
		source.Of = map[pipeline.Stream][]fakes.Row{ann: scattered(begin, 1, 500), bob: scattered(begin, 2, 500)}
		writer := kafka.NewWriter()
		cfg := fakes.ConfigFor(source, kafka, begin)
		cfg.Sink, cfg.Checkpoints, cfg.Streams, cfg.Pauses = writer, writer.Store(), []pipeline.Stream{ann, bob}, kafka
		cfg.Attendants = []pipeline.Attendant{seen}
		change := func(s pipeline.Stream, paused bool) {
			other := kafka.NewWriter()
			e := &pipeline.Exclusive{Command: "pause", Sink: other, Checkpoints: other.Store(), Claims: kafka}
			err := e.Commit(t.Context(), func(ctx context.Context, d *pipeline.Draft) error {
				now, err := kafka.Paused(ctx)
				next := now.With(s, paused)
				next.By, next.At = "ops", time.Now()
				d.SetPause(next)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		// published are how many rows of each there are, attended which of them attendants have seen last.
		published := func() (anns, bobs int) {
			for _, id := range kafka.IDs() {
				if id < 2_000_000 {
					anns++
				} else {
					bobs++
				}
			}
			return anns, bobs
		}
		attended := func() []bool {
			at := *seen.last.Load()
			_, a := at[ann]
			_, b := at[bob]
			return []bool{a, b}
		}
		const long = 10 * time.Minute
		done := make(chan error, 1)
		go func() { done <- fakes.RunFor(t, cfg, 3*time.Hour) }()
		time.Sleep(long)
		if anns, bobs := published(); anns == 0 || bobs == 0 || !slices.Equal(attended(), []bool{true, true}) {
			t.Errorf("at first there are %d and %d rows, %v", anns, bobs, attended())
		}
		change(ann, true)
		anns, bobs := published()
		time.Sleep(long)
		if a, b := published(); a != anns || b == bobs || !slices.Equal(attended(), []bool{false, true}) {
			t.Errorf("of a stream that is paused there were %d rows, are %d, and %d of the other one after %d, %v", anns, a, b, bobs, attended())
		}
		change(app, true)
		anns, bobs = published()
		time.Sleep(long)
		if a, b := published(); a != anns || b != bobs {
			t.Errorf("of an app that is paused there were %d and %d rows, and are %d and %d", anns, bobs, a, b)
		}
		change(app, false)
		if err := <-done; err != nil {
			t.Error(err)
		}
		want := slices.Concat(fakes.IDsOf(source.Of[ann]), fakes.IDsOf(source.Of[bob]))
		got := kafka.IDs()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%d rows are published, want each of %d once", len(got), len(want))
		}
	})
}

// TestPauseIsReadBehindTheFence has a command pause a stream right before a run takes its place from it: nothing is published.
func TestPauseIsReadBehindTheFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		source, kafka := fakes.NewSource(fakes.RowsFrom(begin, 100)...), fakes.NewKafka()
		kafka.Fail = func(_ context.Context, op string) error {
			if op == "open" {
				kafka.Pause = pipeline.Pause{Streams: []pipeline.Stream{fakes.Messages()}}
			}
			return nil
		}
		cfg := fakes.ConfigFor(source, kafka, begin)
		cfg.Pauses = kafka
		fakes.Run(t, cfg, time.Hour)
		kafka.WantIDs(t, nil)
	})
}
