package source

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

const (
	// ownIdleConns has room for the streams of one app that are read at the same time, sharedIdleConns for the requests of thousands of
	// apps: each of them uses a connection for a moment every few seconds. An idle connection takes about 25 KiB.
	ownIdleConns    = 32
	sharedIdleConns = 128
)

// NewTransport makes a transport that the clients of many apps can share ([Config.Transport]): it keeps enough connections to one host for
// thousands of them. Certificates are verified; a proxy is taken from the environment, as all Go programs do. Whoever makes it closes its
// idle connections in the end. Safe for concurrent use.
func NewTransport() *http.Transport { return newTransport(sharedIdleConns) }

func newTransport(idleConns int) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: checkProxy,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  requestTimeout,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConns:           idleConns,
		MaxIdleConnsPerHost:    idleConns,
		MaxResponseHeaderBytes: 256 << 10,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
	}
}

// errProxyLogin is a proxy that lets nobody through to an https address without a login.
var errProxyLogin = errors.New("HTTP 407 Proxy Authentication Required")

// checkProxy says what a proxy's refusal to connect is, as far as something can be done about it here.
func checkProxy(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusProxyAuthRequired {
		return errProxyLogin
	}
	return nil
}

// arrival is when and how a reply came.
type arrival struct {
	// bytes is its size.
	bytes int
	// received is when its header came, by the local clock; date is the server's, zero if it has none.
	received, date time.Time
}

// ask sends a request until it is answered, under the retry policy; the request keeps what the reply says. One that may not wait
// for ever is not sent, nor waited for, after its latest time: then it returns a fault of class Restart.
func (c *Client) ask(ctx context.Context, r request) (arrival, error) {
	call := r.common()
	waiting := ctx
	if !call.latest.IsZero() {
		var cancel context.CancelFunc
		waiting, cancel = context.WithDeadline(ctx, call.latest)
		defer cancel()
	}
	var arrived arrival
	var last error
	err := c.cfg.Retry.Do(waiting, call.op, func(waiting context.Context) error {
		if err := c.limiter.wait(waiting, call.handicap); err != nil {
			return err
		}
		if now, ok := c.clock.now(); ok {
			if err := call.checkBegin(now); err != nil {
				return err
			}
		}
		// What was sent in time may be answered later: the latest time bounds the waiting alone.
		arrived, last = c.try(ctx, r)
		return last
	})
	switch {
	case err == nil:
		return arrived, nil
	case ctx.Err() != nil:
		if last == nil || errors.Is(last, ctx.Err()) {
			return arrival{}, fmt.Errorf("%s: %w", call.op, ctx.Err())
		}
		return arrival{}, fmt.Errorf("%w, after: %s", ctx.Err(), last.Error()) // Its class must not come out.
	case !call.latest.IsZero() && errors.Is(err, context.DeadlineExceeded):
		return arrival{}, cursorExpired(call.op, last)
	default:
		return arrival{}, err
	}
}

// failure is a try that brought no reply of use.
type failure struct {
	fault *pipeline.Fault
	// class is that of the exchange, for metrics.
	class string
	// fromAPI is set when the API itself answered, and not somebody on the way.
	fromAPI bool
	// refused is set when the request was refused for its own sake, not for the app's or the moment's.
	refused bool
	// denied is set when the API knows of no such credentials.
	denied bool
	// tooLarge is set when the reply was too large and no less can be asked for.
	tooLarge bool
	// gateway is set when what came may be of somebody other than the API: a gateway, a proxy.
	gateway bool
}

// try sends a request once and reports it to the observer, unless ctx has cut the exchange off.
func (c *Client) try(ctx context.Context, r request) (arrival, error) {
	call := r.common()
	call.tries++
	started := time.Now()
	arrived, failed := c.exchange(ctx, r)
	if failed == nil {
		c.answered.Store(call.service, true)
		c.cfg.Observer.Tell(pipeline.RequestAnswered{Stream: call.stream, Window: call.window, Class: c.noteDeviations(call), Took: time.Since(started)})
		return arrived, nil
	}
	if ctx.Err() != nil {
		return arrival{}, ctx.Err()
	}
	failed.fault.Err = c.redactor.Error(failed.fault.Err) // Others wrote it: libraries quote what came.
	c.tolerate(call, failed)
	r.judge(failed)
	failed.fault.Kind = failed.class
	c.cfg.Observer.Tell(pipeline.RequestAnswered{Stream: call.stream, Window: call.window, Class: failed.class, Took: time.Since(started)})
	return arrival{}, failed.fault
}

