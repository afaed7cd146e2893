package endtoend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/statistics"
	"github.com/jmpub/jmpub/sink"
	"github.com/jmpub/jmpub/source"
)

// almanac is a simulated API whose day goes by in seconds, and a broker.
type almanac struct {
	api     *sim.Server
	url     string
	brokers []string
	stream  pipeline.Stream
	// skipped is how much the simulator's clock is ahead, in nanoseconds.
	skipped *atomic.Int64
}

func newAlmanac(t *testing.T, name string, change func(*sim.Options)) *almanac {
	t.Helper()
	a := &almanac{stream: pipeline.Stream{Kind: pipeline.StreamStatistics, Name: name}, skipped: new(atomic.Int64)}
	o := sim.Defaults()
	o.Rate, o.Zone = 0.002, time.FixedZone("Asia/Shanghai", 8*60*60)
	o.Now = func() time.Time { return time.Now().Add(time.Duration(a.skipped.Load())) }
	change(&o)
	var err error
	if a.api, err = sim.New(o); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(a.api)
	t.Cleanup(server.Close)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	a.url, a.brokers = server.URL, cluster.ListenAddrs()
	return a
}

// follow does what a process does, until ctx ends or it is cut off.
func (a *almanac) follow(ctx context.Context, cut *cut, observer pipeline.Observer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if cut != nil {
		cut.cancel = cancel
	}
	conn, err := kafka.Open(kafka.Config{Brokers: a.brokers, ClientID: "test"})
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.Transport = cut.kafka(conn.Transport)
	retry := pipeline.Retry{Initial: time.Millisecond, Max: 10 * time.Millisecond}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	cfg := sourceConfig(a.api, a.url)
	cfg.Retry, cfg.Transport = retry, cut.http(transport)
	api, err := source.New(cfg)
	if err != nil {
		return err
	}
	topics, err := sink.NewTopics(sink.TopicsConfig{
		Client: conn.Client, Prefix: "t", Retry: retry, Statistics: []pipeline.Stream{a.stream},
		Create: true, Partitions: 2, Replication: -1, Retention: -1, MinInsyncReplicas: -1,
	})
	if err != nil {
		return err
	}
	out, err := sink.NewWriter(topics, sink.WriterConfig{
		TransactionalID: "t-0", Compression: "lz4", PartitionBy: sink.ByMsgID, RecordTime: sink.TimePublish,
	})
	if err != nil {
		return err
	}
	store := checkpoint.NewKafka(conn.Client, topics.Routing().Own(pipeline.TopicCheckpoints), a.api.AppKey,
		func() int { return topics.Partitions(pipeline.TopicCheckpoints) }, retry)
	member := statistics.New(statistics.Config{
		AppKey: a.api.AppKey, Stream: a.stream, Zone: a.api.Zone, Source: api, Every: 10 * time.Millisecond, Observer: observer,
	})
	p, err := pipeline.New(pipeline.Config{
		AppKey: a.api.AppKey, Members: []pipeline.Member{member}, Source: api, Sink: out, Checkpoints: store,
		Grace: time.Millisecond, // A killed process finishes nothing.
		Retry: retry, Observer: observer,
	})
	if err != nil {
		return err
	}
	return p.Run(ctx)
}

// cutOff follows until the process is cut off at its n-th exchange with the outside.
func (a *almanac) cutOff(t *testing.T, n int64, lost bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runWithin)
	defer cancel()
	cut := &cut{at: n, lost: lost}
	if err := a.follow(ctx, cut, nil); !cut.dead.Load() {
		t.Fatalf("it ended before its exchange %d: %v", n, err)
	}
}

// followUntil follows until something holds of what is published.
func (a *almanac) followUntil(t *testing.T, holds func(last map[string]json.RawMessage) error) (last map[string]json.RawMessage, records int) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), runWithin)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- a.follow(ctx, nil, nil) }()
	for {
		last, records = a.published(t)
		lacking := holds(last)
		if lacking == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended by itself: %v; %v", err, lacking)
		case <-time.After(100 * time.Millisecond): // Until there is more to look at.
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatalf("it ended with %v", err)
	}
	return last, records
}

