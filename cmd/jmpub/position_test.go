package main

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/view"
	"github.com/jmpub/jmpub/pipeline"
)

// station is an API and a broker, for commands that work on what a run has published. The first half of the history is
// over at end.
type station struct {
	t          *testing.T
	api        *sim.Server
	broker     *broker.Broker
	cluster    *kfake.Cluster
	env        map[string]string
	begin, end time.Time
	// asked is called at each request to the API.
	asked atomic.Pointer[func()]
	// gate may hold a request up.
	gate atomic.Pointer[func(*http.Request)]
	// reached is where the live run's stream is.
	reached atomic.Pointer[pipeline.Checkpoint]
	// skipped is how much the API's clock is ahead, in nanoseconds.
	skipped atomic.Int64
}

// newStation starts both; change may adapt the API, whose history begins 20 minutes before the station's end.
func newStation(t *testing.T, change ...func(*sim.Options)) *station {
	t.Helper()
	s := &station{t: t}
	opts := sim.Defaults()
	opts.Now = func() time.Time { return time.Now().Add(time.Duration(s.skipped.Load())) }
	end := time.Now().UTC().Truncate(time.Second).Add(-time.Minute)
	opts.Begin, opts.End, opts.Rate, opts.Users, opts.Groups, opts.Rooms = end.Add(-20*time.Minute), end.Add(time.Hour), 2, 20, 5, 3
	for _, adapt := range change {
		adapt(&opts)
	}
	api, err := sim.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.api, s.begin, s.end = api, opts.Begin, end
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tell := s.asked.Load(); tell != nil {
			(*tell)()
		}
		if hold := s.gate.Load(); hold != nil {
			(*hold)(r)
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	brokers, err := broker.Start(broker.Options{Control: func(c *kfake.Cluster) { s.cluster = c }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = brokers.Close() })
	s.broker, s.env = brokers, map[string]string{
		"JMPUB_APP_KEY": opts.AppKey, "JMPUB_MASTER_SECRET": opts.MasterSecret, "JMPUB_API_URL": server.URL + "/v2",
		"JMPUB_KAFKA_BROKERS": brokers.Addrs()[0], "JMPUB_LISTEN": "off", "JMPUB_START": "30m", "JMPUB_API_RATE": "100000/m",
		"JMPUB_API_PAGE_SIZE": "50", "JMPUB_POLL": "100ms",
	}
	return s
}

// longHistory begins an hour earlier, so that windows that are under way at the same time do not cover all of it.
func longHistory(o *sim.Options) { o.Begin = o.Begin.Add(-time.Hour) }

// position is what `checkpoint list --json` tells of the app-wide stream's live position.
func (s *station) position() (view.Position, bool) {
	s.t.Helper()
	out := try(s.t, s.env, "checkpoint", "list", "--json")
	if out.code != exitDone {
		s.t.Fatalf("checkpoint list: exit code %d: %s", out.code, out.stderr)
	}
	for line := range strings.Lines(out.stdout) {
		var p view.Position
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			s.t.Fatal(err)
		}
		if p.Stream == "messages" && p.Replay == "" {
			p.LagSeconds = 0 // It grows by itself.
			return p, true
		}
	}
	return view.Position{}, false
}

// run starts `jmpub run` and returns a function that stops it and gives its exit code.
func (s *station) run() (stop func() int) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	code := make(chan int, 1)
	var said journal
	env := maps.Clone(s.env)
	go func() { code <- command(ctx, env, io.Discard, &said, "run") }()
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("the run said:\n%s", said.String())
		}
	})
	return func() int {
		cancel()
		return <-code
	}
}

// await waits until the live position has passed a time.
func (s *station) await(end time.Time) {
	s.t.Helper()
	deadline := time.Now().Add(3 * time.Minute) // So that a mistake ends the test.
	for {
		if p, ok := s.position(); ok && !p.End.Before(end) && len(p.Backlog) == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the position did not come to %v", end)
		}
		time.Sleep(200 * time.Millisecond) // It is a process each time.
	}
}

// client is a client of the station's broker.
func (s *station) client(opts ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(s.broker.Addrs()...))...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	return client
}

