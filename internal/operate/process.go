package operate

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/jmpub/jmpub/internal/certs"
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/trace"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/web"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/sink"
)

// Process is one `jmpub run`: it publishes an app, or those of a file, while the group says that it has them, and shows their status.
type Process struct {
	opts   RunOptions
	cfg    *settings.Config
	log    *slog.Logger
	status *status.Process
	// tracer makes spans; nil where nobody asks for them.
	tracer *trace.Tracer
	// only is the app of a process that has no file of them; nil of one that has.
	only *app
	// wiring has what the apps of a file share, in shared; nil without a file.
	wiring *wiring
	shared *shared
	// join makes the membership that says which apps this process has; nil where it has all of them.
	join JoinGroup
	// shards is among how many the apps are shared out.
	shards int
	// listener serves the status page; nil where it is off.
	listener net.Listener
	// tls is what it is served with; nil where it is not encrypted.
	tls *tls.Config
	// alone is set where nobody says which apps this process has: it has all of them, but for those that another one takes.
	alone atomic.Bool
	// seats are the apps' places, in the order of the file.
	seats *seats
	// presence is what others see of the process.
	presence *presence
	// member is done when the process leaves its group, which fail has it do with a cause. Both are set before anything is published.
	member context.Context //nolint:containedctx // It is that of Run, for what outlives the calls of the group.
	fail   context.CancelCauseFunc
}

// RunOptions are what is decided anew with each start.
type RunOptions struct {
	Version string
	// AcceptLostCheckpoints goes on although checkpoints are lost, or older than what was published.
	AcceptLostCheckpoints bool
	// Join, where set, takes the place of Kafka's consumer group, where that would be joined.
	Join JoinGroup
	// StateEvery is how often the process tells its state where nothing changes; zero is every ten seconds.
	StateEvery time.Duration
	// Apps, where set, are published in the place of one app. The configuration is then what they have in common.
	Apps *Apps
	// Observers learn what happens to a single app.
	Observers []pipeline.Observer
}

// NewProcess wires a process. Nothing has been published when it returns; with an error, nothing is left open.
func NewProcess(ctx context.Context, cfg *settings.Config, log *slog.Logger, o RunOptions) (*Process, error) {
	p := &Process{opts: o, cfg: cfg, log: log, shards: 1, seats: newSeats()}
	p.status = status.NewProcess(status.ProcessOptions{
		Version: o.Version, Many: o.Apps != nil, KafkaSilentSince: p.kafkaSilentSince,
	})
	if to := cfg.Tracing; to.URL != "" {
		var err error
		p.tracer, err = trace.New(ctx, trace.Config{
			URL: to.URL, Headers: to.Headers, Timeout: to.Timeout, Version: o.Version, Trouble: p.traceTrouble(),
		})
		if err != nil {
			return nil, usage.Wrap(err)
		}
	}
	wire := p.wireApp
	if o.Apps != nil {
		wire = p.wireApps
	}
	err := wire(ctx)
	if err == nil {
		p.presence, err = p.newPresence() //nolint:contextcheck // It outlives the call.
	}
	if err != nil {
		p.Close() //nolint:contextcheck // What is left has a time of its own.
		return nil, startError(err)
	}
	if o.Join != nil && cfg.Grouped() {
		p.join = o.Join
	}
	return p, nil
}

// wireApp opens everything of a single app, in the order in which wrong settings are best reported.
func (p *Process) wireApp(ctx context.Context) error {
	a := newApp(p.cfg, p.log, p.status.Add(statusOptions(p.cfg)), new(pulse), nil, append(slices.Clone(p.opts.Observers), p.tracer.Observer(p.cfg.Source.AppKey))...)
	p.only = a
	if err := a.open(ctx); err != nil {
		return err
	}
	if err := p.listen(ctx); err != nil {
		return err
	}
	if err := a.output.lock(); err != nil {
		return err
	}
	p.seats.set([]*seat{p.newOwner(&seat{cfg: p.cfg, status: a.status, pulse: a.pulse}, a.publishOwned, p.standBy)})
	if p.cfg.Grouped() {
		p.join = func(take func([]int)) Membership {
			return p.membership(a.output.transactionalID, a.output.topics.Routing().Own(pipeline.TopicCheckpoints), take)
		}
	}
	a.acceptLost = p.opts.AcceptLostCheckpoints
	_, err := a.newPipeline()
	return err
}

