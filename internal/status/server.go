package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/jmpub/jmpub/internal/words"
)

// Handler serves /healthz, /readyz, /metrics and, for people, an index of them at /, with all that there is to know. It is for those who
// work on this machine.
func (s *Status) Handler() http.Handler {
	return s.routes(map[string]string{"status": "alive", "version": s.opts.Version},
		fmt.Sprintf("jmpub %s, app %s, delivery: %s", s.opts.Version, s.opts.AppKey, s.opts.Delivery),
		func() (any, int) { return s.judge() })
}

// strangers serves the same without what only the operator needs to know: no app key, stream, version or error. Metrics are served whole,
// for they are of no use without the streams that they are of.
func (s *Status) strangers() http.Handler {
	return s.routes(map[string]string{"status": "alive"}, "jmpub", func() (any, int) {
		all, code := s.judge()
		short := health{Ready: all.Ready}
		if !all.Ready {
			short.Why = "a stream is not read as it should be; the log and /metrics tell which"
		}
		return short, code
	})
}

func (s *Status) routes(alive any, title string, ready func() (any, int)) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry(), promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, alive) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		body, code := ready()
		answer(w, code, body)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(&words.Writer{Out: w}, "%s\n\n/healthz\n/readyz\n/metrics\n", title)
	})
	return mux
}

// health is the body of /readyz for strangers.
type health struct {
	Ready bool   `json:"ready"`
	Why   string `json:"why,omitempty"`
}

// readiness is the body of /readyz.
type readiness struct {
	Ready bool `json:"ready"`
	// Why says what is missing.
	Why string `json:"why,omitempty"`
	// Warnings say what will go wrong if nobody acts.
	Warnings []string `json:"warnings,omitempty"`
	Snapshot
}

// farthestAhead is by how much a stream may be read further than the local clock goes.
const farthestAhead = 30 * time.Second

// missing is why a stream is not as it should be; empty where it is.
func (s *StreamSnapshot) missing() string {
	switch {
	case s.Dropped:
		return ""
	case s.Unreadable > 0:
		return "a position of " + s.Stream + " cannot be read, so nothing of its stream is published; `jmpub checkpoint list` says what replaces it"
	case !s.Read.IsZero() && s.LagSeconds < -farthestAhead.Seconds():
		return fmt.Sprintf("%s is read up to %s, which has not come yet by the local clock", s.Stream, s.Read.Format(time.RFC3339))
	case !s.Fresh:
		return fmt.Sprintf("nothing was read of %s in the last %s", s.Stream, s.stale)
	default:
		return ""
	}
}

// judge answers 200 once every stream that is not dropped has been read or committed lately, no further than the clock goes, and 503
// otherwise.
func (s *Status) judge() (readiness, int) {
	body := readiness{Ready: true, Warnings: append(s.disagreement(), s.Leaving()...), Snapshot: s.Snapshot()}
	code := http.StatusOK
	if body.Standby { // Whoever stands by does not read, and is as it should be.
		return body, code
	}
	for i := range body.Streams {
		if body.Why = body.Streams[i].missing(); body.Why != "" {
			body.Ready, code = false, http.StatusServiceUnavailable
			break
		}
	}
	return body, code
}

// disagreement says what the clocks say while they disagree.
func (s *Status) disagreement() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.clocks.Disagree {
		return nil
	}
	return []string{fmt.Sprintf("the API's clock and the local one disagree: %s and %s, a difference of %s", s.clocks.Server.Format(time.RFC3339),
		s.clocks.Local.Format(time.RFC3339), s.difference().Round(time.Second))}
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	out := json.NewEncoder(&words.Writer{Out: w})
	out.SetIndent("", "  ")
	_ = out.Encode(body) //nolint:errchkjson // A client that went away is no news.
}

// Serve answers on the listener until ctx is done. Where only this machine can reach it, it tells everything.
func (s *Status) Serve(ctx context.Context, listener net.Listener) error {
	allowed, handler := hosts{local: IsLocal(listener.Addr()), more: s.opts.Hosts}, s.strangers()
	if allowed.local {
		handler = s.Handler()
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
