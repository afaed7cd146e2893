package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/jmpub/jmpub/internal/words"
)

// Handler serves /healthz, /readyz, /metrics, /api/v1/apps and, for people, an index of them at /, with all that there is to know. It is for
// those who work on this machine.
func (p *Process) Handler() http.Handler {
	alive := map[string]string{"status": "alive", "version": p.opts.Version}
	if p.opts.Fleet == nil {
		return p.routes(alive, p.title, p.judge)
	}
	mux := p.routes(alive, p.title, p.judge, fleetPath)
	mux.Handle("GET "+fleetPath, inTurn(http.HandlerFunc(p.serveFleet)))
	return mux
}

// fleetPath is where the apps of all processes are. Strangers find nothing there: it tells as much as /readyz does, of more apps.
const fleetPath = "/api/v1/apps"

// serveFleet answers with what is known of the apps of all processes.
func (p *Process) serveFleet(w http.ResponseWriter, r *http.Request) {
	found, err := p.opts.Fleet(r.Context())
	if err != nil {
		answer(w, http.StatusServiceUnavailable, map[string]string{"error": shorten(err.Error(), longText)})
		return
	}
	answer(w, http.StatusOK, compact{found})
}

// compact is a body that is long and for programs: a third of its bytes would be blanks.
type compact struct{ body any }

// title says whose page it is.
func (p *Process) title() string {
	if p.opts.Many {
		return fmt.Sprintf("jmpub %s, apps: %d", p.opts.Version, len(p.shown()))
	}
	s := p.only()
	if s == nil {
		return "jmpub " + p.opts.Version
	}
	return fmt.Sprintf("jmpub %s, app %s, delivery: %s", p.opts.Version, s.opts.AppKey, s.opts.Delivery)
}

// strangers serves the same without what only the operator needs to know: no app key, stream, version or error. Metrics are served whole,
// for they are of no use without the streams that they are of.
func (p *Process) strangers() http.Handler {
	return p.routes(map[string]string{"status": "alive"}, func() string { return "jmpub" }, func() (any, bool) {
		_, ready := p.judge()
		if ready {
			return health{Ready: true}, true
		}
		return health{Why: "a stream is not read as it should be; the log and /metrics tell which"}, false
	})
}

// routes serves what is alive, and a title and a judgement made anew for each request. The index names more paths besides.
func (p *Process) routes(alive any, title func() string, judge func() (body any, ready bool), more ...string) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", inTurn(promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, alive) })
	mux.Handle("GET /readyz", inTurn(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		body, ready := judge()
		code := http.StatusOK
		if !ready {
			code = http.StatusServiceUnavailable
		}
		if all, many := body.(processReadiness); many {
			body = compact{all}
		}
		answer(w, code, body)
	})))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(&words.Writer{Out: w}, "%s\n\n%s\n", title(), strings.Join(append([]string{"/healthz", "/readyz", "/metrics"}, more...), "\n"))
	})
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

// Serve answers on the listener until ctx is done. Where only this machine can reach it, it tells everything.
func (p *Process) Serve(ctx context.Context, listener net.Listener) error {
	allowed, handler := hosts{local: IsLocal(listener.Addr()), more: p.opts.Hosts}, p.strangers()
	if allowed.local {
		handler = p.Handler()
	}
	server := &http.Server{
		Handler: allowed.guard(handler), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, DisableGeneralOptionsHandler: true,
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		// What is being answered may finish; it is short.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		stopped <- server.Shutdown(grace)
	}()
	if err := server.Serve(&boundedListener{Listener: listener}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the status page: %w", err)
	}
	if err := <-stopped; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop the status page: %w", err)
	}
	return nil
}
