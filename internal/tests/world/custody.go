package world

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"time"
)

// custody counts what processes hold: rows that the API has sent to them, and that nobody has published yet. Safe for concurrent use.
type custody struct {
	mu sync.Mutex
	// published are the ids of rows.
	published map[string]bool
	// held are, by process, the rows' ids and sizes in bytes; sums are those of the sizes.
	held map[string]map[string]int
	sums map[string]int
}

func newCustody() *custody {
	return &custody{published: make(map[string]bool), held: make(map[string]map[string]int), sums: make(map[string]int)}
}

// taken implements [kafkamodel.Options.Taken].
func (c *custody) taken(_, _ string, key []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := string(key)
	c.published[id] = true
	for process, rows := range c.held {
		c.sums[process] -= rows[id]
		delete(rows, id)
	}
}

var idOfRow = regexp.MustCompile(`"msgid":(\d+)`)

// served counts a reply to a process, and returns how many bytes it holds. What a look brings that reaches beyond what has settled may be dropped,
// and come again: it counts at that moment.
func (c *custody) served(process string, r *http.Request, zone *time.Location, reply *httptest.ResponseRecorder) int {
	if !strings.HasSuffix(r.URL.Path, "/messages") {
		return 0
	}
	const settle = 5 * time.Second // The default of the settings, which worlds leave as it is.
	end, err := time.ParseInLocation(time.DateTime, r.URL.Query().Get("end_time"), zone)
	look := err == nil && end.After(time.Now().Add(-settle))
	ids := idOfRow.FindAllSubmatch(reply.Body.Bytes(), -1)
	c.mu.Lock()
	defer c.mu.Unlock()
	looked := 0
	if c.held[process] == nil {
		c.held[process] = make(map[string]int)
	}
	for _, match := range ids {
		id, bytes := string(match[1]), reply.Body.Len()/len(ids)
		switch {
		case c.published[id] || c.held[process][id] > 0:
		case look:
			looked += bytes
		default:
			c.held[process][id] = bytes
			c.sums[process] += bytes
		}
	}
	return c.sums[process] + looked
}

// ended forgets a process.
func (c *custody) ended(process string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, process)
	delete(c.sums, process)
}
