package main

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/view"
	"github.com/jmpub/jmpub/pipeline"
)

// TestReplayThatIsDeletedWhileItRuns forgets the position of a replay that has committed something, in this process or in one before. It
// ends, says so with the exit code of what must not be started again, and publishes nothing after that.
func TestReplayThatIsDeletedWhileItRuns(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	args := []string{"replay", "--from", s.begin.Format(time.RFC3339), "--to", s.end.Add(-time.Second).Format(time.RFC3339), "--id", "deleted"}
	s.env["JMPUB_API_PAGE_SIZE"], s.env["JMPUB_API_PARALLEL"] = "20", "1"
	for _, resumed := range []bool{false, true} {
		gate := s.newHistoryGate(s.end, func() bool { return s.replays()["deleted"] })
		if resumed { // The first one leaves a position behind.
			first := s.start(args...)
			first.until(gate.holds)
			first.stop()
			for gate.holds() {
				_ = pipeline.Sleep(t.Context(), 10*time.Millisecond)
			}
		}
		replay := s.start(args...)
		replay.until(gate.holds)
		if out := try(t, s.env, "checkpoint", "delete", "messages", "--replay", "deleted", "--yes"); out.code != exitDone {
			t.Errorf("delete: exit code %d: %s", out.code, out.stderr)
		}
		before := s.records()
		gate.open(nil)
		if code := replay.wait(); code != exitFenced || !strings.Contains(replay.said.String(), "it was deleted while the replay was running") {
			t.Errorf("resumed %t: exit code %d: %s", resumed, code, replay.said.String())
		}
		if after := s.records(); after != before {
			t.Errorf("resumed %t: %d events were published after the deletion", resumed, after-before)
		}
		if s.replays()["deleted"] {
			t.Errorf("resumed %t: the position is there again", resumed)
		}
	}
}

// records counts what stands in the topics of events, that of transactions included.
func (s *station) records() (n int64) {
	s.t.Helper()
	ends, err := kadm.NewClient(s.client()).ListCommittedOffsets(s.t.Context(), "jmessage.single", "jmessage.group", "jmessage.chatroom")
	if err != nil {
		s.t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}

// TestReplaysToOtherTopics are two of one name, to two prefixes: each is complete, is listed where it publishes to, and is deleted without
// the other one and the run.
func TestReplaysToOtherTopics(t *testing.T) {
	t.Parallel()
	for _, kept := range []string{"kafka", "file:"} {
		t.Run(kept, func(t *testing.T) {
			t.Parallel()
			s := newStation(t)
			if kept != "kafka" {
				kept += filepath.Join(t.TempDir(), "positions")
			}
			s.env["JMPUB_CHECKPOINT"] = kept
			run := s.startLive()
			run.live()
			replay := []string{"replay", "--from", s.begin.Format(time.RFC3339), "--to", s.begin.Add(2 * time.Minute).Format(time.RFC3339), "--id", "Once"}
			for _, prefix := range []string{"", "elsewhere", "elsewhere.Once"} {
				args := replay
				if prefix != "" {
					args = append(slices.Clip(args), "--to-topic-prefix", prefix)
				}
				if out := try(t, s.env, args...); out.code != exitDone {
					t.Errorf("%q: exit code %d: %s", prefix, out.code, out.stderr)
				}
			}
			listed := func(args ...string) int {
				return strings.Count(try(t, s.env, append([]string{"checkpoint", "list", "--json"}, args...)...).stdout, `"replay":"Once"`)
			}
			for _, c := range []struct {
				args string
				code int
				says string
			}{
				{"--replay Twice", exitFailed, "--to-topic-prefix"},
				{"--replay Once --to-topic-prefix typo", exitUsage, "typo."},
				{"--replay Once --to-topic-prefix=", exitUsage, "--to-topic-prefix is empty"},
				{"--replay=", exitUsage, "--replay is empty"},
				{"--replay ../../Once", exitUsage, "--replay"},
				{"--to-topic-prefix elsewhere", exitUsage, "--replay"},
				{"--replay Once --to-topic-prefix elsewhere", exitDone, ""},
				{"--replay Once --to-topic-prefix elsewhere", exitFailed, "no such position in elsewhere.*"},
			} {
				out := try(t, s.env, append(strings.Fields("checkpoint delete messages --yes"), strings.Fields(c.args)...)...)
				if out.code != c.code || !strings.Contains(out.stderr, c.says) {
					t.Errorf("delete %s: exit code %d: %s", c.args, out.code, out.stderr)
				}
			}
			if home, there, other := listed(), listed("--to-topic-prefix", "elsewhere"), listed("--to-topic-prefix", "elsewhere.Once"); home != 1 || there != 0 || other != 1 {
				t.Errorf("of the replays %d, %d and %d are listed", home, there, other)
			}
			if topics, err := kadm.NewClient(s.client()).ListTopics(t.Context()); err != nil || topics.Has("typo.checkpoints") {
				t.Errorf("topics were made for a prefix that was misspelt: %v", err)
			}
			if n := run.sessionsNow(); n != 1 {
				t.Errorf("the run was interrupted %d times", n-1)
			}
			run.stop()
		})
	}
}

// TestReplayGoesByTheClockOfTheAPI has an operator's host whose clock is ahead: times that are relative to now are those of the API.
func TestReplayGoesByTheClockOfTheAPI(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.skipped.Store(-int64(10 * time.Minute))
	out := try(t, s.env, "replay", "--from", "5m", "--to", "2m", "--dry-run", "--json")
	var cost operate.Cost
	if err := json.Unmarshal([]byte(out.stdout), &cost); err != nil || out.code != exitDone {
		t.Fatalf("exit code %d, %v: %s", out.code, err, out.stderr)
	}
	if behind := time.Since(cost.From); behind < 14*time.Minute || behind > 16*time.Minute || cost.To.Sub(cost.From) != 3*time.Minute {
		t.Errorf("it would publish %s to %s", cost.From, cost.To)
	}
}

// background is a command that works while the test does something else.
type background struct {
	t    *testing.T
	said journal
	end  context.CancelFunc
	code chan int
}

// start begins a command.
func (s *station) start(args ...string) *background {
	s.t.Helper()
	b := &background{t: s.t, code: make(chan int, 1)}
	var ctx context.Context
	ctx, b.end = context.WithTimeout(s.t.Context(), time.Minute) // So that a mistake ends the test.
	env := maps.Clone(s.env)
	go func() { b.code <- command(ctx, env, io.Discard, &b.said, args...) }()
	return b
}

func (b *background) wait() int { defer b.end(); return <-b.code }

func (b *background) stop() { b.end(); <-b.code }

// until waits for something that the command does.
func (b *background) until(holds func() bool) {
	b.t.Helper()
	for !holds() {
		select {
		case code := <-b.code:
			b.t.Fatalf("exit code %d: %s", code, b.said.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// replays are the ids of the replays that have positions.
func (s *station) replays() map[string]bool {
	s.t.Helper()
	ids := make(map[string]bool)
	for line := range strings.Lines(try(s.t, s.env, "checkpoint", "list", "--json").stdout) {
		var p view.Position
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			s.t.Fatal(err)
		}
		if p.Replay != "" {
			ids[p.Replay] = true
		}
	}
	return ids
}