// truth has every row once, but those that may not have been read yet, and those of the closed ranges once more each.
func (s *station) truth(base bool, again ...[2]time.Time) iter.Seq[verify.TruthRow] {
	return func(yield func(verify.TruthRow) bool) {
		end, there := s.position()
		if !there {
			end.End = s.end
		}
		for r := range s.api.Truth(sim.Range{Begin: s.begin, End: time.Now()}) {
			row := verify.TruthRow{MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw, Optional: !r.Time.Before(end.End)}
			if base && !yield(row) {
				return
			}
			times := 0
			for _, span := range again {
				if second := r.Time.Truncate(time.Second); !second.Before(span[0]) && !second.After(span[1]) {
					times++
				}
			}
			for range times {
				if !yield(row) {
					return
				}
			}
		}
	}
}

func (s *station) compare(prefix string, truth iter.Seq[verify.TruthRow]) {
	s.t.Helper()
	s.compareIn(&verify.Layout{Prefix: prefix}, truth)
}

func (s *station) compareIn(layout *verify.Layout, truth iter.Seq[verify.TruthRow]) {
	s.t.Helper()
	found, err := layout.Read(s.t.Context(), s.broker.Addrs())
	if err != nil {
		s.t.Fatal(err)
	}
	if report := verify.Compare(truth, found); !report.OK() || report.Rows == 0 {
		s.t.Errorf("%s: %s", layout.Prefix, report.String())
	}
}

// TestReplay publishes a range once more, elsewhere and at home, and leaves the live position where it is.
func TestReplay(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	stop := s.run()
	s.await(s.end)
	if code := stop(); code != exitDone {
		t.Fatalf("run: exit code %d", code)
	}
	before, _ := s.position()
	from, to := s.begin.Add(5*time.Minute), s.begin.Add(12*time.Minute)
	args := []string{"replay", "--from", from.Format(time.RFC3339), "--to", to.Format(time.RFC3339), "--json"}

	dry := try(t, s.env, append(slices.Clone(args), "--dry-run")...)
	rows := 0
	for range s.truth(false, [2]time.Time{from, to}) {
		rows++
	}
	var plan operate.Cost
	if err := json.Unmarshal([]byte(dry.stdout), &plan); err != nil || dry.code != exitDone || plan.Rows != int64(rows) {
		t.Errorf("dry run: exit code %d, %v, %+v, want %d rows", dry.code, err, plan, rows)
	}
	for i, elsewhere := range []bool{true, false} {
		now := slices.Clone(args)
		if elsewhere {
			now = append(now, "--to-topic-prefix", "elsewhere")
		}
		out := try(t, s.env, now...)
		var result operate.ReplayResult
		if err := json.Unmarshal([]byte(out.stdout), &result); err != nil || out.code != exitDone {
			t.Fatalf("replay %d: exit code %d, %v: %s", i, out.code, err, out.stderr)
		}
		if !result.Complete || result.Published != int64(rows) {
			t.Errorf("replay %d: %+v, want %d events", i, result, rows)
		}
		if again := try(t, s.env, now...); again.code != exitFailed || !strings.Contains(again.stderr, "--id") {
			t.Errorf("replay %d again: exit code %d: %s", i, again.code, again.stderr)
		}
	}
	s.compare("elsewhere", s.truth(false, [2]time.Time{from, to}))
	s.compare("jmessage", s.truth(true, [2]time.Time{from, to}))
	if after, _ := s.position(); !reflect.DeepEqual(after, before) {
		t.Errorf("the live position is %+v, it was %+v", after, before)
	}
}

// TestInterruptedReplayGoesOn cuts a replay off again and again.
func TestInterruptedReplayGoesOn(t *testing.T) {
	s := newStation(t)
	from, to := s.begin, s.end.Add(-time.Second)
	args := []string{"replay", "--from", from.Format(time.RFC3339), "--to", to.Format(time.RFC3339), "--id", "cut"}
	setEnv(t, s.env)
	interrupted := 0
	for {
		var out, said journal
		ctx, cancel := context.WithCancel(t.Context())
		left := atomic.Int64{}
		left.Store(int64(12 + 4*interrupted)) // More each time, until a window is through and another one begun.
		tell := func() {
			if left.Add(-1) < 0 {
				cancel()
			}
		}
		s.asked.Store(&tell)
		code := execute(ctx, args, &out, &said)
		cancel()
		if code == exitDone {
			break
		}
		if code != exitInterrupted && code != exitDone {
			t.Fatalf("exit code %d: %s", code, said.String())
		}
		if interrupted++; interrupted > 60 {
			t.Fatalf("exit code %d: %s", code, said.String())
		}
	}
	if interrupted < 1 {
		t.Errorf("the replay was interrupted %d times only", interrupted)
	}
	s.compare("jmessage", s.truth(false, [2]time.Time{from, to}))
}

