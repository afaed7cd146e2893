package operate

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"time"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/pipeline"
)

// Apps are those of a file, which may change while the process runs.
type Apps struct {
	// Path is where the file is, for people.
	Path string
	// Load reads the file. An app of which nothing has changed has the same configuration, the same pointer. It is called by one goroutine
	// at a time.
	Load func() ([]*settings.Config, error)
	// Log is where what happens to an app is logged.
	Log func(app *settings.Config) *slog.Logger
	// Changed has the file read at once; it is looked at now and then anyway. May be nil.
	Changed <-chan struct{}
}

const (
	// lookEvery is how often the file is looked at.
	lookEvery = 10 * time.Second
	// shortestPause and longestPause bound the wait before an app is tried again that could not be published.
	shortestPause = 5 * time.Second
	longestPause  = 5 * time.Minute
)

// wireApps connects to Kafka, with what the apps of a file share, and looks with the first of them whether all that they have in common is right.
func (p *Process) wireApps(ctx context.Context) error {
	apps, err := p.opts.Apps.Load()
	if err != nil {
		return err
	}
	p.wiring = newWiring(p.cfg, p.log)
	conn, err := p.wiring.connect(ctx)
	if err != nil {
		return err
	}
	p.shared = newShared(conn, func() int { return len(p.seats.all()) })
	p.wiring.close = append(p.wiring.close, p.shared.transport.CloseIdleConnections)
	first := *apps[0]
	first.Topics.Prefix = p.cfg.Topics.Prefix // The apps are shared out by the partitions of a topic of these.
	w := newWiring(&first, p.log)
	defer w.Close()
	w.shared = p.shared
	out, err := w.openOutput(ctx)
	if err != nil {
		return err
	}
	if err = greetRegistry(ctx, out.sink); err != nil {
		return err
	}
	if err = w.checkRights(ctx, out); err != nil {
		return err
	}
	if err = p.listen(ctx); err != nil {
		return err
	}
	if p.cfg.Grouped() {
		p.shards = out.topics.Partitions(pipeline.TopicCheckpoints)
		p.join = func(take func([]int)) Membership {
			return p.membership(appsGroup(p.cfg), out.topics.Routing().Own(pipeline.TopicCheckpoints), p.told(take))
		}
	}
	list := make([]*seat, len(apps))
	for i, cfg := range apps {
		list[i] = p.newSeat(cfg)
	}
	p.seats.set(list)
	return nil
}

// appsGroup is the consumer group of the processes that share the apps of a file. It cannot be that of an app's own, which has the app's key too.
func appsGroup(cfg *settings.Config) string { return cfg.Group + "/" + cfg.Topics.Prefix }

// told says in the log which apps this process has from now on.
func (p *Process) told(take func([]int)) func([]int) {
	return func(shards []int) {
		began := time.Now()
		take(shards)
		if p.member.Err() == nil {
			p.log.Info("apps are shared out anew", slog.Int("ours", p.seats.count(shards)), slog.Int("shards", len(shards)), duration("took", time.Since(began)))
		}
	}
}

// newSeat makes the place of an app of the file.
func (p *Process) newSeat(cfg *settings.Config) *seat {
	s := &seat{cfg: cfg, pulse: new(pulse), shard: checkpoint.ShardOf(cfg.Source.AppKey, p.shards), status: p.status.Add(statusOptions(cfg))}
	log := p.opts.Apps.Log(cfg)
	acceptLost := p.opts.AcceptLostCheckpoints
	for _, w := range cfg.Warnings {
		log.Warn("a setting is unsafe", slog.String("setting", w.Setting), slog.String("detail", w.Detail), slog.String("hint", w.Hint))
	}
	return p.newOwner(s, func(ctx context.Context) error {
		a := newApp(cfg, log, s.status, s.pulse, p.shared, p.tracer.Observer(cfg.Source.AppKey))
		a.acceptLost, acceptLost = acceptLost, false
		a.began = func(ctx context.Context) {
			log.InfoContext(ctx, "publishing", slog.Any("streams", cfg.Selected()), slog.String("delivery", cfg.Delivery()))
			if cfg.StreamsOverlap() {
				log.WarnContext(ctx, streamsOverlap)
			}
		}
		p.keepPublishing(ctx, a)
		return nil
	}, s.status.StandBy)
}

// errNothingLeft is why an app is begun again of which nothing is left to publish.
var errNothingLeft = errors.New("none of its streams is left")

// keepPublishing publishes an app until ctx is done. What ends it is no end of the others: it is told, and the app is tried again.
func (p *Process) keepPublishing(ctx context.Context, a *app) {
	for pause := shortestPause; ctx.Err() == nil; pause = min(2*pause, longestPause) {
		a.pulse.waits(0)
		began := time.Now()
		err := p.publishOnce(ctx, a)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errNothingLeft
		}
		if time.Since(began) > longestPause {
			pause = shortestPause
		}
		taken := p.alone.Load() && pipeline.ClassOf(err) == pipeline.Fenced
		if taken {
			a.status.StandBy(true) // It does not have the app any more.
		}
		a.status.Fail(err)
		if taken {
			a.wiring.log.ErrorContext(ctx, "another process has taken the app, and keeps it", slog.Any("error", err))
			a.pulse.waits(math.MaxInt64 / 2)
			<-ctx.Done()
			return
		}
		a.wiring.log.ErrorContext(ctx, "the app is not published; it is tried again", slog.Any("error", err), duration("wait", pause))
		a.pulse.waits(pause)
		_ = pipeline.Sleep(ctx, pause)
	}
}

// publishOnce opens an app and publishes it until something ends it.
func (p *Process) publishOnce(ctx context.Context, a *app) error {
	defer a.Close()
	if err := a.open(ctx); err != nil {
		return err
	}
	if err := a.output.lock(); err != nil {
		return err
	}
	if p.alone.Load() {
		return a.publish(ctx)
	}
	return a.publishOwned(ctx)
}

// watchApps reads the file again when it changes, until ctx is done.
func (p *Process) watchApps(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	said := ""
	for {
		asked := false
		select {
		case <-p.opts.Apps.Changed:
			asked = true
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		apps, err := p.opts.Apps.Load()
		switch {
		case err != nil:
			if asked || err.Error() != said {
				p.log.ErrorContext(ctx, "the file of apps cannot be used; the apps stay as they are", slog.Any("error", err))
			}
			said = err.Error()
			continue
		default:
			said = ""
		}
		if changed := p.change(apps); changed || asked { //nolint:contextcheck // Apps end when they are let go.
			p.log.InfoContext(ctx, "the file of apps was read", slog.String("file", p.opts.Apps.Path), slog.Int("apps", len(apps)),
				slog.Bool("changed", changed))
		}
	}
}

// change has these apps published from now on, and tells whether anything has changed.
func (p *Process) change(apps []*settings.Config) bool {
	begun, gone := p.seats.change(apps, p.newSeat)
	for _, one := range gone {
		p.status.Remove(one.status)
	}
	changed := begun > 0 || len(gone) > 0
	if changed {
		p.presence.Changed()
	}
	return changed
}
