package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

const (
	// fetchWait is how long a broker waits for something to come, in milliseconds; fetchBytes is how much it sends of a
	// partition at a time.
	fetchWait  = 500
	fetchBytes = 1 << 20
	// pause is between an error that goes by and the next try.
	pause = time.Second
)

// member is a member of a consumer group that reads committed events.
type member struct {
	client *kafkago.Client
	group  kafkago.ConsumerGroupConfig
	// work works on events of one partition, in order. They are committed when it returns nil; its error ends the member.
	work func(ctx context.Context, events []kafkago.Message) error
	log  *slog.Logger

	// mu lets one batch be in work at a time, so that after a crash no more than one is looked at again.
	mu sync.Mutex
}

// run works until the context is done, and then leaves the group with all of its work committed.
func (m *member) run(ctx context.Context) error {
	group, err := kafkago.NewConsumerGroup(m.group)
	if err != nil {
		return fmt.Errorf("set up the consumer group: %w", err)
	}
	defer group.Close() //nolint:errcheck // It always returns nil. It leaves the group, so that the others take over at once.
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	for {
		generation, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
				return cause
			}
			return nil
		case err != nil: // The group tries again by itself.
			m.log.WarnContext(ctx, "cannot join the group yet", slog.Any("error", err))
			continue
		}
		for topic, partitions := range generation.Assignments {
			for _, partition := range partitions {
				s := &share{member: m, generation: generation, topic: topic, partition: partition.ID, next: partition.Offset}
				// When partitions are given to other members, the group waits until this has returned: so the events of a
				// conversation are looked at by one member at a time.
				generation.Start(func(ended context.Context) {
					if err := s.run(ended); err != nil {
						fail(err)
					}
				})
			}
		}
	}
}

// share is a partition that a member reads until the group shares them out anew.
type share struct {
	*member

	generation *kafkago.Generation
	topic      string
	partition  int
	// next is the offset to read from; kafkago.FirstOffset where nothing was committed yet.
	next int64
}

// run reads until the context is done. Its error ends the member.
func (s *share) run(ctx context.Context) error {
	for ctx.Err() == nil {
		page, err := s.fetch(ctx)
		var events []kafkago.Message
		next := s.next
		if err == nil {
			events, next, err = committed(s.topic, page, s.next)
		}
		var refused kafkago.Error
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // The partitions are shared out anew; what was read is read again.
		case errors.Is(err, kafkago.OffsetOutOfRange):
			return fmt.Errorf("read %s/%d: events were deleted before they were looked at: set the group's offsets (%w)",
				s.topic, s.partition, err)
		case errors.As(err, &refused) && !refused.Temporary():
			return fmt.Errorf("read %s/%d at offset %d: %w", s.topic, s.partition, s.next, err)
		case err != nil:
			s.log.WarnContext(ctx, "cannot read", slog.String("topic", s.topic), slog.Int("partition", s.partition), slog.Any("error", err))
			wait(ctx, pause)
			continue
		}
		if proceed, err := s.batches(ctx, events, next); err != nil || !proceed {
			return err
		}
	}
	return nil
}

// batches works on events and commits up to next. Where a commit is refused, the partition may be another member's by now,
// so it is read no further; whoever is given it next goes on from the last commit.
func (s *share) batches(ctx context.Context, events []kafkago.Message, next int64) (proceed bool, err error) {
	for len(events) > 0 && ctx.Err() == nil {
		n := min(batch, len(events))
		upTo := next
		if n < len(events) {
			upTo = events[n].Offset
		}
		// What has been begun is brought to its end whatever happens meanwhile; it takes a moment.
		if proceed, err := s.batch(context.WithoutCancel(ctx), events[:n], upTo); err != nil || !proceed {
			return false, err
		}
		events = events[n:]
	}
	s.next = next
	return ctx.Err() == nil, nil
}

func (s *share) batch(ctx context.Context, events []kafkago.Message, next int64) (proceed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err = s.work(ctx, events); err != nil {
		return false, err
	}
	err = s.generation.CommitOffsets(map[string]map[int]int64{s.topic: {s.partition: next}})
	if err != nil {
		s.log.WarnContext(ctx, "cannot commit: these events will be looked at again", slog.String("topic", s.topic),
			slog.Int("partition", s.partition), slog.Int("events", len(events)), slog.Any("error", err))
	}
	return err == nil, nil
}

// fetch reads once. It goes below kafka-go's Client.Fetch, whose reply lacks the list of aborted transactions.
func (s *share) fetch(ctx context.Context) (*fetch.ResponsePartition, error) {
	if s.next == kafkago.FirstOffset {
		if err := s.first(ctx); err != nil {
			return nil, err
		}
	}
	reply, err := s.client.Transport.RoundTrip(ctx, s.client.Addr, &fetch.Request{
		ReplicaID: -1, MaxWaitTime: fetchWait, MinBytes: 1, MaxBytes: fetchBytes,
		IsolationLevel: int8(kafkago.ReadCommitted), SessionEpoch: -1,
		Topics: []fetch.RequestTopic{{Topic: s.topic, Partitions: []fetch.RequestPartition{{
			Partition: int32(s.partition), CurrentLeaderEpoch: -1, FetchOffset: s.next, LogStartOffset: -1, //nolint:gosec // A partition's number.
			PartitionMaxBytes: fetchBytes,
		}}}},
	})
	if err != nil {
		return nil, err
	}
	page, ok := reply.(*fetch.Response)
	if !ok || len(page.Topics) != 1 || len(page.Topics[0].Partitions) != 1 {
		return nil, kafkago.UnknownTopicOrPartition
	}
	found := &page.Topics[0].Partitions[0]
	if code := cmp.Or(page.ErrorCode, found.ErrorCode); code != 0 {
		return nil, kafkago.Error(code)
	}
	return found, nil
}

// first finds the partition's beginning.
func (s *share) first(ctx context.Context) error {
	reply, err := s.client.ListOffsets(ctx, &kafkago.ListOffsetsRequest{
		Topics: map[string][]kafkago.OffsetRequest{s.topic: {kafkago.FirstOffsetOf(s.partition)}},
	})
	if err != nil {
		return err
	}
	found := reply.Topics[s.topic]
	if len(found) != 1 {
		return kafkago.UnknownTopicOrPartition
	}
	if found[0].Error != nil {
		return found[0].Error
	}
	s.next = found[0].FirstOffset
	return nil
}

// wait lets time pass, unless the context ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