// noteDeviations tells once of each way in which replies are not as documented, and returns the class of the exchange.
func (c *Client) noteDeviations(call *call) string {
	for _, deviation := range call.deviations {
		if _, before := c.deviations.LoadOrStore(deviation, true); !before {
			c.cfg.Warn("a reply of the API is not as documented; such replies are taken for what they mean",
				slog.String("deviation", deviation), slog.String("op", call.op))
		}
	}
	if len(call.deviations) > 0 {
		return classDeviating
	}
	return classOK
}

// exchange does one exchange.
func (c *Client) exchange(ctx context.Context, r request) (arrival, *failure) {
	call := r.common()
	timeout := fmt.Errorf("no whole reply came within %s", requestTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, timeout)
	defer cancel()
	req, err := c.newRequest(ctx, call)
	if err != nil {
		fault := &pipeline.Fault{Class: pipeline.Permanent, Op: call.op, Err: err, Hint: call.endpoint.pathHint()}
		return arrival{}, &failure{fault: fault, class: classRefused}
	}
	sent := time.Now()
	res, err := c.cfg.Transport.RoundTrip(req) // Not a client, which follows redirects: the credentials would go with it.
	if err != nil {
		return arrival{}, &failure{fault: networkFault(call, causeOf(ctx, err)), class: classNetwork, gateway: true}
	}
	received := time.Now()
	call.deviations = nil
	defer func() {
		_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // A drained connection can be used again.
		_ = res.Body.Close()
	}()
	c.limiter.pause(exhausted(res.Header, c.cfg.Reserve, c.serverNow(res.Header)))
	if limit, remaining, ok := quotaOf(res.Header); ok && call.endpoint.planned { // The lists have a quota of their own.
		c.cfg.Observer.Tell(pipeline.QuotaTold{Limit: max(0, limit), Remaining: max(0, remaining)})
	}
	if res.StatusCode == http.StatusNoContent && r.takeNothing() {
		return arrival{received: received, date: c.observeDate(call, res.Header, sent, received)}, nil
	}
	if res.StatusCode != http.StatusOK {
		var body []byte
		if plain, readErr := call.decompressed(res); readErr == nil { // What can be read of it is enough: the status says the most.
			body, _ = io.ReadAll(io.LimitReader(plain, maxErrorBody))
		}
		failed := c.statusFailure(call, res, body)
		if failed.fromAPI {
			c.observeDate(call, res.Header, sent, received)
		}
		return arrival{}, failed
	}
	body, err := call.readBody(res)
	decode := r.decode
	switch {
	case errors.Is(err, errTooLarge) && call.decodePart == nil:
		return arrival{}, largeFailure(call)
	case errors.Is(err, errTooLarge):
		decode = call.decodePart
	case err != nil:
		return arrival{}, &failure{fault: networkFault(call, causeOf(ctx, err)), class: classNetwork}
	}
	if text, marked := bytes.CutPrefix(body, []byte("\ufeff")); marked {
		body = text
		call.deviations = append(call.deviations, deviatesBOM)
	}
	if err := decode(body); errors.Is(err, errTooLarge) {
		return arrival{}, largeFailure(call)
	} else if err != nil {
		return arrival{}, c.malformedFailure(call, res, body, err)
	}
	date := c.observeDate(call, res.Header, sent, received)
	return arrival{bytes: len(body), received: received, date: date}, nil
}

