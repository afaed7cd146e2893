package sink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// TopicsConfig is how topics are made.
type TopicsConfig struct {
	// Create makes the topics that are missing; otherwise they are reported.
	Create bool
	// Partitions and Replication are those of new topics; -1 leaves them to the broker.
	Partitions, Replication int
	// Retention is that of new topics that are not compacted; -1 leaves it to the broker.
	Retention time.Duration
	// MinInsyncReplicas is that of new topics; -1 leaves it to the broker.
	MinInsyncReplicas int
}

// topic is what must be known of a topic to write to it.
type topic struct {
	// partitions are 0 to n-1, as kafka-go's balancers want them.
	partitions []int
	// maxBytes is the topic's max.message.bytes, the bound of a record batch.
	maxBytes int
	// retention is the topic's retention.ms; negative keeps for ever.
	retention time.Duration
}

const (
	// defaultMaxBytes is the broker's default of max.message.bytes, assumed where the topic's must not be read.
	defaultMaxBytes = 1048588
	// checkpointMaxBytes has room for the ids of a very dense second, rejectedMaxBytes for a row of any size that the API
	// could reasonably return.
	checkpointMaxBytes = 16 << 20
	rejectedMaxBytes   = 32 << 20
)

// Names are all topics that are written to.
func (s *Sink) Names() []string { return s.names() }

func (s *Sink) names() []string {
	names := s.routing.Events()
	for _, t := range []pipeline.Topic{
		pipeline.TopicRejected, pipeline.TopicWindows, pipeline.TopicNotices, pipeline.TopicCheckpoints,
	} {
		names = append(names, s.own(t))
	}
	for _, stream := range s.cfg.Statistics {
		names = append(names, s.own(pipeline.StatisticsTopic(stream)))
	}
	return names
}

// isStatistics tells that a topic has statistics.
func (s *Sink) isStatistics(name string) bool {
	for _, stream := range s.cfg.Statistics {
		if name == s.own(pipeline.StatisticsTopic(stream)) {
			return true
		}
	}
	return false
}

func (s *Sink) own(t pipeline.Topic) string { return s.routing.Own(t) }

// Partitions is the number of partitions of one of jmpub's own topics, known after EnsureTopics.
func (s *Sink) Partitions(t pipeline.Topic) int { return len(s.topics[s.own(t)].partitions) }

