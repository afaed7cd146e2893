package sink_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/addpartitionstotxn"
	"github.com/segmentio/kafka-go/protocol/endtxn"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jmpub/jmpub/pipeline"
)

// TestFaultsOfTheBroker answers each kind of request once with each error that passes, and expects it to pass.
func TestFaultsOfTheBroker(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		key   kmsg.Key
		codes []*kerr.Error
	}{
		{"init", kmsg.InitProducerID, []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.CoordinatorNotAvailable}},
		{"add", kmsg.AddPartitionsToTxn, []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator}},
		{"produce", kmsg.Produce, []*kerr.Error{kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.KafkaStorageError, kerr.UnknownTopicOrPartition}},
		{"end", kmsg.EndTxn, []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.CoordinatorNotAvailable}},
	} {
		for _, code := range c.codes {
			t.Run(c.name+" "+code.Message, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				failed := false
				b.cluster.ControlKey(int16(c.key), func(req kmsg.Request) (kmsg.Response, error, bool) {
					if failed {
						return nil, nil, false
					}
					failed = true
					return refuse(req, code.Code), nil, true
				})
				commit(t, b.open(t), events(0, 50))
				if got := keysOf(b.read(t, eventTopics()...)); !slices.Equal(got, upTo(50)) {
					t.Errorf("keys %v, want 0 to 49 once each", got)
				}
				if !failed {
					t.Error("the fault was never met")
				}
			})
		}
	}
}

// refuse answers a request with an error in every place that can hold one.
func refuse(req kmsg.Request, code int16) kmsg.Response {
	res := req.ResponseKind()
	switch r := res.(type) {
	case *kmsg.InitProducerIDResponse:
		r.ErrorCode = code
	case *kmsg.EndTxnResponse:
		r.ErrorCode = code
	case *kmsg.AddPartitionsToTxnResponse:
		asked, _ := req.(*kmsg.AddPartitionsToTxnRequest)
		for _, topic := range asked.Topics {
			answer := kmsg.AddPartitionsToTxnResponseTopic{Topic: topic.Topic}
			for _, p := range topic.Partitions {
				answer.Partitions = append(answer.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: p, ErrorCode: code})
			}
			r.Topics = append(r.Topics, answer)
		}
	case *kmsg.ProduceResponse:
		asked, _ := req.(*kmsg.ProduceRequest)
		for _, topic := range asked.Topics {
			answer := kmsg.ProduceResponseTopic{Topic: topic.Topic}
			for _, p := range topic.Partitions {
				answer.Partitions = append(answer.Partitions, kmsg.ProduceResponseTopicPartition{Partition: p.Partition, ErrorCode: code, BaseOffset: -1})
			}
			r.Topics = append(r.Topics, answer)
		}
	}
	return res
}

// TestFatalCodes expects of each code the class that the session needs.
func TestFatalCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key   kmsg.Key
		code  *kerr.Error
		class pipeline.Class
	}{
		{kmsg.Produce, kerr.InvalidProducerEpoch, pipeline.Abort},
		{kmsg.Produce, kerr.OutOfOrderSequenceNumber, pipeline.Abort},
		{kmsg.Produce, kerr.DuplicateSequenceNumber, pipeline.Abort},
		{kmsg.Produce, kerr.UnknownProducerID, pipeline.Abort},
		{kmsg.Produce, kerr.MessageTooLarge, pipeline.Abort},
		{kmsg.Produce, kerr.TopicAuthorizationFailed, pipeline.Permanent},
		{kmsg.AddPartitionsToTxn, kerr.ProducerFenced, pipeline.Abort},
		{kmsg.AddPartitionsToTxn, kerr.TransactionalIDAuthorizationFailed, pipeline.Permanent},
		{kmsg.EndTxn, kerr.InvalidTxnState, pipeline.Abort},
		{kmsg.EndTxn, kerr.ProducerFenced, pipeline.Abort},
	} {
		t.Run(fmt.Sprintf("%d %s", c.key, c.code.Message), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			s := b.open(t)
			b.cluster.ControlKey(int16(c.key), func(req kmsg.Request) (kmsg.Response, error, bool) {
				b.cluster.KeepControl()
				return refuse(req, c.code.Code), nil, true
			})
			tx, err := s.Begin(t.Context())
			if err == nil {
				_, err = tx.Publish(t.Context(), events(0, 10))
			}
			if err == nil {
				err = tx.Commit(t.Context())
			}
			if err == nil || pipeline.ClassOf(err) != c.class {
				t.Errorf("%v is %s, want %s", err, pipeline.ClassOf(err), c.class)
			}
		})
	}
}

// TestRenewedProducerThatIsFenced expects the class Fenced from Open alone.
func TestRenewedProducerThatIsFenced(t *testing.T) {
	b := newBench(t)
	s := b.open(t)
	b.cluster.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
		return refuse(req, kerr.ProducerFenced.Code), nil, true
	})
	if err := s.Open(t.Context()); pipeline.ClassOf(err) != pipeline.Fenced {
		t.Errorf("%v, want it fenced", err)
	}
}