// published is what the compacted topic says at last of each period, and how many records there are.
func (a *almanac) published(t *testing.T) (last map[string]json.RawMessage, records int) {
	t.Helper()
	topic := "t." + string(pipeline.StatisticsTopic(a.stream))
	promised, err := published()
	if err != nil {
		t.Fatal(err)
	}
	all := []string{topic, "t.windows", "t.checkpoints"}
	client, err := kgo.NewClient(kgo.SeedBrokers(a.brokers...), kgo.ConsumeTopics(all...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords()) // The last one before the end is often the marker of a transaction.
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), runWithin)
	defer cancel()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, all...)
	if err != nil {
		t.Fatal(err)
	}
	left := make(map[string]int64) // Partitions that are not read to their end, with that end.
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[fmt.Sprint(o.Topic, o.Partition)] = o.Offset
		}
	})
	last = make(map[string]json.RawMessage)
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("not read to their end: %v", left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if at := fmt.Sprint(r.Topic, r.Partition); r.Offset+1 >= left[at] {
				delete(left, at)
			}
			if r.Attrs.IsControl() {
				return
			}
			if err := promised.Check(strings.TrimPrefix(r.Topic, "t."), r.Key, nil, r.Value); err != nil {
				t.Error(err)
			}
			if r.Topic != topic {
				return
			}
			if bytes.Equal(last[string(r.Key)], r.Value) {
				t.Errorf("%s was published twice in a row as %s", r.Key, r.Value)
			}
			last[string(r.Key)] = r.Value
			records++
		})
	}
	return last, records
}

// TestStatisticsOfAKilledProcess kills and restarts the process at random while days go by, the API fails, and its statistics
// are late; at last the topic has what the API says.
func TestStatisticsOfAKilledProcess(t *testing.T) {
	t.Parallel()
	killedStatistics(t, nil)
}

// killedStatistics is that on these brokers, or on an embedded one where there are none.
func killedStatistics(t *testing.T, brokers []string) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	a := newAlmanac(t, "messages", func(o *sim.Options) {
		o.Seed, o.StatisticsLag = seed, time.Hour
		o.ServerError, o.Truncated, o.Dropped, o.RateLimitedBare = 0.02, 0.02, 0.02, 0.001
	})
	if brokers != nil {
		a.brokers = brokers
	}
	for i := range 15 {
		a.cutOff(t, 1+r.Int64N(120), i%2 == 0)
		a.skipped.Add(int64(time.Duration(r.IntN(8)) * time.Hour))
	}
	for a.api.Now().In(a.api.Zone).Hour() < 2 { // The statistics of a day that is just over are an hour late.
		a.skipped.Add(int64(time.Hour))
	}
	last, records := a.followUntil(t, a.whole)
	if refused := a.api.Stats().Codes[899003]; refused > 3 {
		t.Errorf("%d requests were refused, want at most those of a midnight", refused)
	}
	t.Logf("%d periods, %d records, %d statistics", len(last), records, a.api.Stats().Statistics)
}

// whole says what lacks: a period, or one of the days that are over that is not as the API's rows are.
func (a *almanac) whole(last map[string]json.RawMessage) error {
	for unit, n := range map[pipeline.Unit]int{pipeline.Day: 60, pipeline.Month: 2} {
		for back := range n {
			p := pipeline.PeriodOf(unit, a.api.Now().In(a.api.Zone)).Add(-back)
			if _, ok := last[a.api.AppKey+"/"+p.String()]; !ok {
				return fmt.Errorf("the %s %s is missing", unit, p)
			}
		}
	}
	for back := 1; back < 60; back++ {
		p := pipeline.PeriodOf(pipeline.Day, a.api.Now().In(a.api.Zone)).Add(-back)
		var group, single int64
		for row := range a.api.Truth(sim.Range{Begin: p.Begin, End: p.End().Add(-time.Millisecond)}) {
			switch row.Target {
			case "group":
				group++
			case "single":
				single++
			default:
			}
		}
		var event struct {
			Data struct {
				Group  int64            `json:"group_send_msg"`
				Single int64            `json:"single_send_msg"`
				Types  map[string]int64 `json:"group_msg_stat"`
			} `json:"data"`
		}
		if err := json.Unmarshal(last[a.api.AppKey+"/"+p.String()], &event); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		types := int64(0)
		for _, n := range event.Data.Types {
			types += n
		}
		if event.Data.Group != group || event.Data.Single != single || types != group {
			return fmt.Errorf("%s: published %+v, want %d and %d", p, event.Data, group, single)
		}
	}
	return nil
}

// TestStatisticsWithoutTheRight ends as what concerns that stream alone.
func TestStatisticsWithoutTheRight(t *testing.T) {
	t.Parallel()
	a := newAlmanac(t, "users", func(o *sim.Options) { o.NoStatistics = true })
	var dropped []pipeline.StreamDropped
	err := a.follow(t.Context(), nil, func(o pipeline.Observation) {
		if drop, ok := o.(pipeline.StreamDropped); ok {
			dropped = append(dropped, drop) // The stream is the only one, so one goroutine reports it.
		}
	})
	if len(dropped) != 1 || dropped[0].Stream != a.stream {
		t.Fatalf("%v; dropped %+v, want %s once", err, dropped, a.stream)
	}
	if fault, ok := errors.AsType[*pipeline.Fault](dropped[0].Err); !ok || fault.Class != pipeline.Drop || fault.Hint == "" {
		t.Errorf("%v; want it dropped, with a hint", dropped[0].Err)
	}
}
