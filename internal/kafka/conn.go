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
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

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
	idleTimeout = time.Minute
	// requestTimeout bounds one request; kafka-go's transport would otherwise wait for a broker that never answers.
	requestTimeout = 30 * time.Second
)

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
}

// Open makes a connection. Nothing is sent yet, but files are read.
func Open(cfg Config) (*Conn, error) {
	transport := &kafkago.Transport{
		DialTimeout: dialTimeout, IdleTimeout: idleTimeout, MetadataTTL: metadataTTL, ClientID: cfg.ClientID,
	}
	var err error
	if transport.TLS, err = cfg.tls(); err != nil {
		return nil, err
	}
	if transport.SASL, err = cfg.mechanism(); err != nil {
		return nil, err
	}
	conn := &Conn{
		Client:    &kafkago.Client{Addr: kafkago.TCP(cfg.Brokers...), Timeout: requestTimeout, Transport: transport},
		transport: transport,
	}
	if cfg.Transport != nil {
		conn.Transport = cfg.Transport
	}
	return conn, nil
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
		return mechanism, nil
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
	errs := make([]error, len(named))
	var asking sync.WaitGroup
	for i, broker := range named {
		at := net.JoinHostPort(broker.Host, strconv.Itoa(broker.Port))
		if at == by {
			continue
		}
		asking.Go(func() {
			_, cause := checkOne(ctx, cfg, at)
			if fault, ok := errors.AsType[*pipeline.Fault](cause); ok {
				errs[i] = &pipeline.Fault{
					Class: fault.Class, Op: fmt.Sprintf("connect to broker %d of the cluster at %s", broker.ID, at), Err: fault.Err,
					Hint: fmt.Sprintf("%s names this address: correct advertised.listeners of broker %d, or make the address reachable from here",
						by, broker.ID),
				}
			}
		})
	}
	asking.Wait()
	found := errors.Join(errs...)
	if slices.Contains(errs, nil) {
		return found, nil
	}
	return nil, found
}

// checkOne reaches for a broker, and returns the brokers that it names.
func checkOne(ctx context.Context, cfg Config, broker string) ([]kafkago.Broker, error) {
	op := "connect to Kafka at " + broker
	opened, err := Open(cfg)
	if err != nil {
		return nil, err
	}
	by := opened.transport
	if by.TLS != nil {
		if by.TLS.ServerName, _, err = net.SplitHostPort(broker); err != nil {
			return nil, fmt.Errorf("JMPUB_KAFKA_BROKERS: %w", err)
		}
	}
	dialer := &kafkago.Dialer{Timeout: by.DialTimeout, TLS: by.TLS, SASLMechanism: by.SASL, ClientID: by.ClientID}
	conn, err := dialer.DialContext(ctx, "tcp", broker)
	if err != nil {
		return nil, cfg.connectFault(ctx, op, broker, err)
	}
	defer conn.Close() //nolint:errcheck // It was only looked at.
	if err = conn.SetDeadline(time.Now().Add(dialTimeout)); err == nil {
		_, err = conn.ApiVersions()
	}
	var named []kafkago.Broker
	if err == nil { // A broker that wants credentials answers which versions it has without them, and hangs up at anything else.
		named, err = conn.Brokers()
	}
	return named, cfg.connectFault(ctx, op, broker, err)
}

// connectFault is [Fault] with hints that fit the first contact. Where the broker was reached and did not answer as one, what answers
// there says which setting is wrong.
func (cfg *Config) connectFault(ctx context.Context, op, broker string, err error) error {
	fault, ok := errors.AsType[*pipeline.Fault](Fault(op, err))
	if !ok {
		return err
	}
	var dns *net.DNSError
	var network *net.OpError
	switch {
	case fault.Class != pipeline.Transient && !errors.As(err, new(tls.RecordHeaderError)):
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
