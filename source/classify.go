package source

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// The classes of an exchange, as metrics have them.
const (
	classOK           = "ok"
	classDeviating    = "deviating"
	classRateLimited  = "rate_limited"
	classServerError  = "server_error"
	classNetwork      = "network"
	classUnauthorized = "unauthorized"
	classRefused      = "refused"
	classMalformed    = "malformed"
)

// What the operator can do.
const (
	appHint   = "check JMPUB_APP_KEY and JMPUB_MASTER_SECRET: the app key and master secret of the JMessage console"
	proxyHint = "the proxy on the way wants a login: put it into the proxy's address, HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT, " +
		"or HTTP_PROXY for an http address; or name the API in NO_PROXY"
	rightHint = "ask JMessage whether the app has the right to it (statistics are for apps that pay for them), or leave it out " +
		"of JMPUB_STREAMS"
)

// statusFailure says what a reply that is no page asks for, and whether it is the API's own. The code decides where there is
// one that is known, and the status otherwise; the text that comes with them differs between servers.
func (c *Client) statusFailure(call *call, res *http.Response, body []byte) *failure {
	said := decodeError(body)
	status := res.StatusCode
	about := kindOf(said.code)
	if about == kindUnknown {
		about = kindOfStatus(status)
	}
	fault := &pipeline.Fault{Op: call.op, Err: c.saidError(status, said, body)}
	f := &failure{fault: fault, fromAPI: isOwnCode(said.code)}
	f.refused = status < http.StatusInternalServerError &&
		(about == kindUnknown || about == kindGone || about == kindServerError)
	after := retryAfter(res.Header, c.serverNow(res.Header))
	switch about {
	case kindRateLimited:
		fault.Class, f.class = pipeline.Transient, classRateLimited
		fault.After = max(after, barePause)
		c.limiter.pause(fault.After) // The quota is the app's: no other stream gets further either.
	case kindUnauthorized:
		fault.Class, f.class, fault.Hint = pipeline.Permanent, classUnauthorized, appHint
		f.denied = kindOf(said.code) == kindUnauthorized && said.code != codeOtherApp
	case kindGone:
		fault.Class, f.class = pipeline.Drop, classRefused
	case kindServerError:
		fault.Class, f.class = pipeline.Transient, classServerError
		if status == http.StatusServiceUnavailable {
			fault.After = after // RFC 9110 §15.6.4.
		}
	case kindRedirect:
		fault.Class, f.class, fault.Hint = pipeline.Permanent, classRefused, call.endpoint.pathHint()
		fault.Err = fmt.Errorf("HTTP %d: redirected to %s, which is not followed, because the credentials would go there",
			status, c.excerpt([]byte(res.Header.Get("Location"))))
	case kindOK:
		fault.Class, f.class = pipeline.Transient, classMalformed
	default:
		fault.Class, f.class, fault.Hint = pipeline.Permanent, classRefused, c.refusedHint(call, status)
	}
	if f.gateway = fault.Class == pipeline.Permanent && !f.fromAPI; f.gateway {
		fault.Err = fmt.Errorf("%w: %w", ErrGateway, fault.Err)
	}
	return f
}

// ErrGateway is an answer that refuses a request and is not the API's own: it has none of the API's codes.
var ErrGateway = errors.New("the answer has no code of the API, so it may be that of a gateway or a proxy")

const (
	// mostDenials is how often credentials that were good are tried again.
	mostDenials = 5
	// toleratedWait is the shortest wait before a refusal is tried again.
	toleratedWait = time.Second
)

// tolerate has a refusal tried again where the API has answered before: credentials a few times, since one of several nodes may not
// know them, and what is not the API's own for as long as the settings say.
func (c *Client) tolerate(call *call, f *failure) {
	if _, before := c.answered.Load(call.service); !before || f.fault.Class != pipeline.Permanent {
		return
	}
	switch {
	case f.gateway:
		if call.gatewaySince.IsZero() {
			call.gatewaySince = time.Now()
		}
		if time.Since(call.gatewaySince) >= c.cfg.GiveUp {
			return
		}
		f.fault.Hint += fmt.Sprintf("; given up once it has lasted for %s: JMPUB_API_GIVE_UP", c.cfg.GiveUp)
	case f.class == classUnauthorized && call.denials < mostDenials:
		call.denials++
	default:
		return
	}
	f.fault.Class, f.fault.After = pipeline.Transient, max(f.fault.After, toleratedWait)
}