// statusOptions describe an app for those who look.
func statusOptions(cfg *settings.Config) status.Options {
	return status.Options{
		AppKey: cfg.Source.AppKey, TopicPrefix: cfg.Topics.Prefix, Delivery: cfg.Delivery(), Streams: cfg.Named(), Discover: cfg.Discover,
		Zone: cfg.Source.TimeZone, Warn: cfg.RetentionWarn, StatisticsStale: staleReadings * cfg.StatisticsEvery,
	}
}

// listen opens the place where the status is served.
func (p *Process) listen(ctx context.Context) error {
	if p.cfg.Listen == "off" {
		return nil
	}
	var lc net.ListenConfig
	var err error
	if p.listener, err = lc.Listen(ctx, "tcp", p.cfg.Listen); err != nil {
		return usage.Errorf("JMPUB_LISTEN: %w; choose another address, or off", err)
	}
	if p.cfg.ListenCert != "" {
		files := certs.Files{Cert: p.cfg.ListenCert, Key: p.cfg.ListenKey}
		if p.tls, err = certs.Server("JMPUB_LISTEN_TLS", files, p.certificateRead); err != nil {
			return usage.Wrap(err)
		}
	}
	if !web.IsLocal(p.listener.Addr()) {
		p.log.WarnContext(ctx, "others can reach the status page", slog.String("setting", "JMPUB_LISTEN"),
			slog.String("detail", "/metrics on "+p.listener.Addr().String()+" tells the app keys and the streams to whoever asks"),
			slog.String("hint", "let only those reach it who watch jmpub, or listen on 127.0.0.1"))
	}
	return nil
}

// certificateRead says in the log that the certificate of the status page has changed, or why the new one is not used.
func (p *Process) certificateRead(err error) {
	if err != nil {
		p.log.Error("the certificate has changed and cannot be used; the one before it is used still", slog.Any("error", err))
		return
	}
	p.log.Info("the certificate was read again", slog.String("file", p.cfg.ListenCert))
}

// page is what is served, and what may be changed there.
func (p *Process) page(work *jobs) web.Options {
	o := web.Options{
		Status: p.status, Hosts: p.cfg.ListenHosts, Process: processName(), Fleet: p.fleet, Reader: &reader{p}, TLS: p.tls, Log: p.log,
	}
	for _, admin := range p.cfg.Admins {
		o.Tokens = append(o.Tokens, web.Token{Name: admin.Name, Secret: admin.Token})
	}
	if len(o.Tokens) > 0 {
		o.Operator, o.Replays, o.Audits = &administrator{p}, &replayJobs{work}, &auditJobs{work}
	}
	return o
}

// membership is one in a consumer group of Kafka whose members share out the partitions of a topic.
func (p *Process) membership(group, topic string, take func(shards []int)) Membership {
	g := kafka.NewGroup(p.cfg.Kafka, take)
	g.ID, g.Topic, g.Name, g.Joined = group, topic, processName(), p.status.Joined
	for shard := range p.shards {
		g.Shards = append(g.Shards, shard)
	}
	if p.only != nil {
		g.Notify = p.only.wiring.observer.Retry
		return g
	}
	g.Notify, g.About = p.wiring.observer.Retry, p.seats.about
	g.Differ = func(names []string) {
		p.log.Warn("other processes of the group have other apps in their files; an app that its process does not have is published by nobody",
			slog.Any("processes", names), slog.String("file", p.opts.Apps.Path), slog.String("hint", "give all of them the same file"))
	}
	return g
}

