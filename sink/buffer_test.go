package sink_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
)

// lingering gives up every n-th request to produce before it has read it, as kafka-go's transport does when a request's context
// ends while it waits for its connection: what reads the request for the connection still holds it then.
type lingering struct {
	next kafkago.RoundTripper
	n    int

	mu    sync.Mutex
	count int
	held  []heldBatch
}

// heldBatch is a batch that is still to be read, and what has to come of it.
type heldBatch struct {
	from io.Reader
	want []byte
}

// RoundTrip implements kafkago.RoundTripper.
func (l *lingering) RoundTrip(ctx context.Context, addr net.Addr, req kafkago.Request) (kafkago.Response, error) {
	produce, ok := req.(*rawproduce.Request)
	if !ok {
		return l.next.RoundTrip(ctx, addr, req)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count++; l.count%l.n != 0 {
		return l.next.RoundTrip(ctx, addr, req)
	}
	for _, topic := range produce.Topics {
		for _, p := range topic.Partitions {
			from, isReader := p.RecordSet.Reader.(*bytes.Reader)
			if !isReader {
				return nil, fmt.Errorf("a batch is a %T", p.RecordSet.Reader)
			}
			want := make([]byte, from.Len())
			if _, err := from.ReadAt(want, 0); err != nil {
				return nil, err
			}
			l.held = append(l.held, heldBatch{from, want})
		}
	}
	return nil, context.DeadlineExceeded
}

// TestBatchThatIsStillRead holds that a batch's bytes stay as they are for as long as a request that has ended without an answer
// may still read them: while later batches of the same partition are written, and later transactions.
func TestBatchThatIsStillRead(t *testing.T) {
	b := newBench(t)
	b.cfg.Compression = "none"
	b.topics.Partitions = 1
	transport := &lingering{next: b.conn.Transport, n: 3}
	b.topics.Client = &kafkago.Client{Addr: b.conn.Addr, Timeout: b.conn.Timeout, Transport: transport}
	s := b.open(t)
	for i := range 5 {
		commit(t, s, whole(events(i*1000, 500)), events(i*1000+500, 500))
	}
	if got := keysOf(b.read(t, eventTopics()...)); !slices.Equal(got, upTo(5000)) {
		t.Errorf("%d records, want the keys 0 to 4999 once each", len(got))
	}
	if len(transport.held) == 0 {
		t.Fatal("no request was given up")
	}
	for i, held := range transport.held {
		if got, err := io.ReadAll(held.from); err != nil || !bytes.Equal(got, held.want) {
			t.Errorf("batch %d of %d, of %d bytes, was changed while it could be read: %v", i, len(transport.held), len(got), err)
		}
	}
}
