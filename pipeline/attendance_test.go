package pipeline_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// leaver is an attendant that commits something when it is told to leave, which takes a while.
type leaver struct {
	left bool
	err  error
}

func (l *leaver) Attend(ctx context.Context, s pipeline.Session) (time.Time, error) {
	<-ctx.Done()
	time.Sleep(time.Second)
	l.err = s.Commit(context.WithoutCancel(ctx), func(_ context.Context, d *pipeline.Draft) error {
		cp, _ := d.Position(fakes.Messages())
		d.SetPosition(&cp)
		return nil
	})
	l.left = true
	return time.Time{}, nil
}

// TestAttendantsLeaveBeforeTheSession expects what attendants commit when the streams have come to their end to be committed, and none of them
// to be at work when the run has ended.
func TestAttendantsLeaveBeforeTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Truncate(time.Second)
		source, kafka, last := fakes.NewSource(), fakes.NewKafka(), new(leaver)
		source.Of = map[pipeline.Stream][]fakes.Row{fakes.Messages(): rowsEach(begin, time.Second, 60)}
		time.Sleep(time.Hour)
		cfg := fakes.ConfigFor(source, kafka, begin)
		cfg.Until, cfg.Attendants = begin.Add(10*time.Minute), []pipeline.Attendant{last}
		if err := fakes.RunFor(t, cfg, time.Hour); err != nil {
			t.Error(err)
		}
		if !last.left || last.err != nil {
			t.Errorf("the attendant has left: %t, its commit has failed: %v", last.left, last.err)
		}
	})
}
