package source

import (
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
	proxyHint = "the proxy on the way asks for credentials: see HTTPS_PROXY"
	rightHint = "ask JMessage whether the app has the right to it (statistics are for apps that pay for them), or leave it out " +
		"of JMPUB_STREAMS"
)

func (r *request) pathHint() string {
	name, example := r.setting()
	return "check " + name + ": it ends with the version, as in " + example
}

func (r *request) networkHint() string {
	name, _ := r.setting()
	return "check " + name + " and the network if this lasts"
}

// statusFault says what a reply that is no page asks for, and whether it is the API's own. The code decides where there is
// one that is known, and the status otherwise; the text beside them differs between servers.
func (c *Client) statusFault(r *request, res *http.Response, body []byte) (fault *pipeline.Fault, class string, fromAPI bool) {
	said := decodeError(body)
	status := res.StatusCode
	fault = &pipeline.Fault{Op: r.op, Err: c.saidError(status, said, body)}
	about := kindOf(said.code)
	if about == kindUnknown {
		about = kindOfStatus(status)
	}
	// What an expired cursor is answered with is not documented, so any refusal sends the window back to its start.
	refused := status < http.StatusInternalServerError && about != kindRedirect && about != kindOK
	if r.cursor && refused && about != kindRateLimited && about != kindUnauthorized {
		fault.Class = pipeline.Restart
		return fault, classRefused, said.code != 0
	}
	switch about {
	case kindRateLimited:
		fault.Class, class = pipeline.Transient, classRateLimited
		fault.After = max(retryAfter(res.Header, c.serverNow(res.Header)), barePause)
		c.limiter.pause(fault.After) // The quota is the app's: no other stream gets further either.
	case kindUnauthorized:
		fault.Class, class, fault.Hint = pipeline.Permanent, classUnauthorized, appHint
		if r.denied = isDenied(said.code); !r.denied && r.decode != nil {
			fault.Hint = rightHint
		}
	case kindGone:
		fault.Class, class = pipeline.Drop, classRefused
	case kindServerError:
		fault.Class, class = pipeline.Transient, classServerError
		if status == http.StatusServiceUnavailable {
			fault.After = retryAfter(res.Header, c.serverNow(res.Header)) // RFC 9110 §15.6.4.
		}
	case kindRedirect:
		fault.Class, class, fault.Hint = pipeline.Permanent, classRefused, r.pathHint()
		fault.Err = fmt.Errorf("HTTP %d: redirected to %s, which is not followed, because the credentials would go there",
			status, c.excerpt([]byte(res.Header.Get("Location"))))
	case kindOK:
		fault.Class, class = pipeline.Transient, classMalformed
	default:
		fault.Class, class, fault.Hint = pipeline.Permanent, classRefused, c.refusedHint(status, r)
	}
	return fault, class, said.code != 0
}

// serverNow is what a date in a reply's header is held against.
func (c *Client) serverNow(h http.Header) time.Time {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		return date
	}
	now, _ := c.clock.now()
	return now
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

// refusedHint tells what was sent, without the credentials: with it the operator can ask the API's makers.
func (c *Client) refusedHint(status int, r *request) string {
	switch status {
	case http.StatusNotFound:
		return r.pathHint()
	case http.StatusProxyAuthRequired:
		return proxyHint
	default:
		return "the request was GET " + printable(c.address(r)+"?"+r.query)
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

// pageFault is for a reply of status 200 that could not be decoded. A body that is an error, whatever the status says, is
// one.
func (c *Client) pageFault(r *request, res *http.Response, body []byte, err error) (*pipeline.Fault, string) {
	if isAbsent(err) && kindOf(decodeError(body).code) != kindUnknown {
		fault, class, _ := c.statusFault(r, res, body)
		return fault, class
	}
	return &pipeline.Fault{
		Class: pipeline.Transient, Op: r.op,
		Err: fmt.Errorf("%w: %w; its %d bytes begin with %s", errMalformed, err, len(body), c.excerpt(body)),
	}, classMalformed
}

// networkFault is for an exchange that brought no reply. Only what the operator alone can mend is permanent.
func networkFault(r *request, err error) *pipeline.Fault {
	setting, _ := r.setting()
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &pipeline.Fault{
			Class: pipeline.Permanent, Op: r.op, Err: err,
			Hint: "the API's certificate is not trusted here: check " + setting + ", the system's certificates and its clock",
		}
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return &pipeline.Fault{
			Class: pipeline.Permanent, Op: r.op, Err: err,
			Hint: "the address does not speak TLS: check the scheme and port in " + setting,
		}
	}
	return &pipeline.Fault{Class: pipeline.Transient, Op: r.op, Err: err, Hint: r.networkHint()}
}

// bodyFault is for a page that broke off or does not end.
func bodyFault(r *request, err error) *pipeline.Fault {
	if errors.Is(err, errTooLarge) {
		// The same rows would come again, as many of them.
		return &pipeline.Fault{
			Class: pipeline.Permanent, Op: r.op, Err: err, Hint: "ask for fewer rows in a page: JMPUB_API_PAGE_SIZE",
		}
	}
	return &pipeline.Fault{Class: pipeline.Transient, Op: r.op, Err: err, Hint: r.networkHint()}
}

// excerpt is the printable beginning of foreign bytes, without the credentials.
func (c *Client) excerpt(body []byte) string { return printable(c.redactor.Redact(string(body))) }

// printableBytes bounds what is shown of a foreign text.
const printableBytes = 200

// printable is a foreign text in one line of bounded length.
func printable(text string) string {
	if len(text) > printableBytes {
		return strconv.QuoteToGraphic(text[:printableBytes]) + "…"
	}
	return strconv.QuoteToGraphic(text)
}
