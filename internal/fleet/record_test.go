package fleet

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/status"
)

var began = time.Date(2026, 11, 28, 1, 0, 0, 0, time.UTC)

// process has so many apps.
func process(name string, apps int) *Process {
	p := &Process{
		Group: "jmpub", Name: name, Instance: "I", Release: "v1", Started: began, At: began.Add(time.Hour), Shards: 3, ShardsTotal: 12,
	}
	for i := range apps {
		p.Apps = append(p.Apps, app(fmt.Sprintf("%024x", i), status.StatePublishing, 7))
	}
	return p
}

func app(key, state string, lag float64) status.AppState {
	return status.AppState{
		AppName: status.AppName{AppKey: key, TopicPrefix: "jmessage"}, State: state, End: began, LagSeconds: &lag, Requests: 30,
		QuotaLimit: new(600), QuotaRemaining: new(570),
	}
}

// toldOf is what was said by records that were written in this order.
func toldOf(t *testing.T, written ...Record) *Told {
	t.Helper()
	told := &Told{}
	for i, r := range written {
		told.parts = slices.DeleteFunc(told.parts, func(p *part) bool { return string(p.key()) == string(r.Key) })
		if r.Value == nil {
			continue
		}
		p, err := decode(r.Key, r.Value)
		if err != nil {
			t.Fatal(err)
		}
		p.offset = int64(i)
		told.parts = append(told.parts, p)
	}
	return told
}

