package source

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/discovery"
	"github.com/jmpub/jmpub/pipeline/statistics"
)

// Client reads one app's streams. Safe for concurrent use.
type Client struct {
	cfg Config
	// own is the transport, if nobody else has it.
	own      *http.Transport
	redactor secret.Redactor
	// report and lists are the two APIs.
	report, lists *endpoint
	limiter       *limiter
	clock         *clock
	planner       planner
	// mostRows bounds the different rows of a window; tests lower it.
	mostRows int64
	// probing has room for one: whoever asks for the server's clock.
	probing chan struct{}
	zone    zoneProof
	// deviations are those that were told of.
	deviations sync.Map
	// answered has the services that have answered a request as they should.
	answered sync.Map
	// futile counts the shortest windows in a row whose cursors led to nothing while rows were missing.
	futile atomic.Int32
	// ledNowhere tells that there were no totals and a cursor has led to nothing new, so that one need not mean that there is more.
	ledNowhere atomic.Bool
	// dateless guards the one warning that replies have no usable Date, listing the one about the lists' address.
	dateless, listing sync.Once

	mu      sync.Mutex
	streams map[pipeline.Stream]progress
}

// progress is what the plans of one stream depend on, apart from its position.
type progress struct {
	// head is where the last window ends that was planned at the head; polled is when such a window was asked for last.
	head, polled time.Time
	// active is the end of the newest window that brought rows, or when this client began with the stream, by the API's clock.
	active time.Time
	// span is the length that the last window would have had if the head had not limited it.
	span time.Duration
	// start is the position at which the stream began, as far as this client knows.
	start time.Time
	// pageSize is how many rows are asked for in a page where those of the settings take too many bytes; 0 is the settings'.
	pageSize int
}

var (
	_ pipeline.Source     = (*Client)(nil)
	_ statistics.Source   = (*Client)(nil)
	_ discovery.Directory = (*Client)(nil)
)

// New checks the configuration, every mistake at once, and makes a client. Nothing is sent yet.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.BaseURL, cfg.ListsURL = strings.TrimRight(cfg.BaseURL, "/"), strings.TrimRight(cfg.ListsURL, "/")
	cfg.GapAfter = cmp.Or(cfg.GapAfter, gapAfter)
	if cfg.Warn == nil {
		cfg.Warn = func(string, ...slog.Attr) {}
	}
	var own *http.Transport
	if cfg.Transport == nil {
		own = newTransport(ownIdleConns)
		cfg.Transport = own
	}
	c := &Client{
		cfg: cfg, own: own,
		redactor: cfg.Redactor.With(secret.Credentials{User: cfg.AppKey, Password: cfg.MasterSecret}),
		report:   &endpoint{address: cfg.BaseURL, setting: "JMPUB_API_URL", example: exampleBaseURL, planned: true},
		lists:    &endpoint{address: cfg.ListsURL, setting: "JMPUB_IM_URL", example: exampleListsURL},
		limiter:  newLimiter(cfg.Rate),
		clock:    newClock(cfg.Now),
		mostRows: mostRows,
		planner: planner{
			overlap: cfg.Overlap, settle: cfg.Settle, retention: pipeline.History,
			target: targetRows(cfg.PageSize),
		},
		probing: make(chan struct{}, 1), zone: newZoneProof(),
		streams: make(map[pipeline.Stream]progress),
	}
	c.warnOfPlainText(c.report)
	return c, nil
}

// warnOfPlainText warns if the address of an API leads over a network without TLS.
func (c *Client) warnOfPlainText(api *endpoint) {
	if plainText(api.address) {
		c.cfg.Warn("requests to the API are not encrypted", slog.String("setting", api.setting),
			slog.String("hint", "use an https address: the app key and master secret can be read on the way"))
	}
}

// plainText reports whether an address leads over a network without TLS.
func plainText(baseURL string) bool {
	u, err := url.Parse(baseURL)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}

