package source

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/pipeline"
)

// newTransport makes the transport for one app. It has room for the streams that are read side by side. Certificates are
// verified; a proxy is taken from the environment, as all Go programs do.
func newTransport(timeout time.Duration) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  timeout,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConns:           32,
		MaxIdleConnsPerHost:    32,
		MaxResponseHeaderBytes: 256 << 10,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
	}
}

// damagedAfter is the number of replies to one request with the same damage after which a page is taken although rows in it
// are no JSON: they are not going to mend, and the rows around them would be lost with them. Damage that came about on the
// way is another each time.
const damagedAfter = 2

// unknownAfter is the number of malformed replies to one request after which their form is taken to be another one than is
// known here. Replies that are cut on the way do not come so often.
const unknownAfter = 8

// ask sends a request until it is answered, under the retry policy, and returns the page. A request of a cursor is not
// sent, nor waited for, after the cursor has expired: then it returns a fault of class Restart.
func (c *Client) ask(ctx context.Context, r *request) (reply, error) {
	waiting := ctx
	if r.cursor {
		var cancel context.CancelFunc
		waiting, cancel = context.WithDeadline(ctx, r.expires)
		defer cancel()
	}
	var page reply
	var last error
	malformed := 0
	err := c.cfg.Retry.Do(waiting, r.op, func(waiting context.Context) error {
		if err := c.limiter.wait(waiting, r.rank()); err != nil {
			return err
		}
		if err := c.stillHeld(r); err != nil {
			return err
		}
		var err error
		// What was sent in time may be answered later: the cursor bounds the waiting alone.
		page, err = c.try(ctx, r)
		if last = err; errors.Is(err, errMalformed) {
			malformed++
		}
		if r.decode != nil && malformed >= unknownAfter {
			return &pipeline.Fault{Class: pipeline.Drop, Op: r.op, Err: err}
		}
		return r.inTime(err)
	})
	switch {
	case err == nil:
		return page, nil
	case ctx.Err() != nil:
		if last == nil || errors.Is(last, ctx.Err()) {
			return reply{}, fmt.Errorf("%s: %w", r.op, ctx.Err())
		}
		return reply{}, fmt.Errorf("%w, after: %s", ctx.Err(), last.Error()) // Its class must not come out.
	case r.cursor && errors.Is(err, context.DeadlineExceeded):
		return reply{}, cursorExpired(r.op, last)
	default:
		return reply{}, r.beside(err)
	}
}

// beside turns an error that would end the run into one that ends what the request is for. Wrong credentials are everybody's.
func (r *request) beside(err error) error {
	fault, ok := errors.AsType[*pipeline.Fault](err)
	if r.decode != nil && ok && fault.Class == pipeline.Permanent && !r.denied {
		fault.Class = pipeline.Drop
	}
	return err
}

// stillHeld refuses a request for a window whose begin has left the history while it had to wait: how the API answers
// one is unknown, and the window has to be planned anew in any case.
func (c *Client) stillHeld(r *request) error {
	now, ok := c.clock.now()
	if !ok || r.begin.IsZero() || !r.begin.Before(now.Add(-c.cfg.Retention)) {
		return nil
	}
	return &pipeline.Fault{Class: pipeline.Restart, Op: r.op, Err: errors.New("the window's begin has left the API's history")}
}

// inTime turns a wait that a cursor will not outlive into the end of the window at once.
func (r *request) inTime(err error) error {
	fault, ok := errors.AsType[*pipeline.Fault](err)
	if !r.cursor || !ok || fault.Class != pipeline.Transient || time.Now().Add(fault.After).Before(r.expires) {
		return err
	}
	expired := cursorExpired(r.op, err)
	expired.After = fault.After
	return expired
}

// errCursorExpired is a cursor that could not be used while it lived.
var errCursorExpired = errors.New("the cursor expired before its page was read")

func cursorExpired(op string, cause error) *pipeline.Fault {
	fault := &pipeline.Fault{Class: pipeline.Restart, Op: op, Err: errCursorExpired}
	if cause != nil {
		fault.Err = fmt.Errorf("%w: %w", errCursorExpired, cause)
	}
	return fault
}

// try sends a request once and tells the observer. An exchange that was cut off by ctx is told to nobody.
func (c *Client) try(ctx context.Context, r *request) (reply, error) {
	r.sent++
	started := time.Now()
	page, class, err := c.exchange(ctx, r)
	if ctx.Err() != nil && err != nil {
		return reply{}, ctx.Err()
	}
	c.cfg.Observer.Tell(pipeline.RequestAnswered{Stream: r.stream, Class: class, Took: time.Since(started)})
	if err != nil {
		return reply{}, err
	}
	return page, nil
}

