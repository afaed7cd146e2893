package sink

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// DefaultTemplate gives each target_type a topic.
const DefaultTemplate = "{prefix}.{target_type}"

// The placeholders of a template.
const (
	placePrefix = "{prefix}"
	placeAppKey = "{app_key}"
	placeTarget = "{target_type}"
)

// Routing names every topic, the events' and jmpub's own; nothing else in jmpub puts such a name together. The event topics follow
// a template in which {prefix}, {app_key} and {target_type} may stand, so there are as many as there are targets, or one: a target_type that nobody knows is `other` and makes no topic. It does not
// change once it is made.
type Routing struct {
	prefix string
	events [event.TargetCount]string
}

// NewRouting checks the prefix, and every name that the template makes for the app. An empty template is [DefaultTemplate].
func NewRouting(template, prefix, appKey string) (*Routing, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	if template == "" {
		template = DefaultTemplate
	}
	r := &Routing{prefix: prefix}
	for t := range event.TargetCount {
		name := strings.NewReplacer(placePrefix, prefix, placeAppKey, appKey, placeTarget, t.String()).Replace(template)
		if err := r.check(name); err != nil {
			return nil, fmt.Errorf("JMPUB_TOPIC_TEMPLATE: %q: %w", template, err)
		}
		r.events[t] = name
	}
	return r, nil
}

// Event is the topic of a target's events.
func (r *Routing) Event(t event.Target) string { return r.events[t] }

// Events are the event topics, each once.
func (r *Routing) Events() []string {
	var names []string
	for _, name := range r.events {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Own is the name of one of jmpub's own topics, those of statistics among them.
func (r *Routing) Own(t pipeline.Topic) string { return r.prefix + "." + string(t) }

// ownTopics are jmpub's own topics that every app has. That of the processes is none of them.
func ownTopics() []pipeline.Topic {
	return []pipeline.Topic{pipeline.TopicRejected, pipeline.TopicWindows, pipeline.TopicNotices, pipeline.TopicCheckpoints, pipeline.TopicCoverage}
}

const (
	// longestName and nameLetters are Kafka's rule (org.apache.kafka.common.internals.Topic).
	longestName = 249
	nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	// longestPrefix leaves room for the longest of jmpub's own names.
	longestPrefix = 200
)

// check refuses a name that Kafka would refuse, or that belongs to another of jmpub's topics.
func (r *Routing) check(name string) error {
	switch {
	case strings.ContainsAny(name, "{}"):
		return errors.New("the placeholders are " + placePrefix + ", " + placeAppKey + " and " + placeTarget)
	case len(name) > longestName:
		return fmt.Errorf("the topic's name would have %d characters, and Kafka allows %d", len(name), longestName)
	case strings.Trim(name, ".") == "" || strings.Trim(name, nameLetters) != "":
		return fmt.Errorf("%q is no topic's name: letters, digits, '.', '_' and '-'", name)
	}
	for _, own := range append(ownTopics(), pipeline.TopicProcesses) {
		if sameMetric(name) == sameMetric(r.Own(own)) {
			return fmt.Errorf("the topic %s would be that of jmpub's %s, %s", name, own, r.Own(own))
		}
	}
	if statistics := r.Own(pipeline.Topic(pipeline.StreamStatistics)) + "."; strings.HasPrefix(sameMetric(name), sameMetric(statistics)) {
		return fmt.Errorf("the topic %s would be among those of jmpub's statistics, %s*", name, statistics)
	}
	return nil
}

// sameMetric writes names alike that Kafka does not let exist side by side, because its metrics have '_' for '.'.
func sameMetric(name string) string { return strings.ReplaceAll(name, ".", "_") }

// mixedSeparators finds an event topic whose name mixes the two characters that Kafka's metrics do not tell apart.
func (r *Routing) mixedSeparators() (name string, ok bool) {
	for _, name := range r.Events() {
		if strings.Contains(name, ".") && strings.Contains(strings.TrimPrefix(name, r.prefix), "_") {
			return name, true
		}
	}
	return "", false
}

// checkPrefix refuses what cannot begin a topic's name.
func checkPrefix(prefix string) error {
	if strings.Trim(prefix, ".") == "" || len(prefix) > longestPrefix || strings.Trim(prefix, nameLetters) != "" {
		return fmt.Errorf("JMPUB_TOPIC_PREFIX: %q is no beginning of a topic's name: letters, digits, '.', '_' and '-'", prefix)
	}
	return nil
}