// observeDate takes in the Date of a reply of the API by whose clock windows are planned. Another host has another clock, and so
// has a proxy. Zero is no usable Date.
func (c *Client) observeDate(call *call, h http.Header, sent, received time.Time) time.Time {
	if !call.endpoint.planned {
		return time.Time{}
	}
	date, ok := c.clock.observe(h, sent, received)
	if !ok {
		c.dateless.Do(func() {
			c.cfg.Warn("a reply of the API has no usable Date header",
				slog.String("hint", "without one the local clock decides how far the API is read; see that it is right"))
		})
		return date
	}
	known, disagree, changed := c.clock.compare()
	c.cfg.Observer.Tell(pipeline.ClocksCompared{Server: known.server, Local: known.local, Disagree: disagree, Changed: changed})
	return date
}

// serverNow is a reply's Date, against which its own times are held; the API's clock where it has none.
func (c *Client) serverNow(h http.Header) time.Time {
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now, _ = c.clock.now()
	}
	return now
}

// causeOf is the reason why ctx ended, if that is what err is about: transports differ in what they say.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// errTooLarge is a reply beyond the limit.
var errTooLarge = errors.New("the reply is too large")

// maxErrorBody bounds what is read of a reply that is no page.
const maxErrorBody = 64 << 10

// claimedBody bounds the memory that is taken for a body before it came, whatever its header says.
const claimedBody = 1 << 20

// readBody takes in a reply's body, decompressed. What is decoded of it may point into it, until the call's memory is used again. Of one
// beyond the limit it returns the beginning, and errTooLarge.
func (c *call) readBody(res *http.Response) ([]byte, error) {
	size := int64(c.sizeHint)
	if res.Header.Get("Content-Encoding") == "" {
		size = max(size, min(res.ContentLength, claimedBody))
	}
	most := cmp.Or(c.maxBody, maxBody)
	plain, err := c.decompressed(res)
	if err != nil {
		return nil, fmt.Errorf("read reply: %w", err)
	}
	if size += bytes.MinRead; int64(cap(c.body)) < size {
		c.body = make([]byte, 0, size+size/16) // Those that use it next may be a little larger.
	}
	if c.body, err = appendAll(c.body[:0], io.LimitReader(plain, most+1)); err != nil {
		return nil, fmt.Errorf("read reply: %w", err)
	}
	if int64(len(c.body)) > most {
		return c.body[:most], errTooLarge
	}
	return c.body, nil
}

// appendAll appends all that a reader gives. Where there is no room, there is a quarter more then, and not twice as much: the memory is kept for
// the next replies.
func appendAll(b []byte, from io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			more := make([]byte, len(b), cap(b)+cap(b)/4+bytes.MinRead)
			copy(more, b)
			b = more
		}
		n, err := from.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return b, err
		}
	}
}

// decompressed reads a reply's body as it was before it was compressed for the way. What its header says of that may be wrong.
func (c *call) decompressed(res *http.Response) (io.Reader, error) {
	body := bufio.NewReaderSize(res.Body, 16) // For a look at the beginning; what is read after it goes past this buffer.
	begin, peekErr := body.Peek(2)
	zipped := bytes.Equal(begin, []byte{0x1f, 0x8b})
	encoding := strings.ToLower(res.Header.Get("Content-Encoding"))
	saysPlain, saysZipped := encoding == "" || encoding == "identity", encoding == "gzip" || encoding == "x-gzip"
	if len(begin) > 0 && (zipped && !saysZipped || !zipped && !saysPlain) {
		c.deviations = append(c.deviations, deviatesEncoding)
	}
	switch {
	case zipped:
		plain, err := gzip.NewReader(body)
		if err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		return plain, nil
	case saysZipped && len(begin) == 0:
		if errors.Is(peekErr, io.EOF) {
			peekErr = io.ErrUnexpectedEOF // An empty body is no gzip.
		}
		return nil, fmt.Errorf("decompress: %w", peekErr)
	case saysPlain, saysZipped, bytes.HasPrefix(begin, []byte("{")), bytes.HasPrefix(begin, []byte("[")):
		return body, nil
	default:
		return nil, fmt.Errorf("the reply is encoded as %s, which was not asked for", printable(encoding))
	}
}
