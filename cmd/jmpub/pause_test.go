package main

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/view"
)

// TestPauseAndResume stops one of two streams of a live run by the command: it stands while the other one goes on, is shown as paused, and each row
// comes once when it is resumed. What changes nothing is no change: it leaves no notice, and who has paused it and when stays.
func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	one, other := "groups/"+sim.GroupID(0), "groups/"+sim.GroupID(1)
	s.env["JMPUB_ADMIN_TOKEN"], s.env["JMPUB_STREAMS"] = token, one+","+other
	c := s.callLive()
	c.until("it publishes both", func() bool { return c.windows > 1 })
	by, host := operator()
	give := func(args ...string) (found view.Paused) {
		t.Helper()
		out := try(t, s.env, append(args, "--json")...)
		if err := json.Unmarshal([]byte(out.stdout), &found); err != nil || out.code != exitDone {
			t.Fatalf("%q: exit code %d, %s%s", args, out.code, out.stdout, out.stderr)
		}
		return found
	}
	positions := func() map[string]view.Position {
		all := make(map[string]view.Position)
		for line := range strings.Lines(try(t, s.env, "checkpoint", "list", "--json").stdout) {
			var p view.Position
			if err := json.Unmarshal([]byte(line), &p); err != nil {
				t.Fatal(err)
			}
			p.LagSeconds = 0 // It grows by itself.
			all[p.Stream] = p
		}
		return all
	}
	first := give("pause", one)
	if first.App || !slices.Equal(first.Streams, []string{one}) || first.By != by || first.At.IsZero() {
		t.Errorf("%+v", first)
	}
	before := positions()
	if again := give("pause", one, one); !reflect.DeepEqual(again, first) {
		t.Errorf("what was paused already is %+v, and was %+v", again, first)
	}
	now := time.Now()
	c.until("the other one goes on", func() bool { return c.at.Stream.String() == other && c.at.End.After(now) })
	after := positions()
	if at := before[one]; !reflect.DeepEqual(at, after[one]) || !at.Paused || after[other].Paused {
		t.Errorf("the positions were %+v, and are %+v", before, after)
	}
	if list := try(t, s.env, "checkpoint", "list").stdout; !strings.Contains(list, "  "+one+"\n") {
		t.Errorf("the list does not say what is paused:\n%s", list)
	}
	if app := give("pause"); !app.App || !slices.Equal(app.Streams, first.Streams) {
		t.Errorf("%+v", app)
	}
	for line, want := range map[string]string{
		"resume " + one: "the whole app is paused", "pause messages": "none of those that are published: " + one + ", " + other,
		"pause rooms": "rooms", "pause statistics/users": "not paused by itself", "resume statistics/users": "not paused by itself",
	} {
		if got := try(t, s.env, strings.Fields(line)...); got.code != exitUsage || !strings.Contains(got.stderr, want) || got.stdout != "" {
			t.Errorf("%s: exit code %d, %q, want %q", line, got.code, got.stderr, want)
		}
	}
	if left := give("resume"); left.App || len(left.Streams) > 0 || left.By != "" || !left.At.IsZero() {
		t.Errorf("%+v", left)
	}
	give("resume")
	c.until("the first one goes on", func() bool { return c.at.Stream.String() == one && c.at.End.After(now) })
	from := " by " + by + " from " + host
	if got := c.admins(s.env["JMPUB_APP_KEY"]); !slices.Equal(got, []string{"pause" + from, "pause" + from, "resume" + from}) {
		t.Errorf("notices of changes: %v", got)
	}
	c.stop()
	s.compare("jmessage", s.truthOf(one, other))
}
