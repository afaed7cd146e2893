package main

import (
	"encoding/json"
	"fmt"
	"iter"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/status"
)

// ready is the body of /readyz.
func ready(t *testing.T, addr string) (snap status.Snapshot, ok bool) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/readyz", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return snap, false // It does not listen yet.
	}
	defer res.Body.Close() //nolint:errcheck // It was read.
	if err := json.NewDecoder(res.Body).Decode(&snap); err != nil {
		t.Fatal(err)
	}
	return snap, res.StatusCode == http.StatusOK
}

// TestListsAndStatistics publishes every group and room of the lists and statistics, some of which the app has no right to:
// each row once, and the status page shows a line for all streams of a list.
func TestListsAndStatistics(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	s.env["JMPUB_STREAMS"] = "groups/*,chatrooms/*,statistics/messages,statistics/users"
	s.env["JMPUB_IM_URL"] = strings.TrimSuffix(s.env["JMPUB_API_URL"], "/v2") + "/v1"
	s.env["JMPUB_STATISTICS_UNITS"], s.env["JMPUB_LISTEN"] = "day,month", addr
	stop := s.run()
	deadline := time.Now().Add(3 * time.Minute) // So that a mistake ends the test.
	var snap status.Snapshot
	for done := false; !done; {
		var ok bool
		snap, ok = ready(t, addr)
		done = ok && len(snap.Streams) == 4
		for _, stream := range snap.Streams {
			done = done && !stream.Committed.Before(s.end)
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %+v", snap.Streams)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if code := stop(); code != exitDone {
		t.Errorf("run: exit code %d", code)
	}
	var shown []string
	for _, stream := range snap.Streams {
		shown = append(shown, fmt.Sprintf("%s %d", stream.Stream, stream.Streams))
	}
	if want := []string{"chatrooms/* 3", "groups/* 5", "statistics/messages 0", "statistics/users 0"}; !slices.Equal(shown, want) {
		t.Errorf("the status page shows %q, want %q", shown, want)
	}
	out := try(t, s.env, "checkpoint", "list", "--json")
	if lines := strings.Count(out.stdout, "\n"); lines != 10 {
		t.Errorf("%d positions, want one each of 5 groups, 3 rooms and 2 statistics:\n%s", lines, out.stdout)
	}
	s.compare("jmessage", s.truthOf("groups/"+sim.GroupID(0), "groups/"+sim.GroupID(1), "groups/"+sim.GroupID(2), "groups/"+sim.GroupID(3),
		"groups/"+sim.GroupID(4), "chatrooms/"+sim.RoomID(0), "chatrooms/"+sim.RoomID(1), "chatrooms/"+sim.RoomID(2)))
}

// TestReplayOfLists publishes a range of every group once more.
func TestReplayOfLists(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.env["JMPUB_STREAMS"] = "groups/*,statistics/groups"
	s.env["JMPUB_IM_URL"] = strings.TrimSuffix(s.env["JMPUB_API_URL"], "/v2") + "/v1"
	out := try(t, s.env, "replay", "--from", s.begin.Add(-time.Minute).Format(time.RFC3339), "--to", s.end.Format(time.RFC3339), "--json")
	var result operate.ReplayResult
	if err := json.Unmarshal([]byte(out.stdout), &result); err != nil || out.code != exitDone || !result.Complete || len(result.Streams) != 5 {
		t.Fatalf("exit code %d, %v, %+v: %s", out.code, err, result, out.stderr)
	}
	s.compare("jmessage", s.truthOf("groups/"+sim.GroupID(0), "groups/"+sim.GroupID(1), "groups/"+sim.GroupID(2), "groups/"+sim.GroupID(3),
		"groups/"+sim.GroupID(4)))
	s.env["JMPUB_STREAMS"] = "statistics/groups"
	if out := try(t, s.env, "replay", "--from", "36h", "--to", "12h"); out.code != exitUsage || !strings.Contains(out.stderr, "--stream") {
		t.Errorf("a replay of statistics: exit code %d: %s", out.code, out.stderr)
	}
}

// truthOf has the rows of these streams.
func (s *station) truthOf(streams ...string) iter.Seq[verify.TruthRow] {
	return func(yield func(verify.TruthRow) bool) {
		for _, stream := range streams {
			for r := range s.api.Truth(sim.Range{Begin: s.begin, End: time.Now(), Stream: stream}) {
				if !yield(verify.TruthRow{MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw, Optional: !r.Time.Before(s.end)}) {
					return
				}
			}
		}
	}
}
