package soak

import (
	"context"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// Link is the network between jmpub and one address: all of its bytes pass through it.
type Link struct {
	name, listen, upstream string

	mu       sync.Mutex   // Guards everything below.
	listener net.Listener // nil while the link is cut
	weather  *weather
	open     map[*connection]struct{}
}

// weather is what happens to bytes, in each direction of each connection. It is never changed, only replaced.
type weather struct {
	delay     time.Duration // give or take half of it
	perSecond int           // the most bytes a second; 0 is no limit
	limit     int           // bytes after which a connection is reset; 0 is no limit
	swallow   bool
}

// NewLink listens at an address (port 0 chooses one) and passes on to upstream until the test ends.
func NewLink(tb testing.TB, name, listen, upstream string) *Link {
	tb.Helper()
	l := &Link{name: name, listen: listen, upstream: upstream, weather: &weather{}, open: make(map[*connection]struct{})}
	l.start(tb)
	tb.Cleanup(func() { l.Cut(tb) })
	return l
}

func (l *Link) start(tb testing.TB) {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(context.WithoutCancel(tb.Context()), "tcp", l.listen)
	if err != nil {
		tb.Fatalf("listen for %s at %s: %v", l.name, l.listen, err)
	}
	l.listener, l.listen = listener, listener.Addr().String()
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // It was closed.
			}
			go l.connect(listener, client)
		}
	}()
}

// Addr is where the link listens.
func (l *Link) Addr() string { return l.listen }

// Cut ends all connections and refuses new ones.
func (l *Link) Cut(tb testing.TB) {
	tb.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		_ = l.listener.Close() // Nothing that it could say would matter.
		l.listener = nil
	}
	l.end()
}

// Heal undoes everything. Connections whose bytes were swallowed end, for there is a hole in them.
func (l *Link) Heal(tb testing.TB) {
	tb.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.weather.swallow {
		l.end()
	}
	l.weather = &weather{}
	if l.listener == nil {
		l.start(tb)
	}
}

// Delay makes all bytes later by d, give or take half of it.
func (l *Link) Delay(d time.Duration) { l.change(func(w *weather) { w.delay = d }) }

// Narrow lets so many KB a second through in each direction.
func (l *Link) Narrow(kilobytes int) { l.change(func(w *weather) { w.perSecond = kilobytes << 10 }) }

// Swallow takes bytes in and passes nothing on, as a network that lost its route does; connections stay open.
func (l *Link) Swallow() { l.change(func(w *weather) { w.swallow = true }) }

// Reset ends each connection with a reset once so many bytes have passed, often within a message.
func (l *Link) Reset(bytes int) { l.change(func(w *weather) { w.limit = bytes }) }

func (l *Link) change(fn func(*weather)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := *l.weather
	fn(&w)
	l.weather = &w
}

func (l *Link) now() *weather {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.weather
}

// end closes all connections. The caller holds the lock.
func (l *Link) end() {
	for c := range maps.Keys(l.open) {
		c.reset()
	}
	clear(l.open)
}

// connection is one through a link: the client's side and the other one.
type connection struct {
	client, server net.Conn
	once           sync.Once
	done           chan struct{} // Closed when it has ended.
}

func (l *Link) connect(listener net.Listener, client net.Conn) {
	server, err := net.Dial("tcp", l.upstream) //nolint:noctx // It ends with the link.
	if err != nil {
		_ = client.Close() // As a host does on which nobody listens.
		return
	}
	c := &connection{client: client, server: server, done: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != listener { // The link was cut meanwhile.
		c.reset()
		return
	}
	l.open[c] = struct{}{}
	go l.pass(c, client, server)
	go l.pass(c, server, client)
}

// reset ends both sides, and loses what is on its way.
func (c *connection) reset() {
	c.once.Do(func() {
		close(c.done)
		for _, side := range []net.Conn{c.client, c.server} {
			if tcp, ok := side.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // Without it the end is a common one.
			}
			_ = side.Close()
		}
	})
}

// close ends both sides when all has arrived.
func (c *connection) close() {
	c.once.Do(func() {
		close(c.done)
		_, _ = c.client.Close(), c.server.Close()
	})
}

type chunk struct {
	bytes []byte
	came  time.Time
}

// underway is how many chunks of a direction are on their way at most.
const underway = 1024

// pass takes the bytes of one direction to the other side until one of them ends.
func (l *Link) pass(c *connection, from, to net.Conn) {
	chunks := make(chan chunk, underway)
	go func() {
		defer close(chunks)
		for {
			b := make([]byte, 16<<10)
			n, err := from.Read(b)
			if n > 0 {
				select {
				case chunks <- chunk{b[:n], time.Now()}:
				case <-c.done:
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	l.deliver(c, chunks, to)
	l.mu.Lock()
	delete(l.open, c)
	l.mu.Unlock()
	c.close()
}

func (l *Link) deliver(c *connection, chunks <-chan chunk, to net.Conn) {
	var since *weather
	passed := 0
	for next := range chunks {
		w := l.now()
		if w != since {
			since, passed = w, 0
		}
		if w.swallow {
			continue
		}
		if w.delay > 0 && !c.wait(time.Until(next.came.Add(w.delay/2+rand.N(w.delay)))) { //nolint:gosec // No secret.
			return
		}
		b := next.bytes
		if w.limit > 0 {
			b = b[:min(len(b), w.limit-passed)]
		}
		if _, err := to.Write(b); err != nil {
			return
		}
		passed += len(b)
		if w.limit > 0 && passed >= w.limit {
			c.reset()
			return
		}
		if w.perSecond > 0 && !c.wait(time.Duration(len(b))*time.Second/time.Duration(w.perSecond)) {
			return
		}
	}
}

// wait tells whether the connection is still there after a while.
func (c *connection) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-c.done:
		return false
	}
}
