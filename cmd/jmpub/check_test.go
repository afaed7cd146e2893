package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/jmpub/jmpub/internal/check"
	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/operate"
)

// checked is what `jmpub check --json` finds with these settings. Its exit code has to be that of what it found.
func checked(t *testing.T, env map[string]string, args ...string) *check.Report {
	t.Helper()
	out := try(t, env, append([]string{"check", "--json"}, args...)...)
	var r check.Report
	if err := json.Unmarshal([]byte(out.stdout), &r); err != nil {
		t.Fatalf("%v: exit code %d: %s%s", err, out.code, out.stdout, out.stderr)
	}
	failed := slices.ContainsFunc(r.Findings, func(f check.Finding) bool { return f.Level == check.Error })
	if want := map[bool]int{true: exitFailed, false: exitDone}[failed]; out.code != want || r.OK == failed || out.stderr != "" {
		t.Errorf("exit code %d, want %d: %s%s", out.code, want, out.stdout, out.stderr)
	}
	return &r
}

// wantFinding expects a finding about a subject, and says what there is where there is none.
func wantFinding(t *testing.T, r *check.Report, subject string, level check.Level, says ...string) {
	t.Helper()
	for _, f := range r.Findings {
		all := f.Text + "\n" + f.Fix
		if f.Subject == subject && f.Level == level && !slices.ContainsFunc(says, func(s string) bool { return !strings.Contains(all, s) }) {
			return
		}
	}
	t.Errorf("nothing is said of %s as %s with %q:\n%s", subject, level, says, told(r))
}

func told(r *check.Report) string {
	var b strings.Builder
	for _, f := range r.Findings {
		b.WriteString(string(f.Level) + " " + f.App + " " + f.Subject + ": " + f.Text + " -> " + f.Fix + "\n")
	}
	return b.String()
}

// wantOnly expects that nothing but these subjects has failed or is warned of.
func wantOnly(t *testing.T, r *check.Report, subjects ...string) {
	t.Helper()
	for _, f := range r.Findings {
		if (f.Level == check.Error || f.Level == check.Warning) && !slices.Contains(subjects, f.Subject) {
			t.Errorf("%s of %s: %s (%s)", f.Level, f.Subject, f.Text, f.Fix)
		}
	}
}

const liveID = "jmpub/jmessage/4f7aef34fb361292c566a1cd"

// TestCheck finds nothing wrong before the first start, and makes nothing: not a topic, not a schema.
func TestCheck(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	schemas := srfake.New()
	t.Cleanup(schemas.Close)
	s.env["JMPUB_EVENT_FORMAT"], s.env["JMPUB_SCHEMA_REGISTRY_URL"] = "avro", schemas.URL()
	r := checked(t, s.env)
	wantOnly(t, r)
	for subject, says := range map[string]string{
		"settings": "exactly once", "API": "answers", "clock": "agree", "credentials": "takes them", "quota": "100000/m",
		"time zone": "Asia/Shanghai", "stream messages": "messages of the last 24 hours", "broker " + s.env["JMPUB_KAFKA_BROKERS"]: "without TLS",
		"topic jmessage.single": "will make it with 6 partitions", "topic jmessage.checkpoints": "12 partitions", "rights": liveID,
		"group": liveID, "schema registry": "will register", "processes": "none",
	} {
		wantFinding(t, r, subject, check.OK, says)
	}
	wantFinding(t, r, "transactions", check.Skipped, "9 topics are missing")
	topics, err := kadm.NewClient(s.client()).ListTopics(t.Context())
	if err != nil || len(topics) > 0 {
		t.Errorf("there are topics %v, %v", topics.Names(), err)
	}
	if subjects := get(t, schemas.URL()+"/subjects"); strings.TrimSpace(subjects) != "[]" {
		t.Errorf("there are schemas: %s", subjects)
	}
	for _, f := range try(t, s.env, "check").stdout {
		if f == '✗' || f == '!' {
			t.Error(try(t, s.env, "check").stdout)
		}
	}
}

