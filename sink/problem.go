package sink

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// Problem is what is wrong with a topic that is there.
type Problem struct {
	// Refused, where set, is why nothing is published to the topic: the error with which a run ends. The rest is not set then.
	Refused error
	// Stops is set where nothing can be written to the topic for as long as it is so. A run waits.
	Stops bool
	// Message is constant, Attrs are what it is about, and Hint is what to do.
	Message string
	Attrs   []slog.Attr
	Hint    string
}

// judge finds what is wrong with a topic that is written to.
func (t *Topics) judge(name string, known *topic) []Problem {
	var found []Problem
	if p, bad := t.judgeCleanup(name, known.cleanup); bad {
		found = append(found, p)
	}
	switch {
	case known.leaderless > 0:
		found = append(found, Problem{
			Stops: true, Message: "partitions of a topic have no leader",
			Attrs: []slog.Attr{slog.Int("partitions", known.leaderless)},
			Hint:  "start the brokers that have them: kafka-topics.sh --describe --topic " + name,
		})
	case known.minInsync > known.replication:
		found = append(found, Problem{
			Stops: true, Message: "a topic wants more replicas in sync than it has, so that nothing can be written to it",
			Attrs: []slog.Attr{slog.Int("min_insync_replicas", known.minInsync), slog.Int("replication", known.replication)},
			Hint:  alter(name, "min.insync.replicas", int64(known.replication)) + ", or give it more replicas by kafka-reassign-partitions.sh",
		})
	case known.minInsync > known.insync:
		found = append(found, Problem{
			Stops: true, Message: "fewer replicas of a topic are in sync than it wants, so that nothing can be written to it",
			Attrs: []slog.Attr{slog.Int("min_insync_replicas", known.minInsync), slog.Int("in_sync", known.insync)},
			Hint:  "start the brokers that are down, or wait until they have caught up",
		})
	}
	if least := t.leastBytes(name); known.configured && known.maxBytes < least {
		found = append(found, Problem{
			Message: "a topic takes smaller records than jmpub makes topics for",
			Attrs:   []slog.Attr{slog.Int("max_message_bytes", known.maxBytes), slog.Int("want", least)},
			Hint:    t.smallHint(name) + ": " + alter(name, "max.message.bytes", int64(least)),
		})
	}
	return found
}

// leastBytes is the max.message.bytes of a topic that jmpub makes.
func (t *Topics) leastBytes(name string) int {
	for _, entry := range t.configOf(name) {
		if n, err := strconv.Atoi(entry.ConfigValue); err == nil && entry.ConfigName == "max.message.bytes" {
			return n
		}
	}
	return defaultMaxBytes
}

// smallHint is what comes of a topic that takes small records alone.
func (t *Topics) smallHint(name string) string {
	switch name {
	case t.routing.Own(pipeline.TopicCheckpoints):
		return "a checkpoint holds the ids near its end, and one of a dense second would end the run"
	case t.routing.Own(pipeline.TopicRejected):
		return "larger rows are cut"
	default:
		return "events that are larger become rejected rows"
	}
}

// alter is the command that changes a topic's configuration.
func alter(name, key string, value int64) string {
	return "kafka-configs.sh --alter --topic " + name + " --add-config " + key + "=" + strconv.FormatInt(value, 10)
}

// judgeCleanup refuses a topic that would lose what jmpub relies on, and warns of others that lose something.
func (t *Topics) judgeCleanup(name, policy string) (found Problem, bad bool) {
	if policy == "" { // It is not known.
		return Problem{}, false
	}
	policies := strings.Split(policy, ",")
	deletes, compacts := slices.Contains(policies, "delete"), slices.Contains(policies, "compact")
	found.Attrs = []slog.Attr{slog.String("cleanup_policy", policy)}
	switch {
	case t.isCompacted(name) && !deletes, !t.isCompacted(name) && !compacts:
		return Problem{}, false
	case name == t.routing.Own(pipeline.TopicCheckpoints):
		return Problem{Refused: &pipeline.Fault{
			Class: pipeline.Permanent, Op: "check the topic " + name,
			Err:  fmt.Errorf("its cleanup.policy is %s, so a checkpoint that is not renewed would be deleted", policy),
			Hint: "kafka-configs.sh --alter --topic " + name + " --add-config cleanup.policy=compact",
		}}, true
	case name == t.routing.Own(pipeline.TopicCoverage):
		found.Message = "the topic of the coverage deletes old records"
		found.Hint = "set cleanup.policy=compact: what was read of a day that is over is not published again"
	case t.isStatistics(name):
		found.Message = "a topic of statistics deletes old records"
		found.Hint = "set cleanup.policy=compact: statistics that do not change are not published again, so they disappear from it"
	default:
		found.Message = "a topic that should keep every record is compacted"
		found.Hint = "set cleanup.policy=delete: records without a key cannot be written to a compacted topic, " +
			"and older events of the same msgid disappear from it"
	}
	return found, true
}

