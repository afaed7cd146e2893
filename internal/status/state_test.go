package status_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/pipeline"
)

// owned is the state of the only app that a process has.
func owned(t *testing.T, p *status.Process) status.AppState {
	t.Helper()
	all := p.Owned()
	if len(all) != 1 {
		t.Fatalf("it has %+v", all)
	}
	return all[0]
}

// TestOwnedAppsAndNoOthers: those of which another process is the owner, or nobody knows yet, are not told of, but named.
func TestOwnedAppsAndNoOthers(t *testing.T) {
	p, all := manyApps(4)
	all[0].StandBy(true)
	p.Add(app("joining", "jmessage"))
	p.Remove(all[1])
	var keys []string
	for _, a := range p.Owned() {
		keys = append(keys, a.AppKey+"/"+a.TopicPrefix)
	}
	if want := []string{fmt.Sprintf("%024x/jmessage", 1), fmt.Sprintf("%024x/jmessage", 2)}; !slices.Equal(keys, want) {
		t.Errorf("it has %q, want %q", keys, want)
	}
	if n := len(p.Names()); n != 4 {
		t.Errorf("%d apps are named", n)
	}
}

// TestStateOfAnApp follows one from its start to a failure and back.
func TestStateOfAnApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := status.NewProcess(status.ProcessOptions{Version: "v1", Many: true})
		s := p.Add(app("a", "jmessage"))
		s.StandBy(false)
		a := owned(t, p)
		if a.State != status.StateStarting || !a.End.IsZero() || a.LagSeconds != nil || a.QuotaLimit != nil || a.QuotaRemaining != nil || a.Error != "" {
			t.Errorf("at the start: %+v", a)
		}
		end := time.Now().UTC().Add(-10 * time.Minute)
		s.Observer().Tell(pipeline.StreamStarted{Checkpoint: &pipeline.Checkpoint{
			Stream: messages(), End: end, Backlog: []pipeline.Backlog{{End: end.Add(-48 * time.Hour), Until: end.Add(-time.Hour)}},
		}})
		if a = owned(t, p); a.State != status.StateStarting || !a.End.Equal(end) || !a.Backlog.Equal(end.Add(-48*time.Hour)) || a.LagSeconds != nil {
			t.Errorf("with a position: %+v", a)
		}
		s.Observer().Tell(pipeline.HeadRead{Stream: messages(), End: time.Now().Add(-7 * time.Second)})
		if a = owned(t, p); a.State != status.StatePublishing || !a.End.Equal(end) || *a.LagSeconds != 7 {
			t.Errorf("when it has read something: %+v", a)
		}
		s.Observer().Tell(pipeline.QuotaTold{Remaining: 5})
		if a = owned(t, p); a.QuotaLimit != nil || *a.QuotaRemaining != 5 {
			t.Errorf("%+v", a)
		}
		s.Observer().Tell(pipeline.QuotaTold{Limit: 600, Remaining: 0})
		if a = owned(t, p); *a.QuotaLimit != 600 || *a.QuotaRemaining != 0 {
			t.Errorf("%+v", a)
		}
		s.Observer().Tell(pipeline.RetryScheduled{Err: errors.New("a small matter")})
		s.Fail(errors.New(strings.Repeat("没", 1000)))
		a = owned(t, p)
		if a.State != status.StateFailed || len(a.Error) > 200 || !strings.HasPrefix(a.Error, "没没") || !strings.HasSuffix(a.Error, "没…") || a.ErrorAt.IsZero() {
			t.Errorf("when it has failed: %+v", a)
		}
		s.Observer().Tell(pipeline.HeadRead{Stream: messages(), End: time.Now()})
		if a = owned(t, p); a.State != status.StatePublishing || a.Error == "" {
			t.Errorf("when it reads again: %+v", a)
		}
		s.StandBy(true)
		if n := len(p.Owned()); n != 0 {
			t.Errorf("it has %d apps that it stands by for", n)
		}
		s.StandBy(false)
		if a = owned(t, p); a.State != status.StateStarting || !a.End.IsZero() || a.QuotaRemaining != nil {
			t.Errorf("when it has it again: %+v", a)
		}
	})
}

// TestStateIsThatOfTheStreamFurthestBehind, statistics and what was given up left out.
func TestStateIsThatOfTheStreamFurthestBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := status.NewProcess(status.ProcessOptions{Version: "v1", Many: true})
		s := p.Add(app("a", "jmessage"))
		s.StandBy(false)
		now := time.Now()
		group := func(name string) pipeline.Stream { return pipeline.Stream{Kind: pipeline.StreamGroups, Name: name} }
		for stream, behind := range map[pipeline.Stream]time.Duration{
			messages(): 10 * time.Second, group("1"): time.Hour, group("2"): 24 * time.Hour,
			{Kind: pipeline.StreamStatistics, Name: "users"}: 48 * time.Hour,
		} {
			s.Observer().Tell(window(stream, now.Add(-behind), 10))
			s.Observer().Tell(pipeline.HeadRead{Stream: stream, End: now.Add(-behind)})
		}
		s.Observer().Tell(pipeline.StreamDropped{Stream: group("2"), Err: errors.New("deleted")})
		if a := owned(t, p); !a.End.Equal(now.Add(-time.Hour)) || *a.LagSeconds != 3600 {
			t.Errorf("%+v", a)
		}
	})
}

// TestRequestsOfTheLastMinute counts those of a minute that is over, and not those before it.
func TestRequestsOfTheLastMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := status.NewProcess(status.ProcessOptions{Version: "v1", Many: true})
		s := p.Add(app("a", "jmessage"))
		s.StandBy(false)
		for range 90 { // One each second.
			s.Observer().Tell(pipeline.RequestAnswered{Stream: messages(), Class: "ok"})
			time.Sleep(time.Second)
		}
		if n := owned(t, p).Requests; n != 60 {
			t.Errorf("%d requests, want 60", n)
		}
		time.Sleep(30 * time.Second)
		if n := owned(t, p).Requests; n < 18 || n > 42 {
			t.Errorf("%d requests after half a minute of silence", n)
		}
		time.Sleep(time.Minute)
		if n := owned(t, p).Requests; n != 0 {
			t.Errorf("%d requests after more than a minute", n)
		}
	})
}

// BenchmarkOwned is the state of 1,000 apps with one stream each.
func BenchmarkOwned(b *testing.B) {
	p, _ := manyApps(1_000)
	b.ReportAllocs()
	for b.Loop() {
		if n := len(p.Owned()); n != 1_000 {
			b.Fatalf("%d apps", n)
		}
	}
}
