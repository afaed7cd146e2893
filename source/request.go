package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// request is a call with what it is for. There are two kinds: a [pageRequest] for rows, and an [extraRequest] for lists and
// statistics. [Client.ask] sends each by the same policy; a kind says only what differs.
type request interface {
	common() *call
	// decode reads a reply of status 200 and keeps what it says.
	decode(body []byte) error
	// takeNothing takes in a reply of status 204, if it means something.
	takeNothing() bool
	// judge says what a failure means for what the request is for, by changing it.
	judge(f *failure)
}

// call is what every request has. It is used by one goroutine at a time.
type call struct {
	// op names it in errors, stream in metrics.
	op     string
	stream pipeline.Stream
	// window is the one that it asks for a page of; zero for what is no page.
	window   pipeline.Window
	endpoint *endpoint
	path     string
	query    string
	handicap handicap
	// latest is until when it may wait to be sent; zero for as long as it takes.
	latest time.Time
	// begin, where set, has to be within the API's history still when the request is sent.
	begin time.Time
	// sizeHint is about how large the reply will be, where that is known. The reply is read into body, or into new memory, which is body
	// then.
	sizeHint int
	body     []byte
	// maxBody bounds its reply in bytes, where that is less than for a page.
	maxBody int64
	// decodePart, where set, reads the beginning of a reply that is too large. It returns errTooLarge where that is of no use.
	decodePart func(body []byte) error
	// fewer, where set, makes it ask for less, and reports whether it does: the reply was too large.
	fewer func() bool
	// tries counts how often it was sent, denials how often the API refused its credentials.
	tries, denials int
	// deviations are in what its last reply was not as documented.
	deviations []string
	// gatewaySince is when somebody other than the API answered it first.
	gatewaySince time.Time
	// service is what the API may answer or refuse apart from the rest: each list and each kind of statistics; empty is the messages.
	service string
}

func (c *call) common() *call { return c }

// checkBegin refuses a request for a window whose begin has left the history while it had to wait: how the API answers one is
// unknown, and the window has to be planned anew in any case.
func (c *call) checkBegin(now time.Time) error {
	if c.begin.IsZero() || !c.begin.Before(now.Add(-pipeline.History)) {
		return nil
	}
	return &pipeline.Fault{Class: pipeline.Restart, Op: c.op, Err: errors.New("the window's begin has left the API's history")}
}

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

func (e *endpoint) pathHint() string {
	return "check " + e.setting + ": it ends with the version, as in " + e.example
}

func (e *endpoint) networkHint() string {
	return "check " + e.setting + " and the network if this lasts"
}

// pageRequest asks for rows of a stream: for a window's first ones by its bounds, or for those behind a cursor until
// call.latest.
type pageRequest struct {
	call

	// first is set where the reply has to state the total, checked where another one has.
	first, checked bool
	// restarts is set where a shorter window may help.
	restarts bool
	// asked is how many rows it asks for, pageSize how many may come.
	asked, pageSize int
	page            reply
	// rows is memory for the list of the page's rows; nil is none.
	rows [][]byte
	// damage is a hash of the damaged rows of the last reply, damaged how many replies in a row had the same.
	damage  uint64
	damaged int
	// contentless counts the replies that had no content.
	contentless int
}

func (c *Client) rowsRequest(s pipeline.Stream, op, query string) *pageRequest {
	h := streamHandicap
	if s.Kind == pipeline.StreamMessages {
		h = noHandicap
	}
	r := &pageRequest{
		call:     call{op: op, stream: s, endpoint: c.report, path: path(s), query: query, handicap: h},
		pageSize: c.cfg.PageSize, asked: c.cfg.PageSize,
	}
	r.decodePart = r.decodeBegin
	return r
}

// windowRequest asks for the first rows of a window, and for what else the reply says: the total, and the server's clock. Where they
// take too many bytes it asks for fewer of them.
func (c *Client) windowRequest(s pipeline.Stream, w pipeline.Window, count int, op string) *pageRequest {
	bounds := "&begin_time=" + escape(w.Begin.In(c.cfg.TimeZone).Format(timeForm)) +
		"&end_time=" + escape(w.End.In(c.cfg.TimeZone).Format(timeForm))
	r := c.rowsRequest(s, op, "count="+strconv.Itoa(count)+bounds)
	r.first, r.asked = true, count
	r.fewer = func() bool {
		if r.asked == 1 {
			return false
		}
		r.asked = fewerRows(r.asked)
		r.query = "count=" + strconv.Itoa(r.asked) + bounds
		return true
	}
	return r
}

// fewerRows is how many are asked for where so many are too large.
func fewerRows(n int) int { return max(1, n/4) }

