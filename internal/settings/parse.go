package settings

import (
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/registry"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/sink"
	"github.com/jmpub/jmpub/source"
)

// The bounds of what can be set. The adapters check theirs.
const (
	maxPartitions  = 10_000
	maxReplication = 32
	maxParallel    = 12
)

// Parse turns the settings into values and reports every mistake at once.
func (s *Settings) Parse() (*Config, error) {
	p := &parser{}
	c := &Config{Group: s.Group, Listen: s.Listen, Redactor: s.redactor()}
	s.parseSource(p, c)
	s.parseKafka(p, c)
	s.parseTopics(p, c)
	s.parseFormat(p, c)
	s.parseRun(p, c)
	p.proxies()
	c.Tracing = p.tracing()
	c.Warnings = s.warnings(c)
	return c, p.err()
}

// ParseListen is Parse for who only asks a process that listens: nothing else has to be set, and nothing else is in the configuration but the zone.
func (s *Settings) ParseListen() (*Config, error) {
	p := &parser{}
	c := &Config{Listen: s.Listen, Redactor: s.redactor()}
	c.Source.TimeZone = p.location("JMPUB_API_TIME_ZONE", s.API.TimeZone)
	s.parseListen(p, c)
	return c, p.err()
}

// redactor masks all credentials that are sent anywhere, those of proxies too, which net/http reads from the environment.
func (s *Settings) redactor() secret.Redactor {
	r := secret.NewRedactor(
		secret.Credentials{User: s.AppKey, Password: s.MasterSecret},
		secret.Credentials{User: s.Kafka.SASLUsername, Password: s.Kafka.SASLPassword},
		secret.Credentials{User: s.SchemaRegistry.Username, Password: s.SchemaRegistry.Password},
	)
	for line := range strings.Lines(s.Admin.Token.Reveal()) {
		_, token := cutAdmin(strings.TrimSpace(line))
		r = r.With(secret.Credentials{Password: secret.New(token)})
	}
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
		address, _ := os.LookupEnv(name)
		r = r.With(secret.OfProxy(address)...)
	}
	return r
}

func (s *Settings) parseSource(p *parser, c *Config) {
	p.required("JMPUB_APP_KEY", s.AppKey, "the app key of the JMessage console")
	p.required("JMPUB_MASTER_SECRET", s.MasterSecret.Reveal(), "the master secret of the JMessage console, "+
		"or name a file that holds it with JMPUB_MASTER_SECRET_FILE")
	c.Source = source.Config{
		AppKey: s.AppKey, MasterSecret: s.MasterSecret, Redactor: c.Redactor,
		BaseURL:  p.baseURL("JMPUB_API_URL", s.API.URL),
		TimeZone: p.location("JMPUB_API_TIME_ZONE", s.API.TimeZone),
		PageSize: p.integer("JMPUB_API_PAGE_SIZE", s.API.PageSize, 1000),
		GiveUp:   p.duration("JMPUB_API_GIVE_UP", s.API.GiveUp),
		Poll:     p.duration("JMPUB_POLL", s.Poll),
		PollIdle: p.duration("JMPUB_POLL_IDLE", s.PollIdle),
		Settle:   p.duration("JMPUB_SETTLE", s.Settle),
		Overlap:  p.duration("JMPUB_OVERLAP", s.Overlap),
	}
	c.Recheck = p.durations("JMPUB_RECHECK", s.Recheck)
	c.LiveFirst = p.oneOf("JMPUB_CATCHUP", s.Catchup, "ordered", "live-first") == "live-first"
	c.Early = p.oneOf("JMPUB_PUBLISH", s.Publish, "early", "settled") == "early"
	c.RetentionWarn = p.duration("JMPUB_RETENTION_WARN", s.RetentionWarn)
	p.want(c.RetentionWarn <= pipeline.History, "JMPUB_RETENTION_WARN", s.RetentionWarn, "a duration up to 60d")
	c.Parallel = p.integer("JMPUB_API_PARALLEL", s.API.Parallel, maxParallel)
	var err error
	c.Source.Rate, err = source.ParseRate(s.API.Rate)
	p.want(err == nil, "JMPUB_API_RATE", s.API.Rate, "a rate such as 600/m or 10/s")
	s.parseStreams(p, c)
	if s.Start == "now" {
		return
	}
	if c.Start.At, c.Start.Back, err = parseTime(s.Start, c.Source.TimeZone); err != nil {
		p.addf("JMPUB_START: %w, or now", err)
	}
}

