package sink_test

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/sink"
)

// configured adds settings to those that a broker tells of each topic.
type configured struct {
	next    kafkago.RoundTripper
	entries map[string]string
}

// RoundTrip implements kafkago.RoundTripper.
func (c *configured) RoundTrip(ctx context.Context, addr net.Addr, req kafkago.Request) (kafkago.Response, error) {
	res, err := c.next.RoundTrip(ctx, addr, req)
	if told, ok := res.(*describeconfigs.Response); ok {
		for i := range told.Resources {
			for name, value := range c.entries {
				told.Resources[i].ConfigEntries = append(told.Resources[i].ConfigEntries,
					describeconfigs.ResponseConfigEntry{ConfigName: name, ConfigValue: value})
			}
		}
	}
	return res, err
}

// TestRecordTimesThatTheTopicTakes publishes messages whose clocks are off under each kind of limit that brokers have: the records of
// those that the broker would refuse have the time of publishing, all others their own, and each topic is told of once.
func TestRecordTimesThatTheTopicTakes(t *testing.T) {
	const hour, week, day = "3600000", "604800000", "86400000"
	clocks := []time.Duration{
		0, 40 * time.Minute, 59 * time.Minute, 61 * time.Minute, 20 * time.Hour, 25 * time.Hour, 1000 * time.Hour,
		-20 * time.Hour, -25 * time.Hour, -6 * 24 * time.Hour, -1000 * time.Hour,
	}
	for _, tc := range []struct {
		name        string
		limits      map[string]string
		oldest, end time.Duration
	}{
		{"4.x", map[string]string{"message.timestamp.after.max.ms": hour, "message.timestamp.before.max.ms": "9223372036854775807"}, -2000 * time.Hour, 54 * time.Minute},
		{"both bounds", map[string]string{"message.timestamp.after.max.ms": day, "message.timestamp.before.max.ms": week}, -7 * 22 * time.Hour, 22 * time.Hour},
		{"the older setting", map[string]string{"message.timestamp.difference.max.ms": day}, -22 * time.Hour, 22 * time.Hour},
		{"none", nil, -2000 * time.Hour, 2000 * time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			b.cfg.RecordTime = sink.TimeEvent
			b.topics.Client = &kafkago.Client{
				Addr: b.conn.Addr, Timeout: b.conn.Timeout, Transport: &configured{next: b.conn.Transport, entries: tc.limits},
			}
			var told []string
			b.topics.Warn = func(_ string, attrs ...slog.Attr) { told = append(told, attrs[0].Value.String()) }
			now := time.Now()
			batch := events(0, 4*len(clocks)) // Each clock in each topic.
			for i := range batch.Events {
				batch.Events[i].ServerTime = now.Add(clocks[i/4]).UnixMilli()
			}
			s := b.open(t)
			commit(t, s, batch, batch)
			var refused []string
			for _, r := range b.read(t, eventTopics()...) {
				msgid := keysOf([]*kgo.Record{r})[0]
				d := clocks[msgid/4]
				takes := d >= tc.oldest && d <= tc.end
				if own := r.Timestamp.UnixMilli() == now.Add(d).UnixMilli(); own != takes && d != 0 {
					t.Errorf("a clock that is off by %v: the record's time is off by %v", d, r.Timestamp.Sub(now))
				}
				if !takes {
					refused = append(refused, r.Topic)
				}
				if published := r.Timestamp.Sub(now); !takes && (published < -time.Second || published > time.Minute) {
					t.Errorf("a clock that is off by %v: the record is %v off", d, published)
				}
			}
			slices.Sort(refused)
			slices.Sort(told)
			if want := slices.Compact(refused); !slices.Equal(told, want) {
				t.Errorf("told of %v, want %v", told, want)
			}
		})
	}
}
