package collector

import (
	"bytes"
	"context"
	"net"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
)

// patience bounds each wait. It is far from what anything takes on a busy machine.
const patience = 2 * time.Minute

// lab is a simulated API with ten minutes of history and a row each second, an embedded broker, and the binary.
type lab struct {
	t      *testing.T
	binary string
	api    *sim.Server
	url    string
	begin  time.Time
	broker *broker.Broker
}

func newLab(t *testing.T, binary string) *lab {
	t.Helper()
	l := &lab{t: t, binary: binary, begin: time.Now().Add(-10 * time.Minute)}
	o := sim.Defaults()
	o.Begin = l.begin
	var err error
	if l.api, err = sim.New(o); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(l.api)
	t.Cleanup(server.Close)
	l.url = server.URL
	if l.broker, err = broker.Start(broker.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.broker.Close() }) // It is gone with the process.
	return l
}

// build makes the binary, with the modules of jmpub's own go.mod.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "jmpub")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/jmpub") //nolint:gosec // Ours.
	cmd.Dir = "../../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build jmpub: %v\n%s", err, out)
	}
	return binary
}

// process is a jmpub that runs.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  journal
	done chan struct{}
	err  error // How it ended, once done is closed.
}

// journal is what a process says.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements [io.Writer].
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// String implements [fmt.Stringer].
func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// run starts jmpub run. It knows nothing of the environment but what is given to it.
func (l *lab) run(more ...string) *process {
	l.t.Helper()
	o := sim.Defaults()
	p := &process{t: l.t, cmd: exec.Command(l.binary, "run"), done: make(chan struct{})} //nolint:gosec,noctx // Ours; it ends by a signal.
	p.cmd.Env = append([]string{
		"JMPUB_APP_KEY=" + o.AppKey, "JMPUB_MASTER_SECRET=" + o.MasterSecret, "JMPUB_API_URL=" + l.url + "/v2", "JMPUB_API_RATE=100000/m",
		"JMPUB_KAFKA_BROKERS=" + strings.Join(l.broker.Addrs(), ","), "JMPUB_LISTEN=off", "JMPUB_START=10m", "JMPUB_POLL=200ms",
		"OTEL_BSP_SCHEDULE_DELAY=100",
	}, more...)
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	l.t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // It may be gone.
		<-p.done
		if said := p.log.String(); l.t.Failed() {
			l.t.Logf("jmpub run said:\n%s", said[max(0, len(said)-3000):])
		}
	})
	return p
}

// stop has it end, as a supervisor does, and wants that to go well.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("end the run: %v", err)
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatal("the run does not end")
	}
	if p.err != nil {
		p.t.Errorf("the run ended with %v", p.err)
	}
}

// published waits until each row that was sent before a time was published, once.
func (l *lab) published(p *process, before time.Time) {
	l.t.Helper()
	var report verify.Report
	p.await("all rows are published", func() bool {
		found, err := verify.Read(l.t.Context(), l.broker.Addrs(), "jmessage")
		if err != nil {
			return false // The topics may not be there yet.
		}
		report = verify.Compare(func(yield func(verify.TruthRow) bool) {
			for r := range l.api.Truth(sim.Range{Begin: l.begin.Add(-time.Hour), End: time.Now().Add(time.Minute)}) {
				row := verify.TruthRow{MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw}
				// The run begins ten minutes before its own start, which is a little later than the lab's.
				row.Optional = r.Time.Before(l.begin.Add(time.Minute)) || !r.Time.Before(before)
				if !yield(row) {
					return
				}
			}
		}, found)
		return report.OK() && report.Rows > 0
	}, report.String)
}

// collector is the OpenTelemetry Collector's receiver for OTLP over HTTP, with a consumer behind it.
type collector struct{ address string }

// start has it listen, until the test ends.
func (c collector) start(t *testing.T, next consumer.ConsumeTracesFunc) {
	t.Helper()
	factory := otlpreceiver.NewFactory()
	cfg, ok := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	if !ok {
		t.Fatal("the receiver's configuration is of another type")
	}
	server := &cfg.Protocols.HTTP.GetOrInsertDefault().ServerConfig
	server.NetAddr.Endpoint, server.IncludeMetadata = c.address, true
	behind, err := consumer.NewTraces(next)
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := factory.CreateTraces(t.Context(), receivertest.NewNopSettings(factory.Type()), cfg, behind)
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := receiver.Shutdown(ctx); err != nil {
			t.Errorf("end the receiver: %v", err)
		}
	})
}

// newCollector has an address of its own, at which nothing listens yet.
func newCollector(t *testing.T) collector {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return collector{address}
}

// variable names it to jmpub.
func (c collector) variable() string { return "OTEL_EXPORTER_OTLP_ENDPOINT=http://" + c.address }

// span is one that arrived, with its resource.
type span struct {
	ptrace.Span
	resource map[string]any
	scope    string
}

// spans are all that a sink has, by their ids.
func spans(sink *consumertest.TracesSink) map[string]span {
	all := make(map[string]span)
	for _, traces := range sink.AllTraces() {
		for _, of := range traces.ResourceSpans().All() {
			for _, scope := range of.ScopeSpans().All() {
				for _, s := range scope.Spans().All() {
					all[s.SpanID().String()] = span{s, of.Resource().Attributes().AsRaw(), scope.Scope().Name()}
				}
			}
		}
	}
	return all
}

// count is how many of them have a name.
func count(all map[string]span, name string) (n int) {
	for _, s := range all {
		if s.Name() == name {
			n++
		}
	}
	return n
}

// await waits until something holds, which is while the run goes on. What it tells then, if it does not, is made of why.
func (p *process) await(what string, holds func() bool, why ...func() string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			for _, f := range why {
				p.t.Log(f())
			}
			p.t.Fatalf("in vain was waited until %s", what)
		case <-p.done:
			p.t.Fatalf("the run ended by itself, with %v, before %s", p.err, what)
		case <-ticker.C:
		}
	}
}
