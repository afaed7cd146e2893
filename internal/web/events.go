package web

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/words"
)

const (
	// tellEvery is how often those who listen are told how the process does.
	tellEvery = 2 * time.Second
	// maxListeners is how many may listen at the same time.
	maxListeners = 16
	// listenTime is how long one who listens may take to read what it is told. Who is slower is left.
	listenTime = 5 * time.Second
)

// listeners are those who listen. What they are told is made once for all of them, and by nobody while nobody listens. Safe for concurrent use.
type listeners struct {
	mu  sync.Mutex
	all map[chan []byte]bool
	// woken is closed when somebody listens again.
	woken chan struct{}
}

func newListeners() *listeners {
	return &listeners{all: make(map[chan []byte]bool), woken: make(chan struct{}, 1)}
}

// join lets one listen; not ok where there are enough.
func (l *listeners) join() (told chan []byte, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == maxListeners {
		return nil, false
	}
	told = make(chan []byte, 1)
	l.all[told] = true
	select {
	case l.woken <- struct{}{}:
	default: // It is awake.
	}
	return told, true
}

func (l *listeners) leave(told chan []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, told)
}

// run tells those who listen, until ctx is done.
func (l *listeners) run(ctx context.Context, look func() any) {
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.woken:
		case <-ticker.C:
		}
		if l.count() > 0 {
			l.tell(look())
		}
	}
}

func (l *listeners) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all)
}

// tell tells all of them. One who has not read the last word yet misses this one.
func (l *listeners) tell(what any) {
	text, err := json.Marshal(what)
	if err != nil {
		return // (bug) It is of types that can be written.
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for told := range l.all {
		select {
		case told <- text:
		default:
		}
	}
}

// serveEvents tells how the process does, as server-sent events, until the client leaves, reads too slowly, or the server ends.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	told, ok := s.listeners.join()
	if !ok {
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, "too many listen already; ask for "+apiPath+"/overview now and then instead")
		return
	}
	defer s.listeners.leave(told)
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	out := http.NewResponseController(w)
	send := func(text string) error {
		if err := out.SetWriteDeadline(time.Now().Add(listenTime)); err != nil {
			return err
		}
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		return out.Flush()
	}
	if send("retry: 5000\n\n") != nil {
		return
	}
	for {
		select {
		case text := <-told:
			if send("event: overview\ndata: "+words.Visible(string(text))+"\n\n") != nil {
				return
			}
		case <-r.Context().Done():
			return
		case <-s.closing:
			return
		}
	}
}