// TestCheckBesideARun disturbs nobody, leaves no record that a reader of what is committed sees, and tells of a process of another release.
func TestCheckBesideARun(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	run := s.startLive(func(o *operate.RunOptions) { o.Version = "v0.0.9" })
	run.live()
	sessions := run.sessionsNow()
	var taken sync.Map
	s.cluster.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		if init, ok := req.(*kmsg.InitProducerIDRequest); ok && init.TransactionalID != nil && init.ProducerID < 0 {
			taken.Store(*init.TransactionalID, true)
		}
		return nil, nil, false
	})
	var r *check.Report
	for late := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) { // The process tells its state after a second.
		if r = checked(t, s.env); !strings.Contains(told(r), "none has told") || time.Now().After(late) {
			break
		}
	}
	wantOnly(t, r, "processes")
	wantFinding(t, r, "processes", check.Warning, "is of release v0.0.9", "restart")
	wantFinding(t, r, "transactions", check.OK, "written and aborted")
	wantFinding(t, r, "rights", check.OK, "Write on transactional id "+liveID+" and on 9 topics", "Read on 8 topics")
	wantFinding(t, r, "topic jmessage.coverage", check.OK, "6 partitions", "1 replica", "compacted")
	taken.Range(func(id, _ any) bool {
		if id != liveID+"/check" {
			t.Errorf("it has taken %s", id)
		}
		return true
	})
	run.live()
	if now := run.sessionsNow(); now != sessions {
		t.Errorf("the run has begun anew: %d sessions, %d before", now, sessions)
	}
	run.stop()
	ends, err := kadm.NewClient(s.client()).ListEndOffsets(t.Context(), "jmessage.rejected")
	if err != nil {
		t.Fatal(err)
	}
	written := int64(0)
	ends.Each(func(o kadm.ListedOffset) { written += o.Offset })
	if written == 0 {
		t.Error("nothing was written in a transaction")
	}
	for topic, text := range s.committed("jmessage.rejected", "jmessage.notices", "jmessage.windows") {
		if strings.Contains(text, "jmpub check") {
			t.Errorf("%s has %s", topic, text)
		}
	}
}

// committed are the values of topics, as they were committed.
func (s *station) committed(topics ...string) map[string]string {
	s.t.Helper()
	all := make(map[string]string)
	client := s.client(kgo.ConsumeTopics(topics...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ends, err := kadm.NewClient(client).ListCommittedOffsets(s.t.Context(), topics...)
	if err != nil {
		s.t.Fatal(err)
	}
	left := 0
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 && o.Topic == "jmessage.windows" {
			left++
		}
	})
	for seen := make(map[int32]bool); len(seen) < left; {
		fetches := client.PollFetches(s.t.Context())
		if err := fetches.Err(); err != nil {
			s.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			all[r.Topic] += string(r.Key) + string(r.Value)
			if r.Topic == "jmessage.windows" {
				seen[r.Partition] = true
			}
		})
	}
	return all
}

