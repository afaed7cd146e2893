// Package world_test runs jmpub in a world without sockets: a model of Kafka, the simulated API, and a clock that costs nothing.
package world_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go/protocol/rawproduce"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/tests/world/kafkamodel"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
	"github.com/jmpub/jmpub/sink"
)

// world is what processes share.
type world struct {
	api   *sim.Server
	kafka *kafkamodel.Cluster
	begin time.Time
	// routing says in which topics events stand.
	routing *sink.Routing
}

// network carries a process's requests to the simulated API; none arrives once the process was killed.
type network struct {
	api    http.Handler
	killed *atomic.Bool
}

// RoundTrip implements http.RoundTripper.
func (n *network) RoundTrip(r *http.Request) (res *http.Response, err error) {
	if n.killed.Load() {
		return nil, kafkamodel.ErrKilled
	}
	defer func() {
		if dropped := recover(); dropped != nil {
			res, err = nil, io.ErrUnexpectedEOF
		}
	}()
	reply := httptest.NewRecorder()
	n.api.ServeHTTP(reply, r)
	return reply.Result(), nil
}

// process is one jmpub.
type process struct {
	*world
	client *kafkamodel.Client
	killed atomic.Bool
}

// kill ends it as kill -9 does.
func (p *process) kill(stop func()) {
	p.killed.Store(true)
	p.client.Kill()
	stop()
}

// run publishes until ctx is done, as `jmpub run` does.
func (p *process) run(ctx context.Context) error {
	s := settings.Defaults()
	s.AppKey, s.MasterSecret, s.API.URL, s.API.TimeZone = p.api.AppKey, secret.New(p.api.MasterSecret), "http://api/v2", p.api.Zone.String()
	s.Start, s.Kafka.Brokers, s.Topics.Partitions, s.Listen, s.Poll = p.begin.Format(time.RFC3339), "model:9092", "2", "off", "20s"
	s.Kafka.Compression = "snappy" // kafka-go's pool of zstd decoders holds channels, which belong to the bubble that made them.
	cfg, err := s.Parse()
	if err != nil {
		return err
	}
	cfg.Source.Transport, cfg.Kafka.Transport = &network{p.api, &p.killed}, p.client
	live, err := operate.NewLive(ctx, cfg, slog.New(slog.DiscardHandler), "test")
	if err != nil {
		return err
	}
	defer live.Close()
	return live.Run(ctx)
}

// TestHourWithAKill publishes an hour of live messages. In the middle, the process is killed with records of a transaction written, and
// another one begins a minute later. In the end each row stands in Kafka once.
func TestHourWithAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := sim.Defaults()
		opts.Begin, opts.Rate = time.Now().Truncate(time.Second), 0.5
		api, err := sim.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		routing, err := sink.NewRouting("", "jmessage", api.AppKey)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{api: api, begin: opts.Begin, routing: routing, kafka: kafkamodel.New(kafkamodel.Options{
			Brokers: 3, MarkerDelay: func() time.Duration { return 20 * time.Millisecond },
		})}
		w.untilKilled(t, opts.Begin.Add(30*time.Minute))
		if w.openEvents() == 0 {
			t.Error("the process was not killed with events of an open transaction written")
		}
		time.Sleep(time.Minute)
		end := opts.Begin.Add(time.Hour)
		ctx, cancel := context.WithDeadline(t.Context(), end.Add(time.Minute))
		defer cancel()
		p := &process{world: w, client: w.kafka.Client(kafkamodel.ClientOptions{})}
		if err := p.run(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		w.check(t, end)
	})
}

// untilKilled runs a process that is killed when it has written some records of a transaction, at a time.
func (w *world) untilKilled(t *testing.T, at time.Time) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	p := &process{world: w}
	fate := func(m *kafkamodel.Message) kafkamodel.Fate {
		f := kafkamodel.Fate{Delay: time.Millisecond, ReplyDelay: time.Millisecond}
		_, produces := m.Request.(*rawproduce.Request)
		if produces && time.Now().After(at) && w.openEvents() > 0 { // Of what has come so far.
			f.Loss = kafkamodel.LoseReply
			time.AfterFunc(f.Delay, func() { p.kill(stop) })
		}
		return f
	}
	p.client = w.kafka.Client(kafkamodel.ClientOptions{Fate: fate})
	_ = p.run(ctx) // It is gone, and reports to nobody.
	if !p.killed.Load() {
		t.Fatal("the process ended by itself")
	}
}

// openEvents counts, over the partitions of events, the transactions that are open.
func (w *world) openEvents() (n int) {
	for _, topic := range w.routing.Events() {
		n += w.kafka.Open(topic)
	}
	return n
}

// check finds each row of the history up to a time once, and no other row twice.
func (w *world) check(t *testing.T, end time.Time) {
	t.Helper()
	found := make(map[string]int)
	for _, topic := range w.routing.Events() {
		for _, r := range w.kafka.Committed(topic) {
			found[topic+" "+string(r.Key)]++
		}
	}
	rows := 0
	want := maps.Clone(found)
	for r := range w.api.Truth(sim.Range{Begin: w.begin, End: end, Stream: string(pipeline.StreamMessages)}) {
		rows++
		want[fmt.Sprintf("%s %d", w.routing.Event(event.TargetNamed(r.Target)), r.MsgID)] = 1
	}
	if rows < 1000 {
		t.Errorf("the history has %d rows, which proves little", rows)
	}
	for row, n := range want {
		if found[row] != 1 {
			t.Errorf("%s stands in Kafka %d times, want %d", row, found[row], min(n, 1))
		}
	}
}
