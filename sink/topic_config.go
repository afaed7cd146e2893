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
func (t *Topics) readConfigs(ctx context.Context, found layout) error {
	names := t.Names()
	resources := make([]kafkago.DescribeConfigRequestResource, 0, len(names))
	for _, name := range names {
		resources = append(resources, kafkago.DescribeConfigRequestResource{
			ResourceType: kafkago.ResourceTypeTopic, ResourceName: name,
			ConfigNames: []string{
				"max.message.bytes", "cleanup.policy", "retention.ms",
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
	known.after = longest // A broker without the setting has no bound.
	for _, entry := range r.ConfigEntries {
		switch entry.ConfigName {
		case "max.message.bytes":
			if n, err := strconv.Atoi(entry.ConfigValue); err == nil && n > 0 {
				known.maxBytes = n
			}
		case "cleanup.policy":
			if err := t.checkCleanup(r.ResourceName, entry.ConfigValue); err != nil {
				return err
			}
		default:
			if n, err := strconv.ParseInt(entry.ConfigValue, 10, 64); err == nil {
				known.setTime(entry.ConfigName, time.Duration(min(n, int64(longest/time.Millisecond)))*time.Millisecond)
			}
		}
	}
	found[r.ResourceName] = known
	return nil
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

// checkCleanup refuses a topic that would lose what jmpub relies on, and warns of others that lose something.
func (t *Topics) checkCleanup(name, policy string) error {
	policies := strings.Split(policy, ",")
	deletes, compacts := slices.Contains(policies, "delete"), slices.Contains(policies, "compact")
	var warning, hint string
	switch {
	case t.isCompacted(name) && !deletes, !t.isCompacted(name) && !compacts:
		return nil
	case name == t.routing.Own(pipeline.TopicCheckpoints):
		return &pipeline.Fault{
			Class: pipeline.Permanent, Op: "check the topic " + name,
			Err:  fmt.Errorf("its cleanup.policy is %s, so a checkpoint that is not renewed would be deleted", policy),
			Hint: "kafka-configs.sh --alter --topic " + name + " --add-config cleanup.policy=compact",
		}
	case name == t.routing.Own(pipeline.TopicCoverage):
		warning = "the topic of the coverage deletes old records"
		hint = "set cleanup.policy=compact: what was read of a day that is over is not published again"
	case t.isStatistics(name):
		warning = "a topic of statistics deletes old records"
		hint = "set cleanup.policy=compact: statistics that do not change are not published again, so they disappear from it"
	default:
		warning = "a topic that should keep every record is compacted"
		hint = "set cleanup.policy=delete: records without a key cannot be written to a compacted topic, " +
			"and older events of the same msgid disappear from it"
	}
	t.cfg.Warn(warning, slog.String("topic", name), slog.String("cleanup_policy", policy), slog.String("hint", hint))
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
