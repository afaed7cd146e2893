package world

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
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

// served counts a reply to a process, and returns how many bytes it holds.
func (c *custody) served(process, path string, reply *httptest.ResponseRecorder) int {
	if !strings.HasSuffix(path, "/messages") {
		return 0
	}
	ids := idOfRow.FindAllSubmatch(reply.Body.Bytes(), -1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[process] == nil {
		c.held[process] = make(map[string]int)
	}
	for _, match := range ids {
		if id := string(match[1]); !c.published[id] && c.held[process][id] == 0 {
			c.held[process][id] = reply.Body.Len() / len(ids)
			c.sums[process] += c.held[process][id]
		}
	}
	return c.sums[process]
}

// ended forgets a process.
func (c *custody) ended(process string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, process)
	delete(c.sums, process)
}
