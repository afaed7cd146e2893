package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jmpub/jmpub/internal/probe"
	"github.com/jmpub/jmpub/internal/registry"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
	"github.com/jmpub/jmpub/pipeline/discovery"
	"github.com/jmpub/jmpub/pipeline/statistics"
	"github.com/jmpub/jmpub/sink"
	"github.com/jmpub/jmpub/source"
)

// wiring opens the adapters of one app, each command those that it needs, and closes them in the end.
type wiring struct {
	cfg *settings.Config
	// shared is what the apps of one process share; nil where it publishes one.
	shared *shared
	// replay is the id of the replay that this is; empty for everything else.
	replay string
	// writer, where it is set, is the name of a writer of its own, which fences nobody else's.
	writer   string
	log      *slog.Logger
	observer pipeline.Observer
	retry    pipeline.Retry
	close    []func()
	// reached says that the API has answered something, committed that something was published.
	reached, committed atomic.Bool
	// giveUp ends the first contact while it is under way.
	giveUp context.CancelFunc
}

// connectTimeout is how long a first contact may take before the settings are blamed.
const connectTimeout = 15 * time.Second

// newWiring opens nothing yet. What happens goes to the observers and to the log.
func newWiring(cfg *settings.Config, log *slog.Logger, observers ...pipeline.Observer) *wiring {
	w := &wiring{cfg: cfg, log: log}
	milestones := func(o pipeline.Observation) {
		switch o := o.(type) {
		case pipeline.RequestAnswered:
			if o.Class != "network" {
				w.reached.Store(true)
			}
		case pipeline.WindowCommitted:
			w.committed.Store(true)
		default:
		}
	}
	w.observer = pipeline.Observers(append(slices.Clone(observers), logObserver(log), milestones)...)
	w.retry = pipeline.Retry{Notify: w.observer.Retry}
	return w
}

// Close lets go of what is held.
func (w *wiring) Close() {
	for _, end := range slices.Backward(w.close) {
		end()
	}
	w.close = nil
}

func (w *wiring) warn(message string, attrs ...slog.Attr) {
	w.log.LogAttrs(context.Background(), slog.LevelWarn, message, attrs...) //nolint:sloglint // Whoever calls it has a constant message.
}

// openSource makes the API's client and the first contact.
func (w *wiring) openSource(ctx context.Context, src source.Config) (*source.Client, error) {
	src.Retry, src.Observer, src.Warn, src.ProveZone = w.retry, w.observer, w.warn, true
	if w.shared != nil {
		src.Zones = &w.shared.zones
		if src.Transport == nil {
			src.Transport = w.shared.transport
		}
	}
	client, err := source.New(src)
	if err != nil {
		return nil, usage.Wrap(err)
	}
	w.close = append(w.close, client.Close)
	return client, startError(w.greet(ctx, client))
}

// greet makes the first contact with the API. What an API that is busy or broken answers is waited for later on; one that
// cannot be reached at all is most likely a wrong setting.
func (w *wiring) greet(ctx context.Context, client *source.Client) error {
	_, err := w.meet(ctx, client)
	return err
}

// meet is greet, with what of it a run gets over: a stream that is gone, or an API that is busy or broken.
func (w *wiring) meet(ctx context.Context, client *source.Client) (tolerated, err error) {
	check, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	w.giveUp = cancel
	_, err = client.Now(check, w.cfg.Contact())
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err == nil:
		return nil, nil
	case pipeline.ClassOf(err) == pipeline.Drop: // A stream that is gone leaves the others.
		return err, nil
	case check.Err() != nil && w.reached.Load():
		return err, nil
	default:
		return nil, checkAddress(ctx, "JMPUB_API_URL", w.cfg.Source.BaseURL, err)
	}
}

// checkAddress returns the error of a first contact, or what is wrong with the address if something else is spoken there.
func checkAddress(ctx context.Context, setting, address string, err error) error {
	u, malformed := url.Parse(address)
	if malformed != nil {
		return err
	}
	if proxy, _ := http.ProxyFromEnvironment(&http.Request{URL: u}); proxy != nil { // What lies behind it cannot be asked.
		return err
	}
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	found := probe.At(ctx, net.JoinHostPort(u.Hostname(), port))
	switch {
	case found.Kafka:
		return usage.Errorf("%s: Kafka answers at %s, not HTTP; check the port (%w)", setting, address, err)
	case found.TLS && u.Scheme == "http":
		return usage.Errorf("%s: the port of %s wants TLS; begin the address with https:// (%w)", setting, address, err)
	case found.HTTP && !found.TLS && u.Scheme == "https":
		return usage.Errorf("%s: the port of %s has no TLS; name its port for https, or begin the address with http:// (%w)", setting, address, err)
	default:
		return err
	}
}