// EnsureTopics makes sure that every topic exists and can be used, and learns its partitions and limits.
func (s *Sink) EnsureTopics(ctx context.Context) error {
	missing, err := s.lookUp(ctx)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		if !s.cfg.Topics.Create {
			return s.missingFault(missing)
		}
		if err := s.create(ctx, missing); err != nil {
			return err
		}
		op := "wait for the new topics to be known"
		err := s.cfg.Retry.Do(ctx, op, func(ctx context.Context) error {
			missing, err := s.lookUp(ctx)
			if err == nil && len(missing) > 0 {
				err = &pipeline.Fault{Class: pipeline.Transient, Op: op, Err: fmt.Errorf("missing: %s", strings.Join(missing, ", "))}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return s.readConfigs(ctx)
}

// lookUp learns the partitions of the topics that exist and returns those that do not.
func (s *Sink) lookUp(ctx context.Context) ([]string, error) {
	var missing []string
	op := "look up the topics " + s.cfg.Prefix + ".*"
	if s.cfg.Template != "" && s.cfg.Template != DefaultTemplate {
		op += " and " + strings.Join(s.routing.Events(), ", ")
	}
	err := s.cfg.Retry.Do(ctx, op, func(ctx context.Context) error {
		missing = missing[:0]
		res, err := s.cfg.Client.Metadata(ctx, &kafkago.MetadataRequest{Topics: s.names()})
		if err != nil {
			return kafka.Fault(op, err)
		}
		for _, t := range res.Topics {
			switch {
			case errors.Is(t.Error, kafkago.UnknownTopicOrPartition):
				missing = append(missing, t.Name)
				continue
			case t.Error != nil:
				return kafka.Needs(kafka.Fault("look up the topic "+t.Name, t.Error), kafka.Describe.On(t.Name)...)
			}
			known := s.topics[t.Name]
			known.partitions = known.partitions[:0]
			for i := range t.Partitions {
				known.partitions = append(known.partitions, i)
			}
			if known.maxBytes == 0 {
				known.maxBytes = defaultMaxBytes
			}
			s.topics[t.Name] = known
		}
		return nil
	})
	return missing, err
}

// configOf is the configuration of a topic that is made here.
func (s *Sink) configOf(name string) []kafkago.ConfigEntry {
	var entries []kafkago.ConfigEntry
	if s.isStatistics(name) { // Retention would take away what is never published again, because it does not change.
		entries = append(entries, kafkago.ConfigEntry{ConfigName: "cleanup.policy", ConfigValue: "compact"})
		return s.withInsync(entries)
	}
	add := func(key string, value int64) {
		entries = append(entries, kafkago.ConfigEntry{ConfigName: key, ConfigValue: strconv.FormatInt(value, 10)})
	}
	switch name {
	case s.own(pipeline.TopicCheckpoints):
		entries = append(entries, kafkago.ConfigEntry{ConfigName: "cleanup.policy", ConfigValue: "compact"})
		add("max.message.bytes", checkpointMaxBytes)
		add("segment.ms", time.Hour.Milliseconds()) // The segment that is written to is not compacted, and is read at each start.
	case s.own(pipeline.TopicRejected):
		add("max.message.bytes", rejectedMaxBytes)
		fallthrough
	default:
		if s.cfg.Topics.Retention > 0 {
			add("retention.ms", s.cfg.Topics.Retention.Milliseconds())
		}
	}
	return s.withInsync(entries)
}

// withInsync adds what is the same for every topic.
func (s *Sink) withInsync(entries []kafkago.ConfigEntry) []kafkago.ConfigEntry {
	if n := s.cfg.Topics.MinInsyncReplicas; n > 0 {
		entries = append(entries, kafkago.ConfigEntry{ConfigName: "min.insync.replicas", ConfigValue: strconv.Itoa(n)})
	}
	return entries
}

func (s *Sink) create(ctx context.Context, names []string) error {
	if odd := s.routing.oddity(); odd != "" {
		s.cfg.Warn(odd)
	}
	topics := make([]kafkago.TopicConfig, 0, len(names))
	for _, name := range names {
		topics = append(topics, kafkago.TopicConfig{
			Topic: name, NumPartitions: s.cfg.Topics.Partitions, ReplicationFactor: s.cfg.Topics.Replication,
			ConfigEntries: s.configOf(name),
		})
	}
	op := "create the topics " + strings.Join(names, ", ")
	return s.cfg.Retry.Do(ctx, op, func(ctx context.Context) error {
		res, err := s.cfg.Client.CreateTopics(ctx, &kafkago.CreateTopicsRequest{Topics: topics})
		if err != nil {
			return kafka.Fault(op, err)
		}
		var refused []string
		for _, name := range names {
			switch err := res.Errors[name]; {
			case errors.Is(err, kafkago.TopicAuthorizationFailed):
				refused = append(refused, name)
			case err != nil && !errors.Is(err, kafkago.TopicAlreadyExists):
				return kafka.Fault("create the topic "+name, err)
			}
		}
		if len(refused) == 0 {
			return nil
		}
		denied := kafka.Fault("create the topics "+strings.Join(refused, ", "), kafkago.TopicAuthorizationFailed)
		return kafka.Needs(denied, kafka.Create.On(refused...)...)
	})
}

// missingFault tells how to make what is missing.
func (s *Sink) missingFault(names []string) error {
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "\n  kafka-topics.sh --create --topic %s --partitions %d", name, max(1, s.cfg.Topics.Partitions))
		for _, entry := range s.configOf(name) {
			fmt.Fprintf(&b, " --config %s=%s", entry.ConfigName, entry.ConfigValue)
		}
	}
	return &pipeline.Fault{
		Class: pipeline.Permanent, Op: "look up the topics",
		Err:  fmt.Errorf("%d topics are missing and JMPUB_TOPICS_CREATE is false; create them with%s", len(names), b.String()),
		Hint: "",
	}
}

// readConfigs learns the limits of the topics. Where that is not allowed, the broker's defaults are assumed.
func (s *Sink) readConfigs(ctx context.Context) error {
	names := s.names()
	resources := make([]kafkago.DescribeConfigRequestResource, 0, len(names))
	for _, name := range names {
		resources = append(resources, kafkago.DescribeConfigRequestResource{
			ResourceType: kafkago.ResourceTypeTopic, ResourceName: name,
			ConfigNames: []string{"max.message.bytes", "cleanup.policy", "retention.ms"},
		})
	}
	const op = "read the topics' configuration"
	return s.cfg.Retry.Do(ctx, op, func(ctx context.Context) error {
		res, err := s.cfg.Client.DescribeConfigs(ctx, &kafkago.DescribeConfigsRequest{Resources: resources})
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
			if err := s.applyConfig(r); err != nil {
				return err
			}
		}
		if len(hidden) > 0 {
			s.cfg.Warn("the right DescribeConfigs on " + strings.Join(hidden, ", ") +
				" is missing; their limits are taken to be the broker's defaults")
		}
		return nil
	})
}

