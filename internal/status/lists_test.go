package status_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/pipeline"
)

// TestStreamsOfAListAreOneLine shows where the one stands that is furthest behind, and counts for all of them.
func TestStreamsOfAListAreOneLine(t *testing.T) {
	now := time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)
	user := func(name string) pipeline.Stream { return pipeline.Stream{Kind: pipeline.StreamUsers, Name: name} }
	s := show(status.ProcessOptions{Now: func() time.Time { return now }}, status.Options{
		AppKey:  "app",
		Streams: []pipeline.Stream{user("vip")}, Discover: []pipeline.StreamKind{pipeline.StreamUsers},
	})
	o := s.Observer()
	for name, behind := range map[string]time.Duration{"ann": 10 * time.Second, "bob": time.Minute, "vip": time.Second} {
		c := window(user(name), now.Add(-behind), 10)
		o.Tell(pipeline.StreamStarted{Checkpoint: c.Checkpoint})
		o.Tell(pipeline.HeadRead{Stream: user(name), End: c.Checkpoint.End})
		o.Tell(c)
	}
	o.Tell(pipeline.StreamsDiscovered{Streams: 2, Sweep: 90 * time.Second})
	expect := func(streams int, lag float64) {
		t.Helper()
		snap := s.Snapshot()
		if len(snap.Streams) != 2 || snap.SweepSeconds != 90 {
			t.Fatalf("%+v", snap)
		}
		all, vip := snap.Streams[0], snap.Streams[1]
		if all.Stream != "users/*" || all.Streams != streams || all.LagSeconds != lag || all.Rows != 20 || !all.Fresh {
			t.Errorf("all of them: %+v", all)
		}
		if vip.Stream != "users/vip" || vip.Streams != 0 || vip.LagSeconds != 1 || vip.Rows != 10 {
			t.Errorf("the one that was named: %+v", vip)
		}
	}
	expect(2, 60)
	o.Tell(pipeline.NoticePublished{Notice: pipeline.Notice{Kind: pipeline.NoticeRemoved, Stream: user("bob")}})
	expect(1, 10)
	_, text := get(t, s.Process, "/metrics")
	for _, want := range []string{`jmpub_discovered_streams{app="app"} 2`, `jmpub_sweep_seconds{app="app"} 90`, `jmpub_lag_seconds{app="app",stream="users/*"} 10`, `jmpub_read_lag_seconds{app="app",stream="users/*"} 10`} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// TestStatisticsAreReadSeldom is ready before statistics were read, and not for ever without.
func TestStatisticsAreReadSeldom(t *testing.T) {
	now := time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)
	stream := pipeline.Stream{Kind: pipeline.StreamStatistics, Name: "users"}
	s := show(status.ProcessOptions{Now: func() time.Time { return now }}, status.Options{
		Streams: []pipeline.Stream{stream}, StatisticsStale: time.Hour,
	})
	expect := func(want int) {
		t.Helper()
		code, body := get(t, s.Process, "/readyz")
		if code != want {
			t.Errorf("%v: %d, want %d: %s", now, code, want, body)
		}
		if why := "nothing was read of statistics/users in the last 1h0m0s"; strings.Contains(body, why) != (want != http.StatusOK) {
			t.Errorf("%v: %d must say %q only where it is why: %s", now, code, why, body)
		}
	}
	expect(http.StatusOK)
	now = now.Add(50 * time.Minute)
	expect(http.StatusOK)
	s.Observer().Tell(pipeline.HeadRead{Stream: stream, End: now})
	now = now.Add(50 * time.Minute)
	expect(http.StatusOK)
	now = now.Add(20 * time.Minute)
	expect(http.StatusServiceUnavailable)
}

// TestStatisticsHaveNoTarget counts what was published of statistics, which belong to no topic of events.
func TestStatisticsHaveNoTarget(t *testing.T) {
	stream := pipeline.Stream{Kind: pipeline.StreamStatistics, Name: "users"}
	s := show(status.ProcessOptions{}, status.Options{AppKey: "app", Streams: []pipeline.Stream{stream}})
	s.Observer().Tell(window(stream, time.Now(), 10))
	_, text := get(t, s.Process, "/metrics")
	if want := `jmpub_events_total{app="app",stream="statistics/users",target="statistics"} 7`; !strings.Contains(text, want) {
		t.Errorf("the metrics lack %s", want)
	}
}
