package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// TopicsConfig is what the operator sets about topics.
type TopicsConfig struct {
	Client *kafkago.Client
	// Prefix begins the names of jmpub's own topics. Template names the event topics of the app; see [NewRouting].
	Prefix, Template, AppKey string
	// Statistics are the streams of statistics that are published: their topics, which are compacted, have to exist too.
	Statistics []pipeline.Stream
	// Create makes the topics that are missing; otherwise they are reported.
	Create bool
	// Partitions and Replication are those of new topics; -1 leaves them to the broker. Shards are the partitions of a new topic of
	// checkpoints, by which apps are shared out; 0 is as many as Partitions.
	Partitions, Replication, Shards int
	// Retention is that of new topics that are not compacted; -1 leaves it to the broker.
	Retention time.Duration
	// MinInsyncReplicas is that of new topics; -1 leaves it to the broker.
	MinInsyncReplicas int
	// Retry is the policy for requests that may succeed later.
	Retry pipeline.Retry
	// Warn reports what is unusual about the topics but stops nothing: a constant message, and what it is about. It may be nil.
	Warn func(message string, attrs ...slog.Attr)
}

// Validate checks the names; whether the topics exist is what [Topics.Ensure] finds out.
func (c *TopicsConfig) Validate() error {
	_, err := NewRouting(c.Template, c.Prefix, c.AppKey)
	return err
}

// Topics administers the topics of one app: it names them, creates them, checks their configuration, and knows their
// partitions. All writers of the app share it. Safe for concurrent use.
type Topics struct {
	cfg     TopicsConfig
	routing *Routing

	mu sync.Mutex
	// known is replaced by each Ensure and never changed.
	known layout
	// told are the problems that were told, by topic and message.
	told map[[2]string]bool
}

// layout is what is known of the topics, by name. Thousands of apps that have the same topics share what is known of each.
type layout map[string]unique.Handle[topic]

// of is what is known of a topic; nothing where it is none of these.
func (l layout) of(name string) topic {
	if known, there := l[name]; there {
		return known.Value()
	}
	return topic{}
}

// topic is what must be known of a topic to write to it.
type topic struct {
	// partitions is how many it has.
	partitions int
	// maxBytes is the topic's max.message.bytes, the bound of a record batch.
	maxBytes int
	// retention is the topic's retention.ms; negative keeps for ever.
	retention time.Duration
	// before and after are how far a record's time may be from the broker's clock, to either side.
	before, after time.Duration
	// replication is how many brokers have the partition of which the fewest do, insync how many of that of which the fewest are up to date.
	// leaderless is how many partitions have no leader now.
	replication, insync, leaderless int
	// configured is set where the topic's configuration was read: cleanup is its cleanup.policy, minInsync its min.insync.replicas, timestamps
	// its message.timestamp.type.
	configured          bool
	cleanup, timestamps string
	minInsync           int
}

const (
	// defaultMaxBytes, defaultBefore and defaultAfter are the broker's defaults of max.message.bytes, message.timestamp.before.max.ms
	// and message.timestamp.after.max.ms, assumed where the topic's must not be read.
	defaultMaxBytes = 1048588
	defaultBefore   = longest
	defaultAfter    = time.Hour
	// longest is a time without end, in whole milliseconds.
	longest time.Duration = 1 << 62 / 1_000_000 * 1_000_000
	// checkpointMaxBytes has room for the ids of a very dense second, rejectedMaxBytes for a row of any size that the API
	// could reasonably return.
	checkpointMaxBytes = 16 << 20
	rejectedMaxBytes   = 32 << 20
	// processesSegment is about what a reader of the processes' states reads of those that are replaced already.
	processesSegment = 8 << 20
)

// NewTopics checks the configuration. Nothing is sent yet.
func NewTopics(cfg TopicsConfig) (*Topics, error) {
	routing, err := NewRouting(cfg.Template, cfg.Prefix, cfg.AppKey)
	if err != nil {
		return nil, err
	}
	if cfg.Warn == nil {
		cfg.Warn = func(string, ...slog.Attr) {}
	}
	return &Topics{cfg: cfg, routing: routing, told: make(map[[2]string]bool)}, nil
}

// Routing names the topics.
func (t *Topics) Routing() *Routing { return t.routing }

// Names are all topics that are written to.
func (t *Topics) Names() []string {
	names := t.routing.Events()
	for _, own := range ownTopics() {
		names = append(names, t.routing.Own(own))
	}
	for _, stream := range t.cfg.Statistics {
		names = append(names, t.routing.Own(pipeline.StatisticsTopic(stream)))
	}
	return names
}

// isStatistics reports whether a topic has statistics.
func (t *Topics) isStatistics(name string) bool {
	return slices.ContainsFunc(t.cfg.Statistics, func(stream pipeline.Stream) bool {
		return name == t.routing.Own(pipeline.StatisticsTopic(stream))
	})
}

// Partitions is the number of partitions of one of jmpub's own topics, known after Ensure.
func (t *Topics) Partitions(own pipeline.Topic) int {
	return t.layout().of(t.routing.Own(own)).partitions
}

// layout is what the last Ensure has learned.
func (t *Topics) layout() layout {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known
}

