// Package soak breaks jmpub and everything around it, and holds what arrives against what the simulated API held. A real
// process publishes to Apache Kafka in containers; all of its traffic passes through proxies.
package soak

import (
	"fmt"
	"iter"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
)

// Rig is what trials share: a cluster whose brokers are reached through links, and the command.
type Rig struct {
	*kafkatest.Cluster

	Brokers []*Link
	// Keep, where it is not empty, is a folder that the logs of a trial that failed are copied to.
	Keep   string
	binary string
	admin  *kadm.Client
}

// NewRig starts the cluster for the length of the test.
func NewRig(tb testing.TB, o kafkatest.Options) *Rig {
	tb.Helper()
	o.Detour = true
	env := map[string]string{
		// Few and small, so that a broker that was killed is soon back.
		"KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "3", "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "3",
		"KAFKA_LOG_INDEX_SIZE_MAX_BYTES": "1048576",
	}
	maps.Copy(env, o.Env)
	o.Env = env
	r := On(tb, kafkatest.Start(tb, o))
	for i, d := range r.Detours {
		r.Brokers = append(r.Brokers, NewLink(tb, fmt.Sprintf("broker %d", i+1), d.Announced, d.Real))
	}
	return r
}

// On makes a rig of a cluster that is reached directly.
func On(tb testing.TB, cluster *kafkatest.Cluster) *Rig {
	tb.Helper()
	return &Rig{binary: Build(tb), Cluster: cluster, admin: cluster.Admin(tb)}
}

// Trial is one history that is published under one prefix, by one process after another.
type Trial struct {
	*Rig

	Name string
	// Sim is the API, Link the way to it, Gate lets as many requests to it as a test allows; it begins open.
	Sim  *sim.Server
	Link *Link
	Gate *Gate
	// Process is the one that was started last.
	Process *Process
	// Env are its settings.
	Env map[string]string
	// Injected counts the faults by kind.
	Injected map[string]int
	begin    time.Time
	// ahead is how far a sender's clock may be ahead, where the API goes by that.
	ahead   time.Duration
	log     string
	started int
	// gaveUp counts the processes that left by themselves because something could not be reached.
	gaveUp int
	// peak is that of the processes before the last one.
	peak int64
}

// trialPage keeps windows small, so that there are many of them: pages of 100 rows.
const trialPage = "100"

// trialPartitions are those of each of a trial's topics.
const trialPartitions = 3

// NewTrial makes a history that began minutes ago and goes on, 100 rows a second unless change says otherwise.
func (r *Rig) NewTrial(tb testing.TB, name string, minutes int, change func(*sim.Options)) *Trial {
	tb.Helper()
	o := sim.Defaults()
	now := time.Now().UTC().Truncate(time.Second)
	o.Begin, o.End = now.Add(-time.Duration(minutes)*time.Minute), now.Add(240*time.Hour)
	o.Rate, o.IrregularRows, o.Users, o.Groups, o.Rooms = 100, 0.01, 200, 40, 10
	if change != nil {
		change(&o)
	}
	api, err := sim.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	gate := newGate(api)
	server := httptest.NewServer(gate)
	tb.Cleanup(func() {
		gate.Open() // A request that is held back would keep the server from closing.
		server.Close()
	})
	ahead := time.Duration(0)
	if o.Clock == sim.SenderClock {
		ahead = sim.SenderAhead
	}
	prefix := strings.Map(func(c rune) rune {
		if c == ' ' || c == ',' || c == '\'' {
			return '-'
		}
		return c
	}, name)
	t := &Trial{
		Rig: r, Name: name, Sim: api, Gate: gate, begin: o.Begin, ahead: ahead, Injected: make(map[string]int),
		Link: NewLink(tb, "API", "127.0.0.1:0", strings.TrimPrefix(server.URL, "http://")),
		log:  filepath.Join(tb.TempDir(), "jmpub.log"),
	}
	brokers := slices.Clone(r.Addrs)
	if len(r.Detours) > 0 {
		brokers = nil
	}
	for _, d := range r.Detours {
		brokers = append(brokers, d.Announced)
	}
	tb.Cleanup(func() { t.keep(tb) })
	t.Env = map[string]string{
		"JMPUB_APP_KEY": o.AppKey, "JMPUB_MASTER_SECRET": o.MasterSecret,
		"JMPUB_API_URL": "http://" + t.Link.Addr() + "/v2", "JMPUB_API_RATE": "100000/m", "JMPUB_API_PAGE_SIZE": trialPage,
		// A time and not a duration: a process that starts before anything was committed must not begin later.
		"JMPUB_START": o.Begin.Add(-time.Minute).Format(time.RFC3339), "JMPUB_POLL": "300ms",
		"JMPUB_KAFKA_BROKERS": strings.Join(brokers, ","),
		"JMPUB_TOPIC_PREFIX":  prefix, "JMPUB_GROUP": prefix, "JMPUB_TOPICS_PARTITIONS": strconv.Itoa(trialPartitions), "JMPUB_TOPICS_SHARDS": strconv.Itoa(trialPartitions),
	}
	return t
}

