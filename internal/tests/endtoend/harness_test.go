// Package endtoend holds the promises of the whole against a hostile simulated API and the embedded broker.
package endtoend_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/registry"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/tests/avrotest"
	"github.com/jmpub/jmpub/internal/tests/contract"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/discovery"
	"github.com/jmpub/jmpub/pipeline/statistics"
	"github.com/jmpub/jmpub/sink"
	"github.com/jmpub/jmpub/source"
)

// world is a simulated API and a broker that several runs of the pipeline share.
type world struct {
	api     *sim.Server
	url     string
	brokers []string
	// begin and end bound the history; all of it has settled.
	begin, end time.Time
}

// newWorld starts both. The history ended a minute ago.
func newWorld(tb testing.TB, minutes int, change func(*sim.Options)) *world {
	tb.Helper()
	end := time.Now().UTC().Truncate(time.Second).Add(-time.Minute)
	w := &world{begin: end.Add(-time.Duration(minutes) * time.Minute), end: end}
	opts := sim.Defaults()
	opts.Begin, opts.End = w.begin, w.end
	opts.Users, opts.Groups, opts.Rooms = 30, 8, 4
	if change != nil {
		change(&opts)
	}
	api, err := sim.New(opts)
	if err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewServer(api)
	tb.Cleanup(server.Close)
	embedded, err := broker.Start(broker.Options{Brokers: 3})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = embedded.Close() }) // It kept nothing.
	w.api, w.url, w.brokers = api, server.URL+"/v2", embedded.Addrs()
	return w
}

// job is one pipeline on a world: what an operator would start.
type job struct {
	*world
	prefix  string
	streams []pipeline.Stream
	// discover are the kinds of which the streams are found by the lists; of streams, only the others are named then.
	discover []pipeline.StreamKind
	// statistics are those that are published.
	statistics []pipeline.Stream
	// change adapts the source's settings.
	change func(*source.Config)
	// until is where the run ends; the history's end unless set.
	until time.Time
	// pageSize is small, so that little history has many pages and windows.
	pageSize int
	// unchecked leaves out the contract, which takes longer than all the rest, where many rows are there for another reason.
	unchecked bool
	observer  pipeline.Observer
	// template names the event topics; registry is the address of the schema registry where events are in Avro.
	template, registry string
}

func (w *world) job(prefix string) *job {
	return &job{
		world: w, prefix: prefix, pageSize: 10, until: w.end,
		streams: []pipeline.Stream{{Kind: pipeline.StreamMessages}},
	}
}

// sourceConfig is for an API at an address, with the defaults of the settings but for the rate and the wait before a gap.
func sourceConfig(api *sim.Server, address string) source.Config {
	return source.Config{
		AppKey: api.AppKey, MasterSecret: secret.New(api.MasterSecret), TimeZone: api.Zone,
		BaseURL: address + "/v2", ListsURL: address + "/v1",
		Rate: source.Rate{Requests: 100_000, Per: time.Minute}, PageSize: 1000,
		Poll: 2 * time.Second, Settle: 5 * time.Second, Overlap: 2 * time.Second,
		Now: api.Now, GapAfter: 50 * time.Millisecond, // Clocks are right here.
	}
}

