package operate

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// Membership is that of a process in a group whose members share out apps.
type Membership interface {
	// Run is a member until ctx is done, and has take called with all shards that this process has, whenever they change, one call at a time.
	// When it returns, take has been called with none.
	Run(ctx context.Context) error
}

// JoinGroup makes a membership that calls take with the shards that this process has from now on. take returns once what this process does not
// have any more has come to its end.
type JoinGroup func(take func(shards []int)) Membership

// appShard is the shard of an app in a group that is its own.
const appShard = 0

// joinKafka is a [JoinGroup]: the app's own consumer group, of the same name as its transactional id.
func (l *Live) joinKafka(take func(shards []int)) Membership {
	g := kafka.NewGroup(l.wiring.cfg.Kafka, take)
	g.ID, g.Topic, g.Name = l.output.transactionalID, l.Routing().Own(pipeline.TopicCheckpoints), processName()
	g.Shards, g.Notify = []int{appShard}, l.wiring.observer.Retry
	return g
}

// publishAlone publishes the app until ctx is done, or another process has taken it.
func (l *Live) publishAlone(ctx context.Context) error {
	l.status.StandBy(false)
	return l.wiring.runError(l.publish(ctx))
}

// publish publishes the app until ctx is done, or something ends it.
func (l *Live) publish(ctx context.Context) error {
	p, err := l.newPipeline()
	if err != nil {
		return err
	}
	if l.acceptLost {
		l.acceptLost = false
		p.AcceptLost()
	}
	l.output.sink.Forget() // What this process was before it had the app is over.
	if l.began != nil {
		l.began(ctx)
	}
	return p.Run(ctx)
}

// publishShared publishes the app while this process has it, and stands by while another one has.
func (l *Live) publishShared(ctx context.Context) error {
	member, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	o := &owner{publish: l.publishOwned, fail: fail, standBy: func(is bool) {
		if member.Err() == nil { // Whoever leaves does not stand by.
			l.standBy(is)
		}
	}}
	err := l.join(o.take).Run(member)
	if cause := context.Cause(member); cause != nil && ctx.Err() == nil {
		return l.wiring.runError(cause)
	}
	if kafka.IsGroupDenied(err) {
		l.wiring.log.WarnContext(ctx, "this process publishes the app alone: no other one can stand by", slog.Any("error", err))
		return l.publishAlone(ctx)
	}
	return l.wiring.runError(err)
}

// replacedPause is how long a process that has the app by the group's word waits after another one has taken its place: until the group has
// another word for one of them.
const replacedPause = 10 * time.Second

// publishOwned publishes the app until ctx is done, when this process does not have it any more. Another writer is no reason to leave it.
func (l *Live) publishOwned(ctx context.Context) error {
	for ctx.Err() == nil {
		err := l.publish(ctx)
		if pipeline.ClassOf(err) != pipeline.Fenced || ctx.Err() != nil {
			return err
		}
		l.wiring.log.WarnContext(ctx, "another process has taken the app; this one takes it back if the group goes on saying that it has it",
			slog.Any("error", err), slog.Duration("wait", replacedPause))
		_ = pipeline.Sleep(ctx, replacedPause)
	}
	return nil
}

// owner begins to publish when this process has the app, and stops when it does not have it any more.
type owner struct {
	publish func(context.Context) error
	// fail ends the process's run.
	fail context.CancelCauseFunc
	// standBy says whether another process publishes the app from now on.
	standBy func(bool)

	// stop ends what publishes, done is closed when it has come to its end; nil where nothing does.
	stop context.CancelFunc
	done chan struct{}
	// told is set once the group has said something.
	told bool
}

func (l *Live) standBy(is bool) {
	l.status.StandBy(is)
	if is {
		l.wiring.log.Info("standing by: another process publishes the app",
			slog.String("app_key", l.wiring.cfg.Source.AppKey), slog.String("group", l.output.transactionalID))
	}
}

// take is what [JoinGroup] wants.
func (o *owner) take(shards []int) {
	has := slices.Contains(shards, appShard)
	if !has && o.stop != nil {
		o.stop()
		<-o.done
	}
	if first := !o.told; first || has != (o.stop != nil) {
		o.told = true
		o.standBy(!has)
	}
	switch {
	case !has:
		o.stop = nil
	case o.stop == nil:
		o.begin()
	}
}

// begin publishes in the background. What it works with is not that of the group's call, which returns at once.
func (o *owner) begin() {
	ctx, stop := context.WithCancel(context.Background())
	o.stop, o.done = stop, make(chan struct{})
	go func() {
		defer close(o.done)
		if err := o.publish(ctx); err != nil || ctx.Err() == nil {
			o.fail(err)
		}
	}()
}
