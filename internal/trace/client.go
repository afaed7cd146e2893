package trace

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// client sends spans by OTLP over HTTP. The SDK's own brings gRPC along, also where it is not spoken. What cannot be
// sent is not tried again.
type client struct {
	url       string
	headers   http.Header
	timeout   time.Duration
	transport *http.Transport
}

var _ otlptrace.Client = (*client)(nil)

// Start implements [otlptrace.Client].
func (*client) Start(context.Context) error { return nil }

// Stop implements [otlptrace.Client].
func (c *client) Stop(context.Context) error {
	c.transport.CloseIdleConnections()
	return nil
}

// UploadTraces implements [otlptrace.Client].
func (c *client) UploadTraces(ctx context.Context, spans []*otlp.ResourceSpans) error {
	body, err := proto.Marshal(&otlp.TracesData{ResourceSpans: spans}) // On the wire it is the same as a request.
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	maps.Copy(req.Header, c.headers)
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "jmpub")
	res, err := c.transport.RoundTrip(req) // Not a client, which follows redirects: the headers would go with it.
	if err != nil {
		return fmt.Errorf("send traces: %w", err)
	}
	defer res.Body.Close()                             //nolint:errcheck // It was read.
	_, _ = io.CopyN(io.Discard, res.Body, mostDrained) // A drained connection can be used again.
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("send traces: HTTP %d", res.StatusCode)
	}
	return nil
}

// mostDrained is how much of an answer is read.
const mostDrained = 64 << 10
