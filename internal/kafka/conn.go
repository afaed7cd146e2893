// Package kafka connects to Kafka and says of each of its errors what it asks for. Sink and checkpoint share it.
package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/jmpub/jmpub/internal/certs"
	"github.com/jmpub/jmpub/internal/probe"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/pipeline"
)

// Config says how to reach the brokers.
type Config struct {
	// Brokers are host:port.
	Brokers []string
	// TLS encrypts; CAFile, where set, replaces the system's certificate authorities; CertFile and KeyFile are the
	// client's own.
	TLS                       bool
	CAFile, CertFile, KeyFile string
	// Mechanism is empty, "plain", "scram-sha-256" or "scram-sha-512".
	Mechanism, Username string
	Password            secret.Secret
	// Redactor masks what else must not be shown of what others answer: credentials that go elsewhere.
	Redactor secret.Redactor
	// ClientID names jmpub in the brokers' logs and quotas.
	ClientID string
	// Transport, where set, carries requests instead of connections to the brokers.
	Transport kafkago.RoundTripper
}

// The mechanisms of SASL.
const (
	Plain       = "plain"
	ScramSHA256 = "scram-sha-256"
	ScramSHA512 = "scram-sha-512"
)

const (
	// metadataTTL bounds for how long a request can go to a partition's old leader: kafka-go's transport learns of a new
	// one only by refreshing.
	metadataTTL = 2 * time.Second
	dialTimeout = 5 * time.Second
	// connectTimeout bounds the first contact: to dial and learn what is spoken, and to log in and ask for the brokers.
	connectTimeout = 2 * dialTimeout
	idleTimeout    = time.Minute
	// requestTimeout bounds one request; kafka-go's transport would otherwise wait for a broker that never answers.
	requestTimeout = 30 * time.Second
)

// maxNamed is how many brokers are reached for, of those that one of them names: more than clusters have, and few enough for all at once.
const maxNamed = 200

// Validate reads what the settings name and checks the rest; nothing is sent.
func (cfg *Config) Validate() error {
	_, tlsErr := cfg.tls()
	_, saslErr := cfg.mechanism()
	return errors.Join(tlsErr, saslErr)
}

// Conn is a connection to a cluster. Safe for concurrent use.
type Conn struct {
	*kafkago.Client
	transport *kafkago.Transport
	answers   *answers
}

// Open makes a connection. Nothing is sent yet, but files are read.
func Open(cfg Config) (*Conn, error) {
	conf, err := cfg.tls()
	if err != nil {
		return nil, err
	}
	return cfg.open(newDialer(conf))
}

// OpenToTry is [Open] for a try to create topics. answered is called when a broker has answered one, a moment before kafka-go has the answer.
func OpenToTry(cfg Config, answered func()) (*Conn, error) {
	conf, err := cfg.tls()
	if err != nil {
		return nil, err
	}
	by := newDialer(conf)
	by.answered = func(key protocol.ApiKey) {
		if key == protocol.CreateTopics {
			answered()
		}
	}
	return cfg.open(by)
}

func (cfg *Config) open(by *dialer) (*Conn, error) {
	mechanism, err := cfg.mechanism()
	if err != nil {
		return nil, err
	}
	pool := &kafkago.Transport{
		Dial: by.dial, DialTimeout: dialTimeout, IdleTimeout: idleTimeout, MetadataTTL: metadataTTL, ClientID: cfg.ClientID, SASL: mechanism,
	}
	var carrier kafkago.RoundTripper = newTransport(pool)
	if cfg.Transport != nil {
		carrier = cfg.Transport
	}
	heard := &answers{RoundTripper: redacting{carrier, cfg.redactor()}}
	return &Conn{
		Client:    &kafkago.Client{Addr: kafkago.TCP(cfg.Brokers...), Timeout: requestTimeout, Transport: newSharing(heard)},
		transport: pool, answers: heard,
	}, nil
}