// kindOfStatus is what a status asks for where no code says it better.
func kindOfStatus(status int) kind {
	switch {
	case status == http.StatusTooManyRequests:
		return kindRateLimited
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return kindUnauthorized
	case status >= http.StatusInternalServerError, status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		return kindServerError
	case status >= http.StatusBadRequest:
		return kindUnknown
	case status >= http.StatusMultipleChoices:
		return kindRedirect
	default:
		return kindOK
	}
}

// refusedHint shows what was sent, without the credentials, so that the operator can ask the makers of the API.
func (c *Client) refusedHint(call *call, status int) string {
	switch status {
	case http.StatusNotFound:
		return call.endpoint.pathHint()
	case http.StatusProxyAuthRequired:
		return proxyHint
	default:
		return "the request was GET " + c.excerpt([]byte(call.address()+"?"+call.query)) // A cursor is the API's.
	}
}

// saidError puts a reply that is no page into words.
func (c *Client) saidError(status int, said apiError, body []byte) error {
	if said.code == 0 {
		return fmt.Errorf("HTTP %d %s: %s", status, http.StatusText(status), c.excerpt(body))
	}
	return fmt.Errorf("HTTP %d, code %d: %s", status, said.code, c.excerpt([]byte(said.message)))
}

// errMalformed is a reply that is no page although its status says so.
var errMalformed = errors.New("the reply is no page")

// malformedFailure is for a reply of status 200 that could not be decoded. A body that is an error, whatever the status says, is
// one.
func (c *Client) malformedFailure(call *call, res *http.Response, body []byte, err error) *failure {
	if isAbsent(err) && kindOf(decodeError(body).code) != kindUnknown {
		return c.statusFailure(call, res, body)
	}
	fault := &pipeline.Fault{
		Class: pipeline.Transient, Op: call.op,
		Err: fmt.Errorf("%w: %w; its %d bytes begin with %s", errMalformed, err, len(body), c.excerpt(body)),
	}
	return &failure{fault: fault, class: classMalformed}
}

// networkFault is for an exchange that brought no reply. Only what needs the operator is permanent.
func networkFault(call *call, err error) *pipeline.Fault {
	fault := &pipeline.Fault{Class: pipeline.Transient, Op: call.op, Err: err, Hint: call.endpoint.networkHint()}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		fault.Class = pipeline.Permanent
		fault.Hint = "the API's certificate is not trusted here: check " + call.endpoint.setting + ", the system's certificates and its clock"
	} else if errors.Is(err, errProxyLogin) {
		fault.Class, fault.Hint = pipeline.Permanent, proxyHint
	} else if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		fault.Class = pipeline.Permanent
		fault.Hint = "the address does not speak TLS: check the scheme and port in " + call.endpoint.setting
	}
	return fault
}

// largeFailure is for a reply beyond the limit. It is transient, however little was asked for: what answers so may be a gateway, and
// another time it is the API again.
func largeFailure(call *call) *failure {
	fault := &pipeline.Fault{
		Class: pipeline.Transient, Op: call.op, Err: fmt.Errorf("%w: more than %d bytes", errTooLarge, cmp.Or(call.maxBody, maxBody)), Hint: "fewer rows are asked for now",
	}
	least := call.fewer == nil || !call.fewer()
	if least {
		fault.Hint = "no fewer rows can be asked for: see what answers at the address in " + call.endpoint.setting
	}
	return &failure{fault: fault, class: classMalformed, tooLarge: least}
}

// excerpt is the printable beginning of what others wrote, without the credentials.
func (c *Client) excerpt(body []byte) string {
	const most = 200
	return strconv.QuoteToGraphic(c.redactor.Begin(string(body[:min(len(body), maxErrorBody)]), most))
}

// printableBytes is the most that is shown of a value of others.
const printableBytes = 200

// printable is a value of others in one line, for errors. One that is long is left out rather than cut: only as a whole are the
// credentials found in it.
func printable(value string) string {
	if len(value) > printableBytes {
		return fmt.Sprintf("a value of %d bytes", len(value))
	}
	return strconv.QuoteToGraphic(value)
}