// traceTrouble says in the log, now and then, that spans could not be sent.
func (p *Process) traceTrouble() func(error) {
	trouble := &throttle{every: remindEvery, last: make(map[string]throttled)}
	return func(err error) {
		if ok, suppressed := trouble.allow("trace"); ok {
			p.log.Warn("traces cannot be sent; all else goes on", slog.Any("error", p.cfg.Redactor.Error(err)), slog.Int("not_logged", suppressed),
				slog.String("hint", "check OTEL_EXPORTER_OTLP_ENDPOINT, and that the collector listens there for OTLP over HTTP"))
		}
	}
}

// Close lets go of what is held.
func (p *Process) Close() {
	_ = p.tracer.Close(context.Background()) // What could not be sent is lost, and nobody's loss.
	if p.listener != nil {
		_ = p.listener.Close() // Serve may have closed it.
	}
	if p.only != nil {
		p.only.Close()
	}
	if p.wiring != nil {
		p.wiring.Close()
	}
}

// Status is what is shown of a single app.
func (p *Process) Status() *status.Status { return p.only.status }

// Routing tells where a single app's events go.
func (p *Process) Routing() *sink.Routing { return p.only.output.topics.Routing() }

// StatusURL is where the status page is; empty where it is off.
func (p *Process) StatusURL() string {
	if p.listener == nil {
		return ""
	}
	scheme := "http://"
	if p.tls != nil {
		scheme = "https://"
	}
	return scheme + p.listener.Addr().String()
}

// Run publishes until ctx is done and serves the status page meanwhile.
func (p *Process) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	beside, stop := context.WithCancel(ctx)
	p.member, p.fail = context.WithCancelCause(ctx)
	present, leave := context.WithCancel(context.WithoutCancel(ctx)) // It takes its state back when all else has come to its end.
	group.Go(func() error {
		p.presence.Run(present)
		return nil
	})
	if p.listener != nil {
		work := &jobs{process: p, ctx: beside}
		page := web.New(p.page(work))
		group.Go(func() error {
			<-beside.Done()
			work.wait()
			return nil
		})
		group.Go(func() error { return page.Serve(beside, p.listener) })
	}
	group.Go(func() error {
		watchRetention(beside, p.status, p.log)
		return nil
	})
	if p.isSupervised(ctx) {
		group.Go(func() error {
			p.tellSupervisor(beside, tellSupervisorEvery)
			return nil
		})
	}
	if p.opts.Apps != nil {
		group.Go(func() error {
			p.watchApps(beside)
			return nil
		})
	}
	group.Go(func() error {
		defer leave()
		defer stop()
		if p.join == nil {
			return p.publishAlone(ctx)
		}
		return p.publishShared(ctx)
	})
	return group.Wait()
}

// publishAlone publishes all apps until ctx is done; a single one until another process has taken it.
func (p *Process) publishAlone(ctx context.Context) error {
	if p.only != nil {
		p.presence.has(1)
		return p.only.publishAlone(ctx)
	}
	p.alone.Store(true)
	p.take(p.all()) //nolint:contextcheck // Apps end when they are let go.
	<-ctx.Done()
	p.take(nil) //nolint:contextcheck // As above.
	return nil
}

// all are all shards.
func (p *Process) all() []int {
	var shards []int
	for shard := range p.shards {
		shards = append(shards, shard)
	}
	return shards
}

// publishShared publishes the apps that this process has, and stands by for those of others.
func (p *Process) publishShared(ctx context.Context) error {
	defer p.fail(nil)
	err := p.join(p.take).Run(p.member)                                     //nolint:contextcheck // It is made of ctx.
	if cause := context.Cause(p.member); cause != nil && ctx.Err() == nil { //nolint:contextcheck // As above.
		return p.runError(cause)
	}
	if kafka.IsGroupDenied(err) {
		p.log.WarnContext(ctx, "this process publishes alone: no other one can stand by", slog.Any("error", err))
		return p.publishAlone(ctx)
	}
	return p.runError(err)
}