// TestCheckOfTheAPI provokes what can be wrong with the API, and with what the settings say of it.
func TestCheckOfTheAPI(t *testing.T) {
	t.Parallel()
	ahead := func(d time.Duration) func(*sim.Options) {
		return func(o *sim.Options) { o.Now = func() time.Time { return time.Now().Add(d) } }
	}
	for name, tc := range map[string]struct {
		api     func(*sim.Options)
		env     []string
		subject string
		level   check.Level
		says    []string
	}{
		"a clock that is off by seconds": {
			ahead(12 * time.Second), nil, "clock", check.Warning, []string{"s behind the API's", "NTP"},
		},
		"a clock that is off by minutes": {ahead(4 * time.Minute), nil, "clock", check.Error, []string{"behind the API's", "NTP"}},
		"a clock that is off by hours":   {ahead(-5 * time.Hour), nil, "clock", check.Error, []string{"ahead of the API's", "NTP"}},
		"a wrong secret": {
			nil, []string{"JMPUB_MASTER_SECRET", "wrong-secret"}, "credentials", check.Error, []string{"899008", "check JMPUB_APP_KEY and JMPUB_MASTER_SECRET"},
		},
		"a wrong address": {
			nil, []string{"JMPUB_API_URL", "http://127.0.0.1:1/v2"}, "API", check.Error, []string{"given up after 4 tries", "check JMPUB_API_URL"},
		},
		"a wrong zone": {
			func(o *sim.Options) { o.Begin = o.Begin.Add(-12 * time.Hour) }, []string{"JMPUB_API_TIME_ZONE", "UTC"}, "time zone", check.Error, []string{"UTC+08:00: set JMPUB_API_TIME_ZONE"},
		},
		"nothing that proves the zone": {
			func(o *sim.Options) { o.Rate = 0 }, nil, "time zone", check.Skipped, []string{"no message that would prove Asia/Shanghai"},
		},
		"a quota below the rate": {
			func(o *sim.Options) { o.PerMinute = 200 }, nil, "quota", check.Warning, []string{"200 requests a minute", "JMPUB_API_RATE=200/m"},
		},
		"an API that fails": {
			func(o *sim.Options) { o.ServerError = 1 }, nil, "API", check.Warning, []string{"`jmpub run` waits", "HTTP 50"},
		},
		"a user who is not there": {
			nil, []string{"JMPUB_STREAMS", "groups/10000001,users/nobody"}, "stream users/nobody", check.Error, []string{"899002"},
		},
		"the only stream is not there": {nil, []string{"JMPUB_STREAMS", "users/nobody"}, "stream users/nobody", check.Error, []string{"899002"}},
		"statistics that the app has not": {
			func(o *sim.Options) { o.NoStatistics = true },
			[]string{"JMPUB_STREAMS", "messages,statistics/users"},
			"stream statistics/users",
			check.Error,
			[]string{"statistics are for apps that pay"},
		},
		"lists elsewhere": {
			nil,
			[]string{"JMPUB_STREAMS", "groups/*", "JMPUB_IM_URL", "http://127.0.0.1:1/v1"},
			"stream groups/*", check.Error,
			[]string{"given up after 4 tries", "check JMPUB_IM_URL"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.api == nil {
				tc.api = func(*sim.Options) {}
			}
			s := newStation(t, tc.api)
			r := checked(t, with(s.env, tc.env...))
			wantFinding(t, r, tc.subject, tc.level, tc.says...)
			if tc.level != check.Skipped {
				wantOnly(t, r, tc.subject)
			}
			if strings.Contains(told(r), "wrong-secret") {
				t.Error("it tells a secret")
			}
		})
	}
}

// TestCheckSkips tells what was not looked at, and why, where something else has failed.
func TestCheckSkips(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	r := checked(t, with(s.env, "JMPUB_MASTER_SECRET", "wrong"))
	for _, subject := range []string{"quota", "time zone", "streams"} {
		wantFinding(t, r, subject, check.Skipped, "not checked, because of credentials")
	}
	wantFinding(t, r, "group", check.OK)
	r = checked(t, with(s.env, "JMPUB_KAFKA_BROKERS", "127.0.0.1:1"))
	for _, subject := range []string{"topics", "rights", "transactions", "group", "processes"} {
		wantFinding(t, r, subject, check.Skipped, "not checked, because of broker 127.0.0.1:1")
	}
	wantFinding(t, r, "broker 127.0.0.1:1", check.Error, "refused", "check JMPUB_KAFKA_BROKERS")
	wantFinding(t, r, "stream messages", check.OK)
}

// TestCheckOfBrokers tells a broker of the list that is down from one that the cluster names and nobody can reach.
func TestCheckOfBrokers(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	good := s.env["JMPUB_KAFKA_BROKERS"]
	r := checked(t, with(s.env, "JMPUB_KAFKA_BROKERS", "127.0.0.1:1,"+good))
	wantOnly(t, r, "broker 127.0.0.1:1")
	wantFinding(t, r, "broker 127.0.0.1:1", check.Warning, "refused", "nothing answers there")
	wantFinding(t, r, "broker "+good, check.OK)
	wantFinding(t, r, "group", check.OK)

	misled, err := broker.Start(broker.Options{Advertise: "127.0.0.2"}) // Nobody listens there.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = misled.Close() })
	_, port, _ := strings.Cut(misled.Addrs()[0], ":")
	r = checked(t, with(s.env, "JMPUB_KAFKA_BROKERS", "127.0.0.1:"+port))
	wantFinding(t, r, "broker 127.0.0.2:"+port, check.Error, "connect to broker 0 of the cluster", "correct advertised.listeners of broker 0")
	wantFinding(t, r, "topics", check.Skipped)
}

