package main

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strconv"
	"time"

	kafkago "github.com/segmentio/kafka-go"
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
	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
}

// unreadable is the rule that an event breaks that is none.
const unreadable = "unreadable"

// batch is how many events are looked at between two commits: the most that are looked at twice after a crash, for each
// member of the group.
const batch = 500

// workTimeout bounds the work on a batch; a Kafka that cannot be reached for longer ends the member.
const workTimeout = 30 * time.Second

// moderator looks at events and publishes flags.
type moderator struct {
	rules []rule
	flags *kafkago.Writer
	log   *slog.Logger
}

// newFlags is how flags are published to a topic.
func newFlags(client *kafkago.Client, topic string) *kafkago.Writer {
	return &kafkago.Writer{
		Addr: client.Addr, Transport: client.Transport, Topic: topic,
		RequiredAcks: kafkago.RequireAll, BatchSize: batch, BatchTimeout: 5 * time.Millisecond,
		Balancer: kafkago.BalancerFunc(byConversation),
	}
}

// byConversation keeps the flags of a conversation in order too.
func byConversation(m kafkago.Message, partitions ...int) int {
	h := fnv.New32a()
	for _, header := range m.Headers {
		if header.Key == "ce_subject" {
			h.Write(header.Value)
		}
	}
	return partitions[h.Sum32()%uint32(len(partitions))] //nolint:gosec // A topic has at least one partition, and not that many.
}

// work publishes the flags of some events.
func (m *moderator) work(ctx context.Context, events []kafkago.Message) error {
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	var flags []kafkago.Message
	for i := range events {
		flag, broken, err := m.look(&events[i])
		if err != nil {
			return err
		}
		if broken {
			flags = append(flags, flag)
		}
	}
	if len(flags) == 0 {
		return nil
	}
	if err := m.flags.WriteMessages(ctx, flags...); err != nil {
		return fmt.Errorf("publish flags to %s: %w", m.flags.Topic, err)
	}
	m.log.InfoContext(ctx, "looked at", slog.Int("events", len(events)), slog.Int("flags", len(flags)))
	return nil
}

// look makes the flag of an event, if it breaks a rule.
func (m *moderator) look(event *kafkago.Message) (flag kafkago.Message, broken bool, err error) {
	f := finding{Topic: event.Topic, Partition: event.Partition, Offset: event.Offset}
	var msg message
	if f.MsgID, err = strconv.ParseInt(string(event.Key), 10, 64); err == nil {
		err = json.Unmarshal(event.Value, &msg)
	}
	if err != nil {
		f.Rules = []string{unreadable} // It is not passed over, and does not hold up the others.
	} else {
		f.ConversationID, f.From, f.Rules = msg.ConversationID, msg.From.ID, flagged(m.rules, &msg)
	}
	if len(f.Rules) == 0 {
		return flag, false, nil
	}
	value, err := json.Marshal(f)
	if err != nil {
		return flag, false, fmt.Errorf("write the flag of %s/%d at offset %d: %w", event.Topic, event.Partition, event.Offset, err)
	}
	return kafkago.Message{Key: event.Key, Value: value, Headers: event.Headers}, true, nil
}
