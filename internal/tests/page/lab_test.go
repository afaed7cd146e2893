//go:build integration

package page_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/fleet"
	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/status"
)

const day = 24 * time.Hour

// lab is a simulated API of three apps, of which 60 days are known, and an embedded broker.
type lab struct {
	t      *testing.T
	binary string
	api    *httptest.Server
	many   *sim.Many
	apps   []sim.Options
	broker *broker.Broker
	client *kgo.Client
}

// newLab starts one. Requests for the history of the newest thirty days wait for ever, so that a backlog of it stays.
func newLab(t *testing.T) *lab {
	t.Helper()
	o := sim.Defaults()
	o.Rate, o.Daily, o.IrregularRows, o.Users, o.Groups, o.Rooms = 0.01, true, 0.01, 50, 10, 5
	o.PerMinute = 3000 // More than is asked for; the page shows what is left.
	l := &lab{t: t, binary: filepath.Join(t.TempDir(), "jmpub"), apps: sim.Alike(o, 3)}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", l.binary, "github.com/jmpub/jmpub/cmd/jmpub") //nolint:gosec // Ours.
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build jmpub: %v\n%s", err, out)
	}
	var err error
	if l.many, err = sim.NewMany(l.apps); err != nil {
		t.Fatal(err)
	}
	l.api = httptest.NewServer(held(l.many, time.Now().Add(-30*day), time.Now().Add(-time.Hour)))
	t.Cleanup(func() {
		l.api.CloseClientConnections()
		l.api.Close()
	})
	if l.broker, err = broker.Start(broker.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.broker.Close() }) // It is gone with the process.
	if l.client, err = kgo.NewClient(kgo.SeedBrokers(l.broker.Addrs()...)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.client.Close)
	return l
}

// held is an API that answers no request for windows that begin within a range.
func held(api http.Handler, from, to time.Time) http.Handler {
	zone := time.FixedZone("UTC+8", 8*3600)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		begin, err := time.ParseInLocation(time.DateTime, query.Get("begin_time"), zone)
		if err == nil && query.Get("count") != "1" && begin.After(from) && begin.Before(to) { // One row is asked for to learn the API's clock.
			<-r.Context().Done()
			return
		}
		api.ServeHTTP(w, r)
	})
}

// process is a jmpub that runs.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string
	done chan struct{}
}

// run starts jmpub with settings of its own, and waits for its page.
func (l *lab) run(listen string, more ...string) *process {
	l.t.Helper()
	p := &process{t: l.t, cmd: l.command(append(more, "JMPUB_LISTEN="+listen), "run"), url: "http://" + listen, done: make(chan struct{})}
	log, err := os.Create(filepath.Join(l.t.TempDir(), "run.log"))
	if err != nil {
		l.t.Fatal(err)
	}
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // How it ends is not what is tested.
		close(p.done)
	}()
	l.t.Cleanup(func() {
		p.stop()
		if said, err := os.ReadFile(log.Name()); err == nil && l.t.Failed() {
			l.t.Logf("jmpub run %v said:\n%s", more, said[max(0, len(said)-3000):])
		}
	})
	await(l.t, p.url+" answers", func() bool {
		answer, err := p.get(l.t, "/healthz")
		if err == nil {
			_ = answer.Body.Close()
		}
		return err == nil
	})
	return p
}

// get asks for a path.
func (p *process) get(t *testing.T, path string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return new(http.Client).Do(r)
}

// stop ends it and waits for that.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // It may be gone.
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// command is a call of jmpub in this lab.
func (l *lab) command(more []string, args ...string) *exec.Cmd {
	cmd := exec.Command(l.binary, args...) //nolint:gosec,noctx // Ours; a run ends by a signal.
	cmd.Env = append([]string{
		"JMPUB_API_URL=" + l.api.URL + "/v2", "JMPUB_API_RATE=100000/m", "JMPUB_KAFKA_BROKERS=" + strings.Join(l.broker.Addrs(), ","),
		"JMPUB_CATCHUP=live-first", "JMPUB_RECHECK=off", "JMPUB_KAFKA_TRANSACTION_TIMEOUT=10s",
	}, more...)
	return cmd
}

// publish writes a record as somebody else would.
func (l *lab) publish(topic, key string, value any) {
	l.t.Helper()
	body, ok := value.([]byte)
	if !ok {
		var err error
		if body, err = json.Marshal(value); err != nil {
			l.t.Fatal(err)
		}
	}
	record := &kgo.Record{Topic: topic, Key: []byte(key), Value: body}
	if err := l.client.ProduceSync(l.t.Context(), record).FirstErr(); err != nil {
		l.t.Fatalf("publish to %s: %v", topic, err)
	}
}

// others says of so many apps that other processes have them, once and then again and again: who is silent has lost them. The first one
// has the key that first holds.
func (l *lab) others(topic, group string, n int, first *atomic.Pointer[string]) (silence func()) {
	l.t.Helper()
	ctx, stop := context.WithCancel(l.t.Context())
	say := func() {
		for i := range 3 {
			p := fleet.Process{
				Group: group, Name: fmt.Sprintf("process 4%d1 on node-%d", i, i), Instance: fmt.Sprintf("INSTANCE%d", i), Release: "v0.1.0",
				Started: time.Now().Add(-5 * day), At: time.Now(), Shards: 3, ShardsTotal: 12,
			}
			for k := i; k < n; k += 3 {
				a := otherApp(k)
				if k == 0 {
					a.AppKey = *first.Load()
					if a.AppKey == hostile {
						a.Error += `: "<html><script>document.title='taken'</script>"`
					}
				}
				p.Apps = append(p.Apps, a)
			}
			records, err := p.Records()
			if err != nil {
				l.t.Error(err)
				return
			}
			for _, r := range records {
				record := &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value}
				if err := l.client.ProduceSync(ctx, record).FirstErr(); err != nil && ctx.Err() == nil {
					l.t.Errorf("publish to %s: %v", topic, err)
					return
				}
			}
		}
	}
	say()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(5 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				say()
			}
		}
	}()
	silence = func() {
		stop()
		<-ended
	}
	l.t.Cleanup(silence)
	return silence
}