// TestCheckOfTopics provokes what can be wrong with a topic.
func TestCheckOfTopics(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		topic  string
		config map[string]string
		env    []string
		level  check.Level
		says   []string
	}{
		"checkpoints that are deleted": {
			"checkpoints",
			map[string]string{"cleanup.policy": "delete"},
			nil, check.Error,
			[]string{"a checkpoint that is not renewed would be deleted", "--add-config cleanup.policy=compact"},
		},
		"coverage that is deleted": {
			"coverage", map[string]string{"cleanup.policy": "delete"}, nil, check.Warning, []string{"deletes old records", "cleanup.policy=compact"},
		},
		"events that are compacted": {
			"group", map[string]string{"cleanup.policy": "compact"}, nil, check.Warning, []string{"cleanup_policy compact", "set cleanup.policy=delete"},
		},
		"a retention that is shorter than the data is old": {
			"single",
			map[string]string{"retention.ms": "600000"},
			[]string{"JMPUB_RECORD_TIME", "event"},
			check.Error,
			[]string{"would be deleted at once: the topic keeps 10m0s", "retention.ms="},
		},
		"the topic's own time": {
			"single",
			map[string]string{"message.timestamp.type": "LogAppendTime"},
			[]string{"JMPUB_RECORD_TIME", "event"},
			check.Warning,
			[]string{"JMPUB_RECORD_TIME=event has no effect", "CreateTime"},
		},
		"times that it does not take": {
			"single",
			map[string]string{"message.timestamp.before.max.ms": "60000"},
			[]string{"JMPUB_RECORD_TIME", "event"},
			check.Warning,
			[]string{"does not take the time of the oldest messages", "message.timestamp.before.max.ms="},
		},
		"small events": {
			"single", map[string]string{"max.message.bytes": "1000"}, nil, check.Warning, []string{"max_message_bytes 1000", "rejected rows", "max.message.bytes=1048588"},
		},
		"small checkpoints": {
			"checkpoints", map[string]string{"cleanup.policy": "compact"}, nil, check.Warning, []string{"dense second", "max.message.bytes=16777216"},
		},
		"more replicas in sync than there are": {
			"windows",
			map[string]string{"min.insync.replicas": "2"},
			nil, check.Error,
			[]string{"min_insync_replicas 2, replication 1", "nothing can be written", "min.insync.replicas=1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStation(t)
			config := make(map[string]*string)
			for key, value := range tc.config {
				config[key] = &value
			}
			if _, err := kadm.NewClient(s.client()).CreateTopic(t.Context(), 1, 1, config, "jmessage."+tc.topic); err != nil {
				t.Fatal(err)
			}
			r := checked(t, with(s.env, tc.env...))
			wantOnly(t, r, "topic jmessage."+tc.topic)
			wantFinding(t, r, "topic jmessage."+tc.topic, tc.level, tc.says...)
		})
	}
	s := newStation(t)
	r := checked(t, with(s.env, "JMPUB_TOPICS_CREATE", "false"))
	wantFinding(t, r, "topics", check.Error, "9 topics are missing", "JMPUB_TOPICS_CREATE=true", "\n  kafka-topics.sh --create --topic jmessage.coverage")
	r = checked(t, with(s.env, "JMPUB_TOPICS_REPLICATION", "3"))
	wantFinding(t, r, "topics", check.Error, "create the topic jmessage.single", "JMPUB_TOPICS_REPLICATION")
}

// TestCheckOfRights takes the right on the group away; those on topics need Apache Kafka.
func TestCheckOfRights(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.cluster.ControlKey(int16(kmsg.Heartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		res, _ := req.ResponseKind().(*kmsg.HeartbeatResponse)
		res.ErrorCode = kerr.GroupAuthorizationFailed.Code
		return res, nil, true
	})
	r := checked(t, s.env)
	wantOnly(t, r, "group")
	wantFinding(t, r, "group", check.Warning, "READ on group "+liveID+" is missing", "publishes alone", "--operation Read --group "+liveID)
}

