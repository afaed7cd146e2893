package main

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// finding is what is published of a message that breaks rules. It depends on nothing but the message and the rules, so that
// a message that is looked at twice gives the same flag twice; whoever reads flags keeps one for each msgid, which is the key.
type finding struct {
	MsgID          int64    `json:"msgid"`
	ConversationID string   `json:"conversation_id"`
	From           string   `json:"from"`
	Rules          []string `json:"rules"`
	// Topic, Partition and Offset are where the event stands.
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// unreadable is the rule that an event breaks that is none.
const unreadable = "unreadable"

// batch is how many events are looked at between two commits: the most that are looked at twice after a crash, for each
// member of the group.
const batch = 500

// moderator is a member of a consumer group.
type moderator struct {
	rules []rule
	// flags is the topic that flags go to.
	flags string
	log   *slog.Logger
}

// group is how a member reads. franz-go leaves out the events of aborted transactions; kafka-go's Reader does not.
func group(brokers []string, name string, session time.Duration, topics ...string) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(brokers...), kgo.ClientID("moderation"),
		kgo.ConsumerGroup(name), kgo.ConsumeTopics(topics...), kgo.SessionTimeout(session), kgo.HeartbeatInterval(session / 5),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Offsets are committed after the work. Until then no other member is given the partitions, so that the events of a
		// conversation are looked at by one member at a time.
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(byConversation)),
	}
}

// byConversation keeps the flags of a conversation in order too.
func byConversation(string) func(r *kgo.Record, n int) int {
	return func(r *kgo.Record, n int) int {
		h := fnv.New32a()
		for _, header := range r.Headers {
			if header.Key == "ce_subject" {
				h.Write(header.Value)
			}
		}
		return int(h.Sum32() % uint32(n)) //nolint:gosec // A topic has at least one partition, and not that many.
	}
}

// run looks at events until the context is done, and then leaves the group with all of its work committed.
func (m *moderator) run(ctx context.Context, opts []kgo.Opt) error {
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("connect to Kafka: %w", err)
	}
	// It leaves the group, so that the others take over at once.
	defer client.CloseAllowingRebalance()
	for {
		fetches := client.PollRecords(ctx, batch)
		if ctx.Err() != nil {
			return nil
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("read %s/%d: %w", e.Topic, e.Partition, e.Err)
		}
		// What has been read is worked off whatever happens meanwhile; it takes a moment.
		if err := m.work(context.WithoutCancel(ctx), client, fetches.Records()); err != nil {
			return err
		}
		client.AllowRebalance()
	}
}

// workTimeout bounds the work on a batch; a Kafka that cannot be reached for longer ends the member.
const workTimeout = 30 * time.Second

// work publishes the flags of a batch, and then commits its offsets.
func (m *moderator) work(ctx context.Context, client *kgo.Client, events []*kgo.Record) error {
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	var flags []*kgo.Record
	for _, event := range events {
		record, err := m.look(event)
		if err != nil {
			return err
		}
		if record != nil {
			flags = append(flags, record)
		}
	}
	if err := client.ProduceSync(ctx, flags...).FirstErr(); err != nil {
		return fmt.Errorf("publish flags to %s: %w", m.flags, err)
	}
	if err := client.CommitRecords(ctx, events...); err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	if len(flags) > 0 {
		m.log.InfoContext(ctx, "looked at", slog.Int("events", len(events)), slog.Int("flags", len(flags)))
	}
	return nil
}

// look returns the flag of an event, nil where there is none.
func (m *moderator) look(event *kgo.Record) (*kgo.Record, error) {
	f := finding{Topic: event.Topic, Partition: event.Partition, Offset: event.Offset}
	var msg message
	var err error
	if f.MsgID, err = strconv.ParseInt(string(event.Key), 10, 64); err == nil {
		err = json.Unmarshal(event.Value, &msg)
	}
	if err != nil {
		f.Rules = []string{unreadable} // It is not passed over, and does not hold up the others.
	} else {
		f.ConversationID, f.From, f.Rules = msg.ConversationID, msg.From.ID, flagged(m.rules, &msg)
	}
	if len(f.Rules) == 0 {
		return nil, nil
	}
	value, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("write the flag of %s/%d at offset %d: %w", event.Topic, event.Partition, event.Offset, err)
	}
	return &kgo.Record{Topic: m.flags, Key: event.Key, Value: value, Headers: event.Headers}, nil
}
