package trace

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
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
		return fmt.Errorf("encode traces: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make a request of traces: %w", err)
	}
	maps.Copy(req.Header, c.headers)
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "jmpub")
	res, err := c.transport.RoundTrip(req) // Not a client, which follows redirects: the headers would go with it.
	if err != nil {
		return fmt.Errorf("send traces: %w", err)
	}
	defer res.Body.Close()                                      //nolint:errcheck // It was read.
	answer, _ := io.ReadAll(io.LimitReader(res.Body, mostRead)) // A drained connection can be used again.
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("send traces: HTTP %d", res.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != "application/x-protobuf" {
		return nil // It took them; what it says is not OTLP's.
	}
	if n := refused(answer); n > 0 {
		return fmt.Errorf("send traces: the collector took the request and refused %d of its spans", n)
	}
	return nil
}

// mostRead is how much of an answer is read.
const mostRead = 64 << 10

// refused is how many spans a collector dropped of a request that it took, as its answer says: partial_success.rejected_spans of an
// ExportTraceServiceResponse, whose package brings gRPC along. Why is not shown: it is the collector's text, and may quote the headers.
func refused(answer []byte) int64 {
	partial := field(answer, 1, protowire.BytesType)
	success, n := protowire.ConsumeBytes(partial)
	if n < 0 {
		return 0
	}
	rejected := field(success, 1, protowire.VarintType)
	spans, n := protowire.ConsumeVarint(rejected)
	if n < 0 {
		return 0
	}
	return int64(spans) //nolint:gosec // It is an int64 on the wire.
}

// field is the value of a message's field, as it is on the wire, with what follows it; nothing where there is none.
func field(message []byte, number protowire.Number, kind protowire.Type) []byte {
	for len(message) > 0 {
		got, of, n := protowire.ConsumeTag(message)
		if n < 0 {
			break
		}
		message = message[n:]
		if got == number && of == kind {
			return message
		}
		if n = protowire.ConsumeFieldValue(got, of, message); n < 0 {
			break
		}
		message = message[n:]
	}
	return nil
}
