package source

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/pipeline"
)

// request is a call with what it is for. There are three kinds: a [pageRequest] for a window's page, a [probeRequest] for the
// total or the clock, and an [extraRequest] for lists and statistics. [Client.ask] sends each by the same policy; a kind says
// only what differs.
type request interface {
	common() *call
	// check refuses, when it may be sent at last, a request that has become pointless while it waited.
	check(now time.Time) error
	// decode reads a reply of status 200 and keeps what it says.
	decode(body []byte) error
	// judge says what a failure means for what the request is for, by changing it.
	judge(f *failure)
}

// call is what every request has. It is used by one goroutine at a time.
type call struct {
	// op names it in errors, stream in metrics.
	op       string
	stream   pipeline.Stream
	endpoint *endpoint
	path     string
	query    string
	handicap handicap
	// latest is until when it may wait to be sent; zero for as long as it takes.
	latest time.Time
	// sizeHint is about how large the reply will be, where that is known.
	sizeHint int
	// tries counts how often it was sent.
	tries int
}

func (c *call) common() *call { return c }

// check has nothing to refuse.
func (*call) check(time.Time) error { return nil }

// judge leaves a failure as it is.
func (*call) judge(*failure) {}

// address is where the request goes, without its query.
func (c *call) address() string { return c.endpoint.address + c.path }

// endpoint is an API with an address of its own.
type endpoint struct {
	address string
	// setting is the one that has the address, example a value of it.
	setting, example string
	// planned is set where windows are planned by this API's clock.
	planned bool
}

func reportEndpoint(cfg *Config) *endpoint {
	return &endpoint{address: cfg.BaseURL, setting: "JMPUB_API_URL", example: defaultBaseURL, planned: true}
}

func listsEndpoint(cfg *Config) *endpoint {
	return &endpoint{address: cfg.ListsURL, setting: "JMPUB_IM_URL", example: defaultListsURL}
}

func (e *endpoint) pathHint() string {
	return "check " + e.setting + ": it ends with the version, as in " + e.example
}

func (e *endpoint) networkHint() string {
	return "check " + e.setting + " and the network if this lasts"
}

// rowsCall is a call for rows of a stream.
func (c *Client) rowsCall(s pipeline.Stream, op, query string) call {
	h := streamHandicap
	if s.Kind == pipeline.StreamMessages {
		h = noHandicap
	}
	return call{op: op, stream: s, endpoint: c.report, path: path(s), query: query, handicap: h}
}

// pageRequest asks for a page of a window: for the first one by the window's bounds, for another by the cursor of the page before,
// until call.latest.
type pageRequest struct {
	call
	pageReader

	// begin, where set, has to be within the API's history still when the request is sent.
	begin     time.Time
	retention time.Duration
}

// firstPage asks for the first page of a window.
func (c *Client) firstPage(s pipeline.Stream, w pipeline.Window, op string) *pageRequest {
	r := &pageRequest{
		call:       c.rowsCall(s, op, c.firstQuery(w, c.cfg.PageSize)),
		pageReader: pageReader{first: true, pageSize: c.cfg.PageSize},
		retention:  c.cfg.Retention,
	}
	// A window that is older than the history from the start is the caller's choice; one that gets so is not.
	if now, _ := c.clock.now(); !w.Begin.Before(now.Add(-c.cfg.Retention)) {
		r.begin = w.Begin
	}
	return r
}

// nextPage asks for the page behind a cursor, for as long as the cursor lives.
func (c *Client) nextPage(s pipeline.Stream, cursor string, expires time.Time, op string) *pageRequest {
	r := &pageRequest{
		call:       c.rowsCall(s, op, "cursor="+escape(cursor)),
		pageReader: pageReader{pageSize: c.cfg.PageSize},
	}
	r.latest = expires
	return r
}

// check refuses a request for a window whose begin has left the history while it had to wait: how the API answers one is
// unknown, and the window has to be planned anew in any case.
func (r *pageRequest) check(now time.Time) error {
	if r.begin.IsZero() || !r.begin.Before(now.Add(-r.retention)) {
		return nil
	}
	return &pipeline.Fault{Class: pipeline.Restart, Op: r.op, Err: errors.New("the window's begin has left the API's history")}
}

