package kafka

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/addpartitionstotxn"
	"github.com/segmentio/kafka-go/protocol/endtxn"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
)

// coordinators remember which broker coordinates the transactions of a transactional id. kafka-go asks for it before each request that names
// one, which is three times in a transaction. A broker is remembered once it has answered as a coordinator, and forgotten when a request is not
// answered, when it answers that it coordinates the id no more, or cannot now, and when it has left the cluster. Safe for concurrent use.
type coordinators struct {
	by       kafkago.RoundTripper
	clientID string

	mu sync.Mutex
	// brokers are the ids of the coordinators, by transactional id.
	brokers map[string]int32
}

// mostCoordinators is how many are remembered. All are asked for anew when there is one more: those of apps and replays that are gone are among them.
const mostCoordinators = 1 << 14

// send sends a request to the coordinator of the transactional id that it names.
func (c *coordinators) send(ctx context.Context, addr net.Addr, id string, request kafkago.Request) (kafkago.Response, error) {
	for {
		broker, known := c.recall(id)
		if !known {
			var err error
			if broker, err = c.find(ctx, addr, id); err != nil {
				return nil, err
			}
		}
		res, err := c.by.RoundTrip(ctx, addr, &toCoordinator{Message: request, broker: broker, clientID: c.clientID})
		if err != nil || !coordinates(res) {
			c.forget(id)
		} else if !known {
			c.remember(id, broker)
		}
		if !known || !errors.Is(err, kafkago.BrokerNotAvailable) {
			return res, err
		} // Nothing was sent: another broker coordinates it by now.
	}
}

// find asks for the coordinator.
func (c *coordinators) find(ctx context.Context, addr net.Addr, id string) (broker int32, err error) {
	res, err := c.by.RoundTrip(ctx, addr, &findcoordinator.Request{Key: id, KeyType: int8(kafkago.CoordinatorKeyTypeTransaction)})
	if err != nil {
		return 0, err
	}
	found, ok := res.(*findcoordinator.Response)
	switch {
	case !ok:
		return 0, errors.New("the broker answered something else than it was asked (bug)")
	case found.ErrorCode != 0:
		return 0, kafkago.Error(found.ErrorCode)
	default:
		return found.NodeID, nil
	}
}

// coordinates tells whether an answer is a coordinator's.
func coordinates(res kafkago.Response) bool {
	ofPartition := func(p addpartitionstotxn.ResponsePartition) bool { return isElsewhere(p.ErrorCode) }
	switch res := res.(type) {
	case *initproducerid.Response:
		return !isElsewhere(res.ErrorCode)
	case *addpartitionstotxn.Response:
		return !slices.ContainsFunc(res.Results, func(r addpartitionstotxn.ResponseResult) bool { return slices.ContainsFunc(r.Results, ofPartition) })
	case *endtxn.Response:
		return !isElsewhere(res.ErrorCode)
	default:
		return false
	}
}

// isElsewhere reports whether a code says that another broker may be the coordinator: NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE.
func isElsewhere(code int16) bool {
	return kafkago.Error(code) == kafkago.NotCoordinatorForGroup || kafkago.Error(code) == kafkago.GroupCoordinatorNotAvailable
}

func (c *coordinators) recall(id string) (broker int32, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	broker, known = c.brokers[id]
	return broker, known
}

func (c *coordinators) remember(id string, broker int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.brokers == nil || len(c.brokers) >= mostCoordinators {
		c.brokers = make(map[string]int32)
	}
	c.brokers[id] = broker
}

func (c *coordinators) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.brokers, id)
}

// toCoordinator is a request for a broker that is known. kafka-go sends it there, as it is a [protocol.BrokerMessage], and leaves the exchange to
// it, as it is a [protocol.RawExchanger].
type toCoordinator struct {
	protocol.Message

	broker   int32
	clientID string
	version  int16
}

// Broker finds the broker among those of the cluster.
func (r *toCoordinator) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	broker, ok := cluster.Brokers[r.broker]
	if !ok {
		return broker, kafkago.BrokerNotAvailable
	}
	return broker, nil
}

// Required learns what the broker speaks.
func (r *toCoordinator) Required(versions map[protocol.ApiKey]int16) bool {
	r.version = versions[r.ApiKey()]
	return true
}

// RawExchange sends the request and reads the reply, which [wire] has checked.
func (r *toCoordinator) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	return protocol.RoundTrip(rw, r.version, 0, r.clientID, r.Message)
}
