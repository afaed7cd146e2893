package main

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/view"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// fencing has the embedded broker refuse a writer that was replaced, as Apache Kafka does. By itself it renews the writer's
// epoch, whoever has the transactional id, so that a run that is fenced by a command takes its place back without a word.
func fencing(c *kfake.Cluster) {
	type writer struct{ epoch, oldest int16 }
	writers := make(map[string]*writer)
	c.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		init, ok := req.(*kmsg.InitProducerIDRequest)
		if !ok || init.TransactionalID == nil {
			return nil, nil, false
		}
		w, known := writers[*init.TransactionalID]
		if !known {
			w = &writer{epoch: -1}
			writers[*init.TransactionalID] = w
		}
		if init.ProducerID >= 0 && init.ProducerEpoch < w.oldest {
			res, _ := init.ResponseKind().(*kmsg.InitProducerIDResponse)
			res.ErrorCode = kerr.ProducerFenced.Code
			return res, nil, true
		}
		w.epoch = max(w.epoch, init.ProducerEpoch) + 1 // A transaction that timed out has moved it too.
		if init.ProducerID < 0 {
			w.oldest = w.epoch
		}
		return nil, nil, false
	})
}

// liveRun is a run that tells where its stream is.
type liveRun struct {
	*station

	end  context.CancelFunc
	left chan error

	mu       sync.Mutex
	at       pipeline.Checkpoint
	sessions int
	windows  int
	changed  chan struct{}
}

// startLive starts a run, which ends without an error when the test stops it.
func (s *station) startLive(prepare ...func(*operate.Live)) *liveRun {
	s.t.Helper()
	cfg := s.config()
	c := &liveRun{station: s, left: make(chan error, 1), changed: make(chan struct{})}
	var ctx context.Context
	ctx, c.end = context.WithCancel(s.t.Context())
	s.t.Cleanup(c.end)
	var said locked
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("the run said:\n%s", said.String())
		}
	})
	live, err := operate.NewLive(ctx, cfg, view.NewLogger(&said, slog.LevelInfo, "text"), "test", c.observe)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, do := range prepare {
		do(live)
	}
	go func() {
		defer live.Close()
		c.left <- live.Run(ctx)
	}()
	return c
}

func (c *liveRun) observe(o pipeline.Observation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch o := o.(type) {
	case pipeline.StreamStarted:
		c.sessions++
		c.at = *o.Checkpoint
	case pipeline.WindowCommitted:
		c.windows++
		c.at = *o.Checkpoint
	default:
		return
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// until waits until something holds of the run, and returns its stream's position then.
func (c *liveRun) until(what string, holds func() bool) pipeline.Checkpoint {
	c.t.Helper()
	late := time.NewTimer(time.Minute) // So that a mistake ends the test.
	defer late.Stop()
	for {
		c.mu.Lock()
		at, changed, done := c.at, c.changed, holds()
		c.mu.Unlock()
		if done {
			return at
		}
		select {
		case <-changed:
		case err := <-c.left:
			c.t.Fatalf("until %s: the run has ended: %v", what, err)
		case <-late.C:
			c.t.Fatalf("the run did not come to it: %s; it is at %+v", what, at)
		}
	}
}

// live waits until the run has published everything up to now, and nothing is left behind that.
func (c *liveRun) live() pipeline.Checkpoint {
	c.t.Helper()
	now := time.Now().Add(-10 * time.Second)
	return c.until("live", func() bool { return c.windows > 0 && c.at.End.After(now) && len(c.at.Backlog) == 0 })
}

// caughtUp waits until the run has begun anew since it had so many sessions, and is live then.
func (c *liveRun) caughtUp(sessions int) {
	c.t.Helper()
	now := time.Now().Add(-10 * time.Second)
	c.until("live again", func() bool { return c.sessions > sessions && c.at.End.After(now) && len(c.at.Backlog) == 0 })
}

func (c *liveRun) sessionsNow() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions
}

// stop ends the run, and returns the position at its end.
func (c *liveRun) stop() pipeline.Checkpoint {
	c.t.Helper()
	c.end()
	if err := <-c.left; err != nil {
		c.t.Errorf("run: %v", err)
	}
	return c.at // Nobody writes it any more.
}

// config is what the commands read from the environment.
func (s *station) config() *settings.Config {
	s.t.Helper()
	setEnv(s.t, s.env)
	read, err := settings.Read()
	if err != nil {
		s.t.Fatal(err)
	}
	cfg, err := read.Parse()
	if err != nil {
		s.t.Fatal(err)
	}
	return cfg
}

// reset does what `checkpoint reset` does. from is zero where the position itself is set.
func (s *station) reset(cfg *settings.Config, from, to time.Time, confirm func()) (*pipeline.Checkpoint, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute) // So that a mistake ends the test.
	defer cancel()
	o := operate.ResetOptions{
		Stream: pipeline.Stream{Kind: pipeline.StreamMessages}, To: settings.Moment{At: to},
		Confirm: func(string) bool { confirm(); return true },
	}
	if !from.IsZero() {
		o.From = &settings.Moment{At: from}
	}
	return operate.Reset(ctx, cfg, slog.New(slog.DiscardHandler), o)
}

