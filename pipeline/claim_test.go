package pipeline_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// mortal is a command's process. It dies before one of its steps, and nothing of it goes out from then on; or it is stopped there, once,
// and goes on long after.
type mortal struct {
	diesAt, stopsAt string
	dead            bool
}

func (m *mortal) step(name string) error {
	if name == m.stopsAt {
		m.stopsAt = ""
		time.Sleep(7 * time.Minute)
	}
	if m.dead = m.dead || name == m.diesAt; !m.dead {
		return nil
	}
	return &pipeline.Fault{Class: pipeline.Permanent, Op: name, Err: errors.New("the process is gone")}
}

type mortalClaims struct {
	pipeline.Claims
	*mortal
}

func (c mortalClaims) Announce(ctx context.Context, claim pipeline.Claim) error {
	name := "announce"
	if claim.Done {
		name = "leave"
	}
	if err := c.step(name); err != nil {
		return err
	}
	return c.Claims.Announce(ctx, claim)
}

type mortalSink struct {
	*fakes.Writer
	*mortal
}

func (s mortalSink) Open(ctx context.Context) error {
	if err := s.step("fence"); err != nil {
		return err
	}
	return s.Writer.Open(ctx)
}

func (s mortalSink) Begin(ctx context.Context) (pipeline.Transaction, error) {
	tx, err := s.Writer.Begin(ctx)
	return mortalTransaction{tx, s.mortal}, err
}

type mortalTransaction struct {
	pipeline.Transaction
	*mortal
}

func (t mortalTransaction) Append(ctx context.Context, records []pipeline.Record) error {
	if err := t.step("append"); err != nil {
		return err
	}
	return t.Transaction.Append(ctx, records)
}

func (t mortalTransaction) Commit(ctx context.Context) error {
	if err := t.step("commit"); err != nil {
		return err
	}
	return t.Transaction.Commit(ctx)
}

func (t mortalTransaction) Abort(ctx context.Context) error {
	if err := t.step("abort"); err != nil {
		return err
	}
	return t.Transaction.Abort(ctx)
}

// TestACommandThatDiesLeavesTheRunGoing ends a command before each of its steps, as kill -9 does. Before its fence the run notices
// nothing; from there on it stands still for as long as the claim lasts, and no longer. Only what the command has committed is
// there: each row once, and those behind the reset once more.
func TestACommandThatDiesLeavesTheRunGoing(t *testing.T) {
	for _, c := range []struct {
		diesAt           string
		fenced, resetDid bool
	}{
		{diesAt: "announce"},
		{diesAt: "fence"},
		{diesAt: "fill", fenced: true},
		{diesAt: "append", fenced: true},
		{diesAt: "commit", fenced: true},
		{diesAt: "leave", fenced: true, resetDid: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now().UTC()
			rows := fakes.RowsFrom(begin, 900)
			source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
			writer := kafka.NewWriter()
			cfg := fakes.ConfigFor(source, kafka, begin)
			cfg.Sink, cfg.Checkpoints = writer, writer.Store()
			var mu sync.Mutex
			var last time.Time
			var still time.Duration
			cfg.Observer = func(o pipeline.Observation) {
				if _, ok := o.(pipeline.WindowCommitted); ok {
					mu.Lock()
					defer mu.Unlock()
					if !last.IsZero() {
						still = max(still, time.Since(last))
					}
					last = time.Now()
				}
			}
			to := begin.Add(100 * time.Second)
			var published int
			command := &mortal{diesAt: c.diesAt}
			ended := make(chan error, 1)
			go func() {
				time.Sleep(5*time.Minute + 500*time.Millisecond)
				other := kafka.NewWriter()
				e := &pipeline.Exclusive{
					Command: "reset", Sink: mortalSink{other, command}, Checkpoints: other.Store(), Claims: mortalClaims{kafka, command},
				}
				ended <- e.Commit(context.WithoutCancel(t.Context()), func(_ context.Context, d *pipeline.Draft) error {
					if err := command.step("fill"); err != nil {
						return err
					}
					published = len(kafka.IDs())
					cp, _ := d.Position(fakes.Messages())
					cp = cp.ResetTo(to, pipeline.NewRowSet(fakes.IDsOf(rows[90:100]), nil), time.Second)
					d.SetPosition(&cp)
					return nil
				})
			}()
			if err := fakes.RunFor(t, cfg, 16*time.Minute); err != nil {
				t.Fatalf("dies before %s: run: %v", c.diesAt, err)
			}
			if err := <-ended; !command.dead || (err == nil) != c.resetDid {
				t.Errorf("dies before %s: the command died: %t; %v", c.diesAt, command.dead, err)
			}
			want := fakes.IDsOf(rows)
			if c.resetDid {
				want = slices.Concat(want[:published], want[100:])
			}
			kafka.WantIDs(t, want)
			if least, most := pipeline.ClaimTime-5*time.Second, pipeline.ClaimTime+5*time.Second; still > most || c.fenced != (still > least) {
				t.Errorf("dies before %s: the run stood still for %s", c.diesAt, still)
			}
		})
	}
}

// interrupted are the checkpoints of a run that is held up before it reads them.
type interrupted struct {
	pipeline.Checkpoints

	before func()
}

func (i interrupted) Load(ctx context.Context) (map[pipeline.Stream]pipeline.Checkpoint, error) {
	i.before()
	return i.Checkpoints.Load(ctx)
}

// TestACommandWhileARunBegins has a command come and go whole between the moment in which a run takes the writer's place and the one
// in which it reads the positions, in each of its first sessions. The run is fenced by commands alone, so it goes on; and when
// another run takes its place in the end, it leaves, although there were commands.
func TestACommandWhileARunBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		rows := fakes.RowsFrom(begin, 60)
		kafka := fakes.NewKafka()
		writer := kafka.NewWriter()
		cfg := fakes.ConfigFor(fakes.NewSource(rows...), kafka, begin)
		command, loads := exclusive(kafka), 0
		cfg.Sink = writer
		cfg.Checkpoints = interrupted{writer.Store(), func() {
			if loads++; loads > 3 {
				return
			}
			other := kafka.NewWriter()
			command.Sink, command.Checkpoints = other, other.Store()
			if err := command.Commit(t.Context(), func(_ context.Context, d *pipeline.Draft) error {
				cp := pipeline.Checkpoint{AppKey: cfg.AppKey, Stream: fakes.Messages(), End: begin}
				d.SetPosition(&cp)
				return nil
			}); err != nil {
				t.Errorf("command: %v", err)
			}
		}}
		replaced := time.AfterFunc(5*time.Minute, func() {
			kafka.WantIDs(t, fakes.IDsOf(rows))
			if err := errors.Join(kafka.NewWriter().Open(t.Context()), kafka.Own(t.Context(), pipeline.Claim{ID: "2"})); err != nil {
				t.Error(err)
			}
		})
		defer replaced.Stop()
		if err := fakes.RunFor(t, cfg, 10*time.Minute); pipeline.ClassOf(err) != pipeline.Fenced || time.Since(begin) < 5*time.Minute {
			t.Errorf("after %v the run ended with %v", time.Since(begin), err)
		}
		if loads < 4 {
			t.Errorf("the run began %d sessions", loads)
		}
	})
}