// SilentSince is since when Kafka has not answered anything that it was asked; zero where the last thing that it did was to answer.
func (c *Conn) SilentSince() time.Time {
	if since := c.answers.silent.Load(); since != nil {
		return *since
	}
	return time.Time{}
}

// answers notes whether requests are answered.
type answers struct {
	kafkago.RoundTripper

	// silent is when the first request was sent that came after the last answer; nil where there is none.
	silent atomic.Pointer[time.Time]
}

// RoundTrip implements [kafkago.RoundTripper].
func (a *answers) RoundTrip(ctx context.Context, addr net.Addr, request kafkago.Request) (kafkago.Response, error) {
	if a.silent.Load() == nil {
		a.silent.CompareAndSwap(nil, new(time.Now()))
	}
	res, err := a.RoundTripper.RoundTrip(ctx, addr, request)
	if err == nil {
		a.silent.Store(nil)
	}
	return res, err
}

// Close lets go of idle connections.
func (c *Conn) Close() { c.transport.CloseIdleConnections() }

func (cfg *Config) tls() (*tls.Config, error) {
	if !cfg.TLS {
		return nil, nil //nolint:nilnil // No TLS is a configuration too.
	}
	return certs.TLS("JMPUB_KAFKA_TLS", certs.Files{CA: cfg.CAFile, Cert: cfg.CertFile, Key: cfg.KeyFile})
}

func (cfg *Config) mechanism() (sasl.Mechanism, error) {
	algorithms := map[string]scram.Algorithm{ScramSHA256: scram.SHA256, ScramSHA512: scram.SHA512}
	switch cfg.Mechanism {
	case "":
		return nil, nil //nolint:nilnil // No authentication is a configuration too.
	case Plain:
		return plain.Mechanism{Username: cfg.Username, Password: cfg.Password.Reveal()}, nil
	case ScramSHA256, ScramSHA512:
		mechanism, err := scram.Mechanism(algorithms[cfg.Mechanism], cfg.Username, cfg.Password.Reveal())
		if err != nil {
			return nil, fmt.Errorf("JMPUB_KAFKA_SASL_USERNAME and JMPUB_KAFKA_SASL_PASSWORD: %w", err)
		}
		return boundedScram{mechanism}, nil
	default:
		return nil, fmt.Errorf("JMPUB_KAFKA_SASL: %q is not plain, scram-sha-256 or scram-sha-512", cfg.Mechanism)
	}
}

