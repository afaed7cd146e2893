package broker

import (
	"context"
	"fmt"
	"net"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fence has the broker refuse to renew the epoch of a writer that was replaced, as Apache Kafka does (KIP-360). kfake renews it,
// whoever has the transactional id meanwhile, so that two writers would take it from each other without end.
type fence struct {
	cluster *kfake.Cluster
	client  *kgo.Client
	holders map[string]*holder // By transactional id. The cluster calls the functions that use it one at a time.
}

// holder is what is known of the writers of a transactional id.
type holder struct {
	replaced epoch // The newest that another writer was given the id after.
	inits    int   // How often somebody was given the id, or a new epoch.
}

// fencedSince is the version of InitProducerID from which on a broker answers with PRODUCER_FENCED.
const fencedSince = 4

// epoch is a producer's; neither number is negative where the transactional id is known.
type epoch struct {
	producer int64
	number   int16
}

// raiseFence begins to refuse. A broker that begins on old data knows nothing of who was replaced before, so it lets nobody renew
// but who holds the newest epoch.
func raiseFence(cluster *kfake.Cluster, host string) (*fence, error) {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address) // The host is for others, and may be unknown here.
		if err != nil {
			return nil, err
		}
		var d net.Dialer
		return d.DialContext(ctx, network, net.JoinHostPort(host, port))
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.Dialer(dial))
	if err != nil {
		return nil, fmt.Errorf("start embedded broker: %w", err)
	}
	f := &fence{cluster, client, make(map[string]*holder)}
	known, err := kadm.NewClient(client).DescribeTransactions(context.Background())
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("start embedded broker: look up its transactional ids: %w", err)
	}
	for id, txn := range known {
		f.holders[id] = &holder{replaced: epoch{txn.ProducerID, txn.ProducerEpoch - 1}}
	}
	cluster.ControlKey(int16(kmsg.InitProducerID), f.control)
	return f, nil
}

func (f *fence) control(req kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // kfake's signature.
	f.cluster.KeepControl()
	init, ok := req.(*kmsg.InitProducerIDRequest)
	if !ok || init.TransactionalID == nil {
		return nil, nil, false
	}
	h := f.holders[*init.TransactionalID]
	if h == nil {
		h = &holder{replaced: epoch{-1, -1}}
		f.holders[*init.TransactionalID] = h
	}
	now := f.epochNow(*init.TransactionalID, h)
	switch {
	case init.ProducerID < 0:
		h.replaced = now
	case init.ProducerID == h.replaced.producer && init.ProducerEpoch <= h.replaced.number && now != h.replaced:
		res, _ := init.ResponseKind().(*kmsg.InitProducerIDResponse)
		res.ErrorCode = kerr.ProducerFenced.Code
		if init.Version < fencedSince {
			res.ErrorCode = kerr.InvalidProducerEpoch.Code
		}
		return res, nil, true
	}
	h.inits++
	return nil, nil, false
}

// epochNow asks the broker, for a transaction that timed out has moved the epoch too. The broker answers others meanwhile, so it is
// asked again if one of them was given the id.
func (f *fence) epochNow(id string, h *holder) epoch {
	for {
		answer, inits := make(chan epoch, 1), h.inits
		f.cluster.SleepControl(func() {
			known, err := kadm.NewClient(f.client).DescribeTransactions(context.Background(), id)
			if txn, ok := known[id]; err == nil && ok && txn.Err == nil {
				answer <- epoch{txn.ProducerID, txn.ProducerEpoch}
			}
		})
		if h.inits != inits {
			continue
		}
		select {
		case now := <-answer:
			return now
		default: // Nobody has had it yet, or the broker is closing.
			return epoch{-1, -1}
		}
	}
}

// lower lets go of the connections.
func (f *fence) lower() { f.client.Close() }
