package demo

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/view"
)

// follower reads the topics from their end, as a consumer would, and keeps the messages that were sent last.
type follower struct {
	reader *kgo.Client
	mu     sync.Mutex // Guards latest.
	latest []view.Message
}

// kept is enough for a large screen.
const kept = 50

func newFollower(brokers, topics []string) (*follower, error) {
	reader, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topics...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
		kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("follow the topics: %w", err)
	}
	return &follower{reader: reader}, nil
}

// follow takes in what comes until ctx is done.
func (f *follower) follow(ctx context.Context) {
	defer f.reader.Close()
	for ctx.Err() == nil {
		f.reader.PollFetches(ctx).EachPartition(func(p kgo.FetchTopicPartition) {
			f.take(p.Records[max(0, len(p.Records)-kept):]) // A partition has its newest messages at its end.
		})
	}
}

// take keeps those of some messages that were sent last.
func (f *follower) take(records []*kgo.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range records {
		var m message
		if json.Unmarshal(r.Value, &m) != nil {
			continue // Only shown; the summary checks every one.
		}
		f.latest = append(f.latest, view.Message{
			Time: m.Time, Topic: r.Topic[strings.LastIndexByte(r.Topic, '.')+1:],
			From: cmp.Or(m.From.Name, m.From.ID), Text: cmp.Or(m.Text, "("+m.Type+")"),
		})
	}
	slices.SortStableFunc(f.latest, func(a, b view.Message) int { return b.Time.Compare(a.Time) })
	f.latest = f.latest[:min(len(f.latest), kept)]
}

// newest returns the messages that were sent last, the newest first.
func (f *follower) newest() []view.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.latest)
}

// message is what is kept of an event.
type message struct {
	Time time.Time `json:"time"`
	Type string    `json:"msg_type"`
	Text string    `json:"text"`
	From struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"from"`
}
