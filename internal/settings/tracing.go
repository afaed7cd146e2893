package settings

import (
	"cmp"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Tracing says where spans are sent to, by OTLP over HTTP. The zero value sends none.
type Tracing struct {
	URL     string
	Headers http.Header
	// Timeout bounds a request.
	Timeout time.Duration
}

// tracesTimeout is the timeout where none is set, as OpenTelemetry has it.
const tracesTimeout = 10 * time.Second

// variable is a variable of the environment that is not jmpub's.
func variable(name string) string {
	value, _ := os.LookupEnv(name)
	return value
}

// tracing reads OpenTelemetry's variables, those for traces before those for all. Traces are on where a collector is named, or the exporter is.
// These are not jmpub's own variables, so what they ask for and jmpub does not do is refused. What is left of them, such as the sampler, is
// read by the SDK.
func (p *parser) tracing() Tracing {
	read := func(name string) string {
		return cmp.Or(variable("OTEL_EXPORTER_OTLP_TRACES_"+name), variable("OTEL_EXPORTER_OTLP_"+name))
	}
	exporter := variable("OTEL_TRACES_EXPORTER")
	if variable("OTEL_SDK_DISABLED") == "true" || exporter == "none" || exporter == "" && read("ENDPOINT") == "" {
		return Tracing{}
	}
	p.want(exporter == "" || exporter == "otlp", "OTEL_TRACES_EXPORTER", exporter, "otlp or none")
	protocol := read("PROTOCOL")
	p.want(protocol == "" || protocol == "http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL", protocol, "http/protobuf, to the collector's port for HTTP (4318)")
	compression := read("COMPRESSION")
	p.want(compression == "" || compression == "none", "OTEL_EXPORTER_OTLP_COMPRESSION", compression, "none: spans are few")
	for _, name := range []string{"CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"} {
		if read(name) != "" { // It is not shown: a key may stand there itself.
			p.addf("OTEL_EXPORTER_OTLP_%s: leave it out; certificates are those of the system (SSL_CERT_FILE)", name)
		}
	}
	t := Tracing{URL: variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), Headers: make(http.Header), Timeout: tracesTimeout}
	if t.URL == "" {
		t.URL = strings.TrimSuffix(cmp.Or(read("ENDPOINT"), "http://localhost:4318"), "/") + "/v1/traces"
	}
	u, err := url.Parse(t.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		p.addf("OTEL_EXPORTER_OTLP_ENDPOINT: it is no http or https address such as http://localhost:4318")
	}
	for pair := range strings.SplitSeq(read("HEADERS"), ",") {
		name, value, _ := strings.Cut(pair, "=")
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if value, err = url.PathUnescape(strings.TrimSpace(value)); err != nil {
			p.addf("OTEL_EXPORTER_OTLP_HEADERS: the value of %s is not escaped as in an address", name)
		}
		t.Headers.Set(name, value)
	}
	if text := read("TIMEOUT"); text != "" {
		ms, err := strconv.Atoi(text)
		p.want(err == nil && ms > 0, "OTEL_EXPORTER_OTLP_TIMEOUT", text, "a number of milliseconds")
		t.Timeout = time.Duration(ms) * time.Millisecond
	}
	return t
}