// judge sends the window back to its start where its cursor is of no use any more. What an expired cursor is answered with is
// not documented, so any refusal counts; and a wait that the cursor will not outlive is not begun.
func (r *pageRequest) judge(f *failure) {
	switch {
	case r.first:
	case f.refused:
		f.class = classRefused
		f.fault = &pipeline.Fault{Class: pipeline.Restart, Op: r.op, Err: f.fault.Err}
	case f.fault.Class == pipeline.Transient && !time.Now().Add(f.fault.After).Before(r.latest):
		expired := cursorExpired(r.op, f.fault)
		expired.After = f.fault.After
		f.fault = expired
	}
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

// probeRequest asks for one row of a window, for what else the reply says: the total, and the server's clock.
type probeRequest struct {
	call
	pageReader
}

func (c *Client) probe(s pipeline.Stream, w pipeline.Window, op string) *probeRequest {
	return &probeRequest{
		call:       c.rowsCall(s, op, c.firstQuery(w, 1)),
		pageReader: pageReader{first: true, pageSize: c.cfg.PageSize},
	}
}

// pageReader reads the replies to a request for rows.
type pageReader struct {
	// first is set for a window's first page.
	first    bool
	pageSize int
	page     reply
	// damage is a hash of the damaged rows of the last reply, damaged how many replies in a row had the same.
	damage  uint64
	damaged int
}

// decode reads a page.
func (p *pageReader) decode(body []byte) error {
	page, err := decodePage(body)
	if err != nil && p.isDamagedAgain(body) {
		page, err = decodeDamaged(body)
	}
	if err == nil {
		err = page.check(p.first, p.pageSize)
	}
	p.page = page
	return err
}

// damagedAfter is the number of replies to one request with the same damage after which a page is taken although rows in it
// are no JSON: the next reply will be no better, and the rows around them would be lost with them. Damage that came about on the
// way is another each time.
const damagedAfter = 2

// isDamagedAgain reports whether a page's rows are damaged as they were in the replies before.
func (p *pageReader) isDamagedAgain(body []byte) bool {
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
	if sum := h.Sum64(); sum != p.damage {
		p.damage, p.damaged = sum, 0
	}
	p.damaged++
	return p.damaged > damagedAfter
}

// extraRequest asks for what is no message: a list, or statistics. What cannot be had by such a request is no reason to stop the
// messages, so it ends as [pipeline.Drop].
type extraRequest struct {
	call

	read func(body []byte) error
	// malformed counts the replies that could not be read.
	malformed int
}

// unknownAfter is the number of malformed replies to one request after which their form is taken to be another one than is
// known here. Replies that are cut on the way do not come so often.
const unknownAfter = 8

func (r *extraRequest) decode(body []byte) error { return r.read(body) }

// judge turns an error that would end the run into one that ends what the request is for. Wrong credentials are everybody's.
func (r *extraRequest) judge(f *failure) {
	if errors.Is(f.fault, errMalformed) {
		if r.malformed++; r.malformed >= unknownAfter {
			f.fault = &pipeline.Fault{Class: pipeline.Drop, Op: r.op, Err: f.fault}
		}
		return
	}
	if f.fault.Class != pipeline.Permanent || f.denied {
		return
	}
	f.fault.Class = pipeline.Drop
	if f.class == classUnauthorized {
		f.fault.Hint = rightHint
	}
}

// timeForm is how the API writes times (API document, request params); the zone is not written.
const timeForm = time.DateTime

// path is a stream's path under the base URL, escaped.
func path(s pipeline.Stream) string {
	if s.Name == "" {
		return "/" + string(s.Kind)
	}
	return "/" + string(s.Kind) + "/" + escape(s.Name) + "/messages"
}

// escape escapes all but unreserved characters (RFC 3986 §2.3), which suits a path's segment and a query's value alike. A
// space is %20, never + (API document, authentication, tips).
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

func (c *Client) firstQuery(w pipeline.Window, count int) string {
	return "count=" + strconv.Itoa(count) +
		"&begin_time=" + escape(w.Begin.In(c.cfg.TimeZone).Format(timeForm)) +
		"&end_time=" + escape(w.End.In(c.cfg.TimeZone).Format(timeForm))
}

// newRequest makes the HTTP request for a call.
func (c *Client) newRequest(ctx context.Context, call *call) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, call.address()+"?"+call.query, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(c.cfg.AppKey, c.cfg.MasterSecret.Reveal())
	req.Header.Set("Accept", "application/json")
	// Set here, so that the transport leaves it to readBody to decompress, whose limit holds for what a reply decompresses to.
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	return req, nil
}