// greetRegistry makes the first contact with the schema registry, and learns the ids of the schemas. One that answers, but is busy
// or broken, is waited for; one that does not answer at all is most likely a wrong setting.
func greetRegistry(ctx context.Context, s *sink.Writer) error {
	check, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	switch err := s.EnsureSchemas(check); {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		return nil
	case check.Err() == nil:
		return startError(err)
	case registry.Answered(err):
		return startError(s.EnsureSchemas(ctx))
	default:
		return startError(fmt.Errorf("the schema registry did not answer within %s; check JMPUB_SCHEMA_REGISTRY_URL: %w", connectTimeout, err))
	}
}

// processName is what this process is called where others look for it.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "a host without a name"
	}
	return fmt.Sprintf("process %d on %s", os.Getpid(), host)
}

// pipelineConfig is what a pipeline over these adapters is made of.
func (w *wiring) pipelineConfig(client *source.Client, out *output) pipeline.Config {
	cfg := w.cfg
	rate := cfg.Source.Rate
	var bounds *pipeline.Bounds
	var hourSpread time.Duration
	if w.shared != nil {
		bounds, hourSpread = w.shared.bounds, w.shared.hourSpread()
	}
	return pipeline.Config{
		AppKey: cfg.Source.AppKey, Streams: cfg.Streams, Source: client, Sink: out.sink,
		Checkpoints: out.store, Claims: out.claims, Owners: out.owners, Name: processName(), Coverage: out.coverage,
		Start: cfg.Start, Overlap: cfg.Source.Overlap, Parallel: cfg.Parallel, Pace: rate.Per / time.Duration(rate.Requests),
		Retry: w.retry, Observer: w.observer, LiveFirst: cfg.LiveFirst, Early: cfg.Early,
		WindowBytes: cfg.WindowBytes, MemoryBytes: cfg.MemoryBytes, Bounds: bounds, HourSpread: hourSpread,
	}
}

// members are what a live run publishes besides the streams that are named.
func (w *wiring) members(client *source.Client) []pipeline.Member {
	cfg := w.cfg
	var members []pipeline.Member
	for _, stream := range cfg.Statistics {
		members = append(members, statistics.New(statistics.Config{
			AppKey: cfg.Source.AppKey, Stream: stream, Units: cfg.Units, Zone: cfg.Source.TimeZone, Source: client,
			Every: cfg.StatisticsEvery, Observer: w.observer,
		}))
	}
	if len(cfg.Discover) > 0 {
		members = append(members, discovery.New(discovery.Config{
			AppKey: cfg.Source.AppKey, Kinds: cfg.Discover, Directory: client, Clock: client, Named: cfg.Streams,
			Most: cfg.DiscoveryMax, Every: cfg.DiscoveryEvery, Observer: w.observer,
		}))
	}
	return members
}

// attendants attend to the streams of a live run.
func (w *wiring) attendants(client *source.Client, out *output) []pipeline.Attendant {
	cfg := w.cfg
	if len(cfg.Recheck) == 0 {
		return nil
	}
	return []pipeline.Attendant{&audit.LateRows{
		AppKey: cfg.Source.AppKey, Source: client, Totals: client, Archive: out.archive,
		Rows:   &pipeline.RowReader{Source: client, Retry: w.retry, Observer: w.observer},
		Delays: cfg.Recheck, Named: func(s pipeline.Stream) bool { return slices.Contains(cfg.Streams, s) },
		Observer: w.observer, Now: time.Now,
	}}
}

// runError makes a mistake of the settings out of what ended a run that has published nothing.
func (w *wiring) runError(err error) error {
	if w.committed.Load() {
		return err
	}
	return startError(err)
}

// startError makes a mistake of the settings out of what waiting cannot change. An answer that is not the API's own may be another
// one at the next start, clocks may be right and checkpoints be there again; a record that somebody else wrote is no mistake of the settings.
func startError(err error) error {
	for _, passing := range []error{source.ErrGateway, source.ErrInFuture, pipeline.ErrUnreadable, pipeline.ErrLost} {
		if errors.Is(err, passing) {
			return err
		}
	}
	if fault, ok := errors.AsType[*pipeline.Fault](err); ok && fault.Class == pipeline.Permanent {
		return usage.Wrap(err)
	}
	return err
}
