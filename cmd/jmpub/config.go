package main

import (
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/registry"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/sink"
	"github.com/jmpub/jmpub/source"
)

// config is the settings, parsed.
type config struct {
	source      source.Config
	kafka       kafka.Config
	topicConfig sink.TopicsConfig
	sink        sink.WriterConfig
	streams     []pipeline.Stream
	// statistics are streams of figures, discover the kinds of which every stream is read that the lists have.
	statistics []pipeline.Stream
	discover   []pipeline.StreamKind
	units      []pipeline.Unit
	// statisticsEvery and discoveryEvery are how often those are read.
	statisticsEvery, discoveryEvery time.Duration

	start pipeline.Start
	// checkpointDir is the folder of file checkpoints; empty keeps them in Kafka.
	checkpointDir string
	// until is where a replay ends; zero for a live run.
	until time.Time
	// replay is the id of the replay that this is; empty for the live run.
	replay string
	// recheck is how long after they were closed windows are asked for late rows.
	recheck []time.Duration
	// liveFirst follows the head at once and publishes what lies behind beside that.
	liveFirst bool
	// retentionWarn is how near the end of the API's history unread time may come before a warning.
	retentionWarn time.Duration
	// parallel is how many windows are fetched at the same time.
	parallel  int
	group     string
	listen    string
	logLevel  slog.Level
	logFormat string
}

// exactlyOnce tells the delivery that the checkpoints allow.
func (c *config) exactlyOnce() bool { return c.checkpointDir == "" }

func (c *config) delivery() string {
	if c.exactlyOnce() {
		return "exactly once"
	}
	return "at least once (checkpoints in files)"
}

// topics names where events and jmpub's own records go, for people.
func (c *config) topics() string {
	own := c.topicConfig.Prefix + ".*"
	routing, err := sink.NewRouting(c.topicConfig.Template, c.topicConfig.Prefix, c.topicConfig.AppKey)
	if err != nil || c.topicConfig.Template == sink.DefaultTemplate { // The settings were checked.
		return own
	}
	return strings.Join(append(routing.Events(), own), ", ")
}

// The bounds of what can be set, beside those that the adapters check.
const (
	maxPartitions  = 10_000
	maxReplication = 32
	maxParallel    = 64
)

// parse turns the settings into values and reports every mistake at once.
func (s *settings) parse() (*config, error) {
	p := &parser{}
	c := &config{group: s.Group, listen: s.Listen}
	s.parseSource(p, c)
	s.parseKafka(p, c)
	s.parseTopics(p, c)
	s.parseFormat(p, c)
	s.parseRun(p, c)
	return c, p.err()
}

func (s *settings) parseSource(p *parser, c *config) {
	p.required("JMPUB_APP_KEY", s.AppKey, "the app key of the JMessage console")
	p.required("JMPUB_MASTER_SECRET", s.MasterSecret.Reveal(), "the master secret of the JMessage console, "+
		"or name a file that holds it with JMPUB_MASTER_SECRET_FILE")
	c.source = source.Config{
		AppKey: s.AppKey, MasterSecret: s.MasterSecret,
		BaseURL:  p.baseURL("JMPUB_API_URL", s.API.URL),
		TimeZone: p.location("JMPUB_API_TIME_ZONE", s.API.TimeZone),
		PageSize: p.integer("JMPUB_API_PAGE_SIZE", s.API.PageSize, 1, 1000),
		Poll:     p.duration("JMPUB_POLL", s.Poll),
		Settle:   p.duration("JMPUB_SETTLE", s.Settle),
		Overlap:  p.duration("JMPUB_OVERLAP", s.Overlap),
	}
	c.recheck = p.durations("JMPUB_RECHECK", s.Recheck)
	c.liveFirst = p.oneOf("JMPUB_CATCHUP", s.Catchup, "ordered", "live-first") == "live-first"
	if c.retentionWarn = p.duration("JMPUB_RETENTION_WARN", s.RetentionWarn); c.retentionWarn > pipeline.History {
		p.add("JMPUB_RETENTION_WARN", s.RetentionWarn, "a duration up to 60d")
	}
	c.parallel = p.integer("JMPUB_API_PARALLEL", s.API.Parallel, 1, maxParallel)
	var err error
	if c.source.Rate, err = source.ParseRate(s.API.Rate); err != nil {
		p.add("JMPUB_API_RATE", s.API.Rate, "a rate such as 600/m or 10/s")
	}
	s.parseStreams(p, c)
	if s.Start == "now" {
		return
	}
	if c.start.At, c.start.Back, err = parseTime(s.Start, c.source.TimeZone); err != nil {
		p.addf("JMPUB_START: %w, or now", err)
	}
}