// Close lets go of idle connections, unless the transport was given: others may use it. The client can still be used.
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// Now is the server's clock, as far as nothing speaks against it; see [pipeline.Source]. Where no reply has come yet, a request for
// one row of the stream asks for it, which also shows that the credentials are right.
func (c *Client) Now(ctx context.Context, s pipeline.Stream) (time.Time, error) {
	if s.Kind == pipeline.StreamStatistics { // It has no rows to ask for.
		s = pipeline.Stream{Kind: pipeline.StreamMessages}
	}
	if err := c.learnClock(ctx, s, c.clock.known); err != nil {
		return time.Time{}, err
	}
	if err := c.proveClock(ctx, s); err != nil {
		return time.Time{}, err
	}
	now, _ := c.clock.now()
	return now, nil
}

// learnClock asks for the server's clock unless it is known well enough. Of several streams, one asks.
func (c *Client) learnClock(ctx context.Context, s pipeline.Stream, known func() bool) error {
	if known() {
		return nil
	}
	select {
	case c.probing <- struct{}{}:
		defer func() { <-c.probing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if known() { // Another stream asked meanwhile.
		return nil
	}
	return c.askClock(ctx, s)
}

// Total is how many rows the API says a window holds: one request, for a single row. It is -1 of an API that states no totals, if there
// are rows. The window is at most 7 days less a second long and lies within the history.
func (c *Client) Total(ctx context.Context, s pipeline.Stream, w pipeline.Window) (int64, error) {
	r := c.windowRequest(s, w, 1, "ask for the total of "+s.String()+" "+w.String())
	if _, err := c.ask(ctx, r); err != nil {
		return 0, err
	}
	if r.page.total < 0 && len(r.page.rows) > 0 {
		return -1, nil
	}
	return max(r.page.total, int64(len(r.page.rows))), nil
}

// Forget drops what is known of a stream that is not read any more, when none of its windows is being planned. The stream may come
// back: then it is as if it had just begun.
func (c *Client) Forget(s pipeline.Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.streams, s)
}

// Plan lays out the window that follows p and waits until it can be asked for; see [pipeline.Source]. Windows at the head
// are asked for no more often than the poll interval, which grows while a stream is silent; behind it there is no wait.
func (c *Client) Plan(ctx context.Context, s pipeline.Stream, p pipeline.Position) (pipeline.Plan, error) {
	if err := c.proveZone(ctx, s); err != nil {
		return pipeline.Plan{}, err
	}
	slack := c.startSlack(s, p)
	for {
		now, err := c.Now(ctx, s)
		if err != nil {
			return pipeline.Plan{}, err
		}
		plan, wait := c.planAt(now, s, p, slack)
		known := c.clock.read()
		if err := known.refuse(s, p); err != nil {
			return pipeline.Plan{}, err
		}
		if doubt := c.doubt(&known, p, plan); doubt != nil {
			if err := c.waitInDoubt(ctx, s, doubt); err != nil {
				return pipeline.Plan{}, err
			}
			continue
		}
		if wait <= 0 {
			c.notePlan(s, plan, c.planner.span(p), now)
			return plan, nil
		}
		if err := pipeline.Sleep(ctx, wait); err != nil {
			return pipeline.Plan{}, err
		}
	}
}

// planAt lays out the window that follows p, by the server's clock, and how long it takes until it can be asked for; not above zero where it can be.
func (c *Client) planAt(now time.Time, s pipeline.Stream, p pipeline.Position, slack time.Duration) (pipeline.Plan, time.Duration) {
	plan, wait := c.planner.plan(p, now, slack)
	if plan.Head {
		wait = max(wait, c.untilPoll(s))
	}
	return plan, wait
}

// Due tells for how long Plan would wait for the head or the poll interval; see [pipeline.Source]. Where the clocks disagree, Plan has
// something to find out.
func (c *Client) Due(s pipeline.Stream, p pipeline.Position) pipeline.Due {
	known := c.clock.read()
	plan, wait := c.planAt(known.now(), s, p, 0)
	if known.server.IsZero() || known.difference().Abs() > clockSlack || known.refuse(s, p) != nil || c.doubt(&known, p, plan) != nil {
		return pipeline.Due{}
	}
	due := pipeline.Due{Plan: max(0, wait), Poll: max(0, c.untilPoll(s))}
	if plan.Head && plan.Gap == nil {
		due.Head = plan.Window.End
	}
	return due
}

// Early asks for what has not settled; see [pipeline.Source].
func (c *Client) Early(ctx context.Context, s pipeline.Stream, since time.Time) (pipeline.Window, pipeline.Page, error) {
	now, err := c.Now(ctx, s)
	if err != nil {
		return pipeline.Window{}, pipeline.Page{}, err
	}
	w := pipeline.Window{Begin: since, End: later(since, now.Truncate(time.Second).UTC())}
	c.noteEarly(s, w)
	r := c.windowRequest(s, w, c.pageSize(s), "look at "+s.String()+" "+w.String())
	arrived, err := c.ask(ctx, r)
	if err != nil {
		return w, pipeline.Page{}, err
	}
	page := pipeline.Page{Rows: r.page.rows, Total: r.page.total, Bytes: arrived.bytes}
	if page.Total < 0 && r.page.cursor != "" {
		page.Total = int64(len(page.Rows)) + 1 // There may be more.
	}
	if len(page.Rows) > 0 {
		c.noteRows(s, w)
	}
	return w, page, nil
}

// noteEarly begins the poll interval.
func (c *Client) noteEarly(s pipeline.Stream, w pipeline.Window) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, is := c.streams[s]; is {
		known.polled = time.Now()
		known.head = later(known.head, w.End.Add(-c.cfg.Settle))
		c.streams[s] = known
	}
}

