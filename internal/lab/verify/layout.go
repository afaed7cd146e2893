package verify

import (
	"maps"
	"slices"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// Layout tells where events stand, and in which form.
type Layout struct {
	// Prefix begins the names of jmpub's own topics.
	Prefix string
	// Topic names the topic of a target's events; nil is one for each target.
	Topic func(event.Target) string
	// Decode turns the value of an event into JSON, and ContentType is what the header of that name says; nil and empty
	// where it is JSON. It is called by several goroutines at a time.
	Decode      func(topic string, value []byte) ([]byte, error)
	ContentType string
}

// Topics are those that hold rows: that of rejected ones, and then those of events.
func (l *Layout) Topics() []string {
	return append([]string{l.own(pipeline.TopicRejected)}, slices.Sorted(maps.Keys(l.events()))...)
}

func (l *Layout) own(t pipeline.Topic) string { return l.Prefix + "." + string(t) }

func (l *Layout) topic(t event.Target) string {
	if l.Topic == nil {
		return l.Prefix + "." + t.String()
	}
	return l.Topic(t)
}

// events are the targets that each event topic holds.
func (l *Layout) events() map[string][]event.Target {
	all := make(map[string][]event.Target)
	for target := range event.TargetCount {
		all[l.topic(target)] = append(all[l.topic(target)], target)
	}
	return all
}
