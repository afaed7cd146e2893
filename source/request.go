package source

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// request is one page to ask for.
type request struct {
	stream pipeline.Stream
	query  string
	// decode reads a reply that is no page of messages; nil where it is one. What cannot be had by such a request is no
	// reason to stop the messages, so it ends as [pipeline.Drop].
	decode func(body []byte) error
	// path takes the place of the stream's; lists tells that it is one of the lists, which have an address of their own.
	path  string
	lists bool
	// op names it in errors.
	op string
	// cursor tells that it continues a window, and expires until when it can.
	cursor  bool
	expires time.Time
	// begin, where set, has to be within the API's history still when the request is sent.
	begin time.Time
	// bytes is about how large the reply will be, where that is known.
	bytes int
	// sent counts the tries.
	sent int
	// damage is a hash of the damaged rows of the last reply, damaged how many replies in a row had the same.
	damage  uint64
	damaged int
	// denied tells that the API knows of no such credentials.
	denied bool
}

// rank is when the request has its turn.
func (r *request) rank() rank {
	switch {
	case r.decode != nil:
		return rankBeside
	case r.stream.Kind == pipeline.StreamMessages:
		return rankApp
	default:
		return rankStream
	}
}

// address is where the request goes, without its query.
func (c *Client) address(r *request) string {
	switch {
	case r.lists:
		return c.cfg.ListsURL + r.path
	case r.path != "":
		return c.cfg.BaseURL + r.path
	default:
		return c.cfg.BaseURL + path(r.stream)
	}
}

// setting is the one that begins the address, and example a value of it.
func (r *request) setting() (name, example string) {
	if r.lists {
		return "JMPUB_IM_URL", defaultListsURL
	}
	return "JMPUB_API_URL", defaultBaseURL
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

func cursorQuery(cursor string) string { return "cursor=" + escape(cursor) }

// newRequest makes the HTTP request for r.
func (c *Client) newRequest(ctx context.Context, r *request) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.address(r)+"?"+r.query, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(c.cfg.AppKey, c.cfg.MasterSecret.Reveal())
	req.Header.Set("Accept", "application/json")
	// Set here, so that the transport leaves it to read to unpack, whose limit holds for what a reply unpacks to.
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	return req, nil
}