// exchange does one exchange and says of what class it was.
func (c *Client) exchange(ctx context.Context, r *request) (reply, string, error) {
	timeout := fmt.Errorf("no whole reply came within %s", c.cfg.RequestTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.RequestTimeout, timeout)
	defer cancel()
	req, err := c.newRequest(ctx, r)
	if err != nil {
		return reply{}, classRefused, &pipeline.Fault{Class: pipeline.Permanent, Op: r.op, Err: err, Hint: r.pathHint()}
	}
	sent := time.Now()
	res, err := c.transport.RoundTrip(req) // Not a client, which follows redirects: the credentials would go with it.
	if err != nil {
		return reply{}, classNetwork, networkFault(r, because(ctx, err))
	}
	received := time.Now()
	defer func() {
		_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // A drained connection can be used again.
		_ = res.Body.Close()
	}()
	c.limiter.pause(exhausted(res.Header, c.cfg.Reserve))
	if res.StatusCode != http.StatusOK {
		// What can be read of it is enough: the status says the most.
		body, _ := io.ReadAll(io.LimitReader(unpacked(res), maxErrorBody))
		fault, class, fromAPI := c.statusFault(r, res, body)
		if fromAPI && !r.lists {
			c.see(res.Header, sent, received)
		}
		return reply{}, class, fault
	}
	body, err := c.read(res, r.bytes)
	if err != nil {
		return reply{}, classNetwork, bodyFault(r, because(ctx, err))
	}
	page, err := c.decode(r, body)
	if err != nil {
		fault, class := c.pageFault(r, res, body, err)
		return reply{}, class, fault
	}
	page.bytes, page.received = len(body), received
	if !r.lists { // Another host has another clock.
		page.date, page.dated = c.see(res.Header, sent, received)
	}
	return page, classOK, nil
}

// decode reads a reply as what was asked for.
func (c *Client) decode(r *request, body []byte) (reply, error) {
	if r.decode != nil {
		return reply{}, r.decode(body)
	}
	page, err := decodePage(body)
	if err != nil && r.damagedAgain(body) {
		page, err = decodeDamaged(body)
	}
	if err == nil {
		err = page.check(r.cursor, c.cfg.PageSize)
	}
	return page, err
}

// damagedAgain tells whether a page's rows are damaged as they were in the replies before.
func (r *request) damagedAgain(body []byte) bool {
	page, err := decodeDamaged(body)
	if err != nil {
		return false
	}
	h := fnv.New64a()
	for _, row := range page.rows {
		if !jsontext.Value(row).IsValid() {
			h.Write(row)
			h.Write([]byte{'\n'})
		}
	}
	if sum := h.Sum64(); sum != r.damage {
		r.damage, r.damaged = sum, 0
	}
	r.damaged++
	return r.damaged > damagedAfter
}

// see takes in the Date of a reply that is the API's own. A proxy's clock is not the one that windows are measured by.
func (c *Client) see(h http.Header, sent, received time.Time) (time.Time, bool) {
	date, ok := c.clock.see(h, sent, received)
	if !ok {
		c.dateless.Do(func() {
			c.cfg.Warn("a reply of the API has no usable Date header; without one the local clock decides how far it is read")
		})
	}
	return date, ok
}

// because is the reason why ctx ended, if that is what err is about: transports differ in what they say.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// errTooLarge is a reply beyond MaxBody.
var errTooLarge = errors.New("the reply is too large")

// maxErrorBody bounds what is read of a reply that is no page.
const maxErrorBody = 64 << 10

// read takes in a page's body, unpacked, up to the limit. Each has memory of its own, because rows point into it.
func (c *Client) read(res *http.Response, size int) ([]byte, error) {
	if res.Header.Get("Content-Encoding") == "" {
		size = max(size, int(min(res.ContentLength, c.cfg.MaxBody)))
	}
	b := bytes.NewBuffer(make([]byte, 0, size+size/16+bytes.MinRead))
	n, err := b.ReadFrom(io.LimitReader(unpacked(res), c.cfg.MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read reply: %w", err)
	}
	if n > c.cfg.MaxBody {
		return nil, fmt.Errorf("%w: more than %d bytes", errTooLarge, c.cfg.MaxBody)
	}
	return b.Bytes(), nil
}

// unpacked reads a reply's body as it was before it was compressed for the way.
func unpacked(res *http.Response) io.Reader {
	switch encoding := strings.ToLower(res.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return res.Body
	case "gzip", "x-gzip":
		return &gunzip{from: res.Body}
	default:
		return failing{fmt.Errorf("the reply is encoded as %s, which was not asked for", printable(encoding))}
	}
}

// gunzip unpacks, and gives an error in unpacking from Read alone.
type gunzip struct {
	from io.Reader
	z    *gzip.Reader
}

// Read reads what is unpacked.
func (g *gunzip) Read(b []byte) (int, error) {
	if g.z == nil {
		z, err := gzip.NewReader(g.from)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // An empty body is no gzip.
			}
			return 0, fmt.Errorf("unpack: %w", err)
		}
		g.z = z
	}
	return g.z.Read(b)
}

// failing is a reader that cannot.
type failing struct{ err error }

// Read returns the error.
func (f failing) Read([]byte) (int, error) { return 0, f.err }