// lossy loses the reply of every n-th request, after the broker has done what it asked.
type lossy struct {
	next kafkago.RoundTripper
	n    int

	mu    sync.Mutex
	count int
}

var errLost = errors.New("the reply was lost")

// RoundTrip implements kafkago.RoundTripper.
func (l *lossy) RoundTrip(ctx context.Context, addr net.Addr, req kafkago.Request) (kafkago.Response, error) {
	res, err := l.next.RoundTrip(ctx, addr, req)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count++; err == nil && l.count%l.n == 0 {
		return nil, errLost
	}
	return res, err
}

func TestLostReplies(t *testing.T) {
	b := newBench(t)
	b.topics.Client = &kafkago.Client{
		Addr: b.conn.Addr, Timeout: b.conn.Timeout, Transport: &lossy{next: b.conn.Transport, n: 3},
	}
	s := b.open(t)
	for i := range 20 {
		commit(t, s, events(i*50, 50))
	}
	if got := keysOf(b.read(t, eventTopics()...)); !slices.Equal(got, upTo(1000)) {
		t.Errorf("%d records, want the keys 0 to 999 once each", len(got))
	}
}

// severed loses the reply to the first request that adds partitions, for good; reached tells whether the broker gets the request.
type severed struct {
	next    kafkago.RoundTripper
	reached bool
	done    bool
}

// RoundTrip implements kafkago.RoundTripper.
func (s *severed) RoundTrip(ctx context.Context, addr net.Addr, req kafkago.Request) (kafkago.Response, error) {
	if _, adds := req.(*addpartitionstotxn.Request); !adds || s.done {
		return s.next.RoundTrip(ctx, addr, req)
	}
	s.done = true
	if s.reached {
		if _, err := s.next.RoundTrip(ctx, addr, req); err != nil {
			return nil, err
		}
	}
	return nil, context.Canceled
}

// TestAbortAfterAReplyThatIsLostForGood expects an abort to end the transaction that the broker may have begun, and to do no harm
// where it has begun none.
func TestAbortAfterAReplyThatIsLostForGood(t *testing.T) {
	for _, reached := range []bool{true, false} {
		t.Run(fmt.Sprintf("reached=%t", reached), func(t *testing.T) {
			b := newBench(t)
			b.topics.Client = &kafkago.Client{
				Addr: b.conn.Addr, Timeout: b.conn.Timeout, Transport: &severed{next: b.conn.Transport, reached: reached},
			}
			s := b.open(t)
			ended := false
			b.cluster.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
				ended = true
				return nil, nil, false
			})
			tx, err := s.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Publish(t.Context(), events(0, 10)); !errors.Is(err, context.Canceled) {
				t.Fatalf("publish: %v, want the lost reply", err)
			}
			if err := tx.Abort(t.Context()); err != nil {
				t.Errorf("abort: %v", err)
			}
			if !ended {
				t.Error("the transaction was left open")
			}
			commit(t, s, events(0, 10))
			if got := keysOf(b.read(t, eventTopics()...)); !slices.Equal(got, upTo(10)) {
				t.Errorf("keys %v, want 0 to 9 once each", got)
			}
		})
	}
}

// lostVerdict loses the reply to the first verdict on a transaction, which may have reached the broker.
type lostVerdict struct {
	next kafkago.RoundTripper
	done bool
}

// RoundTrip implements kafkago.RoundTripper.
func (l *lostVerdict) RoundTrip(ctx context.Context, addr net.Addr, req kafkago.Request) (kafkago.Response, error) {
	res, err := l.next.RoundTrip(ctx, addr, req)
	if _, verdict := req.(*endtxn.Request); verdict && !l.done {
		l.done = true
		return nil, errLost
	}
	return res, err
}

// TestCommitInDoubt has the place taken from a writer before the answer to its commit has come. Only if an answer was lost before
// that, the commit may have been taken.
func TestCommitInDoubt(t *testing.T) {
	for _, lost := range []bool{true, false} {
		t.Run(fmt.Sprintf("lost=%t", lost), func(t *testing.T) {
			b := newBench(t)
			b.topics.Client = &kafkago.Client{
				Addr: b.conn.Addr, Timeout: b.conn.Timeout, Transport: &lostVerdict{next: b.conn.Transport, done: !lost},
			}
			s := b.open(t)
			refuses := !lost
			b.cluster.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
				b.cluster.KeepControl()
				if refuses {
					return refuse(req, kerr.ProducerFenced.Code), nil, true
				}
				refuses = true
				return nil, nil, false
			})
			tx, err := s.Begin(t.Context())
			if err == nil {
				_, err = tx.Publish(t.Context(), events(0, 10))
			}
			if err != nil {
				t.Fatal(err)
			}
			err = tx.Commit(t.Context())
			if pipeline.ClassOf(err) != pipeline.Abort || errors.Is(err, pipeline.ErrInDoubt) != lost {
				t.Errorf("commit: %v, of class %s", err, pipeline.ClassOf(err))
			}
		})
	}
}