// firstPage asks for the first page of a window.
func (c *Client) firstPage(s pipeline.Stream, w pipeline.Window, op string) *pageRequest {
	r := c.windowRequest(s, w, c.pageSize(s), op)
	r.restarts = true
	// A window that is older than the history from the start is the caller's choice; one that gets so is not.
	if now, _ := c.clock.now(); !w.Begin.Before(now.Add(-pipeline.History)) {
		r.begin = w.Begin
	}
	return r
}

// nextPage asks for the page behind a cursor, for as long as the cursor lives.
func (c *Client) nextPage(s pipeline.Stream, cursor string, expires time.Time, checked bool, op string) *pageRequest {
	r := c.rowsRequest(s, op, "cursor="+escape(cursor))
	r.latest, r.checked = expires, checked
	return r
}

// judge sends the window back to its start where its cursor is of no use any more. What an expired cursor is answered with is
// not documented, so any refusal counts; and a wait that the cursor will not outlive is not begun.
func (r *pageRequest) judge(f *failure) {
	switch {
	case f.tooLarge && (!r.first || r.restarts):
		f.fault = &pipeline.Fault{Class: pipeline.Restart, Op: r.op, Err: f.fault.Err, Hint: f.fault.Hint}
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

// decode reads a page.
func (r *pageRequest) decode(body []byte) error {
	page, err := decodePage(body, r.pageSize, r.rows)
	switch {
	case err == nil:
	case errors.Is(err, errCount) && (page.count == int64(r.asked) || page.count == page.total):
		page.deviations = append(page.deviations, deviatesCount)
		err = nil
	case errors.Is(err, errNoMessages) && r.checked && page.known && page.count <= 0:
		// The total that is known shows whether rows are missing.
		page.deviations = append(page.deviations, deviatesMessages)
		err = nil
	default:
		if damaged, damage, unread := decodeDamaged(body, r.pageSize); unread == nil && r.isDamagedAgain(damage) {
			page, err = damaged, nil
		}
	}
	if err == nil {
		r.take(page)
	}
	return err
}

// decodeBegin takes a row that is too large to be read, where it was asked for alone, as far as it came.
func (r *pageRequest) decodeBegin(body []byte) error {
	if _, err := decodePage(body, r.pageSize, nil); errors.Is(err, errTooMany) {
		return err
	}
	page, ok := decodeCut(body)
	if !ok || r.asked > 1 {
		return errTooLarge
	}
	r.take(page)
	return nil
}

// take keeps a page. Only a window's first one has to state the total.
func (r *pageRequest) take(page reply) {
	if page.total < 0 && r.first {
		page.deviations = append(page.deviations, deviatesTotal)
	}
	r.page = page
	r.deviations = append(r.deviations, page.deviations...)
}

// takeNothing takes a reply without content for an empty page, and reports whether it may: behind a first page only where there is a
// total that shows whether rows are missing, and only when the same came as often as damage has to.
func (r *pageRequest) takeNothing() bool {
	if r.contentless++; r.contentless <= damagedAfter || !r.first && !r.checked {
		return false
	}
	if r.page = (reply{total: -1}); r.first {
		r.page.total = 0
	}
	r.deviations = append(r.deviations, deviatesStatus)
	return true
}

// damagedAfter is the number of replies to one request with the same damage after which a page is taken although rows in it
// are no JSON: the next reply will be no better, and the rows around them would be lost with them. Damage that came about on the
// way is another each time.
const damagedAfter = 2

// isDamagedAgain reports whether a page's rows are damaged as they were in the replies before.
func (r *pageRequest) isDamagedAgain(damage uint64) bool {
	if damage != r.damage {
		r.damage, r.damaged = damage, 0
	}
	r.damaged++
	return r.damaged > damagedAfter
}

// extraRequest asks for what is no message: a list, or statistics. What cannot be had by such a request is no reason to stop the
// messages, so it ends as [pipeline.Drop]; as [pipeline.Restart] where what comes cannot be understood, which may pass.
type extraRequest struct {
	call

	read func(body []byte) error
	// malformed counts the replies that could not be read.
	malformed int
}

// unknownAfter is the number of malformed replies to one request after which it is left for a while: their form is another one than is
// known here, or something stands in the way that answers in the API's place. Replies that are cut on the way do not come so often.
const unknownAfter = 8

func (r *extraRequest) decode(body []byte) error { return r.read(body) }

func (*extraRequest) takeNothing() bool { return false }

// judge turns an error that would end the run into one that ends what the request is for. Wrong credentials are everybody's.
func (r *extraRequest) judge(f *failure) {
	if errors.Is(f.fault, errMalformed) || f.tooLarge {
		if r.malformed++; r.malformed >= unknownAfter {
			f.fault = &pipeline.Fault{Class: pipeline.Restart, Op: r.op, Err: f.fault}
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
	req.Header.Set("User-Agent", "jmpub")
	return req, nil
}
