package settings

import (
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/sink"
	"github.com/jmpub/jmpub/source"
)

// Config is the settings, parsed and checked.
type Config struct {
	Source  source.Config
	Kafka   kafka.Config
	Topics  sink.TopicsConfig
	Sink    sink.WriterConfig
	Streams []pipeline.Stream
	// Statistics are streams of statistics, Discover the kinds of which every stream is read that the lists have.
	Statistics []pipeline.Stream
	Discover   []pipeline.StreamKind
	Units      []pipeline.Unit
	// StatisticsEvery and DiscoveryEvery are how often those are read.
	StatisticsEvery, DiscoveryEvery time.Duration
	// DiscoveryMax is how many streams of lists are read.
	DiscoveryMax int

	Start pipeline.Start
	// CheckpointDir is the folder of file checkpoints; empty keeps them in Kafka.
	CheckpointDir string
	// Recheck is how long after they were closed windows are asked for late rows.
	Recheck []time.Duration
	// LiveFirst follows the head at once and publishes the backlog meanwhile.
	LiveFirst bool
	// Early publishes rows at the head when they are first seen.
	Early bool
	// RetentionWarn is how near the end of the API's history unread time may come before a warning.
	RetentionWarn time.Duration
	// Parallel is how many windows are fetched at the same time.
	Parallel int
	// WindowBytes and MemoryBytes are what one window and all that wait may take in memory; zero is the pipeline's default.
	WindowBytes, MemoryBytes int

	Group string

	Listen string
	// ListenHosts are more names by which the status page may be asked for.
	ListenHosts []string
	// ListenCert and ListenKey are the files with which it answers over TLS; empty where it does not.
	ListenCert, ListenKey string
	// Admins are those who may change something through the API; without any nothing can be changed there.
	Admins    []Admin
	LogLevel  slog.Level
	LogFormat string
	// Redactor masks all credentials that are sent anywhere.
	Redactor secret.Redactor

	// Tracing has spans sent to a collector, as OpenTelemetry's variables say.
	Tracing Tracing
	// Warnings are what is no mistake, but no good idea either.
	Warnings []Warning
}

// NoGroup is the group of a process that publishes alone.
const NoGroup = "off"

// Warning is what is unsafe about a setting, and what would be safe.
type Warning struct{ Setting, Detail, Hint string }

// Time is a time as people read it, in the app's zone; it can be given to a setting or a flag as it stands.
func (c *Config) Time(t time.Time) string { return t.In(c.Source.TimeZone).Format(time.RFC3339) }

// Span is a range of time as people read it.
func (c *Config) Span(w pipeline.Window) string { return c.Time(w.Begin) + " to " + c.Time(w.End) }

// ExactlyOnce tells whether the checkpoints allow this delivery.
func (c *Config) ExactlyOnce() bool { return c.CheckpointDir == "" }

// Grouped tells whether processes with the same group share the app: one publishes it, the others stand by. Positions in files belong to one.
func (c *Config) Grouped() bool { return c.ExactlyOnce() && c.Group != NoGroup }

// Delivery is the guarantee, in words.
func (c *Config) Delivery() string {
	if c.ExactlyOnce() {
		return "exactly once"
	}
	return "at least once (checkpoints in files)"
}

// TopicNames says where events and jmpub's own records go, for people.
func (c *Config) TopicNames() string {
	own := c.Topics.Prefix + ".*"
	routing, err := sink.NewRouting(c.Topics.Template, c.Topics.Prefix, c.Topics.AppKey)
	if err != nil || c.Topics.Template == sink.DefaultTemplate { // The settings were checked.
		return own
	}
	return strings.Join(append(routing.Events(), own), ", ")
}

// Named are the streams that the settings name, statistics among them.
func (c *Config) Named() []pipeline.Stream { return slices.Concat(c.Streams, c.Statistics) }

// Selected is what the settings ask for, in words.
func (c *Config) Selected() []string {
	var names []string
	for _, stream := range c.Named() {
		names = append(names, stream.String())
	}
	for _, kind := range c.Discover {
		names = append(names, string(kind)+"/*")
	}
	return names
}

// Contact is a stream to make the first contact with.
func (c *Config) Contact() pipeline.Stream {
	if len(c.Streams) > 0 {
		return c.Streams[0]
	}
	return pipeline.Stream{Kind: pipeline.StreamMessages}
}

// StreamsOverlap tells whether a message can be in more than one of the streams: a single chat is in those of both its users,
// and a user's message to a group is in that of the group too.
func (c *Config) StreamsOverlap() bool {
	kinds := make(map[pipeline.StreamKind]int)
	for _, s := range c.Streams {
		kinds[s.Kind]++
	}
	const many = 2
	for _, kind := range c.Discover {
		kinds[kind] += many
	}
	return kinds[pipeline.StreamUsers] > 1 ||
		kinds[pipeline.StreamUsers] > 0 && kinds[pipeline.StreamGroups]+kinds[pipeline.StreamChatrooms] > 0
}