// run works until all of the history is read, or until cut cuts it off. It returns the pipeline's error.
func (j *job) run(ctx context.Context, cut *cut) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if cut != nil {
		cut.cancel = cancel
	}
	conn, err := kafka.Open(kafka.Config{Brokers: j.brokers, ClientID: "test"})
	if err != nil {
		return err
	}
	defer conn.Close()
	client := conn.Client
	client.Transport = cut.kafka(client.Transport)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()

	heads := newHeads(j.streams, j.until.Add(time.Second), cancel)
	observer := pipeline.Observers(j.observer, heads.observer)
	retry := pipeline.Retry{Initial: 5 * time.Millisecond, Max: 50 * time.Millisecond, Notify: observer.Retry}
	cfg := sourceConfig(j.api, strings.TrimSuffix(j.url, "/v2"))
	cfg.PageSize, cfg.Poll, cfg.Retry, cfg.Observer, cfg.Transport = j.pageSize, 100*time.Millisecond, retry, observer, cut.http(transport)
	if j.change != nil {
		j.change(&cfg)
	}
	api, err := source.New(cfg)
	if err != nil {
		return err
	}
	topics, err := sink.NewTopics(sink.TopicsConfig{
		Client: client, Prefix: j.prefix, Template: j.template, AppKey: j.api.AppKey, Statistics: j.statistics, Retry: retry,
		Create: true, Partitions: 2, Replication: -1, Retention: -1, MinInsyncReplicas: -1,
	})
	if err != nil {
		return err
	}
	// Lz4 would take 4 MiB for each batch under the race detector.
	sinkCfg := sink.WriterConfig{
		TransactionalID: j.prefix + "-0", Compression: "snappy", PartitionBy: sink.ByMsgID, RecordTime: sink.TimePublish,
	}
	if j.registry != "" {
		sinkCfg.Format = sink.FormatAvro
		if sinkCfg.Schemas, err = registry.New(registry.Config{URL: j.registry, Register: true}); err != nil {
			return err
		}
	}
	out, err := sink.NewWriter(topics, sinkCfg)
	if err != nil {
		return err
	}
	store := checkpoint.NewKafka(client, topics.Routing().Own(pipeline.TopicCheckpoints), j.api.AppKey,
		func() int { return topics.Partitions(pipeline.TopicCheckpoints) }, retry)
	grace := runWithin // What was read when the run is stopped is to be committed, however long Kafka takes for it.
	if cut != nil {
		grace = time.Millisecond // A killed process finishes nothing.
	}
	p, err := pipeline.New(pipeline.Config{
		Grace:  grace,
		AppKey: j.api.AppKey, Streams: j.named(), Members: j.members(api), Source: api, Sink: out, Checkpoints: store,
		Start: pipeline.Start{At: j.begin.Add(-time.Minute)}, Overlap: cfg.Overlap, Early: true,
		Retry: retry, Observer: observer,
	})
	if err != nil {
		return err
	}
	return p.Run(ctx)
}

// named are the streams that an operator would name.
func (j *job) named() []pipeline.Stream {
	return slices.DeleteFunc(slices.Clone(j.streams), func(s pipeline.Stream) bool { return slices.Contains(j.discover, s.Kind) })
}

// members find the streams that are not named, and publish statistics.
func (j *job) members(api *source.Client) (members []pipeline.Member) {
	if len(j.discover) > 0 {
		members = append(members, discovery.New(discovery.Config{
			AppKey: j.api.AppKey, Kinds: j.discover, Directory: api, Clock: api, Named: j.named(), Every: 300 * time.Millisecond,
			Observer: j.observer,
		}))
	}
	for _, s := range j.statistics {
		members = append(members, statistics.New(statistics.Config{
			AppKey: j.api.AppKey, Stream: s, Zone: j.api.Zone, Source: api, Every: 10 * time.Millisecond, Observer: j.observer,
		}))
	}
	return members
}

// published is the contract that every record of every topic is held against.
var published = sync.OnceValues(contract.Load)

// contractCheck is a check of verify.Read.
func contractCheck(t *testing.T) verify.Check {
	t.Helper()
	c, err := published()
	if err != nil {
		t.Fatal(err)
	}
	return func(topic string, r *kgo.Record) error {
		headers := make([]contract.Header, len(r.Headers))
		for i, h := range r.Headers {
			headers[i] = contract.Header(h)
		}
		return c.Check(topic, r.Key, headers, r.Value)
	}
}

// runWithin bounds a run, so that a mistake ends the test: nothing is measured by it, and the race detector is slow.
const runWithin = 4 * time.Minute

// cutOff runs the job until it is cut off at its n-th exchange. How many exchanges it takes to read the history depends on how the
// machine interleaves them, so the run does not end with it, but follows the head until its time has come.
func cutOff(t *testing.T, j *job, n int64, lost bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runWithin)
	defer cancel()
	endless := *j
	endless.until = j.until.Add(24 * time.Hour)
	cut := &cut{at: n, lost: lost}
	err := endless.run(ctx, cut)
	if pipeline.ClassOf(err) == pipeline.Fenced {
		t.Fatalf("cut run: %v", err)
	}
	if !cut.dead.Load() {
		t.Fatalf("the run ended before its exchange %d: %v", n, err)
	}
}

