package operate

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jmpub/jmpub/internal/fleet"
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/sink"
)

// processesTopic is the topic in which processes tell their state; nothing is asked for yet. Making it is tried again as the policy says.
func processesTopic(cfg *settings.Config, conn *kafka.Conn, retry pipeline.Retry) (*fleet.Topic, error) {
	names := cfg.Topics
	names.Client, names.Retry, names.Template = conn.Client, retry, "" // Where events go is of no matter here, and may be told of an app alone.
	topics, err := sink.NewTopics(names)
	if err != nil {
		return nil, usage.Wrap(err)
	}
	t := &fleet.Topic{Client: conn.Client, Name: topics.Routing().Own(pipeline.TopicProcesses), Make: topics.EnsureProcesses}
	t.Look = func(ctx context.Context) error { return kafka.CheckDescribe(ctx, cfg.Kafka, []string{t.Name}) }
	return t, nil
}

// Fleet is what the processes that share the settings' group and topic prefix say of themselves and of their apps. The apps are those of a file;
// nil is the one that the settings name. Nothing is written.
func Fleet(ctx context.Context, cfg *settings.Config, apps *settings.AppsFile, log *slog.Logger) (*fleet.Fleet, error) {
	w := newReading(cfg, log)
	defer w.Close()
	conn, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	topic, err := processesTopic(cfg, conn, w.retry)
	if err != nil {
		return nil, err
	}
	named := []status.AppName{{AppKey: cfg.Source.AppKey, TopicPrefix: cfg.Topics.Prefix}}
	if apps != nil {
		named = named[:0]
		for _, name := range apps.Names() {
			named = append(named, status.AppName(name))
		}
	}
	told, err := topic.Read(ctx, w.retry, cfg.Group)
	if err != nil {
		return nil, startError(err)
	}
	return told.Merge(named, time.Now()), nil
}

// presence is what others see of a process.
type presence struct {
	*fleet.Publisher

	topic *fleet.Topic
	// shards is how many it has.
	shards atomic.Int64
}

// newPresence has a process tell its state once [fleet.Publisher.Run] is called. Nothing that is published waits for that, or ends with it.
func (p *Process) newPresence() (*presence, error) {
	w := p.wiring
	if p.only != nil {
		w = p.only.wiring
	}
	topic, err := processesTopic(p.cfg, p.conn(), quickRetry())
	if err != nil {
		return nil, err
	}
	made := &presence{topic: topic}
	said := fleet.Process{
		Group: p.cfg.Group, Name: processName(), Instance: rand.Text()[:instanceLength], Release: cmp.Or(p.opts.Version, "unknown"),
		Started: time.Now(), ShardsTotal: p.shards,
	}
	trouble := &throttle{every: remindEvery, last: make(map[string]throttled)}
	made.Publisher = fleet.NewPublisher(func() *fleet.Process {
		now := said
		now.At, now.Shards, now.Apps = time.Now(), int(made.shards.Load()), p.status.Owned()
		if p.opts.Apps != nil {
			now.AppsFile = p.seats.about()
		}
		return &now
	}, topic.Write, func(err error) {
		what := ""
		if fault, ok := errors.AsType[*pipeline.Fault](err); ok {
			what = fault.Op
		}
		if ok, suppressed := trouble.allow(what); ok {
			w.warn("the state of this process cannot be told: `jmpub apps` does not show it, and all else goes on", slog.Any("error", err),
				slog.Int("not_logged", suppressed))
		}
	})
	made.Every = p.opts.StateEvery
	return made, nil
}

// conn is the process's connection to Kafka.
func (p *Process) conn() *kafka.Conn {
	if p.only != nil {
		return p.only.output.conn
	}
	return p.shared.conn
}

// kafkaSilentSince is since when Kafka has not answered the process.
func (p *Process) kafkaSilentSince() time.Time { return p.conn().SilentSince() }

// instanceLength is how many letters tell processes of the same name apart.
const instanceLength = 8

// quickRetry is the policy of what is tried again soon anyway. Nobody is told.
func quickRetry() pipeline.Retry {
	return pipeline.Retry{Initial: 50 * time.Millisecond, Max: time.Second}
}

// has takes in how many shards the process has from now on.
func (p *presence) has(shards int) {
	p.shards.Store(int64(shards))
	p.Changed()
}

// take has the apps of the shards published, and no others.
func (p *Process) take(shards []int) {
	p.seats.take(shards)
	p.status.HasShards(len(shards))
	p.presence.has(len(shards))
}

// fleet is what the processes of this one's group say; what this one knows where that cannot be read.
func (p *Process) fleet(ctx context.Context) (*fleet.Fleet, error) {
	now := time.Now()
	if err := p.status.KafkaSilent(); err != nil {
		return fleet.Own(p.presence.State(), now, err), nil
	}
	told, err := p.presence.topic.Read(ctx, quickRetry(), p.cfg.Group)
	if err != nil {
		return fleet.Own(p.presence.State(), now, err), nil
	}
	return told.Merge(p.status.Names(), now), nil
}
