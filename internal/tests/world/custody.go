package world

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
)

// custody knows what processes have: transactional ids, and rows that the API has sent to them and nobody has published yet. Safe for
// concurrent use.
type custody struct {
	mu sync.Mutex
	// published are the ids of rows.
	published map[string]bool
	// held are, by process, the rows' ids and sizes in bytes; sums are those of the sizes.
	held map[string]map[string]int
	sums map[string]int
	// writers are, by app, the processes that took the transactional id last; commands, which give it back, are none.
	writers map[string]string
}

func newCustody() *custody {
	return &custody{published: make(map[string]bool), held: make(map[string]map[string]int), sums: make(map[string]int), writers: make(map[string]string)}
}

// took implements [kafkamodel.Options.Took]. The id of what publishes an app ends with the app's key.
func (c *custody) took(user, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.HasPrefix(user, aProcess) {
		c.writers[id[strings.LastIndex(id, "/")+1:]] = user
	}
}

// writer is the process that took an app's transactional id last.
func (c *custody) writer(app string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writers[app]
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
