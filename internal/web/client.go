package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/words"
)

// ClientOptions say whom a client asks, and what it shows.
type ClientOptions struct {
	// URL is http or https, with a host and a port, and perhaps the path below which a proxy has the process.
	URL string
	// Token is shown, where it is not empty. Plain lets it go to other machines over http too.
	Token secret.Secret
	Plain bool
	// TLS is for https; nil is the system's.
	TLS *tls.Config
}

// Client asks a process what it tells of itself. It goes through no proxy and follows no redirection, since a token goes with each request.
// Safe for concurrent use.
type Client struct {
	opts ClientOptions
	http *http.Client
}

const (
	// connectTime and clientTime bound how long a connection and a whole answer may take: the process itself may ask Kafka for 5 s.
	connectTime = 3 * time.Second
	clientTime  = 8 * time.Second
	// maxAnswer is how much is read of an answer, in bytes; 10,000 apps with long errors have 6 MiB.
	maxAnswer = 16 << 20
)

// NewClient makes a client, which asks nobody yet. An address that cannot be one is a [usage.Error].
func NewClient(o ClientOptions) (*Client, error) {
	return newClient(o, (&net.Dialer{Timeout: connectTime}).DialContext)
}

func newClient(o ClientOptions, connect dial) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, usage.Errorf("%q is no address such as http://127.0.0.1:9464 or https://jmpub.example:9464", words.Shorten(hideUser(o.URL), longText))
	}
	o.URL = strings.TrimRight(u.String(), "/")
	if u.Scheme == "http" && !o.Token.IsEmpty() && !o.Plain {
		connect = onlyHere(connect)
	}
	return &Client{opts: o, http: &http.Client{
		Transport: &http.Transport{TLSClientConfig: o.TLS, TLSHandshakeTimeout: connectTime, MaxIdleConnsPerHost: 1, DialContext: connect},
		Timeout:   clientTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// ErrUnreachable is the error of an address at which nobody answers.
var ErrUnreachable = errors.New("cannot be reached")

// errPlain is why a token is not sent.
var errPlain = usage.Errorf("that is another machine, and the token of JMPUB_ADMIN_TOKEN could be read on the way; " +
	"use https, or --plain-token to send it nevertheless")

// hideUser leaves out of an address what may be a password.
func hideUser(address string) string {
	if at := strings.LastIndex(address, "@"); at >= 0 {
		return secret.Mask + address[at:]
	}
	return address
}

type dial func(ctx context.Context, network, address string) (net.Conn, error)

// onlyHere makes connections that do not leave this machine, and closes every other one before anything is sent: names may lead anywhere.
func onlyHere(next dial) dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := next(ctx, network, address)
		if err == nil && !isHere(conn) {
			_ = conn.Close()
			return nil, errPlain
		}
		return conn, err
	}
}

// isHere tells of a connection of this machine with itself: both of its ends have the same address.
func isHere(conn net.Conn) bool {
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	remote, wrong := netip.ParseAddrPort(conn.RemoteAddr().String())
	return err == nil && wrong == nil && (remote.Addr().Unmap().IsLoopback() || remote.Addr() == local.Addr())
}

// URL is whom it asks.
func (c *Client) URL() string { return c.opts.URL }

// Overview asks how the process does.
func (c *Client) Overview(ctx context.Context) (*Overview, error) {
	var o Overview
	if err := c.get(ctx, "/overview", &o); err != nil {
		return nil, err
	}
	if o.Overview == nil {
		return nil, fmt.Errorf("%s: the answer is none of jmpub", c.opts.URL)
	}
	return &o, nil
}

// History asks for the samples of the last minutes.
func (c *Client) History(ctx context.Context, minutes int) (*History, error) {
	var h History
	err := c.get(ctx, "/history?minutes="+strconv.Itoa(minutes), &h)
	return &h, err
}

// Apps asks for the apps of all processes.
func (c *Client) Apps(ctx context.Context) (*FleetAnswer, error) {
	var f FleetAnswer
	err := c.get(ctx, "/apps", &f)
	if err == nil && f.Fleet == nil {
		err = fmt.Errorf("%s: the answer is none of jmpub", c.opts.URL)
	}
	return &f, err
}

// get asks for a path of the API. What is answered has the token nowhere.
func (c *Client) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.opts.URL+apiPath+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.opts.URL, err)
	}
	req.Header.Set("Accept", "application/json")
	token := c.opts.Token.Reveal()
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.http.Do(req)
	if errors.Is(err, errPlain) {
		return fmt.Errorf("%s: %w", c.opts.URL, errPlain)
	}
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // It names the address once more.
		}
		return fmt.Errorf("%s %w: %w", c.opts.URL, ErrUnreachable, err)
	}
	defer res.Body.Close() //nolint:errcheck // What was read is all that counts.
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s: read the answer: %w", c.opts.URL, err)
	case len(body) > maxAnswer:
		return fmt.Errorf("%s: the answer has more than %d MiB", c.opts.URL, maxAnswer>>20)
	case token != "":
		body = bytes.ReplaceAll(body, []byte(token), []byte(secret.Mask))
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %w", c.opts.URL, c.refused(res.StatusCode, body))
	}
	if err = json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s: the answer is none of jmpub: %w", c.opts.URL, err)
	}
	return nil
}

// refused says what an answer that is none asks for.
func (c *Client) refused(code int, body []byte) error {
	var p problem
	if json.Unmarshal(body, &p) != nil || p.Error == "" {
		p.Error = strings.TrimSpace(string(body))
	}
	told := "HTTP " + strconv.Itoa(code) + ": " + words.Line(words.Shorten(p.Error, longText))
	switch {
	case code == http.StatusUnauthorized && !c.opts.Token.IsEmpty():
		return errors.New("the token of JMPUB_ADMIN_TOKEN is none of those that the process has (" + told + ")")
	case code == http.StatusNotFound && c.opts.Token.IsEmpty():
		return errors.New("nothing is told there without a token; set JMPUB_ADMIN_TOKEN to one that the process has (" + told + ")")
	default:
		return errors.New(told)
	}
}
