package main

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// TestFailedWriteLeavesNoTransaction fails the last write of a command, for good or so that it is tried anew. No transaction is open
// when the command has ended: no read_committed reader waits for its timeout.
func TestFailedWriteLeavesNoTransaction(t *testing.T) {
	t.Parallel()
	for _, code := range []*kerr.Error{kerr.TopicAuthorizationFailed, kerr.OutOfOrderSequenceNumber} {
		s := newStation(t, func(o *sim.Options) { o.Late, o.LateFrom, o.LateBy = 0.01, time.Hour, 2*time.Hour })
		s.env["JMPUB_RECHECK"] = "off"
		s.publish()
		isCheckpoints := func(t kmsg.ProduceRequestTopic) bool { return t.Topic == "jmessage.checkpoints" }
		var failed atomic.Int64
		s.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
			s.cluster.KeepControl()
			produce, ok := req.(*kmsg.ProduceRequest)
			if !ok || produce.TransactionID == nil || !slices.ContainsFunc(produce.Topics, isCheckpoints) {
				return nil, nil, false
			}
			failed.Add(1)
			res, _ := produce.ResponseKind().(*kmsg.ProduceResponse)
			for _, topic := range produce.Topics {
				answer := kmsg.ProduceResponseTopic{Topic: topic.Topic}
				for _, p := range topic.Partitions {
					one := kmsg.NewProduceResponseTopicPartition()
					one.Partition, one.ErrorCode = p.Partition, code.Code
					answer.Partitions = append(answer.Partitions, one)
				}
				res.Topics = append(res.Topics, answer)
			}
			return res, nil, true
		})
		s.skipped.Store(int64(3 * time.Hour))
		for _, args := range [][]string{
			{"audit", "--from", s.begin.Format(time.RFC3339), "--to", s.end.Format(time.RFC3339), "--no-statistics", "--repair"},
			{"checkpoint", "reset", "messages", "--to", s.end.Add(-5 * time.Minute).Format(time.RFC3339), "--yes"},
		} {
			if out := try(t, s.env, args...); out.code == exitDone || failed.Swap(0) == 0 {
				t.Errorf("%s: %v: exit code %d: %s", code.Message, args[0], out.code, out.stderr)
			}
			if open := s.openTransactions(); len(open) > 0 {
				t.Errorf("%s: after %v there are transactions open: %v", code.Message, args[0], open)
			}
		}
	}
}

// openTransactions are the partitions that have undecided records, and the transactional ids that have a transaction open.
func (s *station) openTransactions() (open []string) {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Addrs()...))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(s.t.Context())
	stable, notStable := admin.ListCommittedOffsets(s.t.Context())
	known, notKnown := admin.ListTransactions(s.t.Context(), nil, nil)
	if err = errors.Join(err, notStable, notKnown); err != nil {
		s.t.Fatal(err)
	}
	ends.Each(func(end kadm.ListedOffset) {
		if decided, ok := stable.Lookup(end.Topic, end.Partition); !ok || decided.Offset < end.Offset {
			open = append(open, end.Topic)
		}
	})
	for _, tx := range known.Sorted() {
		if tx.State == "Ongoing" {
			open = append(open, tx.TxnID)
		}
	}
	slices.Sort(open)
	return open
}
