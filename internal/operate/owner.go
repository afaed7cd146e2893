package operate

import (
	"context"
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

// owner begins to publish an app when this process has it, and stops when it does not have it any more. It is used by one goroutine at a time.
type owner struct {
	publish func(context.Context) error
	// fail is told how publishing ended that nobody has stopped.
	fail func(error)
	// standBy says whether another process publishes the app from now on.
	standBy func(bool)

	// stop ends what publishes, done is closed when it has come to its end; nil where nothing does.
	stop context.CancelFunc
	done chan struct{}
	// told is set once the group has said something.
	told bool
}

// take begins, or goes on, or has the app with another process.
func (o *owner) take(has bool) {
	if !has {
		o.letGo()
	}
	if first := !o.told; first || has != (o.stop != nil) {
		o.told = true
		o.standBy(!has)
	}
	if has && o.stop == nil {
		o.begin()
	}
}

// letGo stops, and returns when nothing is published any more.
func (o *owner) letGo() {
	if o.stop == nil {
		return
	}
	o.stop()
	<-o.done
	o.standBy(true)
	o.stop = nil
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
