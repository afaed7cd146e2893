package operate

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/sink"
	"github.com/jmpub/jmpub/source"
)

// Live publishes one app's streams continuously, while this process has the app, and shows its status.
type Live struct {
	wiring  *wiring
	process *status.Process
	status  *status.Status
	source  *source.Client
	output  *output
	// join makes the membership that says whether this process has the app; nil where it always has.
	join JoinGroup
	// acceptLost goes on although checkpoints are lost; the first time that this process has the app.
	acceptLost bool
	// began is called when this process begins to publish the app.
	began func(context.Context)
	// listener serves the status page; nil where it is off.
	listener net.Listener
}

// NewLive wires an app. Nothing has been published when it returns; with an error, nothing is left open.
func NewLive(ctx context.Context, cfg *settings.Config, log *slog.Logger, version string, observers ...pipeline.Observer) (*Live, error) {
	l := &Live{process: status.NewProcess(status.ProcessOptions{Version: version, Hosts: cfg.ListenHosts})}
	l.status = l.process.Add(status.Options{
		AppKey: cfg.Source.AppKey, TopicPrefix: cfg.Topics.Prefix, Delivery: cfg.Delivery(), Streams: cfg.Named(), Discover: cfg.Discover,
		Zone: cfg.Source.TimeZone, Warn: cfg.RetentionWarn, StatisticsStale: staleReadings * cfg.StatisticsEvery,
	})
	l.wiring = newWiring(cfg, log, append(slices.Clone(observers), l.status.Observer())...)
	if err := l.wire(ctx, cfg); err != nil {
		l.Close()
		return nil, startError(err)
	}
	return l, nil
}

// wire opens everything, in the order in which wrong settings are best reported.
func (l *Live) wire(ctx context.Context, cfg *settings.Config) error {
	var err error
	if l.source, err = l.wiring.openSource(ctx, cfg.Source); err != nil {
		return err
	}
	if l.output, err = l.wiring.openOutput(ctx); err != nil {
		return err
	}
	if err = greetRegistry(ctx, l.output.sink); err != nil {
		return err
	}
	if err = l.wiring.checkRights(ctx, l.output); err != nil {
		return err
	}
	if cfg.Listen != "off" {
		var lc net.ListenConfig
		if l.listener, err = lc.Listen(ctx, "tcp", cfg.Listen); err != nil {
			return usage.Errorf("JMPUB_LISTEN: %w; choose another address, or off", err)
		}
		if !status.IsLocal(l.listener.Addr()) {
			l.wiring.log.WarnContext(ctx, "others can reach the status page", slog.String("setting", "JMPUB_LISTEN"),
				slog.String("detail", "/metrics on "+l.listener.Addr().String()+" tells the app key and the streams to whoever asks"),
				slog.String("hint", "let only those reach it who watch jmpub, or listen on 127.0.0.1"))
		}
	}
	if err = l.output.lock(); err != nil {
		return err
	}
	if cfg.Grouped() {
		l.join = l.joinKafka
	}
	_, err = l.newPipeline()
	return err
}

// newPipeline makes what publishes the app from now on.
func (l *Live) newPipeline() (*pipeline.Pipeline, error) {
	c := l.wiring.pipelineConfig(l.source, l.output)
	c.Members, c.Background = l.wiring.members(l.source), l.wiring.background(l.source, l.output)
	c.Evidence = l.output.evidence
	return pipeline.New(c)
}

// AcceptLostCheckpoints goes on although checkpoints are lost, or older than what was published, when this process has the app for the first
// time. It is called before Run.
func (l *Live) AcceptLostCheckpoints() { l.acceptLost = true }

// JoinWith has another membership than that of Kafka's consumer group say whether this process has the app. It is called before Run.
func (l *Live) JoinWith(join JoinGroup) { l.join = join }

// Close lets go of what is held.
func (l *Live) Close() {
	if l.listener != nil {
		_ = l.listener.Close() // Serve may have closed it.
	}
	l.wiring.Close()
}

