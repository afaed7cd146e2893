//go:build integration

// Package sdk shows that JMessage's own SDK for Java takes `jmpub sim` for the API. What that SDK sends is what the API must have taken for
// years, so it is a witness of what the simulator should take and send.
package sdk_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// patience is long, because the first build on a machine loads Maven's plugins and the jars.
const patience = 5 * time.Minute

// seen is what the Java program prints.
type seen struct {
	Messages []int64 `json:"messages"`
	User     []int64 `json:"user"`
	Group    []int64 `json:"group"`

	Hour            statistic      `json:"hour"`
	Day             statistic      `json:"day"`
	Month           statistic      `json:"month"`
	UserStatistics  []userCounted  `json:"user_statistics"`
	GroupStatistics []groupCounted `json:"group_statistics"`

	Users  []string `json:"users"`
	Groups []int64  `json:"groups"`
	Rooms  []int64  `json:"rooms"`
}

type statistic struct {
	Sent []struct {
		Time   string `json:"time"`
		Group  int    `json:"group_send_msg"`
		Single int    `json:"single_send_msg"`
	} `json:"send_msg_stat"`
}

type userCounted struct {
	Date  string `json:"date"`
	Total int    `json:"total_users"`
}

type groupCounted struct {
	Date  string `json:"date"`
	Total int    `json:"total_group"`
}

// TestJavaSDK lets the SDK page through messages with cursors, and read all statistics and lists, and compares with what the simulated
// API holds. It needs a JDK of version 17 or later and Maven, and fails without them.
func TestJavaSDK(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	classpath := buildJava(ctx, t)
	base := startSim(ctx, t)
	o := sim.Defaults()
	end := time.Now().Add(-time.Minute).In(o.Zone).Truncate(time.Second)
	begin := end.Add(-20 * time.Minute)

	java := exec.CommandContext(ctx, "java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classpath, "jmpub.Sdk", //nolint:gosec // Ours.
		base, o.AppKey, o.MasterSecret, begin.Format(time.DateTime), end.Format(time.DateTime), sim.Username(0), sim.GroupID(0))
	var stderr strings.Builder
	java.Stderr = &stderr
	out, err := java.Output()
	if err != nil {
		t.Fatalf("the SDK: %v\n%s", err, stderr.String())
	}
	var got seen
	if err = json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	last := end.Add(time.Second - time.Nanosecond) // An end_time is included with its whole second.
	for stream, ids := range map[string][]int64{
		"messages": got.Messages, "users/" + sim.Username(0): got.User, "groups/" + sim.GroupID(0): got.Group,
	} {
		if want := truth(ctx, t, base, stream, begin, last); !slices.Equal(ids, want) || len(want) == 0 {
			t.Errorf("%s: the SDK read %d messages, the API holds %d", stream, len(ids), len(want))
		}
	}
	for form, s := range map[string]statistic{"2006-01-02 15": got.Hour, time.DateOnly: got.Day, "2006-01": got.Month} {
		if len(s.Sent) != 1 || s.Sent[0].Single == 0 || s.Sent[0].Group == 0 {
			t.Errorf("statistics of messages by %q: %+v, want one of a time in which some were sent", form, s.Sent)
		}
	}
	if len(got.UserStatistics) != 1 || got.UserStatistics[0].Total != o.Users {
		t.Errorf("statistics of users: %+v, want a day with %d", got.UserStatistics, o.Users)
	}
	if len(got.GroupStatistics) != 1 || got.GroupStatistics[0].Total != o.Groups {
		t.Errorf("statistics of groups: %+v, want a day with %d", got.GroupStatistics, o.Groups)
	}
	wantList(t, "users", got.Users, o.Users, sim.Username)
	wantList(t, "groups", got.Groups, o.Groups, number(sim.GroupID))
	wantList(t, "chatrooms", got.Rooms, o.Rooms, number(sim.RoomID))
	t.Logf("%d messages of the app, %d of a user, %d of a group; %d users", len(got.Messages), len(got.User), len(got.Group), len(got.Users))
}

// wantList expects the first n of a population.
func wantList[T comparable](t *testing.T, name string, got []T, n int, want func(int) T) {
	t.Helper()
	if len(got) != n || got[0] != want(0) || got[n-1] != want(n-1) {
		t.Errorf("the SDK lists %d %s, %v; want %d, from %v", len(got), name, got, n, want(0))
	}
}

// number makes a function of ids that are numbers one that returns them as such.
func number(id func(int) string) func(int) int64 {
	return func(i int) int64 {
		n, _ := strconv.ParseInt(id(i), 10, 64) // 0 is no id, and so a difference.
		return n
	}
}

// buildJava compiles the Java program outside of the working tree, and returns its class path.
func buildJava(ctx context.Context, t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("java")); err != nil {
		t.Fatalf("copy the Java sources: %v", err)
	}
	build := exec.CommandContext(ctx, "mvn", "-q", "-B", "compile", "dependency:copy-dependencies", "-DincludeScope=runtime")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("compile what uses the SDK: %v (Maven and a JDK of version 17 or later are needed)\n%s", err, out)
	}
	return filepath.Join(dir, "target", "classes") + ":" + filepath.Join(dir, "target", "dependency", "*")
}

// startSim runs `jmpub sim` with its defaults, which are what a newcomer has, and returns where it answers.
func startSim(ctx context.Context, t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jmpub")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/jmpub/jmpub/cmd/jmpub").CombinedOutput(); err != nil { //nolint:gosec // Ours.
		t.Fatalf("build jmpub: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, path, "sim", "--listen", "127.0.0.1:0") //nolint:gosec // Ours.
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // It was killed, which is no success.
	})
	said, err := bufio.NewReader(stderr).ReadString('\n')
	if err != nil {
		t.Fatalf("jmpub sim says %q: %v", said, err)
	}
	address := regexp.MustCompile(`http://[0-9.:]+`).FindString(said)
	if address == "" {
		t.Fatalf("jmpub sim does not say where it answers: %q", said)
	}
	return address
}

// truth lists the ids that the API holds of a stream, in its order.
func truth(ctx context.Context, t *testing.T, base, stream string, begin, end time.Time) []int64 {
	t.Helper()
	query := url.Values{"stream": {stream}, "begin": {begin.Format(time.RFC3339Nano)}, "end": {end.Format(time.RFC3339Nano)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/sim/truth?"+query.Encode(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := new(http.Client).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() }) // It was read.
	var ids []int64
	for lines := json.NewDecoder(res.Body); lines.More(); {
		var row struct {
			MsgID int64 `json:"msgid"`
		}
		if err := lines.Decode(&row); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, row.MsgID)
	}
	return ids
}
