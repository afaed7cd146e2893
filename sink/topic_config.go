package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// configOf is the configuration of a topic that is made here.
func (t *Topics) configOf(name string) []kafkago.ConfigEntry {
	var entries []kafkago.ConfigEntry
	// Retention would take away what is never published again, because it does not change.
	if t.isStatistics(name) {
		entries = append(entries, kafkago.ConfigEntry{ConfigName: "cleanup.policy", ConfigValue: "compact"})
		return t.withInsync(entries)
	}
	add := func(key string, value int64) {
		entries = append(entries, kafkago.ConfigEntry{ConfigName: key, ConfigValue: strconv.FormatInt(value, 10)})
	}
	switch name {
	case t.routing.Own(pipeline.TopicCheckpoints):
		entries = append(entries, kafkago.ConfigEntry{ConfigName: "cleanup.policy", ConfigValue: "compact"})
		add("max.message.bytes", checkpointMaxBytes)
		add("segment.ms", time.Hour.Milliseconds()) // The segment that is written to is not compacted, and is read at each start.
	case t.routing.Own(pipeline.TopicCoverage):
		entries = append(entries, kafkago.ConfigEntry{ConfigName: "cleanup.policy", ConfigValue: "compact"})
		add("segment.ms", time.Hour.Milliseconds()) // As above: who wants to know a day's coverage reads what is not compacted.
	case t.routing.Own(pipeline.TopicRejected):
		add("max.message.bytes", rejectedMaxBytes)
		fallthrough
	default:
		if t.cfg.Retention > 0 {
			add("retention.ms", t.cfg.Retention.Milliseconds())
		}
	}
	return t.withInsync(entries)
}

// withInsync adds what is the same for every topic.
func (t *Topics) withInsync(entries []kafkago.ConfigEntry) []kafkago.ConfigEntry {
	if n := t.cfg.MinInsyncReplicas; n > 0 {
		entries = append(entries, kafkago.ConfigEntry{ConfigName: "min.insync.replicas", ConfigValue: strconv.Itoa(n)})
	}
	return entries
}

// readConfigs learns the limits of the topics. Where that is not allowed, the broker's defaults are assumed.
func (t *Topics) readConfigs(ctx context.Context, found layout) error {
	names := t.Names()
	resources := make([]kafkago.DescribeConfigRequestResource, 0, len(names))
	for _, name := range names {
		resources = append(resources, kafkago.DescribeConfigRequestResource{
			ResourceType: kafkago.ResourceTypeTopic, ResourceName: name,
			ConfigNames: []string{"max.message.bytes", "cleanup.policy", "retention.ms"},
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
			if err := t.applyConfig(r, found); err != nil {
				return err
			}
		}
		if len(hidden) > 0 {
			t.cfg.Warn("the right DescribeConfigs on topics is missing", slog.String("topics", strings.Join(hidden, ", ")),
				slog.String("hint", "grant it, or see that their max.message.bytes is not below Kafka's default, which is assumed"))
		}
		return nil
	})
}

func (t *Topics) applyConfig(r kafkago.DescribeConfigResponseResource, found layout) error {
	known := found[r.ResourceName]
	for _, entry := range r.ConfigEntries {
		switch entry.ConfigName {
		case "max.message.bytes":
			if n, err := strconv.Atoi(entry.ConfigValue); err == nil && n > 0 {
				known.maxBytes = n
			}
		case "retention.ms":
			if n, err := strconv.ParseInt(entry.ConfigValue, 10, 64); err == nil {
				known.retention = time.Duration(min(n, int64(1<<62/time.Millisecond))) * time.Millisecond
			}
		case "cleanup.policy":
			if err := t.checkCleanup(r.ResourceName, entry.ConfigValue); err != nil {
				return err
			}
		}
	}
	found[r.ResourceName] = known
	return nil
}

// checkCleanup refuses a topic that would lose what jmpub relies on.
func (t *Topics) checkCleanup(name, policy string) error {
	policies := strings.Split(policy, ",")
	isCheckpoints := name == t.routing.Own(pipeline.TopicCheckpoints)
	switch {
	case name == t.routing.Own(pipeline.TopicCoverage):
		if slices.Contains(policies, "delete") {
			t.cfg.Warn("the topic of the coverage deletes old records", slog.String("topic", name), slog.String("cleanup_policy", policy),
				slog.String("hint", "set cleanup.policy=compact: what was read of a day that is over is not published again"))
		}
	case isCheckpoints && slices.Contains(policies, "delete"):
		return &pipeline.Fault{
			Class: pipeline.Permanent, Op: "check the topic " + name,
			Err:  fmt.Errorf("its cleanup.policy is %s, so a checkpoint that is not renewed would be deleted", policy),
			Hint: "kafka-configs.sh --alter --topic " + name + " --add-config cleanup.policy=compact",
		}
	case t.isStatistics(name) && slices.Contains(policies, "delete"):
		t.cfg.Warn("a topic of statistics deletes old records", slog.String("topic", name), slog.String("cleanup_policy", policy),
			slog.String("hint", "set cleanup.policy=compact: statistics that do not change are not published again, so they disappear from it"))
	case t.isStatistics(name):
	case !isCheckpoints && slices.Contains(policies, "compact"):
		t.cfg.Warn("a topic that should keep every record is compacted", slog.String("topic", name), slog.String("cleanup_policy", policy),
			slog.String("hint", "set cleanup.policy=delete: records without a key cannot be written to a compacted topic, "+
				"and older events of the same msgid disappear from it"))
	}
	return nil
}

// CheckRetention refuses, for records that carry the messages' own time, to begin before what the event topics keep: Kafka would
// delete such records at once.
func (t *Topics) CheckRetention(by RecordTime, oldest time.Time) error {
	if by != TimeEvent {
		return nil
	}
	known := t.layout()
	for _, name := range t.routing.Events() {
		if keep := known[name].retention; keep > 0 && time.Since(oldest) > keep {
			return &pipeline.Fault{
				Class: pipeline.Permanent, Op: "check the retention of " + name,
				Err: fmt.Errorf("with JMPUB_RECORD_TIME=event, messages from %s on would be deleted at once: the topic keeps %s",
					pipeline.FormatTime(oldest), keep),
				Hint: "use JMPUB_RECORD_TIME=publish, begin later (JMPUB_START, or --from or --to of the command), or let the topic keep more: " +
					"kafka-configs.sh --alter --topic " + name + " --add-config retention.ms=" +
					strconv.FormatInt((time.Since(oldest)+24*time.Hour).Milliseconds(), 10),
			}
		}
	}
	return nil
}