// meeting has n goroutines wait for each other.
func meeting(n int) (arrive func()) {
	var all sync.WaitGroup
	all.Add(n)
	return func() {
		all.Done()
		all.Wait()
	}
}

// wantTimes expects each row that was ever there as often as times says, and at most so much more often.
func (s *station) wantTimes(times func(second time.Time) (due, more int)) {
	s.t.Helper()
	s.compare("jmessage", s.timesOf(times))
}

func (s *station) timesOf(times func(second time.Time) (due, more int)) iter.Seq[verify.TruthRow] {
	return func(yield func(verify.TruthRow) bool) {
		for r := range s.api.Truth(sim.Range{Begin: s.begin, End: time.Now()}) {
			due, more := times(r.Time.Truncate(time.Second))
			for i := range due + more {
				if !yield(verify.TruthRow{MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw, Optional: i >= due}) {
					return
				}
			}
		}
	}
}

// within is 1 for what lies in a closed range.
func within(second, from, to time.Time) int {
	if second.Before(from) || second.After(to) {
		return 0
	}
	return 1
}

// historyGate holds up requests for windows of history that end behind a time, so that a test decides how far it is read. Those for
// a moment, and for all of it, pass.
type historyGate struct {
	zone *time.Location
	end  time.Time

	mu      sync.Mutex
	limit   time.Time
	changed chan struct{}
}

func (g *historyGate) allow(limit time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = limit
	if g.changed != nil {
		close(g.changed)
	}
	g.changed = make(chan struct{})
}