// Ensure makes sure that every topic exists and can be used, and learns its partitions and limits.
func (t *Topics) Ensure(ctx context.Context) error {
	found, err := t.ensure(ctx, t.Names())
	if err != nil {
		return err
	}
	names := t.Names()
	if err := t.readConfigs(ctx, names, found); err != nil {
		return err
	}
	for _, name := range names {
		known := found.of(name)
		for _, p := range t.judge(name, &known) {
			if p.Refused != nil {
				return p.Refused
			}
			t.tell(name, &p)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known = found
	return nil
}

// tell tells of a problem, once.
func (t *Topics) tell(topic string, p *Problem) {
	key := [2]string{topic, p.Message}
	t.mu.Lock()
	before := t.told[key]
	t.told[key] = true
	t.mu.Unlock()
	if !before {
		attrs := append([]slog.Attr{slog.String("topic", topic)}, p.Attrs...)
		t.cfg.Warn(p.Message, append(attrs, slog.String("hint", p.Hint))...)
	}
}

// EnsureProcesses makes sure that the topic exists in which processes tell their state. It is apart from [Topics.Ensure], because nothing that is
// published depends on it: who lacks a right on it goes on without.
func (t *Topics) EnsureProcesses(ctx context.Context) error {
	_, err := t.ensure(ctx, []string{t.routing.Own(pipeline.TopicProcesses)})
	return err
}

// ensure makes the topics that are missing, if that is wanted, and learns the partitions of all.
func (t *Topics) ensure(ctx context.Context, names []string) (layout, error) {
	found := make(layout)
	missing, err := t.lookUp(ctx, names, found)
	if err != nil || len(missing) == 0 {
		return found, err
	}
	if !t.cfg.Create {
		return nil, t.missingFault(missing)
	}
	if err = t.create(ctx, missing); err != nil {
		return nil, err
	}
	op := "wait for the new topics to be known"
	return found, t.cfg.Retry.Do(ctx, op, func(ctx context.Context) error {
		missing, err := t.lookUp(ctx, names, found)
		if err == nil && len(missing) > 0 {
			err = &pipeline.Fault{Class: pipeline.Transient, Op: op, Err: fmt.Errorf("missing: %s", strings.Join(missing, ", "))}
		}
		return err
	})
}

// lookUp learns the partitions of the topics that exist and returns those that do not.
func (t *Topics) lookUp(ctx context.Context, names []string, found layout) ([]string, error) {
	var missing []string
	op := "look up the topics " + t.cfg.Prefix + ".*"
	if t.cfg.Template != "" && t.cfg.Template != DefaultTemplate {
		op += " and " + strings.Join(t.routing.Events(), ", ")
	}
	err := t.cfg.Retry.Do(ctx, op, func(ctx context.Context) error {
		missing = missing[:0]
		res, err := t.cfg.Client.Metadata(ctx, &kafkago.MetadataRequest{Topics: names})
		if err != nil {
			return kafka.Fault(op, err)
		}
		for _, answer := range res.Topics {
			switch {
			case errors.Is(answer.Error, kafkago.UnknownTopicOrPartition):
				missing = append(missing, answer.Name)
				continue
			case answer.Error != nil:
				return kafka.Needs(kafka.Fault("look up the topic "+answer.Name, answer.Error), kafka.Describe.On(answer.Name)...)
			}
			one := topic{maxBytes: defaultMaxBytes, before: defaultBefore, after: defaultAfter}
			for i := range answer.Partitions {
				one.addPartition(&answer.Partitions[i])
			}
			found[answer.Name] = unique.Make(one)
		}
		return nil
	})
	return missing, err
}

// addPartition takes in what a broker says of the next partition.
func (t *topic) addPartition(p *kafkago.Partition) {
	if t.partitions == 0 {
		t.replication, t.insync = len(p.Replicas), len(p.Isr)
	}
	t.partitions++
	t.replication, t.insync = min(t.replication, len(p.Replicas)), min(t.insync, len(p.Isr))
	if errors.Is(p.Error, kafkago.LeaderNotAvailable) {
		t.leaderless++
	}
}

// partitionsOf is how many partitions a topic is made with.
func (t *Topics) partitionsOf(name string) int {
	switch name {
	case t.routing.Own(pipeline.TopicCheckpoints):
		return cmp.Or(t.cfg.Shards, t.cfg.Partitions)
	case t.routing.Own(pipeline.TopicProcesses): // So its records have an order, which tells whose word about an app is the newest.
		return 1
	default:
		return t.cfg.Partitions
	}
}

func (t *Topics) create(ctx context.Context, names []string) error {
	if name, ok := t.routing.mixedSeparators(); ok {
		t.cfg.Warn("the topic's name has both '.' and '_'", slog.String("topic", name),
			slog.String("hint", "Kafka refuses it where a topic exists whose name differs in these characters alone"))
	}
	return t.request(ctx, "create the topics "+strings.Join(names, ", "), names, false)
}

// request has topics created, or with validate set has the broker say whether it would.
func (t *Topics) request(ctx context.Context, op string, names []string, validate bool) error {
	topics := make([]kafkago.TopicConfig, 0, len(names))
	for _, name := range names {
		topics = append(topics, kafkago.TopicConfig{
			Topic: name, NumPartitions: t.partitionsOf(name), ReplicationFactor: t.cfg.Replication,
			ConfigEntries: t.configOf(name),
		})
	}
	return t.cfg.Retry.Do(ctx, op, func(ctx context.Context) error {
		res, err := t.cfg.Client.CreateTopics(ctx, &kafkago.CreateTopicsRequest{Topics: topics, ValidateOnly: validate})
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

// missingFault says how to create what is missing.
func (t *Topics) missingFault(names []string) error {
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "\n  kafka-topics.sh --create --topic %s --partitions %d", name, max(1, t.partitionsOf(name)))
		for _, entry := range t.configOf(name) {
			fmt.Fprintf(&b, " --config %s=%s", entry.ConfigName, entry.ConfigValue)
		}
	}
	return &pipeline.Fault{
		Class: pipeline.Permanent, Op: "look up the topics",
		Err: fmt.Errorf("%d topics are missing and JMPUB_TOPICS_CREATE is false; create them with%s", len(names), b.String()),
	}
}