func records(t *testing.T, p *Process) []Record {
	t.Helper()
	all, err := p.Records()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestStateIsToldInParts: a record stays far below what a topic takes, whatever its apps say, and together they say all.
func TestStateIsToldInParts(t *testing.T) {
	for apps, parts := range map[int]int{0: 1, 1: 1, 200: 1, 201: 2, 1000: 5} {
		p := process("process 7 on a", apps)
		for i := range p.Apps {
			p.Apps[i].Error, p.Apps[i].ErrorAt = strings.Repeat("\x01", 200), began // Escaped, it takes six times as much.
		}
		all := records(t, p)
		if len(all) != parts {
			t.Errorf("%d apps take %d records, want %d", apps, len(all), parts)
		}
		for i, r := range all {
			if want := fmt.Sprintf("jmpub/process 7 on a/I/%d", i); string(r.Key) != want || len(r.Value) > 400<<10 {
				t.Errorf("%d apps: the key %s, want %s; %d bytes", apps, r.Key, want, len(r.Value))
			}
		}
		f := toldOf(t, all...).Merge(nil, p.At)
		if len(f.Apps) != apps || len(f.Processes) != 1 {
			t.Fatalf("of %d apps %d were read, of %d processes", apps, len(f.Apps), len(f.Processes))
		}
		m := f.Processes[0]
		if m.Process != p.Name || m.Release != "v1" || !m.Started.Equal(began) || !m.Heard.Equal(p.At) || m.Shards != 3 || m.ShardsTotal != 12 || m.Apps != apps {
			t.Errorf("%+v", m)
		}
	}
}

// TestForeignRecordsAreNone: whatever else stands in the topic is refused, and says why.
func TestForeignRecordsAreNone(t *testing.T) {
	good := records(t, process("a", 1))[0]
	if _, err := decode(good.Key, good.Value); err != nil {
		t.Fatal(err)
	}
	change := func(old, replacement string) string {
		value := strings.Replace(string(good.Value), old, replacement, 1)
		if value == string(good.Value) {
			t.Fatalf("%s does not have %s", value, old)
		}
		return value
	}
	long := strings.Repeat("x", 2_000)
	for name, tc := range map[string]struct{ value, says string }{
		"garbage":           {"garbage", "no JSON"},
		"no object":         {"[]", "another form"},
		"a member twice":    {change(`"part":0`, `"part":0,"part":0`), "no JSON"},
		"text that is none": {change(`"v1"`, "\"\xff\""), "no JSON"},
		"a newer form":      {change(`"version":1`, `"version":2`), "version is 2"},
		"no version":        {change(`"version":1,`, ``), "version is 0"},
		"another process":   {change(`"process":"a"`, `"process":"b"`), "key"},
		"another part":      {change(`"part":0`, `"part":1`), "key"},
		"no parts":          {change(`"parts":1`, `"parts":0`), "part 0 of 0"},
		"parts without end": {change(`"parts":1`, `"parts":1000000`), "part 0 of 1000000"},
		"too many shards":   {change(`"shards":3`, `"shards":13`), "13 of 12"},
		"no time":           {change(`"at":"2026-11-28T02:00:00Z",`, ``), "no time"},
		"no release":        {change(`"release":"v1"`, `"release":""`), "release"},
		"a long release":    {change(`"v1"`, `"`+long+`"`), "release"},
		"no app key":        {change(`"app_key":"`+fmt.Sprintf("%024x", 0)+`"`, `"app_key":""`), "app_key of its app 0"},
		"a long state":      {change(`"publishing"`, `"`+long+`"`), "state of its app 0"},
		"a long error":      {change(`"state"`, `"error":"`+long+`","state"`), "error of its app 0"},
		"too many apps":     {change(`"apps":[`, `"apps":[`+strings.Repeat(`{"app_key":"k","topic_prefix":"p","state":"s"},`, 1000)), "1001 apps"},
		"too large":         {strings.Repeat(" ", 2<<20), "bytes"},
	} {
		if _, err := decode(good.Key, []byte(tc.value)); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p, err := decode(good.Key, []byte(change(`"version":1`, `"version":1,"new":{}`))); err != nil || len(p.Apps) != 1 {
		t.Errorf("a member that this release does not know: %v", err)
	}
}

// FuzzDecode never panics, and what it takes is bounded, keeps its key, and can be shown and told again.
func FuzzDecode(f *testing.F) {
	p := process("process 7 on a", 2)
	p.Apps[0] = status.AppState{AppName: status.AppName{AppKey: "a", TopicPrefix: "b"}, State: status.StateFailed, Error: "no", ErrorAt: began}
	all, err := p.Records()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(all[0].Key, all[0].Value)
	f.Add([]byte("jmpub/a/I/0"), []byte(`{"version":1}`))
	f.Add([]byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		p, err := decode(key, value)
		if err != nil {
			return
		}
		if string(p.key()) != string(key) || len(p.Apps) > maxApps || p.Part < 0 || p.Part >= p.Parts || p.Shards > p.ShardsTotal {
			t.Errorf("%s: %+v", key, p)
		}
		fleet := (&Told{parts: []*part{p}}).Merge([]status.AppName{{AppKey: "x", TopicPrefix: "y"}}, began)
		if _, err := json.Marshal(fleet); err != nil {
			t.Errorf("it cannot be shown: %v", err)
		}
	})
}

// varied is the state of 1,000 apps that are not all alike, as it is told for the n-th time.
func varied(n int) *Process {
	p := process("process 4711 on im-export-1", 1_000)
	p.At = began.Add(time.Duration(n) * tellEvery)
	for i := range p.Apps {
		a := &p.Apps[i]
		a.AppKey = fmt.Sprintf("%x", sha256.Sum256([]byte(a.AppKey)))[:24]
		a.LagSeconds, a.Requests, a.QuotaRemaining = new(float64(n*i%97)/10), int64(n*i%31), new(600-n*i%31)
		a.End = p.At.Add(-time.Duration(i%13) * time.Second)
	}
	return p
}

// BenchmarkState makes the records of a process with 1,000 apps, and compresses them as they are on their way to Kafka.
func BenchmarkState(b *testing.B) {
	p := varied(7)
	size, compressed := 0, &bytes.Buffer{}
	b.ReportAllocs()
	for b.Loop() {
		all, err := p.Records()
		if err != nil {
			b.Fatal(err)
		}
		size = 0
		compressed.Reset()
		w := compression.Codec().NewWriter(compressed)
		for _, r := range all {
			size += len(r.Value)
			if _, err = w.Write(r.Value); err != nil {
				b.Fatal(err)
			}
		}
		if err = w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(size), "bytes/state")
	b.ReportMetric(float64(compressed.Len()), "compressed-bytes/state")
}
