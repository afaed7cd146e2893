package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// slow are claims on a network, and slowWriter a sink: each call takes a while before it has an effect, and some may take longer.
type slow struct {
	pipeline.Claims

	newest, announce time.Duration
}

func (s slow) Newest(ctx context.Context) (pipeline.Claim, error) {
	claim, err := s.Claims.Newest(ctx)
	return claim, errors.Join(err, pipeline.Sleep(ctx, s.newest))
}

func (s slow) Announce(ctx context.Context, c pipeline.Claim) error {
	if err := pipeline.Sleep(ctx, s.announce); err != nil {
		return err
	}
	return s.Claims.Announce(ctx, c)
}

type slowWriter struct {
	*fakes.Writer

	open time.Duration
}

func (s slowWriter) Open(ctx context.Context) error {
	time.Sleep(s.open) // Who was stopped looks at no context.
	return s.Writer.Open(ctx)
}

// another is a command's own writer to a Kafka.
func another(kafka *fakes.Kafka, name string) *pipeline.Exclusive {
	writer := kafka.NewWriter()
	return &pipeline.Exclusive{Command: name, Sink: writer, Checkpoints: writer.Store(), Claims: kafka}
}

// sign leaves a record, besides the position that it sets to what it is.
func sign(name string) pipeline.Fill {
	return func(_ context.Context, d *pipeline.Draft) error {
		if cp, known := d.Position(fakes.Messages()); known {
			d.SetPosition(&cp)
		}
		d.Append(pipeline.Record{Key: []byte(name)})
		return nil
	}
}

// signed are the records that were left.
func signed(kafka *fakes.Kafka) (names []string) {
	kafka.Mu.Lock()
	defer kafka.Mu.Unlock()
	for _, r := range kafka.Records {
		names = append(names, string(r.Key))
	}
	slices.Sort(names)
	return names
}

// runBeside runs a pipeline for a while, and something beside it. The run must publish each row once and come to its end.
func runBeside(t *testing.T, d time.Duration, beside func(*fakes.Kafka)) {
	t.Helper()
	begin := time.Now().UTC()
	rows := fakes.RowsFrom(begin, int(d.Seconds())-60)
	kafka := fakes.NewKafka()
	cfg := fakes.ConfigFor(fakes.NewSource(rows...), kafka, begin)
	writer := kafka.NewWriter()
	cfg.Sink, cfg.Checkpoints = writer, writer.Store()
	var all sync.WaitGroup
	all.Go(func() {
		time.Sleep(30 * time.Second)
		beside(kafka)
	})
	if err := fakes.RunFor(t, cfg, d); err != nil {
		t.Errorf("run: %v", err)
	}
	all.Wait()
	kafka.WantIDs(t, fakes.IDsOf(rows))
}

// TestCommandsAtOnceWaitForEachOther begins many commands at the same moment beside a run, on a network on which they all see the same
// before any of them has announced itself: each writes once.
func TestCommandsAtOnceWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var want []string
		runBeside(t, 6*time.Minute, func(kafka *fakes.Kafka) {
			var all sync.WaitGroup
			for i := range 12 {
				name := fmt.Sprintf("reset %02d", i)
				want = append(want, name)
				e := another(kafka, name)
				e.Claims = slow{kafka, 20 * time.Millisecond, time.Duration(20+i) * time.Millisecond}
				all.Go(func() {
					err := e.Commit(context.WithoutCancel(t.Context()), func(ctx context.Context, d *pipeline.Draft) error {
						if err := pipeline.Sleep(ctx, 3*time.Second); err != nil {
							return err
						}
						return sign(name)(ctx, d)
					})
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
				})
			}
			all.Wait()
			if got := signed(kafka); !slices.Equal(got, want) {
				t.Errorf("the commands wrote %q", got)
			}
		})
	})
}

// TestACommandThatFencesLate announces itself, is overtaken by one that had looked before, and fences only when that one has left and
// the run goes on: the run waits for it all the same.
func TestACommandThatFencesLate(t *testing.T) {
	for _, late := range []time.Duration{20 * time.Second, 44 * time.Second, 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			runBeside(t, 15*time.Minute, func(kafka *fakes.Kafka) {
				var both sync.WaitGroup
				both.Go(func() {
					writer := kafka.NewWriter()
					first := &pipeline.Exclusive{Command: "first", Sink: slowWriter{writer, late}, Checkpoints: writer.Store(), Claims: kafka}
					err := first.Commit(context.WithoutCancel(t.Context()), sign("first"))
					if (err == nil) != (late < 45*time.Second) {
						t.Errorf("fences after %s: %v", late, err)
					}
				})
				both.Go(func() {
					second := another(kafka, "second")
					second.Claims = slow{kafka, 0, time.Second}
					if err := second.Commit(context.WithoutCancel(t.Context()), sign("second")); err != nil {
						t.Errorf("the second: %v", err)
					}
				})
				both.Wait()
			})
		})
	}
}

// TestACommandThatIsStoppedDoublesNothing holds a command up before each of its steps, as SIGSTOP or a sleeping laptop does, for longer
// than its claim lasts. What it does when it wakes up changes nothing that the run has done since, and ends no run.
func TestACommandThatIsStoppedDoublesNothing(t *testing.T) {
	for _, step := range []string{"announce", "fence", "fill", "append", "commit", "leave"} {
		synctest.Test(t, func(t *testing.T) {
			runBeside(t, 15*time.Minute, func(kafka *fakes.Kafka) {
				stopped, writer := &mortal{stopsAt: step}, kafka.NewWriter()
				e := &pipeline.Exclusive{
					Command: "reset", Sink: mortalSink{writer, stopped}, Checkpoints: writer.Store(), Claims: mortalClaims{kafka, stopped},
				}
				err := e.Commit(context.WithoutCancel(t.Context()), func(ctx context.Context, d *pipeline.Draft) error {
					return errors.Join(stopped.step("fill"), sign("reset")(ctx, d))
				})
				if written := len(signed(kafka)); written > 1 || (err == nil) != (written == 1) {
					t.Errorf("stopped before %s: it wrote %d times, and ends with %v", step, written, err)
				}
			})
		})
	}
}

