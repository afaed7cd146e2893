package soak

import (
	"net/http"
	"sync"
)

// Gate is the way into an API: it lets in as many requests as a test allows, and holds back the rest. So a test decides how much
// of a history can have been published when it injects a fault, however fast or slow the machine is.
type Gate struct {
	next http.Handler

	mu sync.Mutex
	// open lets all in; otherwise allowed is how many more may come in. changed is closed, and replaced, when either grows.
	open    bool
	allowed int
	changed chan struct{}
}

func newGate(next http.Handler) *Gate {
	return &Gate{next: next, open: true, changed: make(chan struct{})}
}

// Allow lets in n more requests and holds back those after them.
func (g *Gate) Allow(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		g.open, g.allowed = false, 0
	}
	g.allowed += n
	g.wake()
}

// Open lets in everything.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
	g.wake()
}

func (g *Gate) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// Used tells whether all that were allowed have come in.
func (g *Gate) Used() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.open && g.allowed == 0
}

// ServeHTTP implements http.Handler.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for {
		changed, enter := g.enter()
		if enter {
			g.next.ServeHTTP(w, r)
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done(): // The client has gone.
			return
		}
	}
}

// enter tells whether a request may come in; if not, changed is closed when it is to ask again.
func (g *Gate) enter() (changed <-chan struct{}, enter bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.open && g.allowed == 0 {
		return g.changed, false
	}
	if !g.open {
		g.allowed--
	}
	return nil, true
}
