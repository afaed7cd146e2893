package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/addpartitionstotxn"
	"github.com/segmentio/kafka-go/protocol/endtxn"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// electorate is a cluster in which one broker coordinates everything. Each exchange is noted: "find", or the broker that was asked.
type electorate struct {
	// live are the brokers of the metadata; coordinator is 0 while there is none.
	live        []int32
	coordinator int32
	// silent does not answer.
	silent int32
	// refusal is what the coordinator answers.
	refusal kafkago.Error
	sent    []string
}

func (e *electorate) RoundTrip(_ context.Context, request kafkago.Request) (kafkago.Response, error) {
	if _, ok := request.(*findcoordinator.Request); ok {
		e.sent = append(e.sent, "find")
		if e.coordinator == 0 {
			return &findcoordinator.Response{ErrorCode: int16(kafkago.GroupCoordinatorNotAvailable), NodeID: -1}, nil
		}
		return &findcoordinator.Response{NodeID: e.coordinator}, nil
	}
	directed, ok := request.(*toCoordinator)
	if !ok {
		return nil, fmt.Errorf("a %T was sent", request)
	}
	cluster := protocol.Cluster{Brokers: make(map[int32]protocol.Broker)}
	for _, id := range e.live {
		cluster.Brokers[id] = protocol.Broker{ID: id}
	}
	broker, err := directed.Broker(cluster)
	if err != nil {
		return nil, err
	}
	e.sent = append(e.sent, strconv.Itoa(int(broker.ID)))
	code := e.refusal
	switch {
	case broker.ID == e.silent:
		return nil, errors.New("i/o timeout")
	case broker.ID != e.coordinator:
		code = kafkago.NotCoordinatorForGroup
	}
	switch directed.Message.(type) {
	case *initproducerid.Request:
		return &initproducerid.Response{ErrorCode: int16(code)}, nil
	case *addpartitionstotxn.Request:
		return &addpartitionstotxn.Response{Results: []addpartitionstotxn.ResponseResult{
			{Name: "a", Results: []addpartitionstotxn.ResponsePartition{{PartitionIndex: 1}}},
			{Name: "b", Results: []addpartitionstotxn.ResponsePartition{{PartitionIndex: 1}, {PartitionIndex: 2, ErrorCode: int16(code)}}},
		}}, nil
	default:
		return &endtxn.Response{ErrorCode: int16(code)}, nil
	}
}

// TestCoordinatorsAreRemembered holds that a coordinator is asked for once, and anew as soon as something shows that it may be another one.
func TestCoordinatorsAreRemembered(t *testing.T) {
	requests := map[string]func() kafkago.Request{
		"begin": func() kafkago.Request { return &initproducerid.Request{TransactionalID: "id"} },
		"add":   func() kafkago.Request { return &addpartitionstotxn.Request{TransactionalID: "id"} },
		"end":   func() kafkago.Request { return &endtxn.Request{TransactionalID: "id"} },
	}
	nothing := func(*electorate) {}
	// Each step changes the cluster, sends a request, and says what it takes; failed where the request fails.
	steps := []struct {
		what   string
		change func(*electorate)
		sent   string
		failed bool
	}{
		{"the first request", nothing, "find 1", false},
		{"the next one", nothing, "1", false},
		{"a refusal that says nothing of the coordinator", func(e *electorate) { e.refusal = kafkago.ConcurrentTransactions }, "1", false},
		{"after it", func(e *electorate) { e.refusal = 0 }, "1", false},
		{"another coordinator", func(e *electorate) { e.coordinator = 2 }, "1", false},
		{"after it", nothing, "find 2", false},
		{"a coordinator that is not available", func(e *electorate) { e.refusal = kafkago.GroupCoordinatorNotAvailable }, "2", false},
		{"after it", func(e *electorate) { e.refusal = 0 }, "find 2", false},
		{"no answer", func(e *electorate) { e.silent = 2 }, "2", true},
		{"no coordinator", func(e *electorate) { e.silent, e.coordinator = 0, 0 }, "find", true},
		{"a new one", func(e *electorate) { e.coordinator = 3 }, "find 3", false},
		{"one that has left", func(e *electorate) { e.coordinator, e.live = 1, []int32{1, 2} }, "find 1", false},
		{"one that the metadata does not have yet", func(e *electorate) { e.coordinator, e.live = 4, []int32{2, 3} }, "find", true},
		{"once it has", func(e *electorate) { e.live = []int32{2, 3, 4} }, "find 4", false},
		{"after it", nothing, "4", false},
	}
	for name, request := range requests {
		e := &electorate{live: []int32{1, 2, 3}, coordinator: 1}
		c := &coordinators{by: roundTripper(e.RoundTrip)}
		for _, step := range steps {
			step.change(e)
			e.sent = nil
			_, err := c.send(t.Context(), nil, "id", request())
			if got := strings.Join(e.sent, " "); got != step.sent || (err != nil) != step.failed {
				t.Errorf("%s, %s: sent %q, %v; want %q", name, step.what, got, err, step.sent)
			}
		}
	}
}

// TestCoordinatorsAreBounded remembers no more than so many.
func TestCoordinatorsAreBounded(t *testing.T) {
	e := &electorate{live: []int32{1}, coordinator: 1}
	c := &coordinators{by: roundTripper(e.RoundTrip)}
	for i := range mostCoordinators + 1 {
		if _, err := c.send(t.Context(), nil, strconv.Itoa(i), &endtxn.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.brokers); n != 1 {
		t.Errorf("%d are remembered, want the newest", n)
	}
}

// TestCoordinatorsOfTheEmbeddedBroker sends what names a transactional id to brokers, which coordinate others and then no more.
func TestCoordinatorsOfTheEmbeddedBroker(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	conn, err := Open(Config{Brokers: cluster.ListenAddrs(), ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	keys := make(chan int16, 100)
	cluster.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if key := req.Key(); key == int16(kmsg.FindCoordinator) || key == int16(kmsg.InitProducerID) {
			keys <- key
		}
		return nil, nil, false
	})
	sent := func() (all []int16) {
		for len(keys) > 0 {
			all = append(all, <-keys)
		}
		return all
	}
	begin := func() error {
		res, err := conn.InitProducerID(t.Context(), &kafkago.InitProducerIDRequest{TransactionalID: "id", TransactionTimeoutMs: 10_000, ProducerID: -1, ProducerEpoch: -1})
		if err == nil {
			err = res.Error
		}
		return err
	}
	find, ask := int16(kmsg.FindCoordinator), int16(kmsg.InitProducerID)
	for range 3 {
		if err := begin(); err != nil {
			t.Fatal(err)
		}
	}
	if got := sent(); !slices.Equal(got, []int16{find, ask, ask, ask}) {
		t.Errorf("sent %d", got)
	}
	for was := cluster.CoordinatorFor("id"); cluster.CoordinatorFor("id") == was; {
		cluster.RehashCoordinators()
	}
	if err := begin(); !errors.Is(err, kafkago.NotCoordinatorForGroup) {
		t.Errorf("%v, want that it is another one", err)
	}
	if err := begin(); err != nil {
		t.Error(err)
	}
	if got := sent(); !slices.Equal(got, []int16{ask, find, ask}) {
		t.Errorf("sent %d when the coordinator is another one", got)
	}
}
