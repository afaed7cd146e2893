package main

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/operate"
)

// tailed are the records that `jmpub tail --json` shows.
func (s *station) tailed(args ...string) []operate.TailRecord {
	s.t.Helper()
	out := try(s.t, s.env, append([]string{"tail", "--json"}, args...)...)
	if out.code != exitDone || out.stderr != "" {
		s.t.Fatalf("tail %q: exit code %d: %s", args, out.code, out.stderr)
	}
	var all []operate.TailRecord
	for line := range strings.Lines(out.stdout) {
		var r operate.TailRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			s.t.Fatalf("%v: %s", err, line)
		}
		all = append(all, r)
	}
	return all
}

// field is a member of a record's value.
func field(r operate.TailRecord, name string) string {
	var value map[string]any
	_ = json.Unmarshal(r.Value, &value) // Then it has none.
	text, _ := value[name].(string)
	return text
}

// TestTail shows every event that was committed once, in the order of their times, and only what is asked for.
func TestTail(t *testing.T) {
	t.Parallel()
	s := newStation(t, func(o *sim.Options) { o.IrregularRows = 0.05 })
	s.publish()
	wantOnly(t, checked(t, s.env)) // It leaves a record that was aborted.
	position, _ := s.position()
	all := s.tailed("--from", "begin")
	if int64(len(all)) != position.Published {
		t.Errorf("%d events, and %d were published", len(all), position.Published)
	}
	places := make(map[string]bool)
	for i, r := range all {
		places[r.Topic+"/"+strconv.Itoa(r.Partition)+"/"+strconv.FormatInt(r.Offset, 10)] = true
		if i > 0 && r.Time.Before(all[i-1].Time) {
			t.Fatalf("%s comes after %s", r.Time, all[i-1].Time)
		}
		if r.Headers["jmpub_stream"] != "messages" || r.Key == "" {
			t.Fatalf("%+v", r)
		}
	}
	if len(places) != len(all) {
		t.Errorf("%d records at %d places", len(all), len(places))
	}
	groups := s.tailed("--from", "begin", "--target", "group")
	if want := len(slices.DeleteFunc(slices.Clone(all), func(r operate.TailRecord) bool { return r.Topic != "jmessage.group" })); len(groups) != want || want == 0 {
		t.Errorf("%d events of groups, want %d", len(groups), want)
	}
	if named := s.tailed("group", "--from", "begin"); len(named) != len(groups) {
		t.Errorf("%d events of the topic group", len(named))
	}
	if named := s.tailed("jmessage.group", "--from", "2100-01-01"); len(named) != 0 {
		t.Errorf("%d events of a time that has not come", len(named))
	}
	last := s.tailed("-n", "7")
	if len(last) != 7 || last[6].Time.Before(all[len(all)-1].Time) || last[0].Time.Before(all[len(all)-200].Time) {
		t.Errorf("the last ones are %+v", last)
	}
	if more := s.tailed("-n", "10000"); len(more) != len(all) {
		t.Errorf("%d of the last 10000", len(more))
	}
	for _, args := range [][]string{{"--app", s.env["JMPUB_APP_KEY"]}, {"--stream", "messages"}} {
		if shown := s.tailed(append(args, "--from", "begin")...); len(shown) != len(all) {
			t.Errorf("%q: %d events", args, len(shown))
		}
	}
	if shown := s.tailed("--stream", "users/nobody", "--from", "begin"); len(shown) != 0 {
		t.Errorf("%d events of another stream", len(shown))
	}
	rejected := s.tailed("rejected", "--from", "begin")
	if int64(len(rejected)) != position.Rejected || rejected[0].Headers["jmpub_reason"] == "" {
		t.Errorf("%d rejected rows, and %d were published", len(rejected), position.Rejected)
	}
	if lines := try(t, s.env, "tail", "rejected", "-n", "3"); strings.Count(lines.stdout, "messages: ") != 3 {
		t.Error(lines.stdout)
	}
	if windows := s.tailed("windows", "--from", "begin"); len(windows) == 0 || field(windows[0], "stream") != "messages" {
		t.Errorf("the ledger is %+v", windows)
	}
}

// TestTailFollows goes on with what is published, and ends with exit code 0 when it is told to.
func TestTailFollows(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.publish()
	run := s.startLive()
	run.live()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out, said journal
	code := make(chan int, 1)
	go func() { code <- command(ctx, s.env, &out, &said, "tail", "-f", "-n", "0", "--json") }()
	for late := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if strings.Count(out.String(), "\n") > 2 {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("nothing came: %s", said.String())
		}
	}
	stop()
	if got := <-code; got != exitDone || said.String() != "" {
		t.Errorf("exit code %d: %s", got, said.String())
	}
	run.stop()
}

// TestTailOfAvro decodes events by the registry's schema, and without a registry by that of this release.
func TestTailOfAvro(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	schemas := srfake.New()
	t.Cleanup(schemas.Close)
	plain := s.env
	s.env = with(plain, "JMPUB_EVENT_FORMAT", "avro", "JMPUB_SCHEMA_REGISTRY_URL", schemas.URL())
	s.publish()
	all := s.tailed("--from", "begin")
	texts := func(all []operate.TailRecord) (n int) {
		for _, r := range all {
			if field(r, "app_key") == s.env["JMPUB_APP_KEY"] && field(r, "text") != "" {
				n++
			}
		}
		return n
	}
	if texts(all) == 0 {
		t.Errorf("no text of %d events", len(all))
	}
	lines := try(t, s.env, "tail", "--target", "single,group", "-n", "5")
	if strings.Count(lines.stdout, " → ") != 5 || strings.Contains(lines.stdout, "1970-") {
		t.Error(lines.stdout)
	}
	s.env = plain
	if without := s.tailed("--from", "begin"); texts(without) != texts(all) {
		t.Errorf("%d texts without a registry, and %d with it", texts(without), texts(all))
	}
}

// TestTailRefuses what it cannot show.
func TestTailRefuses(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitFailed, "missing: jmessage.single"},
		{[]string{"nosuch"}, exitFailed, "missing: nosuch"},
		{[]string{"--target", "x"}, exitUsage, "--target"},
		{[]string{"--from", "x"}, exitUsage, "--from"},
		{[]string{"-n", "-1"}, exitUsage, "--last"},
		{[]string{"--stream", "x/y/z"}, exitUsage, "--stream"},
		{[]string{""}, exitUsage, "TOPIC"},
	} {
		if out := try(t, s.env, append([]string{"tail"}, tc.args...)...); out.code != tc.code || !strings.Contains(out.stderr, tc.says) {
			t.Errorf("%q: exit code %d: %s", tc.args, out.code, out.stderr)
		}
	}
	apps := with(s.env, "JMPUB_APP_KEY", "", "JMPUB_MASTER_SECRET", "", "JMPUB_APPS_FILE", "/none", "JMPUB_TOPIC_TEMPLATE", "{app_key}.{target_type}")
	if out := try(t, apps, "tail"); out.code != exitUsage || !strings.Contains(out.stderr, "--app") {
		t.Errorf("%+v", out)
	}
}
