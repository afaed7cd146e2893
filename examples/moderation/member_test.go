package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// stage is an embedded broker with events of a sender that the only rule is about.
type stage struct {
	cluster *kfake.Cluster
	client  *kafkago.Client
	reader  *kgo.Client
}

const events = 50

func newStage(t *testing.T) *stage {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "events", "flags"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	transport := &kafkago.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	w := &stage{cluster: cluster, client: &kafkago.Client{Addr: kafkago.TCP(cluster.ListenAddrs()...), Transport: transport}}
	w.reader = w.kafka(t, kgo.ConsumeTopics("flags"))
	return w
}

func (w *stage) kafka(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(w.cluster.ListenAddrs()...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func (w *stage) publish(t *testing.T) {
	t.Helper()
	for i := range events {
		r := &kgo.Record{Topic: "events", Key: fmt.Append(nil, i), Value: []byte(`{"from":{"id":"a"}}`)}
		if err := w.reader.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// member is one that looks at the events.
func (w *stage) member(t *testing.T) *member {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	flags := newFlags(w.client, "flags")
	t.Cleanup(func() { _ = flags.Close() }) // All was written by then.
	m := &moderator{rules: []rule{{Name: "r", Senders: []string{"a"}}}, flags: flags, log: log}
	return &member{client: w.client, group: group(w.cluster.ListenAddrs(), "g", 10*time.Second, "events"), work: m.work, log: log}
}

// TestWorkThatWasNotCommittedIsDoneAgain refuses the first commits. The events are looked at again, by the same member when
// it has joined anew, and get the same flags.
func TestWorkThatWasNotCommittedIsDoneAgain(t *testing.T) {
	w := newStage(t)
	w.publish(t)
	var refused atomic.Int32
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if refused.Add(1) > 2 {
			return nil, nil, false
		}
		res, ok := req.ResponseKind().(*kmsg.OffsetCommitResponse)
		if !ok {
			t.Errorf("%T is no reply to an offset commit", req.ResponseKind())
		}
		topic := kmsg.NewOffsetCommitResponseTopic()
		topic.Topic = "events"
		topic.Partitions = []kmsg.OffsetCommitResponseTopicPartition{{ErrorCode: kerr.UnknownMemberID.Code}}
		res.Topics = append(res.Topics, topic)
		return res, nil, true
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	m := w.member(t)
	go func() { done <- m.run(running) }()
	seen := make(map[string]string)
	repeated := 0
	for len(seen) < events || repeated < 2*events {
		fetches := w.reader.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("%d of %d messages are flagged, %d again: %v", len(seen), events, repeated, err)
		}
		for _, r := range fetches.Records() {
			before, there := seen[string(r.Key)]
			if there {
				repeated++
			}
			if there && before != string(r.Value) {
				t.Errorf("message %s has the flags %s and %s", r.Key, before, r.Value)
			}
			seen[string(r.Key)] = string(r.Value)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWorkThatFailsEndsTheMember(t *testing.T) {
	w := newStage(t)
	w.publish(t)
	m := w.member(t)
	broken := errors.New("broken")
	m.work = func(context.Context, []kafkago.Message) error { return broken }
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := m.run(ctx); !errors.Is(err, broken) {
		t.Errorf("a member whose work fails ended with %v", err)
	}
}

// TestAbortedEventsAreNotLookedAt has three writers whose transactions lie across each other: b begins one, w writes, c
// commits, a aborts.
func TestAbortedEventsAreNotLookedAt(t *testing.T) {
	const script = "b0 w0 b1 w1 w0 a1 b2 w2 w0 c2 b1 w1 a0 w1 c1 b0 w0 c0 b2 w2 a2 b1 w1 c1"
	w := newStage(t)
	var writers []*kgo.Client
	for i := range 3 {
		writers = append(writers, w.kafka(t, kgo.TransactionalID(fmt.Sprint("writer ", i)), kgo.DefaultProduceTopic("events")))
	}
	var want []string
	pending := make([][]string, len(writers))
	for i, step := range strings.Fields(script) {
		n := int(step[1] - '0')
		var err error
		switch step[0] {
		case 'b':
			err, pending[n] = writers[n].BeginTransaction(), nil
		case 'w':
			pending[n] = append(pending[n], strconv.Itoa(i))
			err = writers[n].ProduceSync(t.Context(), kgo.StringRecord(strconv.Itoa(i))).FirstErr()
		default:
			if err = writers[n].EndTransaction(t.Context(), kgo.TransactionEndTry(step[0] == 'c')); step[0] == 'c' {
				want = append(want, pending[n]...)
			}
		}
		if err != nil {
			t.Fatalf("step %d, %s: %v", i, step, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	m := w.member(t)
	m.work = func(_ context.Context, events []kafkago.Message) error {
		for _, e := range events {
			got = append(got, string(e.Value))
		}
		if got[len(got)-1] == want[len(want)-1] {
			cancel()
		}
		return nil
	}
	if err := m.run(ctx); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(want, byNumber)
	if !slices.Equal(got, want) {
		t.Errorf("the member looked at %v, want what was committed, %v", got, want)
	}
}

func byNumber(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) }