func (g *historyGate) hold(r *http.Request) {
	begin, none := time.ParseInLocation(time.DateTime, r.URL.Query().Get("begin_time"), g.zone)
	end, err := time.ParseInLocation(time.DateTime, r.URL.Query().Get("end_time"), g.zone)
	if span := end.Sub(begin); none != nil || err != nil || span < 30*time.Second || span > 4*time.Minute || end.After(g.end) {
		return
	}
	for {
		g.mu.Lock()
		limit, changed := g.limit, g.changed
		g.mu.Unlock()
		if !end.After(limit) {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// TestResetThatIsAnsweredLate has a run publish more of the history behind the head while the question of a reset stands: what it
// published meanwhile is not published again, since the reset is made of the position that is committed when it is written.
func TestResetThatIsAnsweredLate(t *testing.T) {
	s := newStation(t)
	s.env["JMPUB_CATCHUP"], s.env["JMPUB_API_PAGE_SIZE"] = "live-first", "20"
	gate := &historyGate{zone: s.api.Zone, end: s.end.Add(-time.Minute)}
	gate.allow(s.begin.Add(4 * time.Minute))
	hold := gate.hold
	s.gate.Store(&hold)
	run := s.startLive()
	asked := run.until("some of the history is published", func() bool {
		return len(run.at.Backlog) == 1 && run.at.Backlog[0].End.After(s.begin)
	})
	to := s.begin.Add(15 * time.Minute)
	var answered pipeline.Checkpoint
	next, err := s.reset(s.config(), time.Time{}, to, func() {
		gate.allow(s.begin.Add(9 * time.Minute))
		answered = run.until("more of it is published", func() bool { return run.at.Backlog[0].End.After(s.begin.Add(5 * time.Minute)) })
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(next.Backlog) != 1 || !next.Backlog[0].Until.Equal(to) || next.Backlog[0].End.Before(answered.Backlog[0].End) {
		t.Errorf("the position was %+v, and is %+v after the reset to %s", answered, next, to)
	}
	gate.allow(s.end)
	run.caughtUp(1)
	last := run.stop()
	split := asked.Backlog[0].Until
	s.wantTimes(func(second time.Time) (due, more int) {
		switch {
		case second.Before(split.Add(-5 * time.Second)):
			return 1, 0 // Before the time it is published once; behind it, the history had not come so far.
		case second.Before(split):
			return 1, 1 // The first live window overlaps what is before it.
		case second.Before(answered.End):
			return 2, 0
		case second.Before(last.End):
			return 1, 1
		default:
			return 0, 2
		}
	})
}

// TestTwoResetsAtOnce has two ranges published again by commands that are answered at the same moment, beside a run: each of them comes
// once more, everything else once, and the live position stays.
func TestTwoResetsAtOnce(t *testing.T) {
	s := newStation(t)
	run := s.startLive()
	before := run.live()
	sessions := run.sessionsNow()
	cfg, arrive := s.config(), meeting(2)
	ranges := [][2]time.Time{
		{s.begin.Add(3 * time.Minute), s.begin.Add(6 * time.Minute)}, {s.begin.Add(10 * time.Minute), s.begin.Add(11 * time.Minute)},
	}
	var resets sync.WaitGroup
	for _, r := range ranges {
		resets.Go(func() {
			next, err := s.reset(cfg, r[0], r[1], arrive)
			if err != nil || next.End.Before(before.End) {
				t.Errorf("reset: %v; the position is %+v, it was %+v", err, next, before)
			}
		})
	}
	resets.Wait()
	run.caughtUp(sessions)
	last := run.stop()
	s.wantTimes(func(second time.Time) (due, more int) {
		again := within(second, ranges[0][0], ranges[0][1]) + within(second, ranges[1][0], ranges[1][1])
		if second.Before(last.End) {
			return 1 + again, 0
		}
		return 0, 1
	})
}

// meetingReport has an audit wait for others once it has found a difference.
type meetingReport struct{ arrive func() }

func (r meetingReport) Difference(*audit.Difference) error { r.arrive(); return nil }
func (meetingReport) Note(string)                          {}
func (meetingReport) Holes([]audit.Hole) error             { return nil }
func (meetingReport) Statistics([]operate.DayCounts) error { return nil }

// TestThreeRepairsAtOnce has three audits find the same rows missing before any of them publishes one, beside a run: each row is
// published once, and for all of them everything is published in the end.
func TestThreeRepairsAtOnce(t *testing.T) {
	s := newStation(t, func(o *sim.Options) {
		o.Late, o.LateFrom, o.LateBy, o.End = 0.01, time.Hour, 2*time.Hour, o.Begin.Add(20*time.Minute) // Nothing comes after the late rows.
	})
	run := s.startLive()
	run.until("published", func() bool { return !run.at.End.Before(s.end) })
	run.stop()
	s.skipped.Store(int64(3 * time.Hour))
	run = s.startLive()
	run.until("begun", func() bool { return run.sessions > 0 })
	cfg, meet := s.config(), meeting(3)
	var all sync.WaitGroup
	var repaired atomic.Int64
	for range 3 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // So that a mistake ends the test.
			defer cancel()
			result, err := operate.Audit(ctx, cfg, slog.New(slog.DiscardHandler), operate.AuditOptions{
				Range: operate.Range{From: settings.Moment{At: s.begin}, To: settings.Moment{At: s.end}}, Step: time.Hour, Repair: true,
				Confirm: func(operate.AuditCost) bool { return true }, Report: meetingReport{sync.OnceFunc(meet)},
			})
			if err != nil {
				t.Error(err)
				return
			}
			if result.Missing == 0 || !result.Complete() {
				t.Errorf("an audit ends with %+v", result)
			}
			repaired.Add(result.Repaired)
		})
	}
	all.Wait()
	run.stop()
	if repaired.Load() == 0 {
		t.Error("nothing was repaired")
	}
	s.wantTimes(func(second time.Time) (due, more int) {
		if second.Before(s.end) {
			return 1, 0
		}
		return 0, 1
	})
}

// TestResetAndDeleteAtOnce forgets the position while a range is asked for again. Whichever comes first, everything is published once
// more, as the deletion says, and the run goes on.
func TestResetAndDeleteAtOnce(t *testing.T) {
	s := newStation(t)
	run := s.startLive()
	before := run.live()
	sessions := run.sessionsNow()
	cfg, arrive := s.config(), meeting(2)
	from, to := s.begin.Add(3*time.Minute), s.begin.Add(6*time.Minute)
	var both sync.WaitGroup
	both.Go(func() {
		if _, err := s.reset(cfg, from, to, arrive); err != nil {
			t.Logf("after the deletion: %v", err) // There is no position whose history could be published again.
		}
	})
	both.Go(func() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := operate.Delete(ctx, cfg, slog.New(slog.DiscardHandler), operate.DeleteOptions{
			Stream: pipeline.Stream{Kind: pipeline.StreamMessages}, Confirm: func(string) bool { arrive(); return true },
		})
		if err != nil {
			t.Errorf("delete: %v", err)
		}
	})
	both.Wait()
	run.caughtUp(sessions)
	last := run.stop()
	s.wantTimes(func(second time.Time) (due, more int) {
		switch {
		case second.Before(before.End):
			return 2, within(second, from, to)
		case second.Before(last.End):
			return 1, 1
		default:
			return 0, 2
		}
	})
}

// TestDeleteOfAReplayLeavesTheRunAlone forgets a replay's position beside a run, which is not even interrupted.
func TestDeleteOfAReplayLeavesTheRunAlone(t *testing.T) {
	s := newStation(t)
	run := s.startLive()
	run.live()
	from, to := s.begin.Add(3*time.Minute), s.begin.Add(6*time.Minute)
	if out := try(t, s.env, "replay", "--from", from.Format(time.RFC3339), "--to", to.Format(time.RFC3339), "--id", "once"); out.code != exitDone {
		t.Fatalf("replay: exit code %d: %s", out.code, out.stderr)
	}
	if out := try(t, s.env, "checkpoint", "delete", "messages", "--replay", "once", "--yes"); out.code != exitDone {
		t.Errorf("delete: exit code %d: %s", out.code, out.stderr)
	}
	run.mu.Lock()
	windows := run.windows
	run.mu.Unlock()
	run.until("two windows more", func() bool { return run.windows >= windows+2 })
	if n := run.sessionsNow(); n != 1 {
		t.Errorf("the run was interrupted %d times", n-1)
	}
	last := run.stop()
	s.wantTimes(func(second time.Time) (due, more int) {
		if second.Before(last.End) {
			return 1 + within(second, from, to), 0
		}
		return 0, 1
	})
}

// TestFailedWriteLeavesNoTransaction fails the last write of a command, for good or so that it is tried anew. No transaction is open
// when the command has ended: no read_committed reader waits for its timeout.
func TestFailedWriteLeavesNoTransaction(t *testing.T) {
	for _, code := range []*kerr.Error{kerr.TopicAuthorizationFailed, kerr.OutOfOrderSequenceNumber} {
		s := newStation(t, func(o *sim.Options) { o.Late, o.LateFrom, o.LateBy = 0.01, time.Hour, 2*time.Hour })
		s.env["JMPUB_RECHECK"] = "off"
		s.publish()
		isCheckpoints := func(t kmsg.ProduceRequestTopic) bool { return t.Topic == "jmessage.checkpoints" }
		var failed atomic.Int64
		s.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
			s.cluster.KeepControl()
			produce, ok := req.(*kmsg.ProduceRequest)
			if !ok || produce.TransactionID == nil || !slices.ContainsFunc(produce.Topics, isCheckpoints) {
				return nil, nil, false
			}
			failed.Add(1)
			res, _ := produce.ResponseKind().(*kmsg.ProduceResponse)
			for _, topic := range produce.Topics {
				answer := kmsg.ProduceResponseTopic{Topic: topic.Topic}
				for _, p := range topic.Partitions {
					one := kmsg.NewProduceResponseTopicPartition()
					one.Partition, one.ErrorCode = p.Partition, code.Code
					answer.Partitions = append(answer.Partitions, one)
				}
				res.Topics = append(res.Topics, answer)
			}
			return res, nil, true
		})
		s.skipped.Store(int64(3 * time.Hour))
		for _, args := range [][]string{
			{"audit", "--from", s.begin.Format(time.RFC3339), "--to", s.end.Format(time.RFC3339), "--no-statistics", "--repair"},
			{"checkpoint", "reset", "messages", "--to", s.end.Add(-5 * time.Minute).Format(time.RFC3339), "--yes"},
		} {
			if out := try(t, s.env, args...); out.code == exitDone || failed.Swap(0) == 0 {
				t.Errorf("%s: %v: exit code %d: %s", code.Message, args[0], out.code, out.stderr)
			}
			if open := s.openTransactions(); len(open) > 0 {
				t.Errorf("%s: after %v there are transactions open: %v", code.Message, args[0], open)
			}
		}
	}
}