func (s *Settings) parseStreams(p *parser, c *Config) {
	selection, err := pipeline.ParseSelection(s.Streams)
	if err != nil {
		p.addf("JMPUB_STREAMS: %w", err)
	}
	c.Streams, c.Statistics, c.Discover = selection.Streams, selection.Statistics, selection.Discover
	c.Topics.Statistics = selection.Statistics
	if others := len(c.Streams) - 1 + len(c.Discover); others > 0 && slices.Contains(c.Streams, pipeline.Stream{Kind: pipeline.StreamMessages}) {
		p.addf("JMPUB_STREAMS: messages has the messages of all users and groups, and whether it has those of chat rooms too is " +
			"not documented, so with other streams it would publish rows twice; name messages alone, or streams of users, " +
			"groups and chat rooms. For both, run two jmpub, each with its own JMPUB_GROUP")
	}
	if c.Units, err = pipeline.ParseUnits(s.Statistics.Units); err != nil {
		p.addf("JMPUB_STATISTICS_UNITS: %w", err)
	}
	const often, seldom = time.Minute, 24 * time.Hour // The lists and statistics do not change faster, and hours are kept for a day.
	c.StatisticsEvery = p.between("JMPUB_STATISTICS_EVERY", s.Statistics.Every, often, seldom)
	c.DiscoveryEvery = p.between("JMPUB_DISCOVERY_EVERY", s.Discovery.Every, often, seldom)
	const mostStreams = 100_000
	c.DiscoveryMax = p.integer("JMPUB_DISCOVERY_MAX", s.Discovery.Max, mostStreams)
	c.Source.ListsURL = p.baseURL("JMPUB_IM_URL", s.IM.URL)
}

func (s *Settings) parseKafka(p *parser, c *Config) {
	p.required("JMPUB_KAFKA_BROKERS", s.Kafka.Brokers, "the brokers' host:port, comma-separated")
	c.Kafka = kafka.Config{
		Brokers: p.hostPorts("JMPUB_KAFKA_BROKERS", s.Kafka.Brokers),
		TLS:     p.boolean("JMPUB_KAFKA_TLS", s.Kafka.TLS),
		CAFile:  s.Kafka.TLSCaFile, CertFile: s.Kafka.TLSCertFile, KeyFile: s.Kafka.TLSKeyFile,
		Username: s.Kafka.SASLUsername, Password: s.Kafka.SASLPassword,
		Redactor: c.Redactor,
		ClientID: "jmpub",
	}
	if !c.Kafka.TLS && (s.Kafka.TLSCaFile != "" || s.Kafka.TLSCertFile != "" || s.Kafka.TLSKeyFile != "") {
		p.addf("JMPUB_KAFKA_TLS is off, but a certificate is named; set JMPUB_KAFKA_TLS=on, or unset JMPUB_KAFKA_TLS_*_FILE")
	}
	if (s.Kafka.TLSCertFile == "") != (s.Kafka.TLSKeyFile == "") {
		p.addf("JMPUB_KAFKA_TLS_CERT_FILE and JMPUB_KAFKA_TLS_KEY_FILE go together; only one is set")
	}
	if s.Kafka.SASL != "" {
		c.Kafka.Mechanism = p.oneOf("JMPUB_KAFKA_SASL", s.Kafka.SASL,
			kafka.Plain, kafka.ScramSHA256, kafka.ScramSHA512)
		p.required("JMPUB_KAFKA_SASL_USERNAME", s.Kafka.SASLUsername, "JMPUB_KAFKA_SASL needs it")
		p.required("JMPUB_KAFKA_SASL_PASSWORD", s.Kafka.SASLPassword.Reveal(), "JMPUB_KAFKA_SASL needs it, or its _FILE")
	} else if s.Kafka.SASLUsername != "" || !s.Kafka.SASLPassword.IsEmpty() {
		p.addf("JMPUB_KAFKA_SASL_USERNAME or _PASSWORD is set, but JMPUB_KAFKA_SASL is not; set it to plain, " +
			"scram-sha-256 or scram-sha-512")
	}
	c.Sink.TransactionTimeout = p.duration("JMPUB_KAFKA_TRANSACTION_TIMEOUT", s.Kafka.TransactionTimeout)
	c.Sink.Compression = p.oneOf("JMPUB_KAFKA_COMPRESSION", s.Kafka.Compression, "none", "gzip", "snappy", "lz4", "zstd")
}

