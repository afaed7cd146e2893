package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/status"
)

// said is what a process called name says at a time, of apps such as "a:publishing:7", with their keys, states and lags.
func said(name string, at time.Duration, apps ...string) *Process {
	p := process(name, 0)
	p.At = began.Add(at)
	for _, text := range apps {
		fields := strings.Split(text, ":")
		lag := 0.0
		_, _ = fmt.Sscan(fields[2], &lag)
		one := app(fields[0], fields[1], lag)
		if fields[2] == "?" {
			one.LagSeconds = nil
		}
		p.Apps = append(p.Apps, one)
	}
	return p
}

// TestMerge makes one picture of what processes say; the records stand in the topic in the order in which they are given here.
func TestMerge(t *testing.T) {
	const now = time.Hour
	for name, tc := range map[string]struct {
		said  []*Process
		named string
		// apps are key, state, owner and lag of each, processes name and apps, with an exclamation mark where it is silent.
		apps, processes string
	}{
		"nobody has said anything": {nil, "a b", "a:nobody::? b:nobody::?", ""},
		"two processes share the apps": {
			[]*Process{said("one", now-2*time.Second, "b:publishing:7"), said("two", now-9*time.Second, "a:publishing:7")},
			"a b",
			"a:publishing:two:7 b:publishing:one:7", "one:1 two:1",
		},
		"a standby has nothing": {
			[]*Process{said("one", now), said("two", now, "a:publishing:7")}, "a", "a:publishing:two:7", "one:0 two:1",
		},
		"an app has moved, and its first owner has said nothing since": {
			[]*Process{said("one", now-8*time.Second, "a:publishing:7"), said("two", now-9*time.Second, "a:starting:?")},
			"a",
			"a:starting:two:?", "one:0 two:1", // The clock of the second one is behind.
		},
		"a process has died, and nobody has its app": {
			[]*Process{said("one", now-31*time.Second, "a:publishing:7", "b:failed:?"), said("two", now, "c:publishing:6")},
			"a b c",
			"b:silent:one:? a:silent:one:38 c:publishing:two:6", "two:1 one:2!",
		},
		"one that is late is not dead": {
			[]*Process{said("one", now-30*time.Second, "a:publishing:7")}, "", "a:publishing:one:7", "one:1",
		},
		"one that died has nothing any more": {
			[]*Process{said("one", now-31*time.Second, "a:publishing:7"), said("two", now, "a:publishing:7")},
			"a",
			"a:publishing:two:7", "two:1 one:0!",
		},
		"and is forgotten after an hour": {
			[]*Process{said("one", -time.Second, "a:publishing:7"), said("two", now, "a:publishing:7")}, "a", "a:publishing:two:7", "two:1",
		},
		"but not while nobody has its app": {
			[]*Process{said("one", -time.Second, "a:publishing:7"), said("two", now)}, "a", "a:silent:one:3608", "two:0 one:1!",
		},
		"what is wrong stands first, and then what is furthest behind": {
			[]*Process{
				said("one", now, "a:publishing:-3", "b:publishing:60", "c:failed:?", "d:starting:?", "e:failed:9"),
				said("two", now-time.Minute, "f:publishing:7"),
			},
			"a z f",
			"c:failed:one:? e:failed:one:9 f:silent:two:67 z:nobody::? d:starting:one:? b:publishing:one:60 a:publishing:one:-3", "one:5 two:1!",
		},
	} {
		var written []Record
		for _, p := range tc.said {
			written = append(written, records(t, p)...)
		}
		var named []status.AppName
		for key := range strings.FieldsSeq(tc.named) {
			named = append(named, status.AppName{AppKey: key, TopicPrefix: "jmessage"})
		}
		f := toldOf(t, written...).Merge(named, began.Add(now))
		var apps, processes []string
		for i := range f.Apps {
			a, lag := &f.Apps[i], "?"
			if a.LagSeconds != nil {
				lag = fmt.Sprint(*a.LagSeconds)
			}
			apps = append(apps, a.AppKey+":"+a.State+":"+a.Owner+":"+lag)
			if (a.State == StateSilent || a.State == StateNobody) && (a.QuotaRemaining != nil || a.Requests != 0) {
				t.Errorf("%s: %+v", name, a)
			}
		}
		for _, m := range f.Processes {
			text := fmt.Sprintf("%s:%d", m.Process, m.Apps)
			if m.Silent {
				text += "!"
			}
			processes = append(processes, text)
		}
		if got := strings.Join(apps, " "); got != tc.apps {
			t.Errorf("%s: the apps are\n%s, want\n%s", name, got, tc.apps)
		}
		if got := strings.Join(processes, " "); got != tc.processes {
			t.Errorf("%s: the processes are %s, want %s", name, got, tc.processes)
		}
	}
}

// TestAppsAreToldApartByTheirTopics: the same key with another prefix is another app.
func TestAppsAreToldApartByTheirTopics(t *testing.T) {
	p := said("one", 0, "a:publishing:7", "a:publishing:8")
	p.Apps[1].TopicPrefix = "second"
	named := []status.AppName{{AppKey: "a", TopicPrefix: "third"}}
	if f := toldOf(t, records(t, p)...).Merge(named, began); len(f.Apps) != 3 {
		t.Errorf("%+v", f.Apps)
	}
}

// TestFilesThatDifferAreTold where both processes are heard of, and have files.
func TestFilesThatDifferAreTold(t *testing.T) {
	for name, tc := range map[string]struct {
		first, second string
		at            time.Duration
		want          bool
	}{
		"the same apps":                     {"a", "a", time.Hour, false},
		"other apps":                        {"a", "b", time.Hour, true},
		"one without a file":                {"a", "", time.Hour, false},
		"one that is not heard of any more": {"a", "b", time.Minute, false},
	} {
		one, two := said("one", time.Hour), said("two", tc.at)
		one.AppsFile, two.AppsFile = tc.first, tc.second
		if f := toldOf(t, append(records(t, one), records(t, two)...)...).Merge(nil, began.Add(time.Hour)); f.FilesDiffer != tc.want {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestStateOfFewerPartsReplacesOneOfMore, also before what is left of the old one was taken away.
func TestStateOfFewerPartsReplacesOneOfMore(t *testing.T) {
	p := process("one", 201)
	written := records(t, p)
	p.Apps = p.Apps[:5]
	told := toldOf(t, append(written, records(t, p)...)...)
	if f := told.Merge(nil, p.At); len(f.Apps) != 5 || len(told.parts) != 2 {
		t.Errorf("%d apps of %d parts", len(f.Apps), len(told.parts))
	}
}

// TestOwn is what a process says while what others have said cannot be read: its own apps, and why there are no others.
func TestOwn(t *testing.T) {
	now := time.Now()
	lag := 3.0
	p := &Process{
		Group: "g", Name: "one", Instance: "a", Release: "v1", Started: now, Shards: 2, ShardsTotal: 4,
		Apps: []status.AppState{{AppName: status.AppName{AppKey: "app", TopicPrefix: "p"}, State: status.StatePublishing, LagSeconds: &lag}},
	}
	f := Own(p, now, errors.New("Kafka is away"))
	if f.Incomplete != "Kafka is away" || len(f.Apps) != 1 || f.Apps[0].Owner != "one" || f.Apps[0].State != status.StatePublishing ||
		len(f.Processes) != 1 || f.Processes[0].Silent || f.Processes[0].Apps != 1 || f.Processes[0].Shards != 2 {
		t.Errorf("%+v", f)
	}
}
