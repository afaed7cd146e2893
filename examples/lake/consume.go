package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// bufferRows is how many rows are held in memory at most.
	bufferRows = 50_000
	// pollRows is how many records are taken at a time.
	pollRows = 10_000
)

// consumer reads jmpub's topics from where the lake stands.
type consumer struct {
	lake *lake
	// every is the time between two commits.
	every time.Duration
	// once ends reading at what is the topics' end at the start.
	once bool
}

// run reads until the context is done, or with once until the end; what was taken by then is committed.
func (c *consumer) run(ctx context.Context, brokers []string) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.ClientID("jmpub-lake"),
		// Events of a transaction that was aborted are none. The markers at the ends of transactions are wanted, so that
		// the offset comes to the end of the topic.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		// To go on elsewhere would be to lose events in silence.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", strings.Join(brokers, ","), err)
	}
	defer client.Close()
	ends, err := c.assign(ctx, client)
	if err != nil {
		return err
	}
	next := time.Now().Add(c.every)
	for {
		done := c.once && c.lake.state.Offsets.reached(ends) && c.lake.state.Offsets.reached(c.lake.state.Need)
		if done || ctx.Err() != nil || c.lake.count >= bufferRows || !time.Now().Before(next) {
			if err := c.lake.commit(); err != nil {
				return err
			}
			next = time.Now().Add(c.every)
		}
		if done || ctx.Err() != nil {
			return nil
		}
		if err := c.poll(ctx, client, next); err != nil {
			return err
		}
	}
}

// poll takes in what is there, and waits for something until then.
func (c *consumer) poll(ctx context.Context, client *kgo.Client, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	fetches := client.PollRecords(ctx, pollRows)
	for _, e := range fetches.Errors() {
		if errors.Is(e.Err, context.DeadlineExceeded) || errors.Is(e.Err, context.Canceled) {
			continue
		}
		return fmt.Errorf("read %s/%d: %w (if the offset is out of range, events were deleted before they were read: "+
			"begin a new lake in another folder)", e.Topic, e.Partition, e.Err)
	}
	for _, record := range fetches.Records() {
		if err := c.lake.take(record); err != nil {
			return err
		}
	}
	return nil
}

// assign has the client read all partitions, each from where the lake stands, and returns where they end now.
func (c *consumer) assign(ctx context.Context, client *kgo.Client) (offsets, error) {
	var topics []string
	for _, name := range append([]string{topicCoverage, topicNotices}, targets...) {
		topics = append(topics, c.lake.prefix+"."+name)
	}
	admin := kadm.NewClient(client)
	starts, err := listed(admin.ListStartOffsets(ctx, topics...))
	if err != nil {
		return nil, fmt.Errorf("look up the topics' beginnings: %w", err)
	}
	ends, err := listed(admin.ListCommittedOffsets(ctx, topics...))
	if err != nil {
		return nil, fmt.Errorf("look up the topics' ends: %w", err)
	}
	from := make(map[string]map[int32]kgo.Offset)
	for topic, partitions := range starts {
		from[topic] = make(map[int32]kgo.Offset)
		for partition, start := range partitions {
			at, known := c.lake.state.Offsets[topic][partition]
			if !known {
				at = start
				c.lake.state.Offsets.raise(topic, partition, start)
			}
			from[topic][partition] = kgo.NewOffset().At(at)
		}
	}
	client.AddConsumePartitions(from)
	return ends, nil
}

func listed(list kadm.ListedOffsets, err error) (offsets, error) {
	if err == nil {
		err = list.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("%w (jmpub makes its topics when it is started for the first time)", err)
	}
	all := make(offsets)
	list.Each(func(o kadm.ListedOffset) { all.raise(o.Topic, o.Partition, o.Offset) })
	return all, nil
}