// compare reads everything back and holds it against the contract, and against the truth of the job's streams.
func (j *job) compare(t *testing.T) verify.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runWithin)
	defer cancel()
	var checks []verify.Check
	if !j.unchecked {
		checks = append(checks, contractCheck(t))
	}
	found, err := j.layout(t).Read(ctx, j.brokers, checks...)
	if err != nil {
		t.Fatal(err)
	}
	if found.Checked == 0 && !j.unchecked {
		t.Error("there is no ledger")
	}
	return verify.Compare(j.truth(), found)
}

// layout is where and how a reader finds the job's events.
func (j *job) layout(t *testing.T) *verify.Layout {
	t.Helper()
	routing, err := sink.NewRouting(j.template, j.prefix, j.api.AppKey)
	if err != nil {
		t.Fatal(err)
	}
	l := &verify.Layout{Prefix: j.prefix, Topic: routing.Event}
	if j.registry != "" {
		l.Decode, l.ContentType = avrotest.NewReader(j.registry).Decode, "application/avro"
	}
	return l
}

func (j *job) truth() iter.Seq[verify.TruthRow] {
	return func(yield func(verify.TruthRow) bool) {
		for _, s := range j.streams {
			for r := range j.api.Truth(sim.Range{Begin: j.begin, End: time.Now(), Stream: s.String()}) {
				row := verify.TruthRow{
					MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw, Optional: !r.Time.Before(j.until),
				}
				if !yield(row) {
					return
				}
			}
		}
	}
}

// heads stops a run when every stream has been read up to the end.
type heads struct {
	mu   sync.Mutex
	left map[pipeline.Stream]bool
	end  time.Time
	stop func()
}

func newHeads(streams []pipeline.Stream, end time.Time, stop func()) *heads {
	h := &heads{left: make(map[pipeline.Stream]bool), end: end, stop: stop}
	for _, s := range streams {
		h.left[s] = true
	}
	return h
}

// observer sees up to where streams are read.
func (h *heads) observer(o pipeline.Observation) {
	if o, ok := o.(pipeline.HeadRead); ok {
		h.see(o.Stream, o.End)
	}
}

func (h *heads) see(s pipeline.Stream, end time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if end.Before(h.end) {
		return
	}
	delete(h.left, s)
	if len(h.left) == 0 {
		h.stop()
	}
}

// errCut is what everything answers once a cut has happened, as if the process were gone.
var errCut = errors.New("cut")

// cut ends a run at its n-th exchange with the outside: as kill -9 would, nothing more goes out after it. The exchange
// itself is not sent, or (lost) it is sent and the reply is lost. A nil cut cuts nothing.
type cut struct {
	at     int64
	lost   bool
	cancel func()
	n      atomic.Int64
	dead   atomic.Bool
}

// step counts an exchange; it tells whether the exchange may be sent and whether its reply may come.
func (c *cut) step() (send, reply bool) {
	if c.dead.Load() {
		return false, false
	}
	if c.n.Add(1) != c.at {
		return true, true
	}
	return c.lost, false
}

// die makes the rest of the run silent.
func (c *cut) die() {
	c.dead.Store(true)
	c.cancel()
}

type httpCut struct {
	*cut
	next http.RoundTripper
}

func (c *cut) http(next http.RoundTripper) http.RoundTripper {
	if c == nil {
		return next
	}
	return httpCut{c, next}
}

// RoundTrip implements http.RoundTripper.
func (c httpCut) RoundTrip(r *http.Request) (*http.Response, error) {
	send, reply := c.step()
	if !send {
		c.die()
		return nil, errCut
	}
	res, err := c.next.RoundTrip(r)
	if reply {
		return res, err
	}
	if err == nil {
		_ = res.Body.Close() // Nobody is there to read it.
	}
	c.die()
	return nil, errCut
}

type kafkaCut struct {
	*cut
	next kafkago.RoundTripper
}

func (c *cut) kafka(next kafkago.RoundTripper) kafkago.RoundTripper {
	if c == nil {
		return next
	}
	return kafkaCut{c, next}
}

// RoundTrip implements kafkago.RoundTripper.
func (c kafkaCut) RoundTrip(ctx context.Context, addr net.Addr, req kafkago.Request) (kafkago.Response, error) {
	send, reply := c.step()
	if !send {
		c.die()
		return nil, errCut
	}
	res, err := c.next.RoundTrip(ctx, addr, req)
	if reply {
		return res, err
	}
	c.die()
	return nil, fmt.Errorf("%w after %T", errCut, req)
}