// TestCheckpointReset sets the position back while a run is there, which goes on from it.
func TestCheckpointReset(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	stop := s.run()
	s.await(time.Now().Add(-10 * time.Second))
	to := s.end.Add(-6 * time.Minute)
	before, _ := s.position()
	out := try(t, s.env, "checkpoint", "reset", "messages", "--to", to.Format(time.RFC3339), "--yes")
	if out.code != exitDone || !strings.Contains(out.stderr, "published again") {
		t.Fatalf("exit code %d: %s", out.code, out.stderr)
	}
	was := time.Now()
	s.await(was)
	if code := stop(); code != exitDone {
		t.Errorf("run: exit code %d", code)
	}
	after, _ := s.position()
	s.compare("jmessage", func(yield func(verify.TruthRow) bool) {
		for r := range s.api.Truth(sim.Range{Begin: s.begin, End: time.Now()}) {
			row := verify.TruthRow{MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw, Optional: !r.Time.Before(after.End)}
			if !yield(row) {
				return
			}
			// The run may have gone on between the two looks at its position.
			row.Optional = !r.Time.Before(before.End)
			if !r.Time.Before(to) && r.Time.Before(was) && !yield(row) {
				return
			}
		}
	})
}

// TestCheckpointRefuses changes nothing without a yes, and nothing that cannot be.
func TestCheckpointRefuses(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	stop := s.run()
	s.await(s.end)
	stop()
	before, _ := s.position()
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"checkpoint", "reset", "messages", "--to", "61d", "--yes"}, exitUsage, "the oldest that the API holds"},
		{[]string{"checkpoint", "reset", "messages", "--to", "2100-01-01", "--yes"}, exitUsage, "the newest"},
		{[]string{"checkpoint", "reset", "messages", "--yes"}, exitUsage, "--to"},
		{[]string{"checkpoint", "reset", "messages", "--to", "soon", "--yes"}, exitUsage, "2026-11-01"},
		{[]string{"checkpoint", "reset", "rooms", "--to", "1h", "--yes"}, exitUsage, "rooms"},
		{[]string{"checkpoint", "reset", "messages", "--to", "10m"}, exitUsage, "nothing was changed"},
		{[]string{"checkpoint", "delete", "messages"}, exitUsage, "nothing was changed"},
		{[]string{"checkpoint", "delete", "groups/1", "--yes"}, exitFailed, "no such position"},
		{[]string{"checkpoint", "get", "groups/1"}, exitFailed, "JMPUB_START"},
		{[]string{"checkpoint", "forget"}, exitUsage, "no command"},
		{[]string{"replay", "--from", "2h"}, exitUsage, "--to"},
		{[]string{"replay", "--from", "1h", "--to", "2h"}, exitUsage, "not before"},
		{[]string{"replay", "--from", "61d", "--to", "2h"}, exitUsage, "the oldest"},
		{[]string{"replay", "--from", "1h", "--to", "0s"}, exitUsage, "not over yet"},
		{[]string{"replay", "--from", "1h", "--to", "10m", "--id", "a/b"}, exitUsage, "--id"},
	} {
		out := try(t, s.env, test.args...)
		if out.code != test.code || !strings.Contains(out.stderr, test.says) {
			t.Errorf("%q: exit code %d, want %d with %q: %s", test.args, out.code, test.code, test.says, out.stderr)
		}
	}
	if after, _ := s.position(); !reflect.DeepEqual(after, before) {
		t.Errorf("the position is %+v, it was %+v", after, before)
	}
	if out := try(t, s.env, "checkpoint", "delete", "messages", "--yes"); out.code != exitDone {
		t.Errorf("delete: exit code %d: %s", out.code, out.stderr)
	}
	if _, there := s.position(); there {
		t.Error("the position is there still")
	}
}
