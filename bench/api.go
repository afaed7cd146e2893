package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// requestsPath is where the API tells, a line each, what it was asked for since it was asked that last.
const requestsPath = "/bench/requests"

// api answers as the Report API does. A page is a part of a text that was made before, so that what is measured has the machine for itself.
type api struct {
	history *history
	text    []byte
	zone    *time.Location

	mu    sync.Mutex
	asked []string
}

func newAPI(h *history) *api {
	return &api{history: h, text: h.render(), zone: time.FixedZone("Asia/Shanghai", 8*60*60)}
}

// page is the rows from first on, count of them at most, of a window that ends before the row end and has total of them. As text it is the cursor.
type page struct{ first, end, total, count int }

func (p page) cursor() string { return fmt.Sprintf("%d-%d-%d-%d", p.first, p.end, p.total, p.count) }

// ServeHTTP answers a first request and a cursor's.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/v2/messages":
		p, err := a.parse(r.URL.RawQuery)
		if err != nil {
			http.Error(w, fmt.Sprintf(`{"error":{"code":899003,"message":%q}}`, err), http.StatusBadRequest)
			return
		}
		a.mu.Lock()
		a.asked = append(a.asked, r.URL.RawQuery)
		a.mu.Unlock()
		a.write(w, p)
	case requestsPath:
		a.mu.Lock()
		defer a.mu.Unlock()
		fmt.Fprint(w, strings.Join(a.asked, "\n"))
		a.asked = nil
	default:
		http.NotFound(w, r)
	}
}

func (a *api) parse(query string) (page, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return page{}, err
	}
	if cursor := values.Get("cursor"); cursor != "" {
		var p page
		_, err = fmt.Sscanf(cursor, "%d-%d-%d-%d", &p.first, &p.end, &p.total, &p.count)
		if err == nil && (p.first < 0 || p.first > p.end || p.end > a.history.n || p.count < 1) {
			err = fmt.Errorf("cursor %q is none of this API", cursor)
		}
		return p, err
	}
	count, err := strconv.Atoi(values.Get("count"))
	if err != nil || count < 1 || count > 1000 {
		return page{}, fmt.Errorf("count %q is not between 1 and 1000", values.Get("count"))
	}
	begin, err := time.ParseInLocation(time.DateTime, values.Get("begin_time"), a.zone)
	if err != nil {
		return page{}, err
	}
	end, err := time.ParseInLocation(time.DateTime, values.Get("end_time"), a.zone)
	if err != nil {
		return page{}, err
	}
	p := page{first: a.history.search(begin), end: a.history.search(end.Add(time.Second)), count: count} // It has the last second, too.
	p.end = max(p.first, p.end)
	p.total = p.end - p.first
	return p, nil
}

func (a *api) write(w http.ResponseWriter, p page) {
	next := p
	next.first = min(p.end, p.first+p.count)
	n := next.first - p.first
	head := fmt.Appendf(nil, `{"total":%d,"count":%d,"messages":[`, p.total, n)
	tail := []byte("]}")
	if next.first < p.end {
		tail = fmt.Appendf(nil, `],"cursor":"%s"}`, next.cursor())
	}
	var rows []byte
	if line := a.history.size + 1; n > 0 {
		rows = a.text[p.first*line : next.first*line-1]
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(head)+len(rows)+len(tail)))
	for _, part := range [][]byte{head, rows, tail} {
		if _, err := w.Write(part); err != nil { //nolint:gosec // No browser reads it.
			return // Nobody reads it any more.
		}
	}
}