// startSlack returns how much time after p may be skipped without being a gap. A position without a span is where a stream
// starts, and so is the same position when a reply has shown what span suits.
func (c *Client) startSlack(s pipeline.Stream, p pipeline.Position) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.streams[s]
	if p.Span <= 0 {
		known.start = p.End
		c.streams[s] = known
	}
	if known.start.Equal(p.End) {
		return slackAtStart
	}
	return 0
}

// untilPoll is how long a stream at the head still has to wait for the poll interval; not above zero where it need not.
func (c *Client) untilPoll(s pipeline.Stream) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.streams[s]
	return time.Until(known.polled.Add(c.cfg.pollAfter(known.head.Sub(known.active))))
}

const (
	// silentAfter is for how long a stream has to bring nothing before it is asked more seldom, and silentShare how much of the
	// silence lies between two requests then.
	silentAfter = time.Minute
	silentShare = 30
)

// pollAfter is the poll interval of a stream that has brought nothing for so long.
func (c *Config) pollAfter(silence time.Duration) time.Duration {
	if silence <= silentAfter {
		return c.Poll
	}
	return max(c.Poll, min(c.PollIdle, silence/silentShare))
}

// notePlan keeps what the next plans of a stream depend on.
func (c *Client) notePlan(s pipeline.Stream, plan pipeline.Plan, span time.Duration, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.streams[s]
	known.span = span
	if known.active.IsZero() {
		known.active = now
	}
	if plan.Head {
		known.head = plan.Window.End
	}
	c.streams[s] = known
}

// noteAsked begins the poll interval, if the window is the one at the head. Between its plan and this it may have waited for its turn.
func (c *Client) noteAsked(s pipeline.Stream, w pipeline.Window) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, is := c.streams[s]; is && w.End.Equal(known.head) {
		known.polled = time.Now()
		c.streams[s] = known
	}
}

// noteRows ends the silence of a stream that is followed. A row that stands within the overlap of the head comes with several windows; it
// keeps the stream from being silent for that time, which is short.
func (c *Client) noteRows(s pipeline.Stream, w pipeline.Window) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, is := c.streams[s]; is {
		known.active = later(known.active, w.End)
		c.streams[s] = known
	}
}

// planned is the length that a stream's last window would have had if the head had not limited it.
func (c *Client) planned(s pipeline.Stream) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams[s].span
}

// pageSize is how many rows of a stream are asked for in a page.
func (c *Client) pageSize(s pipeline.Stream) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.streams[s].pageSize, c.cfg.PageSize)
}

// notePageSize keeps how many rows of a stream are asked for in a page from now on.
func (c *Client) notePageSize(s pipeline.Stream, rows int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.streams[s]
	known.pageSize = min(rows, c.cfg.PageSize)
	c.streams[s] = known
}