// CheckRetention refuses, for records that carry the messages' own time, to begin before what the event topics keep: Kafka would
// delete such records at once.
func (t *Topics) CheckRetention(by RecordTime, oldest time.Time) error {
	if by != TimeEvent {
		return nil
	}
	known := t.layout()
	for _, name := range t.routing.Events() {
		if err := checkRetention(name, known.of(name).retention, oldest); err != nil {
			return err
		}
	}
	return nil
}

func checkRetention(name string, keep time.Duration, oldest time.Time) error {
	if keep <= 0 || time.Since(oldest) <= keep {
		return nil
	}
	return &pipeline.Fault{
		Class: pipeline.Permanent, Op: "check the retention of " + name,
		Err: fmt.Errorf("with JMPUB_RECORD_TIME=event, messages from %s on would be deleted at once: the topic keeps %s",
			pipeline.FormatTime(oldest), keep),
		Hint: "use JMPUB_RECORD_TIME=publish, begin later (JMPUB_START, or --from or --to of the command), or let the topic keep more: " +
			alter(name, "retention.ms", (time.Since(oldest)+24*time.Hour).Milliseconds()),
	}
}

// TopicState is what was found of a topic.
type TopicState struct {
	Name string
	// Missing is set where there is none; the rest, but for Problems, is what it is made with then, as far as jmpub decides that.
	Missing                            bool
	Partitions, Replication, MinInsync int
	// Configured is set where what follows is known.
	Configured bool
	MaxBytes   int
	// Retention is negative where it has no end.
	Retention time.Duration
	Cleanup   string
	Problems  []Problem
}

// Inspect looks at all topics that are written to, for records that have the times that by says, the oldest from a time on. It makes none, and
// what [Topics.Ensure] has learned stays as it is.
func (t *Topics) Inspect(ctx context.Context, by RecordTime, oldest time.Time) ([]TopicState, error) {
	found := make(layout)
	names := t.Names()
	missing, err := t.lookUp(ctx, names, found)
	if err != nil {
		return nil, err
	}
	present := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(missing, name) })
	if len(present) > 0 {
		if err = t.readConfigs(ctx, present, found); err != nil {
			return nil, err
		}
	}
	all := make([]TopicState, 0, len(names))
	for _, name := range names {
		if handle, there := found[name]; there {
			known := handle.Value()
			all = append(all, t.state(name, &known, by, oldest))
			continue
		}
		all = append(all, TopicState{Name: name, Missing: true, Partitions: t.partitionsOf(name), Replication: t.cfg.Replication})
	}
	return all, nil
}

func (t *Topics) state(name string, known *topic, by RecordTime, oldest time.Time) TopicState {
	s := TopicState{
		Name: name, Partitions: known.partitions, Replication: known.replication, MinInsync: known.minInsync, Configured: known.configured,
		MaxBytes: known.maxBytes, Retention: known.retention, Cleanup: known.cleanup, Problems: t.judge(name, known),
	}
	if by != TimeEvent || !slices.Contains(t.routing.Events(), name) {
		return s
	}
	if err := checkRetention(name, known.retention, oldest); err != nil {
		s.Problems = append(s.Problems, Problem{Refused: err})
	}
	if known.timestamps == "LogAppendTime" {
		s.Problems = append(s.Problems, Problem{
			Message: "a topic gives records its own time, so JMPUB_RECORD_TIME=event has no effect",
			Attrs:   []slog.Attr{slog.String("message_timestamp_type", known.timestamps)},
			Hint:    "kafka-configs.sh --alter --topic " + name + " --add-config message.timestamp.type=CreateTime",
		})
	} else if now := time.Now(); !known.takes(oldest, now) {
		s.Problems = append(s.Problems, Problem{
			Message: "a topic does not take the time of the oldest messages; their records have the time of publishing",
			Attrs:   []slog.Attr{slog.Duration("message_timestamp_before_max", known.before), slog.String("oldest", pipeline.FormatTime(oldest))},
			Hint:    alter(name, "message.timestamp.before.max.ms", 2*now.Sub(oldest).Milliseconds()),
		})
	}
	return s
}

// TryCreate has the broker say whether it would make topics, and makes none. kafka-go waits for topics that a broker says it has made, these too,
// so it returns when ctx is done.
func (t *Topics) TryCreate(ctx context.Context, names []string) error {
	return t.request(ctx, "ask whether topics could be created", names, true)
}

// MissingError is the error of [Topics.Ensure] for topics that are missing and must not be made.
func (t *Topics) MissingError(names []string) error { return t.missingFault(names) }