// openTransactions are the partitions that have undecided records, and the transactional ids that have a transaction open.
func (s *station) openTransactions() (open []string) {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Addrs()...))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(s.t.Context())
	stable, notStable := admin.ListCommittedOffsets(s.t.Context())
	known, notKnown := admin.ListTransactions(s.t.Context(), nil, nil)
	if err = errors.Join(err, notStable, notKnown); err != nil {
		s.t.Fatal(err)
	}
	ends.Each(func(end kadm.ListedOffset) {
		if decided, ok := stable.Lookup(end.Topic, end.Partition); !ok || decided.Offset < end.Offset {
			open = append(open, end.Topic)
		}
	})
	for _, tx := range known.Sorted() {
		if tx.State == "Ongoing" {
			open = append(open, tx.TxnID)
		}
	}
	slices.Sort(open)
	return open
}

// TestCommandsOnFilesBesideARun looks at positions in files, at the ledger and at what is missing while the run holds its lock, and
// has a range published again.
func TestCommandsOnFilesBesideARun(t *testing.T) {
	s := newStation(t)
	s.env["JMPUB_CHECKPOINT"] = "file:" + filepath.Join(t.TempDir(), "positions")
	run := s.startLive()
	before := run.live()
	from, to := s.begin.Add(3*time.Minute), s.begin.Add(6*time.Minute)
	for _, args := range [][]string{
		{"checkpoint", "list"},
		{"checkpoint", "get", "messages"},
		{"windows", "--from", s.begin.Format(time.RFC3339)},
		{"audit", "--from", s.begin.Format(time.RFC3339), "--to", s.end.Format(time.RFC3339), "--no-statistics"},
	} {
		if out := try(t, s.env, args...); out.code != exitDone || out.stdout == "" {
			t.Errorf("%v: exit code %d: %s%s", args, out.code, out.stdout, out.stderr)
		}
	}
	if n := run.sessionsNow(); n != 1 {
		t.Errorf("the run was interrupted %d times by who only looks", n-1)
	}
	next, err := s.reset(s.config(), from, to, func() {})
	if err != nil || next.End.Before(before.End) {
		t.Fatalf("reset: %v; the position is %+v, it was %+v", err, next, before)
	}
	run.caughtUp(1)
	last := run.stop()
	s.wantTimes(func(second time.Time) (due, more int) {
		due = 1 + within(second, from, to)
		switch {
		case second.Before(before.End):
			return due, 0
		case second.Before(last.End):
			return due, 1 // What was on its way when the reset took the writer's place comes again: delivery is at least once.
		default:
			return 0, 2
		}
	})
}