// keep copies the log of a trial that failed.
func (t *Trial) keep(tb testing.TB) {
	tb.Helper()
	if !tb.Failed() || t.Keep == "" || t.Process == nil {
		return
	}
	path := filepath.Join(t.Keep, t.Env["JMPUB_TOPIC_PREFIX"]+".log")
	err := os.MkdirAll(t.Keep, 0o750)
	if err == nil {
		err = os.WriteFile(path, []byte(t.Process.Tail(1<<30)), 0o600)
	}
	tb.Logf("%s: its log is kept in %s (%v)", t.Name, path, err)
}

// Start starts a process next to those that run.
func (t *Trial) Start(tb testing.TB) *Process {
	tb.Helper()
	t.started++
	if t.Process != nil {
		t.peak = max(t.peak, t.Process.peak)
	}
	t.Process = startProcess(tb, t.binary, t.log, maps.Clone(t.Env))
	return t.Process
}

// Inject counts a fault.
func (t *Trial) Inject(kind string) { t.Injected[kind]++ }

// Revive starts a process if the last one left by itself. That is right only with exit code 1, when something could not be
// reached at its start.
func (t *Trial) Revive(tb testing.TB) {
	tb.Helper()
	if t.Process.Running() {
		return
	}
	if code := t.Process.Exit(tb, time.Second); code != 1 {
		tb.Fatalf("%s: jmpub left with exit code %d; its log ends:\n%s", t.Name, code, t.Process.Tail(30))
	}
	t.gaveUp++
	t.Start(tb)
}

// Vitals watches the process; nothing but zeros when it cannot be asked now.
func (t *Trial) Vitals(tb testing.TB) Vitals {
	tb.Helper()
	v, err := t.Process.Vitals(tb.Context())
	if err != nil {
		return Vitals{}
	}
	return v
}

// Await waits until all up to end is committed, and returns the vitals then.
func (t *Trial) Await(tb testing.TB, end time.Time, within time.Duration) Vitals {
	tb.Helper()
	var v Vitals
	t.await(tb, within, func() string {
		if v = t.Vitals(tb); v.End.Before(end) {
			return fmt.Sprintf("committed up to %v, not up to %v", v.End, end)
		}
		return ""
	})
	return v
}

// await starts processes that have left by themselves until nothing is lacking any more.
func (t *Trial) await(tb testing.TB, within time.Duration, lacking func() string) {
	tb.Helper()
	for deadline := time.Now().Add(within); ; Wait(tb, 100*time.Millisecond) {
		t.Revive(tb)
		text := lacking()
		if text == "" {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%s: after %v: %s; the log ends:\n%s", t.Name, within, text, t.Process.Tail(40))
		}
	}
}

// Patience bounds how long a test waits for what a healthy process does, on a machine that does other things too. It is there so
// that a mistake ends the test: no test measures its work by it.
const Patience = 3 * time.Minute

// AwaitGate waits until all requests have come in that the gate allowed.
func (t *Trial) AwaitGate(tb testing.TB) {
	tb.Helper()
	t.await(tb, Patience, func() string {
		if !t.Gate.Used() {
			return "jmpub does not ask for what it may have"
		}
		return ""
	})
}

// Wait lets time pass for the world outside.
func Wait(tb testing.TB, d time.Duration) {
	tb.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-tb.Context().Done():
		tb.Fatal(tb.Context().Err())
	}
}

// truth lists what the API held. Rows that were not to be committed by end may be missing.
func (t *Trial) truth(end time.Time) iter.Seq[verify.TruthRow] {
	return func(yield func(verify.TruthRow) bool) {
		for r := range t.Sim.Truth(sim.Range{Begin: t.begin, End: time.Now()}) {
			row := verify.TruthRow{
				MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw, Optional: !r.Time.Before(end.Add(-t.ahead)),
			}
			if !yield(row) {
				return
			}
		}
	}
}

// Check reads all that is there now: nothing may be there twice, altered, or from nowhere. What stands before end must
// be there.
func (t *Trial) Check(tb testing.TB, end time.Time) verify.Report {
	tb.Helper()
	found, err := verify.Read(tb.Context(), t.Addrs, t.Env["JMPUB_TOPIC_PREFIX"])
	if err != nil {
		tb.Fatalf("%s: %v", t.Name, err)
	}
	report := verify.Compare(t.truth(end), found)
	if !report.OK() {
		tb.Errorf("%s: %s", t.Name, report.String())
	}
	return report
}