// TestInterruptedCommand is interrupted while it computes, which changes nothing and leaves no transaction open, and while it commits,
// which it does.
func TestInterruptedCommand(t *testing.T) {
	for _, during := range []string{"fill", "commit"} {
		synctest.Test(t, func(t *testing.T) {
			kafka := fakes.NewKafka()
			ctx, interrupt := context.WithCancel(t.Context())
			var ops []string
			kafka.Fail = func(ctx context.Context, op string) error {
				ops = append(ops, op)
				if op == during {
					interrupt()
				}
				return ctx.Err()
			}
			err := exclusive(kafka).Commit(ctx, func(ctx context.Context, d *pipeline.Draft) error {
				if during == "fill" {
					interrupt()
					<-ctx.Done()
				}
				return errors.Join(ctx.Err(), sign("reset")(ctx, d))
			})
			if done := during == "commit"; (err == nil) != done || (len(signed(kafka)) == 1) != done {
				t.Errorf("interrupted in %s: %v; it wrote %q", during, err, signed(kafka))
			}
			if during == "fill" && ops[len(ops)-1] != "abort" || !kafka.Claim.Done {
				t.Errorf("interrupted in %s: it did %q, and its claim is %+v", during, ops, kafka.Claim)
			}
		})
	}
}

// TestACommitInDoubtIsNotRepeated has the answer to a commit lost, and then the place: the command says that it does not know, and
// writes nothing a second time.
func TestACommitInDoubtIsNotRepeated(t *testing.T) {
	kafka := fakes.NewKafka()
	kafka.Fail = func(_ context.Context, op string) error {
		if op != "commit" {
			return nil
		}
		kafka.Apply()
		return fmt.Errorf("%w: %w", pipeline.ErrInDoubt, &pipeline.Fault{Class: pipeline.Abort, Op: "commit", Err: errors.New("fenced")})
	}
	err := exclusive(kafka).Commit(t.Context(), sign("reset"))
	if !errors.Is(err, pipeline.ErrInDoubt) || !strings.Contains(err.Error(), "checkpoint list") || len(signed(kafka)) != 1 {
		t.Errorf("it wrote %q, and says %v", signed(kafka), err)
	}
}

// TestStoppedWhileACommandHasThePlace asks a run to end while it waits for a command, which is no takeover.
func TestStoppedWhileACommandHasThePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		kafka := fakes.NewKafka()
		cfg := fakes.ConfigFor(fakes.NewSource(fakes.RowsFrom(begin, 600)...), kafka, begin)
		writer := kafka.NewWriter()
		cfg.Sink, cfg.Checkpoints = writer, writer.Store()
		time.AfterFunc(time.Minute, func() {
			if err := kafka.Announce(t.Context(), pipeline.Claim{ID: "1", Command: "reset"}); err != nil {
				t.Error(err)
			}
			if err := kafka.NewWriter().Open(t.Context()); err != nil {
				t.Error(err)
			}
		})
		if err := fakes.RunFor(t, cfg, 80*time.Second); err != nil {
			t.Errorf("the run ended with %v", err)
		}
	})
}

// TestACommandDoesNotWaitForEver has other commands come one after another, and none of them leave in time.
func TestACommandDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kafka, began := fakes.NewKafka(), time.Now()
		stop := make(chan struct{})
		var others sync.WaitGroup
		others.Go(func() {
			for i := 0; ; i++ {
				_ = kafka.Announce(t.Context(), pipeline.Claim{ID: strconv.Itoa(i), Command: "audit\x1b[2J --repair", At: time.Now()})
				select {
				case <-time.After(40 * time.Second):
				case <-stop:
					return
				}
			}
		})
		synctest.Wait()
		err := exclusive(kafka).Commit(t.Context(), sign("reset"))
		close(stop)
		others.Wait()
		if err == nil || !strings.Contains(err.Error(), `"audit\x1b[2J --repair"`) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("it ended with %v", err)
		}
		if took := time.Since(began); took > 6*time.Minute {
			t.Errorf("it waited for %s", took)
		}
	})
}

// TestTheBrokerIsGoneWhileACommandHasThePlace has each step of a command hang until it gives up: before its claim is over, with what it was
// that hung, and with nothing changed.
func TestTheBrokerIsGoneWhileACommandHasThePlace(t *testing.T) {
	for _, step := range []string{"open", "load", "begin", "append", "abort"} {
		synctest.Test(t, func(t *testing.T) {
			kafka, began := fakes.NewKafka(), time.Now()
			kafka.Fail = func(ctx context.Context, op string) error {
				switch op {
				case step:
					<-ctx.Done()
					return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("no answer")}
				case "append":
					return &pipeline.Fault{Class: pipeline.Permanent, Op: op, Err: errors.New("no answer")}
				}
				return nil
			}
			err := exclusive(kafka).Commit(t.Context(), sign("reset"))
			if err == nil || !strings.Contains(err.Error(), "no answer") || !strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("%s: %v", step, err)
			}
			if took := time.Since(began); took >= pipeline.ClaimTime || len(signed(kafka)) > 0 || !kafka.Claim.Done {
				t.Errorf("%s: after %s it wrote %q, and its claim is %+v", step, took, signed(kafka), kafka.Claim)
			}
		})
	}
}