// Status is what the status page shows of the app.
func (l *Live) Status() *status.Status { return l.status }

// Routing tells where events go.
func (l *Live) Routing() *sink.Routing { return l.output.topics.Routing() }

// StatusURL is where the status page is; empty where it is off.
func (l *Live) StatusURL() string {
	if l.listener == nil {
		return ""
	}
	return "http://" + l.listener.Addr().String()
}

// Run publishes until ctx is done and serves the status page meanwhile.
func (l *Live) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	serving, stop := context.WithCancel(ctx)
	if l.listener != nil {
		group.Go(func() error { return l.process.Serve(serving, l.listener) })
	}
	group.Go(func() error {
		watchRetention(serving, l.process, l.wiring.log)
		return nil
	})
	group.Go(func() error {
		defer stop()
		if l.join == nil {
			return l.publishAlone(ctx)
		}
		return l.publishShared(ctx)
	})
	return group.Wait()
}

// staleReadings is after how many readings of statistics that did not come they are missed.
const staleReadings = 3

const (
	// watchEvery is how often the retention clock is looked at, remindEvery how often the same warning is repeated.
	watchEvery  = time.Minute
	remindEvery = time.Hour
)

// watchRetention warns of unread time that soon leaves the API's history, until ctx is done.
func watchRetention(ctx context.Context, p *status.Process, log *slog.Logger) {
	last := time.Time{}
	for pipeline.Sleep(ctx, watchEvery) == nil {
		leaving := p.Leaving()
		if len(leaving) == 0 || time.Since(last) < remindEvery {
			continue
		}
		last = time.Now()
		for _, w := range leaving {
			log.WarnContext(ctx, "unread history is about to be lost", slog.String("what", w.Text),
				slog.String("hint", "raise JMPUB_API_RATE if the app's quota allows it, or see what holds the run up"))
		}
	}
}

// RunOptions are what is decided anew with each start.
type RunOptions struct {
	Version string
	// AcceptLostCheckpoints goes on although checkpoints are lost, or older than what was published.
	AcceptLostCheckpoints bool
	// Join, where set, takes the place of Kafka's consumer group, where that would be joined.
	Join JoinGroup
}

// Run publishes one app's streams until ctx is done, and says in the log what it does. It is no error to be stopped before
// anything was read.
func Run(ctx context.Context, cfg *settings.Config, log *slog.Logger, o RunOptions) error {
	live, err := NewLive(ctx, cfg, log, o.Version)
	switch {
	case err != nil && ctx.Err() != nil:
		log.InfoContext(ctx, "stopped before anything was read")
		return nil
	case err != nil:
		return err
	}
	defer live.Close()
	if o.AcceptLostCheckpoints {
		live.AcceptLostCheckpoints()
		log.WarnContext(ctx, "checkpoints that are lost are accepted", slog.String("hint", "leave --accept-lost-checkpoints out of the next start"))
	}
	attrs := []slog.Attr{
		slog.String("version", o.Version), slog.String("app_key", cfg.Source.AppKey),
		slog.Any("streams", cfg.Selected()), slog.String("delivery", cfg.Delivery()),
		slog.String("api", cfg.Source.BaseURL), slog.Any("brokers", cfg.Kafka.Brokers),
	}
	if url := live.StatusURL(); url != "" {
		attrs = append(attrs, slog.String("status", url))
	}
	live.began = func(ctx context.Context) { log.LogAttrs(ctx, slog.LevelInfo, "publishing", attrs...) }
	if o.Join != nil && cfg.Grouped() {
		live.JoinWith(o.Join)
	}
	if cfg.StreamsOverlap() {
		log.WarnContext(ctx, "several streams can bring the same message; each publishes it once. "+
			"Tell them apart by the header jmpub_stream, or drop what repeats by msgid")
	}
	if err := live.Run(ctx); err != nil {
		return err
	}
	log.InfoContext(ctx, "stopped")
	return nil
}
