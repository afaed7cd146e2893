package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unique"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// configOf is the configuration of a topic that is made here.
func (t *Topics) configOf(name string) []kafkago.ConfigEntry {
	var entries []kafkago.ConfigEntry
	add := func(key string, value any) {
		entries = append(entries, kafkago.ConfigEntry{ConfigName: key, ConfigValue: fmt.Sprint(value)})
	}
	if t.isCompacted(name) { // Retention would take away what is never published again, because it does not change.
		add("cleanup.policy", "compact")
	}
	switch name {
	case t.routing.Own(pipeline.TopicCheckpoints):
		add("max.message.bytes", checkpointMaxBytes)
		add("segment.ms", time.Hour.Milliseconds()) // The segment that is written to is not compacted, and is read at each start.
	case t.routing.Own(pipeline.TopicCoverage):
		add("segment.ms", time.Hour.Milliseconds()) // As above: who wants to know a day's coverage reads what is not compacted.
	case t.routing.Own(pipeline.TopicRejected):
		add("max.message.bytes", rejectedMaxBytes)
	case t.routing.Own(pipeline.TopicProcesses):
		// The newest state of each process, and of one that died for a day. Who wants to know it reads what is not compacted, and so not the
		// segment that is written to: that is small, whatever thousands of apps say.
		add("cleanup.policy", "compact,delete")
		add("retention.ms", (24 * time.Hour).Milliseconds())
		add("segment.ms", time.Hour.Milliseconds())
		add("segment.bytes", processesSegment)
	}
	if t.cfg.Retention > 0 && !t.isCompacted(name) && name != t.routing.Own(pipeline.TopicProcesses) {
		add("retention.ms", t.cfg.Retention.Milliseconds())
	}
	if t.cfg.MinInsyncReplicas > 0 {
		add("min.insync.replicas", t.cfg.MinInsyncReplicas)
	}
	return entries
}

// isCompacted tells whether a topic keeps the newest record of each key for ever, instead of every record for a time.
func (t *Topics) isCompacted(name string) bool {
	return name == t.routing.Own(pipeline.TopicCheckpoints) || name == t.routing.Own(pipeline.TopicCoverage) || t.isStatistics(name)
}

// readConfigs learns the limits of the topics. Where that is not allowed, the broker's defaults are assumed.
func (t *Topics) readConfigs(ctx context.Context, names []string, found layout) error {
	resources := make([]kafkago.DescribeConfigRequestResource, 0, len(names))
	for _, name := range names {
		resources = append(resources, kafkago.DescribeConfigRequestResource{
			ResourceType: kafkago.ResourceTypeTopic, ResourceName: name,
			ConfigNames: []string{
				"max.message.bytes", "cleanup.policy", "retention.ms", "min.insync.replicas", "message.timestamp.type",
				// The last one stands for both of the others in releases before 4.0.
				"message.timestamp.before.max.ms", "message.timestamp.after.max.ms", "message.timestamp.difference.max.ms",
			},
		})
	}
	const op = "read the topics' configuration"
	return t.cfg.Retry.Do(ctx, op, func(ctx context.Context) error {
		res, err := t.cfg.Client.DescribeConfigs(ctx, &kafkago.DescribeConfigsRequest{Resources: resources})
		if err != nil {
			return kafka.Fault(op, err)
		}
		var hidden []string
		for _, r := range res.Resources {
			if errors.Is(r.Error, kafkago.TopicAuthorizationFailed) {
				hidden = append(hidden, r.ResourceName)
				continue
			}
			if r.Error != nil {
				return kafka.Fault("read the configuration of "+r.ResourceName, r.Error)
			}
			applyConfig(r, found)
		}
		if len(hidden) > 0 {
			t.cfg.Warn("the right DescribeConfigs on topics is missing", slog.String("topics", strings.Join(hidden, ", ")),
				slog.String("hint", "grant it, or see that their max.message.bytes is not below Kafka's default, which is assumed"))
		}
		return nil
	})
}

func applyConfig(r kafkago.DescribeConfigResponseResource, found layout) {
	known := found.of(r.ResourceName)
	known.configured, known.after = true, longest // A broker without the setting has no bound.
	for _, entry := range r.ConfigEntries {
		switch entry.ConfigName {
		case "max.message.bytes":
			if n, err := strconv.Atoi(entry.ConfigValue); err == nil && n > 0 {
				known.maxBytes = n
			}
		case "cleanup.policy":
			known.cleanup = entry.ConfigValue
		case "message.timestamp.type":
			known.timestamps = entry.ConfigValue
		case "min.insync.replicas":
			if n, err := strconv.Atoi(entry.ConfigValue); err == nil {
				known.minInsync = n
			}
		default:
			if n, err := strconv.ParseInt(entry.ConfigValue, 10, 64); err == nil {
				known.setTime(entry.ConfigName, time.Duration(min(n, int64(longest/time.Millisecond)))*time.Millisecond)
			}
		}
	}
	found[r.ResourceName] = unique.Make(known)
}

// setTime takes in a setting that is a time.
func (t *topic) setTime(name string, d time.Duration) {
	switch name {
	case "retention.ms":
		t.retention = d
	case "message.timestamp.before.max.ms":
		t.before = min(t.before, d)
	case "message.timestamp.after.max.ms":
		t.after = min(t.after, d)
	case "message.timestamp.difference.max.ms":
		t.before, t.after = min(t.before, d), min(t.after, d)
	}
}

// takes tells whether a record may have a time. A tenth of each bound is left to clocks that differ, and to the time that passes
// until the record is written.
func (t *topic) takes(at, now time.Time) bool {
	const share = 10
	d := at.Sub(now)
	return d <= t.after-t.after/share && -d <= t.before-t.before/share
}