// TestCheckOfTheRegistry tells a registry that is away from one that lacks a schema which is not to be registered.
func TestCheckOfTheRegistry(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	avro := with(s.env, "JMPUB_EVENT_FORMAT", "avro", "JMPUB_SCHEMA_REGISTRY_URL", "http://127.0.0.1:1")
	r := checked(t, avro)
	wantOnly(t, r, "schema registry")
	wantFinding(t, r, "schema registry", check.Error, "refused")
	schemas := srfake.New()
	t.Cleanup(schemas.Close)
	r = checked(t, with(avro, "JMPUB_SCHEMA_REGISTRY_URL", schemas.URL(), "JMPUB_SCHEMA_REGISTRY_REGISTER", "false"))
	wantFinding(t, r, "schema registry", check.Error, "docs/schemas/message.avsc")
}

// TestCheckOfManyApps asks for what apps have in common once, and for each app once; one with a wrong secret is told of by its key.
func TestCheckOfManyApps(t *testing.T) {
	t.Parallel()
	const apps = 12
	h := newHouse(t, apps, time.Hour)
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		h.api.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	h.env["JMPUB_API_URL"] = server.URL + "/v2"
	numbers := make([]int, apps)
	for i := range numbers {
		numbers[i] = i
	}
	h.write(map[int]string{7: "wrong"}, numbers...)
	r := checked(t, h.env)
	wantOnly(t, r, "credentials")
	if r.Errors != 1 || r.Findings[slices.IndexFunc(r.Findings, func(f check.Finding) bool { return f.Level == check.Error })].App != h.apps[7].AppKey {
		t.Error(told(r))
	}
	count := make(map[string]int)
	for _, f := range r.Findings {
		count[f.Subject]++
	}
	for subject, want := range map[string]int{
		"topic jmessage.single": 1, "clock": 1, "group": 1, "API": 1, "rights": 1, "transactional id": apps - 1, "credentials": apps, "stream messages": apps - 1,
	} {
		if count[subject] != want {
			t.Errorf("%d findings of %s, want %d", count[subject], subject, want)
		}
	}
	const aZone = 4 // A few for the zone, of those that ask before it is proved.
	if n := requests.Load(); n > apps*aZone {
		t.Errorf("%d requests of %d apps", n, apps)
	}
	out := try(t, h.env, "check")
	if !strings.Contains(out.stdout, "✗ "+h.apps[7].AppKey+"    credentials: ") || !strings.Contains(out.stdout, "✓ 11 apps ") ||
		strings.Contains(out.stdout, h.apps[3].AppKey+" ") {
		t.Error(out.stdout)
	}
	r = checked(t, h.env, "--app", h.apps[3].AppKey)
	wantOnly(t, r)
	wantFinding(t, r, "stream messages", check.OK)
	wantFinding(t, r, "group", check.OK, "jmpub/jmessage")
}

// TestCheckOfSettings ends with exit code 2 where they are wrong by themselves, and checks nothing.
func TestCheckOfSettings(t *testing.T) {
	t.Parallel()
	if out := try(t, map[string]string{"JMPUB_KAFKA_BROKERS": "a:1"}, "check", "--json"); out.code != exitUsage || out.stdout != "" ||
		!strings.Contains(out.stderr, "JMPUB_APP_KEY") {
		t.Errorf("%+v", out)
	}
	s := newStation(t)
	r := checked(t, with(s.env, "JMPUB_CHECKPOINT", "file:"+filepath.Join(t.TempDir(), "none")))
	wantOnly(t, r)
	wantFinding(t, r, "checkpoints", check.OK, "will make the folder")
	wantFinding(t, r, "rights", check.Skipped, "without transactions")
}

// TestReplayCannotBeCalledCheck because the trial of `jmpub check` would fence it.
func TestReplayCannotBeCalledCheck(t *testing.T) {
	t.Parallel()
	out := try(t, working(t), "replay", "--from", "2m", "--to", "90s", "--id", "check")
	if out.code != exitUsage || !strings.Contains(out.stderr, "jmpub check") {
		t.Errorf("%+v", out)
	}
}
