package source

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// Client reads one app's streams. Safe for concurrent use.
type Client struct {
	cfg     Config
	http    *http.Client
	limiter *limiter
	clock   clock
	planner planner
	// pageBytes is the size of the last page, from which the next one's buffer is made.
	pageBytes atomic.Int64

	mu sync.Mutex
	// asked is when each stream's last window at the head was planned.
	asked map[pipeline.Stream]time.Time
}

var _ pipeline.Source = (*Client)(nil)

// New checks the configuration and makes a client. Nothing is sent yet.
func New(cfg Config) (*Client, error) {
	if err := cfg.complete(time.Now()); err != nil {
		return nil, err
	}
	transport := cfg.Transport
	if transport == nil {
		transport = newTransport()
	}
	return &Client{
		cfg: cfg,
		http: &http.Client{
			Transport: transport,
			// A redirect would send the credentials somewhere else; it is reported as what it is.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		limiter: newLimiter(cfg.Rate),
		planner: planner{
			overlap: cfg.Overlap, settle: cfg.Settle, retention: cfg.Retention,
			target: int64(targetPages * cfg.PageSize),
		},
		asked: make(map[pipeline.Stream]time.Time),
	}, nil
}

// newTransport has room for the streams that are read side by side. Compression is handled here, not there, so that the
// limit holds for what a reply unpacks to.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 45 * time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConns:          32,
		MaxIdleConnsPerHost:   32,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true,
	}
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// request is one page to ask for.
type request struct {
	stream pipeline.Stream
	query  string
	// op names it in errors.
	op string
	// cursor tells that it continues a window.
	cursor bool
}

// ask sends a request until it is answered, under the retry policy, and returns the page.
func (c *Client) ask(ctx context.Context, r request, sent *atomic.Int64) (reply, error) {
	var page reply
	err := c.cfg.Retry.Do(ctx, r.op, func(ctx context.Context) error {
		if err := c.limiter.wait(ctx); err != nil {
			return err
		}
		sent.Add(1)
		started := time.Now()
		var class string
		var err error
		page, class, err = c.send(ctx, r)
		c.cfg.Observer.Request(r.stream, class, time.Since(started))
		return err
	})
	return page, err
}

// send does one exchange and says of what class it was.
func (c *Client) send(ctx context.Context, r request) (reply, string, error) {
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.cfg.BaseURL+path(r.stream)+"?"+r.query, http.NoBody)
	if err != nil {
		return reply{}, classRefused, &pipeline.Fault{Class: pipeline.Permanent, Op: r.op, Err: err, Hint: "see JMPUB_API_URL"}
	}
	req.SetBasicAuth(c.cfg.AppKey, string(c.cfg.MasterSecret))
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("User-Agent", "jmpub")
	res, err := c.http.Do(req)
	if err != nil {
		if parent.Err() != nil {
			return reply{}, classNetwork, parent.Err()
		}
		return reply{}, classNetwork, networkFault(r.op, err)
	}
	defer func() {
		_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // A drained connection can be used again.
		_ = res.Body.Close()
	}()
	if !c.clock.see(res.Header, time.Now()) {
		c.cfg.Warn("the API sends no usable Date header; the local clock decides how far it may be read")
	}
	c.limiter.obey(res.Header)
	body, err := c.read(res)
	if err != nil {
		if parent.Err() != nil {
			return reply{}, classNetwork, parent.Err()
		}
		return reply{}, classNetwork, bodyFault(r.op, err)
	}
	if res.StatusCode != http.StatusOK {
		fault, class := c.statusFault(r, res, body)
		return reply{}, class, fault
	}
	page, err := decodePage(body)
	if err == nil && len(page.rows) > c.cfg.PageSize {
		err = fmt.Errorf("%d messages came, %d were asked for", len(page.rows), c.cfg.PageSize)
	}
	if err != nil {
		return reply{}, classMalformed, &pipeline.Fault{
			Class: pipeline.Transient, Op: r.op,
			Err: fmt.Errorf("decode page of %d bytes: %w; it begins %s", len(body), err, excerpt(body)),
		}
	}
	return page, classOK, nil
}

// errTooLarge is a reply beyond MaxBody.
var errTooLarge = errors.New("the reply is too large")

// read takes in a reply's body, unpacked, up to the limit. Each body has memory of its own, because rows point into it.
func (c *Client) read(res *http.Response) ([]byte, error) {
	from := io.Reader(res.Body)
	if res.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(res.Body)
		if err != nil {
			return nil, fmt.Errorf("unpack reply: %w", err)
		}
		defer z.Close() //nolint:errcheck // Its errors came with the reads.
		from = z
	}
	size := max(c.pageBytes.Load(), res.ContentLength)
	b := bytes.NewBuffer(make([]byte, 0, min(size+size/16, c.cfg.MaxBody)+bytes.MinRead))
	n, err := b.ReadFrom(io.LimitReader(from, c.cfg.MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read reply: %w", err)
	}
	if n > c.cfg.MaxBody {
		return nil, fmt.Errorf("%w: more than %d bytes", errTooLarge, c.cfg.MaxBody)
	}
	c.pageBytes.Store(n)
	return b.Bytes(), nil
}
