// Package registry asks a schema registry for the ids of schemas. It speaks Confluent's API, which Apicurio Registry and
// Karapace have too.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/jmpub/jmpub/internal/certs"
	"github.com/jmpub/jmpub/internal/secret"
)

// Config is what the operator sets.
type Config struct {
	// URL is the registry's address, without credentials.
	URL string
	// Username and Password are for basic authentication; none where both are empty.
	Username string
	Password secret.Secret
	// Redactor masks what else must not be shown of what others answer: credentials that go elsewhere.
	Redactor secret.Redactor
	// CAFile has the certificates that the registry's is to be signed by; empty trusts the system's.
	CAFile string
	// Register adds a schema that the registry does not have; otherwise it is only looked up.
	Register bool
}

// requestTimeout is how long one request may take.
const requestTimeout = 10 * time.Second

// maxAnswer bounds an answer, decompressed: the id, with the schema that was asked for.
const maxAnswer = 4 << 20

// bounded ends an answer that is larger: the client reads all that comes.
type bounded struct{ http.RoundTripper }

// RoundTrip sends a request and returns the answer, of which only so much can be read.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = http.MaxBytesReader(nil, res.Body, maxAnswer)
	}
	return res, err
}

// Client asks for ids, and remembers them. It is used by one goroutine at a time.
type Client struct {
	cfg      Config
	redactor secret.Redactor
	client   *sr.Client
	ids      map[string]int
}

// New checks the configuration. Nothing is sent yet.
func New(cfg Config) (*Client, error) {
	conf, err := certs.TLS("JMPUB_SCHEMA_REGISTRY", certs.Files{CA: cfg.CAFile})
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, ForceAttemptHTTP2: true}
	opts := []sr.ClientOpt{
		sr.URLs(cfg.URL), sr.UserAgent("jmpub"), sr.HTTPClient(&http.Client{
			Transport: bounded{transport}, Timeout: requestTimeout, CheckRedirect: refuseRedirect,
		}),
	}
	if cfg.Username != "" || !cfg.Password.IsEmpty() {
		opts = append(opts, sr.BasicAuth(cfg.Username, cfg.Password.Reveal()))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("JMPUB_SCHEMA_REGISTRY_URL: %w", err)
	}
	return &Client{
		cfg: cfg, client: client, ids: make(map[string]int),
		redactor: cfg.Redactor.With(secret.Credentials{User: cfg.Username, Password: cfg.Password}),
	}, nil
}

// errRedirect is an answer that names another address.
var errRedirect = errors.New("redirected there, which is not followed, because the credentials would go there")

// refuseRedirect follows none: of the same host, another port may be another server. The error that comes of it names the address.
func refuseRedirect(*http.Request, []*http.Request) error { return errRedirect }

// Looking is a client of the same registry that adds no schema. Register tells whether this one does.
func (c *Client) Looking() (looking *Client, register bool) {
	cfg := c.cfg
	cfg.Register = false
	return &Client{cfg: cfg, client: c.client, redactor: c.redactor, ids: make(map[string]int)}, c.cfg.Register
}

// ID is the id of an Avro schema under a subject, which is added where that is allowed. One that was answered is not asked
// again. All errors are *[pipeline.Fault] or the context's.
func (c *Client) ID(ctx context.Context, subject, schema string) (int, error) {
	key := subject + "\n" + schema
	if id, known := c.ids[key]; known {
		return id, nil
	}
	id, err := c.ask(ctx, subject, sr.Schema{Schema: schema, Type: sr.TypeAvro})
	if err != nil {
		return 0, c.fault(ctx, subject, err)
	}
	c.ids[key] = id
	return id, nil
}

// Schema is the schema with an id. All errors are *[pipeline.Fault] or the context's.
func (c *Client) Schema(ctx context.Context, id int) (string, error) {
	s, err := c.client.SchemaByID(ctx, id)
	if err != nil {
		return "", c.fault(ctx, fmt.Sprintf("with id %d", id), err)
	}
	return s.Schema, nil
}

// errNoID is an answer without an id, which begin at 1.
var errNoID = errors.New("the answer has no id")

func (c *Client) ask(ctx context.Context, subject string, schema sr.Schema) (id int, err error) {
	if c.cfg.Register {
		id, err = c.client.RegisterSchema(ctx, subject, schema, -1, -1)
	} else {
		var found sr.SubjectSchema
		found, err = c.client.LookupSchema(ctx, subject, schema)
		id = found.ID
	}
	if err == nil && id == 0 {
		err = errNoID
	}
	return id, err
}
