package source

import (
	"crypto/tls"
	"crypto/x509"
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

// The API's error codes (API error code table, and what clients have seen). The text beside a code differs in letter case
// between servers, so only the code is looked at.
const (
	codeInternal       = 899000
	codeNoUser         = 899002
	codeNoGroup        = 899006
	codeNoAuth         = 899007
	codeWrongAuth      = 899008
	codeNoAppKey       = 899009
	codeOtherAppKey    = 899020
	codeTimeout        = 899030
	codeGroupGone      = 899045
	codeNoRoom         = 899081
	codeTooManyOld     = 2001
	codeTooMany        = 2002
	codeBlacklisted    = 2003
	credentialsHint    = "check JMPUB_APP_KEY and JMPUB_MASTER_SECRET: the app key and master secret of the JMessage console"
	pathHint           = "check JMPUB_API_URL; it ends with the version, as in https://report.im.jpush.cn/v2"
	excerptBytes       = 200
	statusRedirectFrom = 300
)

// statusFault says what a reply that is not 200 asks for.
func (c *Client) statusFault(r request, res *http.Response, body []byte) (*pipeline.Fault, string) {
	said := decodeError(body)
	fault := &pipeline.Fault{Class: pipeline.Permanent, Op: r.op, Err: said.err(res.StatusCode)}
	status := res.StatusCode
	switch {
	case status == http.StatusTooManyRequests || said.code == codeTooMany || said.code == codeTooManyOld:
		fault.Class, fault.After = pipeline.Transient, retryAfter(res.Header, time.Now())
		c.limiter.pause(fault.After) // The quota is the app's: no other stream gets further either.
		return fault, classRateLimited
	case isOneOf(said.code, codeNoAuth, codeWrongAuth, codeNoAppKey, codeOtherAppKey, codeBlacklisted),
		status == http.StatusUnauthorized, status == http.StatusForbidden:
		fault.Hint = credentialsHint
		return fault, classUnauthorized
	case isOneOf(said.code, codeNoUser, codeNoGroup, codeGroupGone, codeNoRoom):
		fault.Class = pipeline.Drop
		return fault, classRefused
	case status >= http.StatusInternalServerError, isOneOf(said.code, codeInternal, codeTimeout),
		status == http.StatusRequestTimeout:
		fault.Class = pipeline.Transient
		if status == http.StatusServiceUnavailable {
			fault.After = retryAfter(res.Header, time.Now())
		}
		return fault, classServerError
	case r.cursor:
		// What an expired cursor is answered with is not documented: any 4xx sends the window back to its start.
		fault.Class = pipeline.Restart
		return fault, classRefused
	case status == http.StatusNotFound:
		fault.Hint = pathHint
	case status < http.StatusBadRequest:
		fault.Err = fmt.Errorf("redirected to %s, which is not followed", printable(res.Header.Get("Location")))
		fault.Hint = pathHint
	default:
		fault.Hint = "the request was GET " + path(r.stream) + "?" + r.query
	}
	return fault, classRefused
}

func isOneOf(code int, codes ...int) bool {
	for _, c := range codes {
		if code == c {
			return true
		}
	}
	return false
}

// err puts what the API said into words.
func (e apiError) err(status int) error {
	if e.code == 0 {
		return fmt.Errorf("HTTP %d %s: %s", status, http.StatusText(status), excerpt([]byte(e.message)))
	}
	return fmt.Errorf("HTTP %d, code %d: %s", status, e.code, printable(e.message))
}

// networkFault is for an exchange that brought no reply. Only what the operator alone can mend is permanent.
func networkFault(op string, err error) *pipeline.Fault {
	fault := &pipeline.Fault{Class: pipeline.Transient, Op: op, Err: err}
	var unknownCA x509.UnknownAuthorityError
	var wrongHost x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &unknownCA), errors.As(err, &wrongHost), errors.As(err, &invalid), errors.As(err, &verification):
		fault.Class = pipeline.Permanent
		fault.Hint = "the API's certificate is not trusted here; check JMPUB_API_URL, the system's certificates and its clock"
	case errors.As(err, &notTLS):
		fault.Class = pipeline.Permanent
		fault.Hint = "the address does not speak TLS; check the scheme and port in JMPUB_API_URL"
	default:
		fault.Hint = "check JMPUB_API_URL and the network if this lasts"
	}
	return fault
}

// bodyFault is for a reply that broke off or does not end.
func bodyFault(op string, err error) *pipeline.Fault {
	fault := &pipeline.Fault{Class: pipeline.Transient, Op: op, Err: err}
	if errors.Is(err, errTooLarge) {
		// The same rows would come again.
		fault.Class = pipeline.Permanent
		fault.Hint = "ask for fewer rows in a page: JMPUB_API_PAGE_SIZE"
	}
	return fault
}

// excerpt is the printable beginning of foreign bytes.
func excerpt(body []byte) string {
	if len(body) > excerptBytes {
		return strconv.QuoteToGraphic(string(body[:excerptBytes])) + "…"
	}
	return strconv.QuoteToGraphic(string(body))
}

// printable is a foreign text in one line of bounded length.
func printable(text string) string { return excerpt([]byte(text)) }