// runError makes a mistake of the settings out of what ended a run that has published nothing.
func (p *Process) runError(err error) error {
	if p.only != nil {
		return p.only.wiring.runError(err)
	}
	return err
}

// newOwner gives a seat its owner. Whoever leaves does not stand by.
func (p *Process) newOwner(s *seat, publish func(context.Context) error, standBy func(bool)) *seat {
	s.owner = &owner{
		publish: publish,
		fail:    func(err error) { p.fail(err) },
		standBy: func(is bool) {
			if p.member.Err() == nil {
				standBy(is)
			}
		},
	}
	return s
}

// standBy shows whether another process publishes the single app.
func (p *Process) standBy(is bool) {
	p.only.status.StandBy(is)
	if is {
		p.log.Info("standing by: another process publishes the app",
			slog.String("app_key", p.cfg.Source.AppKey), slog.String("group", p.only.output.transactionalID))
	}
}

// Run publishes one app's streams, or those of all apps of a file, until ctx is done, and says in the log what it does. It is no error to
// be stopped before anything was read.
func Run(ctx context.Context, cfg *settings.Config, log *slog.Logger, o RunOptions) error {
	p, err := NewProcess(ctx, cfg, log, o)
	switch {
	case err != nil && ctx.Err() != nil:
		log.InfoContext(ctx, "stopped before anything was read")
		return nil
	case err != nil:
		return err
	}
	defer p.Close() //nolint:contextcheck // What is left has a time of its own.
	if o.AcceptLostCheckpoints {
		log.WarnContext(ctx, "checkpoints that are lost are accepted", slog.String("hint", "leave --accept-lost-checkpoints out of the next start"))
	}
	p.introduce(ctx)
	if err := p.Run(ctx); err != nil {
		return err
	}
	log.InfoContext(ctx, "stopped")
	return nil
}

// introduce says in the log what is published: of a single app when it begins.
func (p *Process) introduce(ctx context.Context) {
	cfg := p.cfg
	attrs := []slog.Attr{slog.String("version", p.opts.Version)}
	if p.only != nil {
		attrs = append(attrs, slog.String("app_key", cfg.Source.AppKey), slog.Any("streams", cfg.Selected()))
	} else {
		attrs = append(attrs, slog.String("file", p.opts.Apps.Path), slog.Int("apps", len(p.seats.list)))
	}
	attrs = append(attrs, slog.String("delivery", cfg.Delivery()), slog.String("api", cfg.Source.BaseURL), slog.Any("brokers", cfg.Kafka.Brokers))
	if url := p.StatusURL(); url != "" {
		attrs = append(attrs, slog.String("status", url))
	}
	begin := func(ctx context.Context) { p.log.LogAttrs(ctx, slog.LevelInfo, "publishing", attrs...) }
	if p.only == nil {
		begin(ctx)
		return
	}
	p.only.began = begin
	if cfg.StreamsOverlap() {
		p.log.WarnContext(ctx, streamsOverlap)
	}
}

const streamsOverlap = "several streams can bring the same message; each publishes it once. " +
	"Tell them apart by the header jmpub_stream, or drop what repeats by msgid"

// staleReadings is after how many readings of statistics that did not come they are missed.
const staleReadings = 3

const (
	// watchEvery is how often the retention clock is looked at, remindEvery how often the same warning is repeated.
	watchEvery  = time.Minute
	remindEvery = time.Hour
)

// watchRetention warns of unread time that soon leaves the API's history, until ctx is done.
func watchRetention(ctx context.Context, s *status.Process, log *slog.Logger) {
	last := time.Time{}
	for pipeline.Sleep(ctx, watchEvery) == nil {
		leaving := s.Leaving()
		if len(leaving) == 0 || time.Since(last) < remindEvery {
			continue
		}
		last = time.Now()
		for _, one := range leaving {
			log.WarnContext(ctx, "unread history is about to be lost", slog.String("app_key", one.AppKey), slog.String("what", one.Text),
				slog.String("hint", "raise JMPUB_API_RATE if the app's quota allows it, or see what holds the run up"))
		}
	}
}