// hostile is an app's key that would run a script if it were taken for HTML.
const hostile = `<img src=x onerror="document.title='taken'">`

// otherApp is the app of that number: most are well, the first ones are not.
func otherApp(k int) status.AppState {
	lag := 4 + float64(k%40)/10
	limit, left := 1200, 1150-k%300
	a := status.AppState{
		AppName: status.AppName{AppKey: fmt.Sprintf("7c19e02d5ab4%012x", 0x9e3779b1*(k+1)), TopicPrefix: "many"}, State: status.StatePublishing,
		End: time.Now().Add(-time.Duration(lag * float64(time.Second))), LagSeconds: &lag, Requests: int64(6 + k%25), QuotaLimit: &limit, QuotaRemaining: &left,
	}
	switch {
	case k == 0:
		a.State = status.StateFailed
		a.Error, a.ErrorAt = "ask the API for its clock with messages: HTTP 502", time.Now().Add(-time.Minute)
	case k < 4:
		a.State, a.ErrorAt = status.StateFailed, time.Now().Add(-time.Minute)
		a.Error = `ask the API for its clock with messages: HTTP 401, code 899008: "Basic authentication failed" (check JMPUB_APP_KEY and JMPUB_MASTER_SECRET: the app key and master secret of the JMessage console)`
		a.End, a.LagSeconds = time.Now().Add(-7*time.Hour), nil
	case k < 9:
		a.Backlog = time.Now().Add(-time.Duration(k) * 5 * day)
	}
	return a
}

// freeAddress is an address on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// await waits until something holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("in vain was waited until %s", what)
		case <-ticker.C:
		}
	}
}

// leaveGap has an earlier run leave a gap of ten hours 59 days ago, of which it gives the first hour.
func (l *lab) leaveGap() time.Time {
	l.t.Helper()
	topic := "jmessage.coverage"
	compact := "compact"
	admin := kadm.NewClient(l.client)
	if _, err := admin.CreateTopic(l.t.Context(), 6, 1, map[string]*string{"cleanup.policy": &compact}, topic); err != nil {
		l.t.Fatal(err)
	}
	begin := time.Now().UTC().Truncate(day).Add(-59 * day)
	type object = map[string]any
	var hours []object
	const first, last = 2, 11
	for hour := first; hour <= last; hour++ {
		hours = append(hours, object{"hour": hour, "rows": 0, "published": 0, "rejected": 0, "gap_seconds": 3600, "complete": false})
	}
	at := func(hour int) string { return begin.Add(time.Duration(hour) * time.Hour).Format(time.RFC3339) }
	l.publish(topic, l.apps[0].AppKey+"/messages/"+begin.Format(time.DateOnly), object{
		"version": 1, "app_key": l.apps[0].AppKey, "stream": "messages", "day": begin.Format(time.DateOnly), "complete": false, "read": []object{},
		"gaps": []object{{"begin_time": at(first), "end_time": at(last + 1)}}, "hours": hours, "offsets": []object{},
	})
	return begin.Add(first * time.Hour)
}

// replay publishes a day again that was read.
func (l *lab) replay(app []string) {
	l.t.Helper()
	cmd := l.command(append(app, "JMPUB_LISTEN=off"), "replay", "--from", "51d", "--to", "50d", "--yes", "--id", "after-the-outage")
	timer := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() }) // It may be gone.
	defer timer.Stop()
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("replay: %v\n%s", err, out)
	}
}

// compare has an independent reader look for each row of the first app, once, and once more for those of the replay and of a range that was
// published again. It says what differs. Where the history begins and ends that is published at least, and the replay, is known to the hour.
func (l *lab) compare(again [2]time.Time) string {
	l.t.Helper()
	found, err := verify.Read(l.t.Context(), l.broker.Addrs(), "jmessage")
	if err != nil {
		l.t.Fatal(err)
	}
	now := time.Now()
	within := func(at time.Time, from, to, margin time.Duration) bool {
		return !at.Before(now.Add(from-margin)) && at.Before(now.Add(to+margin))
	}
	report := verify.Compare(func(yield func(verify.TruthRow) bool) {
		for r := range l.many.App(l.apps[0].AppKey).Truth(sim.Range{Begin: now.Add(-60 * day), End: now}) {
			row := verify.TruthRow{MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw}
			row.Optional = !within(r.Time, -58*day, -30*day, -time.Hour)
			if !yield(row) {
				return
			}
			row.Optional = !within(r.Time, -51*day, -50*day, -time.Hour)
			if within(r.Time, -51*day, -50*day, time.Hour) && !yield(row) {
				return
			}
			row.Optional = false
			if !r.Time.Before(again[0]) && !r.Time.After(again[1]) && !yield(row) {
				return
			}
		}
	}, found)
	if report.OK() && report.Rows > 0 {
		return ""
	}
	return report.String()
}
