package demo

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// follower reads the topics from their end, as a consumer would, and keeps the latest messages as lines.
type follower struct {
	reader *kgo.Client
	latest []string
}

const (
	kept      = 5
	nameWidth = 16
	textWidth = 60
)

func newFollower(brokers, topics []string) (*follower, error) {
	reader, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topics...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
		kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("follow the topics: %w", err)
	}
	return &follower{reader: reader}, nil
}

// message is what is kept of an event.
type message struct {
	Time         string `json:"time"`
	Conversation string `json:"conversation_id"`
	Type         string `json:"msg_type"`
	Text         string `json:"text"`
	From         struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"from"`
}

// collect takes the newest messages that have come in.
func (f *follower) collect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	records := f.reader.PollRecords(ctx, 10_000).Records()
	for _, r := range records[max(0, len(records)-kept):] {
		var m message
		if json.Unmarshal(r.Value, &m) != nil {
			continue // Only shown; the summary checks every one.
		}
		who, what := cmp.Or(m.From.Name, m.From.ID), cmp.Or(m.Text, "("+m.Type+")")
		at, _, _ := strings.Cut(strings.Replace(m.Time, "T", " ", 1), ".")
		f.latest = append(f.latest, fmt.Sprintf("  %s  %-9s %s: %s",
			at, strings.TrimPrefix(r.Topic, "jmessage."), oneLine(who, nameWidth), oneLine(what, textWidth)))
	}
	f.latest = f.latest[max(0, len(f.latest)-kept):]
}

// oneLine makes a text of strangers safe for a terminal and short.
func oneLine(text string, width int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError || 0x202a <= r && r <= 0x202e { // The last ones turn text around.
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > width {
		text = string(runes[:width]) + "…"
	}
	return text
}
