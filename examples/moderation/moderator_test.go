package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestWorkThatWasNotCommittedIsDoneAgain ends a member between its flags and its commit. The next one looks at the same
// events again and gives the same flags.
func TestWorkThatWasNotCommittedIsDoneAgain(t *testing.T) {
	const n = 50
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "events", "flags"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	var refuse atomic.Bool
	refuse.Store(true)
	cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if !refuse.Load() {
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
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics("flags"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range n {
		r := &kgo.Record{Topic: "events", Key: fmt.Append(nil, i), Value: []byte(`{"from":{"id":"a"}}`)}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	m := &moderator{rules: []rule{{Name: "r", Senders: []string{"a"}}}, flags: "flags", log: slog.New(slog.DiscardHandler)}
	opts := group(cluster.ListenAddrs(), "g", 10*time.Second, "events")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := m.run(ctx, opts); err == nil {
		t.Fatal("a member whose commit was refused goes on")
	}
	refuse.Store(false)
	done := make(chan error, 1)
	again, stop := context.WithCancel(ctx)
	go func() { done <- m.run(again, opts) }()
	seen := make(map[string]string)
	repeated := 0
	for len(seen) < n || repeated == 0 {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("%d of %d messages are flagged, %d again: %v", len(seen), n, repeated, err)
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