func (s *settings) parseStreams(p *parser, c *config) {
	selection, err := pipeline.ParseSelection(s.Streams)
	if err != nil {
		p.addf("JMPUB_STREAMS: %w", err)
	}
	c.streams, c.statistics, c.discover = selection.Streams, selection.Statistics, selection.Discover
	c.topicConfig.Statistics = selection.Statistics
	if others := len(c.streams) - 1 + len(c.discover); others > 0 && slices.Contains(c.streams, pipeline.Stream{Kind: pipeline.StreamMessages}) {
		p.addf("JMPUB_STREAMS: messages has the messages of all users and groups, and whether it has those of chat rooms too is " +
			"not documented, so beside other streams it would publish rows twice; name messages alone, or streams of users, " +
			"groups and chat rooms. For both, run two jmpub, each with its own JMPUB_GROUP")
	}
	c.units = p.units("JMPUB_STATISTICS_UNITS", s.Statistics.Units)
	const often, seldom = time.Minute, 24 * time.Hour // The lists and figures do not change faster, and hours are told for a day.
	c.statisticsEvery = p.between("JMPUB_STATISTICS_EVERY", s.Statistics.Every, often, seldom)
	c.discoveryEvery = p.between("JMPUB_DISCOVERY_EVERY", s.Discovery.Every, often, seldom)
	c.source.ListsURL = p.baseURL("JMPUB_IM_URL", s.IM.URL)
}

// named are the streams that the settings name, statistics among them.
func (c *config) named() []pipeline.Stream { return slices.Concat(c.streams, c.statistics) }

// selected is what the settings ask for, in words.
func (c *config) selected() []string {
	names := streamNames(c.named())
	for _, kind := range c.discover {
		names = append(names, string(kind)+"/*")
	}
	return names
}

// contact is a stream to make the first contact with.
func (c *config) contact() pipeline.Stream {
	if len(c.streams) > 0 {
		return c.streams[0]
	}
	return pipeline.Stream{Kind: pipeline.StreamMessages}
}

func (s *settings) parseKafka(p *parser, c *config) {
	p.required("JMPUB_KAFKA_BROKERS", s.Kafka.Brokers, "the brokers' host:port, comma-separated")
	c.kafka = kafka.Config{
		Brokers: p.hostPorts("JMPUB_KAFKA_BROKERS", s.Kafka.Brokers),
		TLS:     p.boolean("JMPUB_KAFKA_TLS", s.Kafka.TLS),
		CAFile:  s.Kafka.TLSCaFile, CertFile: s.Kafka.TLSCertFile, KeyFile: s.Kafka.TLSKeyFile,
		Username: s.Kafka.SASLUsername, Password: s.Kafka.SASLPassword,
		ClientID: "jmpub",
	}
	if !c.kafka.TLS && (s.Kafka.TLSCaFile != "" || s.Kafka.TLSCertFile != "" || s.Kafka.TLSKeyFile != "") {
		p.addf("JMPUB_KAFKA_TLS is off, but a certificate is named; set JMPUB_KAFKA_TLS=on, or unset JMPUB_KAFKA_TLS_*_FILE")
	}
	if (s.Kafka.TLSCertFile == "") != (s.Kafka.TLSKeyFile == "") {
		p.addf("JMPUB_KAFKA_TLS_CERT_FILE and JMPUB_KAFKA_TLS_KEY_FILE go together; only one is set")
	}
	if s.Kafka.SASL != "" {
		c.kafka.Mechanism = p.oneOf("JMPUB_KAFKA_SASL", s.Kafka.SASL,
			kafka.Plain, kafka.ScramSHA256, kafka.ScramSHA512)
		p.required("JMPUB_KAFKA_SASL_USERNAME", s.Kafka.SASLUsername, "JMPUB_KAFKA_SASL needs it")
		p.required("JMPUB_KAFKA_SASL_PASSWORD", s.Kafka.SASLPassword.Reveal(), "JMPUB_KAFKA_SASL needs it, or its _FILE")
	} else if s.Kafka.SASLUsername != "" || !s.Kafka.SASLPassword.IsEmpty() {
		p.addf("JMPUB_KAFKA_SASL_USERNAME or _PASSWORD is set, but JMPUB_KAFKA_SASL is not; set it to plain, " +
			"scram-sha-256 or scram-sha-512")
	}
	c.sink.TransactionTimeout = p.duration("JMPUB_KAFKA_TRANSACTION_TIMEOUT", s.Kafka.TransactionTimeout)
	c.sink.Compression = p.oneOf("JMPUB_KAFKA_COMPRESSION", s.Kafka.Compression, "none", "gzip", "snappy", "lz4", "zstd")
}