// Check reaches for every broker by itself and reports, if none can be used, what was wrong with each: kafka-go's pool
// says only that it has no connection. Then it reaches for all brokers that the first one names, as every later request does:
// partly is what was wrong with some of them, while others answer.
func Check(ctx context.Context, cfg Config) (partly, err error) {
	if cfg.Transport != nil { // There is nothing to connect to.
		return nil, nil
	}
	var errs []error
	for _, broker := range cfg.Brokers {
		named, err := checkOne(ctx, cfg, broker)
		if err == nil {
			return checkNamed(ctx, cfg, broker, named)
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// checkNamed reaches for the brokers that another one names.
func checkNamed(ctx context.Context, cfg Config, by string, named []kafkago.Broker) (partly, err error) {
	var errs []error
	for _, c := range meetNamed(ctx, cfg, Contact{Address: by}, named, func(*Conn, *Contact) {}) {
		errs = append(errs, c.Err)
	}
	found := errors.Join(errs...)
	if slices.Contains(errs, nil) {
		return found, nil
	}
	return nil, found
}

// Contact is a broker that was reached for.
type Contact struct {
	// Address is where, as host:port.
	Address string
	// ID is the broker's, if Named is set: another broker names the address. Of the others the settings name the address.
	ID    int
	Named bool
	// Release is what the broker's protocol shows of its release, "v3.7" or "at least v4.1"; empty where it shows none. Old is set where that
	// is older than jmpub is made for.
	Release string
	Old     bool
	// TLS is the connection's; nil without.
	TLS *tls.ConnectionState
	// Err is why it cannot be used; nil where it can.
	Err error
}

// Survey reaches for every broker that the settings name, and for every one that the first of those which answer names. It tries each once.
func Survey(ctx context.Context, cfg Config) []Contact {
	all := make([]Contact, len(cfg.Brokers))
	named := make([][]kafkago.Broker, len(cfg.Brokers))
	var asking sync.WaitGroup
	for i, broker := range cfg.Brokers {
		asking.Go(func() {
			all[i].Address = broker
			named[i], all[i].Err = cfg.meet(ctx, &all[i], func(conn *Conn, c *Contact) { c.Release, c.Old = conn.release(ctx) })
		})
	}
	asking.Wait()
	for i := range all {
		if all[i].Err == nil {
			return slices.Concat(all, meetNamed(ctx, cfg, all[i], named[i], func(conn *Conn, c *Contact) { c.Release, c.Old = conn.release(ctx) }))
		}
	}
	return all
}

// meetNamed reaches for the brokers that another one names, which is by. closer is called with each that can be used.
func meetNamed(ctx context.Context, cfg Config, by Contact, named []kafkago.Broker, closer func(*Conn, *Contact)) []Contact {
	named = named[:min(len(named), maxNamed)]
	all := make([]Contact, len(named))
	var asking sync.WaitGroup
	for i, broker := range named {
		at := net.JoinHostPort(broker.Host, strconv.Itoa(broker.Port))
		if all[i] = (Contact{Address: at, ID: broker.ID, Named: true, Release: by.Release, Old: by.Old, TLS: by.TLS}); at == by.Address {
			continue
		}
		asking.Go(func() {
			_, cause := cfg.meet(ctx, &all[i], closer)
			if fault, ok := errors.AsType[*pipeline.Fault](cause); ok {
				all[i].Err = &pipeline.Fault{
					Class: fault.Class, Op: fmt.Sprintf("connect to broker %d of the cluster at %s", broker.ID, at), Err: fault.Err,
					Hint: fmt.Sprintf("%s names this address: correct advertised.listeners of broker %d, or make the address reachable from here",
						by.Address, broker.ID),
				}
			}
		})
	}
	asking.Wait()
	return all
}

// checkOne reaches for a broker, and returns the brokers that it names.
func checkOne(ctx context.Context, cfg Config, broker string) ([]kafkago.Broker, error) {
	return cfg.meet(ctx, &Contact{Address: broker}, func(*Conn, *Contact) {})
}

// meet reaches for the broker at a contact's address, and returns the brokers that it names. closer is called if it can be used.
func (cfg *Config) meet(ctx context.Context, c *Contact, closer func(*Conn, *Contact)) ([]kafkago.Broker, error) {
	one := *cfg
	one.Brokers = []string{c.Address}
	conf, err := one.tls()
	if err != nil {
		return nil, err
	}
	by := newDialer(conf)
	var encrypted atomic.Pointer[tls.ConnectionState]
	by.encrypted = encrypted.Store
	conn, err := one.open(by)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	named, err := conn.brokers(ctx)
	if err != nil {
		return nil, cfg.connectFault(ctx, "connect to Kafka at "+c.Address, c.Address, err)
	}
	c.TLS = encrypted.Load()
	closer(conn, c)
	return named, nil
}

// oldestFetch is the version of fetches that came with Kafka 3.7.
const oldestFetch = 16

// release is what a broker's protocol shows of its release, and whether that is older than 3.7; nothing where it says nothing, or is no Kafka
// that the table of releases has.
func (c *Conn) release(ctx context.Context) (release string, old bool) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	res, err := c.ApiVersions(ctx, &kafkago.ApiVersionsRequest{})
	if err != nil || res.Error != nil {
		return "", false
	}
	var versions kversion.Versions
	for _, key := range res.ApiKeys {
		versions.SetMaxKeyVersion(int16(key.ApiKey), int16(key.MaxVersion)) //nolint:gosec // The wire's types.
	}
	isOld := func(v *kversion.Versions) bool {
		fetches, known := v.LookupMaxKeyVersion(int16(protocol.Fetch))
		return known && fetches < oldestFetch
	}
	release, old = versions.VersionGuess(), isOld(&versions)
	named := kversion.FromString(release[strings.LastIndexByte(release, ' ')+1:])
	if named == nil || isOld(named) != old {
		return "", old
	}
	return release, old
}

// Partitions is how many partitions topics have. Those that are not there are not in it.
func (c *Conn) Partitions(ctx context.Context, retry pipeline.Retry, topics []string) (map[string]int, error) {
	found := make(map[string]int)
	op := "look up the topics " + strings.Join(topics, ", ")
	return found, retry.Do(ctx, op, func(ctx context.Context) error {
		res, err := c.Metadata(ctx, &kafkago.MetadataRequest{Topics: topics})
		if err != nil {
			return Fault(op, err)
		}
		for _, topic := range res.Topics {
			switch {
			case topic.Error == nil:
				found[topic.Name] = len(topic.Partitions)
			case !errors.Is(topic.Error, kafkago.UnknownTopicOrPartition):
				return Needs(Fault("look up the topic "+topic.Name, topic.Error), Describe.On(topic.Name)...)
			}
		}
		return nil
	})
}

// brokers asks for the brokers of the cluster, and for no topic.
func (c *Conn) brokers(ctx context.Context) ([]kafkago.Broker, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c.transport.MetadataTopics, c.transport.MetadataTTL = []string{}, dialTimeout
	res, err := c.Metadata(ctx, &kafkago.MetadataRequest{})
	if err != nil {
		return nil, err
	}
	return res.Brokers, nil
}

// connectFault is [Fault] with hints that fit the first contact. Where the broker was reached and did not answer as one, what answers
// there says which setting is wrong.
func (cfg *Config) connectFault(ctx context.Context, op, broker string, err error) error {
	err = cfg.redactor().Error(err)
	fault, ok := errors.AsType[*pipeline.Fault](Fault(op, err))
	if !ok {
		return err
	}
	var dns *net.DNSError
	var network *net.OpError
	switch {
	case fault.Class != pipeline.Transient && !errors.As(err, new(tls.RecordHeaderError)):
	case errors.Is(err, errHungUp):
		fault.Class, fault.Hint = pipeline.Permanent, "check JMPUB_KAFKA_SASL and its _USERNAME and _PASSWORD"
	case errors.As(err, &dns):
		fault.Hint = "the host name is not known; check JMPUB_KAFKA_BROKERS"
	case errors.As(err, &network) && network.Op == "dial":
		fault.Hint = "nothing answers there; check JMPUB_KAFKA_BROKERS"
	default:
		if hint := cfg.mistake(probe.At(ctx, broker)); hint != "" {
			fault.Class, fault.Hint = pipeline.Permanent, hint
		} else if fault.Hint == "" {
			fault.Hint = "no broker answers there as expected; check JMPUB_KAFKA_BROKERS, JMPUB_KAFKA_TLS and JMPUB_KAFKA_SASL"
		}
	}
	return fault
}

// mistake is the setting that does not fit what answers in a broker's place.
func (cfg *Config) mistake(found probe.Answer) string {
	switch {
	case found.HTTP:
		return "an HTTP server answers there, not Kafka; check the port in JMPUB_KAFKA_BROKERS"
	case found.TLS && !cfg.TLS:
		return "the port wants TLS; set JMPUB_KAFKA_TLS=on, or name a port without TLS in JMPUB_KAFKA_BROKERS"
	case found.Kafka && !found.TLS && cfg.TLS:
		return "Kafka answers there without TLS; set JMPUB_KAFKA_TLS=off, or name the port for TLS in JMPUB_KAFKA_BROKERS"
	case found.Kafka && cfg.Mechanism == "":
		return "the broker hangs up on clients without credentials; set JMPUB_KAFKA_SASL and its _USERNAME and _PASSWORD"
	default:
		return ""
	}
}