func (s *Settings) parseTopics(p *parser, c *Config) {
	t := &c.Topics
	t.Prefix, t.Template, t.AppKey = s.TopicPrefix, s.TopicTemplate, s.AppKey
	t.Create = p.boolean("JMPUB_TOPICS_CREATE", s.Topics.Create)
	t.Partitions = p.integerOrBroker("JMPUB_TOPICS_PARTITIONS", s.Topics.Partitions, maxPartitions)
	t.Shards = p.integer("JMPUB_TOPICS_SHARDS", s.Topics.Shards, maxPartitions)
	t.Replication = p.integerOrBroker("JMPUB_TOPICS_REPLICATION", s.Topics.Replication, maxReplication)
	t.Retention = p.durationOrBroker("JMPUB_TOPICS_RETENTION", s.Topics.Retention)
	t.MinInsyncReplicas = p.integerOrBroker("JMPUB_TOPICS_MIN_INSYNC_REPLICAS", s.Topics.MinInsyncReplicas, maxReplication)
	if in, rep := t.MinInsyncReplicas, t.Replication; in > rep && rep > 0 {
		p.addf("JMPUB_TOPICS_MIN_INSYNC_REPLICAS is %d, but JMPUB_TOPICS_REPLICATION is %d; nothing could be written", in, rep)
	}
	c.Sink.PartitionBy = sink.PartitionBy(p.oneOf("JMPUB_PARTITION_BY", s.PartitionBy, "msgid", "conversation"))
	c.Sink.RecordTime = sink.RecordTime(p.oneOf("JMPUB_RECORD_TIME", s.RecordTime, "publish", "event"))
}

func (s *Settings) parseFormat(p *parser, c *Config) {
	c.Sink.Format = sink.Format(p.oneOf("JMPUB_EVENT_FORMAT", s.EventFormat, string(sink.FormatJSON), string(sink.FormatAvro)))
	r := &s.SchemaRegistry
	register := p.boolean("JMPUB_SCHEMA_REGISTRY_REGISTER", r.Register)
	if c.Sink.Format != sink.FormatAvro {
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
		URL: address, Username: r.Username, Password: r.Password, Redactor: c.Redactor,
		CAFile: r.CaFile, Register: register,
	})
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	c.Sink.Schemas = schemas
}

func (s *Settings) parseRun(p *parser, c *Config) {
	switch dir, isFile := strings.CutPrefix(s.Checkpoint, "file:"); {
	case isFile && dir != "":
		c.CheckpointDir = dir
	case s.Checkpoint != "kafka":
		p.add("JMPUB_CHECKPOINT", s.Checkpoint, "kafka, or file:DIR")
	}
	p.want(IsName(s.Group), "JMPUB_GROUP", s.Group, "a name of up to 100 letters, digits, '.', '_' and '-'")
	s.parseListen(p, c)
	c.LogLevel = p.logLevel("JMPUB_LOG", s.Log)
	if s.LogFormat != "" {
		c.LogFormat = p.oneOf("JMPUB_LOG_FORMAT", s.LogFormat, "text", "json")
	}
	if len(p.errs) == 0 {
		p.complete(c)
	}
}

// parseListen reads where a process answers, and to whom.
func (s *Settings) parseListen(p *parser, c *Config) {
	if s.Listen != "off" {
		p.hostPort("JMPUB_LISTEN", s.Listen)
	}
	c.ListenHosts = p.hostNames("JMPUB_LISTEN_HOSTS", s.ListenHosts)
	c.ListenCert, c.ListenKey = s.ListenTLSCertFile, s.ListenTLSKeyFile
	if (c.ListenCert == "") != (c.ListenKey == "") {
		p.addf("JMPUB_LISTEN_TLS_CERT_FILE and JMPUB_LISTEN_TLS_KEY_FILE go together; only one is set")
	}
	c.Admins = s.parseAdmins(p)
}

// complete lets the adapters check what they know better, once everything is readable.
func (p *parser) complete(c *Config) {
	for _, part := range []interface{ Validate() error }{&c.Source, &c.Topics, &c.Sink, &c.Kafka} {
		if err := part.Validate(); err != nil {
			p.errs = append(p.errs, err)
		}
	}
	if c.Start.At.After(time.Now().Add(24 * time.Hour)) {
		p.addf("JMPUB_START: %s is more than a day in the future", c.Time(c.Start.At))
	}
}

// IsName tells whether a text may name a group or a replay. It stands in transactional ids, keys and the names of folders, beside
// separators that it has none of.
func IsName(text string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return text != "" && len(text) <= 100 && strings.Trim(text, letters) == ""
}
