// Package web serves what a process tells of itself: /healthz, /readyz, /metrics and /api, and who may ask for it. What there is to tell is
// kept by package status.
package web

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/fleet"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/web/page"
	"github.com/jmpub/jmpub/internal/words"
)

// Options are what a server shows.
type Options struct {
	Status *status.Process
	// Hosts are names by which the server may be asked besides those that it knows: host.example, .example for all that end so, or *.
	Hosts []string
	// Process is what this process is called, where others look for it.
	Process string
	// Fleet is what is known of the apps of all processes that this one shares them with; nil where nothing can be.
	Fleet func(context.Context) (*fleet.Fleet, error)
	// Reader reads what stands in Kafka; nil where nothing is answered that is read there.
	Reader Reader
	// Tokens let somebody change something, through the Operator, the Replays and the Audits; without any, those are of no use.
	Tokens   []Token
	Operator Operator
	Replays  Replays
	Audits   Audits
	// TLS, where it is not nil, is what the server answers with.
	TLS *tls.Config
	// Log has a line of each call that changes something, and of tokens that are wrong; nil is none.
	Log *slog.Logger
}

// changes tells whether there are calls that change something.
func (o *Options) changes() bool { return len(o.Tokens) > 0 && o.Operator != nil }

// Server answers over HTTP. Safe for concurrent use.
type Server struct {
	opts      Options
	fleet     fleets
	reads     *reads
	history   history
	listeners *listeners
	gate      *gate
	// origin knows the pages of other sites; change is taken by the one call that changes something.
	origin *http.CrossOriginProtection
	change chan struct{}
	// closing is closed when the server ends: who listens does not hold it up.
	closing chan struct{}
}

// New makes a server, which answers nobody yet.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{
		gate: newGate(o.Tokens, o.Log), origin: http.NewCrossOriginProtection(), change: make(chan struct{}, 1),
		opts: o, fleet: fleets{ask: o.Fleet, wanted: make(chan struct{}, 1)}, reads: newReads(o.Status.KafkaSilent), listeners: newListeners(), closing: make(chan struct{}),
	}
}

// members are the processes of the group; none where nothing is known of them.
func (s *Server) members() []fleet.Member {
	if s.opts.Fleet == nil {
		return []fleet.Member{}
	}
	return append([]fleet.Member{}, s.fleet.lately()...)
}

// health is the body of /readyz for strangers.
type health struct {
	Ready bool   `json:"ready"`
	Why   string `json:"why,omitempty"`
}

// Handler serves /healthz, /readyz, /metrics, the API and, for people, the page at /, with all that there is to know. It is for those who
// work on this machine, or show a token: strangers find no API.
func (s *Server) Handler() http.Handler {
	alive := map[string]string{"status": "alive", "version": s.opts.Status.Version()}
	mux := s.routes(alive, pageOr(index(s.opts.Status.Title, apiPath+"/openapi.json")), s.opts.Status.Ready)
	mux.Handle("GET "+page.Prefix, page.Files())
	serveAPI(mux, append(s.reading(), s.changing()...))
	return mux
}

// pageOr answers browsers with the page, and programs with something else.
func pageOr(otherwise http.Handler) http.Handler {
	people := page.Index()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept")
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			people.ServeHTTP(w, r)
			return
		}
		otherwise.ServeHTTP(w, r)
	})
}

// index names the paths, below a title that is made anew for each request.
func index(title func() string, more ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(&words.Writer{Out: w}, "%s\n\n%s\n", title(), strings.Join(append([]string{"/healthz", "/readyz", "/metrics"}, more...), "\n"))
	})
}

// longText is how many bytes of an error are answered.
const longText = 400

// serveFleet answers with what is known of the apps of all processes.
func (s *Server) serveFleet(w http.ResponseWriter, r *http.Request) {
	found, err := s.fleet.get(r.Context())
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	answer(w, http.StatusOK, compact{found})
}

// compact is a body that is long and for programs: a third of its bytes would be blanks.
type compact struct{ body any }

// strangers serves the same without what only the operator needs to know: no app key, stream, version or error. Metrics are served whole,
// for they are of no use without the streams that they are of.
func (s *Server) strangers() http.Handler {
	front := index(func() string { return "jmpub" })
	if s.opts.changes() {
		front = pageOr(front) // It asks for a token.
	}
	mux := s.routes(map[string]string{"status": "alive"}, front, func() (any, bool) {
		_, ready := s.opts.Status.Ready()
		if ready {
			return health{Ready: true}, true
		}
		return health{Why: "a stream is not read as it should be; the log and /metrics tell which"}, false
	})
	if s.opts.changes() {
		mux.Handle("GET "+page.Prefix, page.Files())
	}
	return mux
}

// routes serves what is alive, the front page, and a judgement made anew for each request.
func (s *Server) routes(alive any, front http.Handler, judge func() (body any, ready bool)) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", inTurn(s.opts.Status.Metrics()))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, alive) })
	mux.Handle("GET /readyz", inTurn(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		body, ready := judge()
		code := http.StatusOK
		if !ready {
			code = http.StatusServiceUnavailable
		}
		if _, short := body.(health); s.opts.Status.Many() && !short {
			body = compact{body}
		}
		answer(w, code, body)
	})))
	mux.Handle("GET /{$}", front)
	return mux
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	out := json.NewEncoder(&words.Writer{Out: w})
	if long, is := body.(compact); is {
		body = long.body
	} else {
		out.SetIndent("", "  ")
	}
	_ = out.Encode(body) //nolint:errchkjson // A client that went away is no news.
}

// root serves everything to whom it may be served; local is whether only this machine can ask.
func (s *Server) root(local bool) http.Handler {
	all, without := s.Handler(), onlyReading(s.strangers())
	switch {
	case local && s.opts.changes():
		without = all // What changes something asks for a token.
	case local:
		without = onlyReading(all)
	}
	return hosts{local: local, more: s.opts.Hosts}.guard(s.gate.separate(all, without))
}

// Serve answers on the listener until ctx is done. It is called once. Where only this machine can reach it, it tells
// everything; elsewhere to those who show a token.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Protocols: new(http.Protocols), TLSConfig: s.opts.TLS,
		Handler: s.root(IsLocal(listener.Addr())), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, DisableGeneralOptionsHandler: true,
	}
	var beside sync.WaitGroup
	defer beside.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	beside.Go(func() { s.fleet.run(ctx) })
	beside.Go(func() { s.history.run(ctx, s.opts.Status.Overview) })
	beside.Go(func() { s.listeners.run(ctx, func() any { return s.overview() }) })
	server.Protocols.SetHTTP1(true) // With HTTP/2, connections would bound nothing.
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		close(s.closing)
		// What is being answered may finish; it is short.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		stopped <- server.Shutdown(grace)
	}()
	serve := server.Serve
	if s.opts.TLS != nil {
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	if err := serve(&boundedListener{Listener: listener}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the status page: %w", err)
	}
	if err := <-stopped; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop the status page: %w", err)
	}
	return nil
}