func (s *Sink) applyConfig(r kafkago.DescribeConfigResponseResource) error {
	t := s.topics[r.ResourceName]
	for _, entry := range r.ConfigEntries {
		switch entry.ConfigName {
		case "max.message.bytes":
			if n, err := strconv.Atoi(entry.ConfigValue); err == nil && n > 0 {
				t.maxBytes = n
			}
		case "retention.ms":
			if n, err := strconv.ParseInt(entry.ConfigValue, 10, 64); err == nil {
				t.retention = time.Duration(min(n, int64(1<<62/time.Millisecond))) * time.Millisecond
			}
		case "cleanup.policy":
			if err := s.checkCleanup(r.ResourceName, entry.ConfigValue); err != nil {
				return err
			}
		}
	}
	s.topics[r.ResourceName] = t
	return nil
}

// checkCleanup refuses a topic that would lose what jmpub relies on.
func (s *Sink) checkCleanup(name, policy string) error {
	policies := strings.Split(policy, ",")
	isCheckpoints := name == s.own(pipeline.TopicCheckpoints)
	switch {
	case isCheckpoints && slices.Contains(policies, "delete"):
		return &pipeline.Fault{
			Class: pipeline.Permanent, Op: "check the topic " + name,
			Err:  fmt.Errorf("its cleanup.policy is %s, so a checkpoint that is not renewed would be deleted", policy),
			Hint: "kafka-configs.sh --alter --topic " + name + " --add-config cleanup.policy=compact",
		}
	case s.isStatistics(name) && slices.Contains(policies, "delete"):
		s.cfg.Warn("the topic " + name + " has cleanup.policy " + policy + "; statistics that do not change are not published again, " +
			"so they disappear from it")
	case s.isStatistics(name):
	case !isCheckpoints && slices.Contains(policies, "compact"):
		s.cfg.Warn("the topic " + name + " is compacted; records without a key cannot be written to such a topic, and " +
			"older events of the same msgid disappear from it")
	}
	return nil
}

// CheckRetention refuses, where records carry the messages' own time, a window older than the topics keep: Kafka would
// delete it at once.
func (s *Sink) CheckRetention(oldest time.Time) error {
	if s.cfg.RecordTime != TimeEvent {
		return nil
	}
	for _, name := range s.routing.Events() {
		if keep := s.topics[name].retention; keep > 0 && time.Since(oldest) > keep {
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