func (s *settings) parseTopics(p *parser, c *config) {
	c.topicConfig.Prefix, c.topicConfig.Template, c.topicConfig.AppKey = s.TopicPrefix, s.TopicTemplate, s.AppKey
	c.topicConfig.Create = p.boolean("JMPUB_TOPICS_CREATE", s.Topics.Create)
	c.topicConfig.Partitions = p.integerOrBroker("JMPUB_TOPICS_PARTITIONS", s.Topics.Partitions, maxPartitions)
	c.topicConfig.Replication = p.integerOrBroker("JMPUB_TOPICS_REPLICATION", s.Topics.Replication, maxReplication)
	c.topicConfig.Retention = p.durationOrBroker("JMPUB_TOPICS_RETENTION", s.Topics.Retention)
	c.topicConfig.MinInsyncReplicas = p.integerOrBroker("JMPUB_TOPICS_MIN_INSYNC_REPLICAS", s.Topics.MinInsyncReplicas, maxReplication)
	if in, rep := c.topicConfig.MinInsyncReplicas, c.topicConfig.Replication; in > rep && rep > 0 {
		p.addf("JMPUB_TOPICS_MIN_INSYNC_REPLICAS is %d, but JMPUB_TOPICS_REPLICATION is %d; nothing could be written", in, rep)
	}
	c.sink.PartitionBy = sink.PartitionBy(p.oneOf("JMPUB_PARTITION_BY", s.PartitionBy, "msgid", "conversation"))
	c.sink.RecordTime = sink.RecordTime(p.oneOf("JMPUB_RECORD_TIME", s.RecordTime, "publish", "event"))
}

func (s *settings) parseFormat(p *parser, c *config) {
	c.sink.Format = sink.Format(p.oneOf("JMPUB_EVENT_FORMAT", s.EventFormat, string(sink.FormatJSON), string(sink.FormatAvro)))
	r := &s.SchemaRegistry
	register := p.boolean("JMPUB_SCHEMA_REGISTRY_REGISTER", r.Register)
	if c.sink.Format != sink.FormatAvro {
		return
	}
	p.required("JMPUB_SCHEMA_REGISTRY_URL", r.URL, "the address of the schema registry; JMPUB_EVENT_FORMAT=avro needs it")
	if r.URL == "" {
		return
	}
	address := p.address("JMPUB_SCHEMA_REGISTRY_URL", r.URL, "http://registry:8081",
		"JMPUB_SCHEMA_REGISTRY_USERNAME and JMPUB_SCHEMA_REGISTRY_PASSWORD")
	if r.Username == "" && !r.Password.IsEmpty() {
		p.addf("JMPUB_SCHEMA_REGISTRY_PASSWORD is set, but JMPUB_SCHEMA_REGISTRY_USERNAME is not")
	}
	schemas, err := registry.New(registry.Config{
		URL: address, Username: r.Username, Password: r.Password,
		CAFile: r.CaFile, Register: register,
	})
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	c.sink.Schemas = schemas
}

func (s *settings) parseRun(p *parser, c *config) {
	switch dir, isFile := strings.CutPrefix(s.Checkpoint, "file:"); {
	case isFile && dir != "":
		c.checkpointDir = dir
	case s.Checkpoint != "kafka":
		p.add("JMPUB_CHECKPOINT", s.Checkpoint, "kafka, or file:DIR")
	}
	if s.Group == "" || strings.ContainsAny(s.Group, " \t\r\n/") {
		p.add("JMPUB_GROUP", s.Group, "a name without spaces and slashes")
	}
	if s.Listen != "off" {
		p.hostPort("JMPUB_LISTEN", s.Listen)
	}
	c.logLevel = p.logLevel("JMPUB_LOG", s.Log)
	if s.LogFormat != "" {
		c.logFormat = p.oneOf("JMPUB_LOG_FORMAT", s.LogFormat, "text", "json")
	}
	if len(p.errs) == 0 {
		p.complete(c)
	}
}

// complete lets the adapters check what they know better, once everything is readable.
func (p *parser) complete(c *config) {
	for _, err := range []error{c.source.Validate(), c.topicConfig.Validate(), c.sink.Validate(), c.kafka.Validate()} {
		if err != nil {
			p.errs = append(p.errs, err)
		}
	}
	if c.start.At.After(time.Now().Add(24 * time.Hour)) {
		p.addf("JMPUB_START: %s is more than a day in the future", pipeline.FormatTime(c.start.At))
	}
}
