package kafkamodel

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/createpartitions"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/deletetopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
)

// topic is a topic.
type topic struct {
	// config is all of its configuration that is known here; set are the names that differ from the broker's defaults.
	config     map[string]string
	set        map[string]bool
	partitions []*partition
}

// The settings of a topic that do something here.
const (
	cleanupPolicy  = "cleanup.policy"
	retentionMs    = "retention.ms"
	maxMessage     = "max.message.bytes"
	minInsync      = "min.insync.replicas"
	earliestBefore = "message.timestamp.before.max.ms"
	latestAfter    = "message.timestamp.after.max.ms"
)

// defaults are the broker's.
func defaults() map[string]string {
	return map[string]string{
		cleanupPolicy: "delete", retentionMs: "604800000", maxMessage: "1048588", minInsync: "1",
		earliestBefore: "9223372036854775807", latestAfter: "3600000",
		"segment.ms": "604800000", "segment.bytes": "1073741824", "min.cleanable.dirty.ratio": "0.5", "delete.retention.ms": "86400000",
	}
}

func (t *topic) number(name string) int64 {
	n, _ := strconv.ParseInt(t.config[name], 10, 64) // It was checked.
	return n
}

func (t *topic) compacted() bool { return strings.Contains(t.config[cleanupPolicy], "compact") }

// partition of a topic; nil if there is none.
func (c *Cluster) partition(name string, number int32) *partition {
	t := c.topics[name]
	if t == nil || number < 0 || int(number) >= len(t.partitions) {
		return nil
	}
	return t.partitions[number]
}

func (c *Cluster) createTopics(user string, req *createtopics.Request) *createtopics.Response {
	res := &createtopics.Response{}
	for _, want := range req.Topics {
		err := c.createTopic(user, &want)
		res.Topics = append(res.Topics, createtopics.ResponseTopic{Name: want.Name, ErrorCode: code(err), NumPartitions: -1, ReplicationFactor: -1})
	}
	return res
}

// replicas is the default replication factor's upper bound, as in the test clusters.
const replicas = 3

func (c *Cluster) createTopic(user string, want *createtopics.RequestTopic) kafkago.Error {
	partitions, factor := int(want.NumPartitions), int(want.ReplicationFactor)
	if partitions == -1 {
		partitions = 1
	}
	if factor == -1 {
		factor = min(replicas, len(c.up))
	}
	t := &topic{config: defaults(), set: make(map[string]bool)}
	t.config[minInsync] = strconv.Itoa(max(1, min(replicas, len(c.up))-1)) // As the test clusters have it.
	for _, entry := range want.Configs {
		if !validConfig(entry.Name, entry.Value) {
			return kafkago.InvalidConfiguration
		}
		t.config[entry.Name], t.set[entry.Name] = entry.Value, true
	}
	switch {
	case !c.may(user, Create, Topic, want.Name):
		return kafkago.TopicAuthorizationFailed
	case c.topics[want.Name] != nil:
		return kafkago.TopicAlreadyExists
	case !validName(want.Name) || c.collides(want.Name):
		return kafkago.InvalidTopic
	case partitions < 1:
		return kafkago.InvalidPartitionNumber
	case factor < 1 || factor > len(c.up):
		return kafkago.InvalidReplicationFactor
	}
	c.topics[want.Name] = t
	c.extend(t, partitions, factor)
	return 0
}

// extend gives a topic more partitions.
func (c *Cluster) extend(t *topic, partitions, factor int) {
	for i := len(t.partitions); i < partitions; i++ {
		p := &partition{producers: make(map[int64]*writer), waiting: make(map[int64]*waiting)}
		for j := range factor {
			p.replicas = append(p.replicas, int32((i+j)%len(c.up)+1))
		}
		p.isr, p.leader = slices.Clone(p.replicas), p.replicas[0]
		c.electIn(p)
		t.partitions = append(t.partitions, p)
	}
}

func validName(name string) bool {
	return regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`).MatchString(name) && name != "." && name != ".."
}

// collides tells whether another topic's name differs in '.' and '_' alone.
func (c *Cluster) collides(name string) bool {
	plain := strings.NewReplacer(".", "_")
	for other := range c.topics {
		if plain.Replace(other) == plain.Replace(name) {
			return true
		}
	}
	return false
}

func validConfig(name, value string) bool {
	switch name {
	case cleanupPolicy:
		return value == "delete" || value == "compact" || value == "compact,delete" || value == "delete,compact"
	case "min.cleanable.dirty.ratio":
		_, err := strconv.ParseFloat(value, 64)
		return err == nil
	default:
		_, known := defaults()[name]
		n, err := strconv.ParseInt(value, 10, 64)
		return known && err == nil && (n >= 0 || name == retentionMs && n == -1)
	}
}

func (c *Cluster) deleteTopics(user string, req *deletetopics.Request) *deletetopics.Response {
	res := &deletetopics.Response{}
	for _, name := range req.TopicNames {
		one := deletetopics.ResponseTopic{Name: name}
		switch {
		case !c.mayDescribe(user, name), !c.may(user, Delete, Topic, name):
			one.ErrorCode = code(kafkago.TopicAuthorizationFailed)
		case c.topics[name] == nil:
			one.ErrorCode = code(kafkago.UnknownTopicOrPartition)
		default:
			delete(c.topics, name)
			c.grown() // Who waits for more learns that there is none.
		}
		res.Responses = append(res.Responses, one)
	}
	return res
}

func (c *Cluster) createPartitions(user string, req *createpartitions.Request) *createpartitions.Response {
	res := &createpartitions.Response{}
	for _, want := range req.Topics {
		one, t := createpartitions.ResponseResult{Name: want.Name}, c.topics[want.Name]
		switch {
		case !c.may(user, Alter, Topic, want.Name):
			one.ErrorCode = code(kafkago.TopicAuthorizationFailed)
		case t == nil:
			one.ErrorCode = code(kafkago.UnknownTopicOrPartition)
		case int(want.Count) <= len(t.partitions):
			one.ErrorCode = code(kafkago.InvalidPartitionNumber)
		default:
			c.extend(t, int(want.Count), len(t.partitions[0].replicas))
		}
		res.Results = append(res.Results, one)
	}
	return res
}

func (c *Cluster) describeConfigs(user string, req *describeconfigs.Request) *describeconfigs.Response {
	res := &describeconfigs.Response{}
	for _, want := range req.Resources {
		one := describeconfigs.ResponseResource{ResourceType: want.ResourceType, ResourceName: want.ResourceName}
		t := c.topics[want.ResourceName]
		switch {
		case !c.may(user, DescribeConfigs, Topic, want.ResourceName):
			one.ErrorCode = code(kafkago.TopicAuthorizationFailed)
		case t == nil:
			one.ErrorCode = code(kafkago.UnknownTopicOrPartition)
		default:
			for _, name := range slices.Sorted(maps.Keys(t.config)) {
				if want.ConfigNames != nil && !slices.Contains(want.ConfigNames, name) {
					continue
				}
				const dynamic, standard = 1, 5 // Of the topic, and the default.
				entry := describeconfigs.ResponseConfigEntry{ConfigName: name, ConfigValue: t.config[name], ConfigSource: standard}
				if t.set[name] {
					entry.ConfigSource = dynamic
				}
				one.ConfigEntries = append(one.ConfigEntries, entry)
			}
		}
		res.Resources = append(res.Resources, one)
	}
	return res
}
