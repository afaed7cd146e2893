package pipeline

import (
	"time"

	"github.com/jmpub/jmpub/pipeline/event"
)

// Observer is told what happens, so that logs, metrics and screens can show it. Every field may be nil. The functions are
// called from several goroutines, must return quickly and must not call back.
type Observer struct {
	// Request is told of each HTTP request to the API: its class ("ok", "rate_limited", "server_error", "network",
	// "unauthorized", "refused", "malformed") and how long the reply took.
	Request func(s Stream, class string, took time.Duration)
	// Retry is told of each failed try of a call that will be repeated after wait.
	Retry func(op string, err error, wait time.Duration)
	// Restart is told when a window is read anew.
	Restart func(s Stream, w Window, err error)
	// Planned is told of each window that is about to be asked for, with the server's clock.
	Planned func(s Stream, p Plan)
	// Begun is told, at the beginning of each session, from where a stream is read.
	Begun func(s Stream, cp *Checkpoint)
	// Head is told up to where a stream is read, also when nothing was there to commit.
	Head func(s Stream, end time.Time)
	// Committed is told of each window whose transaction committed, with its events by target.
	Committed func(c *Closed, events [event.TargetCount]int)
	// Rejected is told of each rejected row that was committed.
	Rejected func(s Stream, r event.Rejection)
	// Notice is told of each notice once it is committed.
	Notice func(n Notice)
	// Session is told when the position is read anew from the checkpoints, with the error that made it necessary;
	// nil at the first start.
	Session func(err error)
	// Dropped is told when a stream is given up.
	Dropped func(s Stream, err error)
	// Discovered is told how many streams the lists have, and about how long it takes until each had its turn.
	Discovered func(streams int, sweep time.Duration)
	// Cut is told of each window that a stop left uncommitted; it is read again at the next start.
	Cut func(s Stream, w Window)
}

// Complete returns an observer in which every field can be called.
func (o *Observer) Complete() *Observer {
	c := Observer{}
	if o != nil {
		c = *o
	}
	if c.Request == nil {
		c.Request = func(Stream, string, time.Duration) {}
	}
	if c.Retry == nil {
		c.Retry = func(string, error, time.Duration) {}
	}
	if c.Restart == nil {
		c.Restart = func(Stream, Window, error) {}
	}
	if c.Planned == nil {
		c.Planned = func(Stream, Plan) {}
	}
	if c.Begun == nil {
		c.Begun = func(Stream, *Checkpoint) {}
	}
	if c.Head == nil {
		c.Head = func(Stream, time.Time) {}
	}
	if c.Committed == nil {
		c.Committed = func(*Closed, [event.TargetCount]int) {}
	}
	if c.Rejected == nil {
		c.Rejected = func(Stream, event.Rejection) {}
	}
	if c.Notice == nil {
		c.Notice = func(Notice) {}
	}
	if c.Session == nil {
		c.Session = func(error) {}
	}
	if c.Dropped == nil {
		c.Dropped = func(Stream, error) {}
	}
	if c.Discovered == nil {
		c.Discovered = func(int, time.Duration) {}
	}
	if c.Cut == nil {
		c.Cut = func(Stream, Window) {}
	}
	return &c
}

// Observers is an observer that tells all of these, in their order.
func Observers(all ...*Observer) *Observer { //nolint:gocognit // One loop for each field, and nothing else.
	each := make([]*Observer, len(all))
	for i, o := range all {
		each[i] = o.Complete()
	}
	return &Observer{
		Request: func(s Stream, class string, took time.Duration) {
			for _, o := range each {
				o.Request(s, class, took)
			}
		},
		Retry: func(op string, err error, wait time.Duration) {
			for _, o := range each {
				o.Retry(op, err, wait)
			}
		},
		Restart: func(s Stream, w Window, err error) {
			for _, o := range each {
				o.Restart(s, w, err)
			}
		},
		Planned: func(s Stream, p Plan) {
			for _, o := range each {
				o.Planned(s, p)
			}
		},
		Begun: func(s Stream, cp *Checkpoint) {
			for _, o := range each {
				o.Begun(s, cp)
			}
		},
		Head: func(s Stream, end time.Time) {
			for _, o := range each {
				o.Head(s, end)
			}
		},
		Committed: func(c *Closed, events [event.TargetCount]int) {
			for _, o := range each {
				o.Committed(c, events)
			}
		},
		Rejected: func(s Stream, r event.Rejection) {
			for _, o := range each {
				o.Rejected(s, r)
			}
		},
		Notice: func(n Notice) {
			for _, o := range each {
				o.Notice(n)
			}
		},
		Session: func(err error) {
			for _, o := range each {
				o.Session(err)
			}
		},
		Dropped: func(s Stream, err error) {
			for _, o := range each {
				o.Dropped(s, err)
			}
		},
		Discovered: func(streams int, sweep time.Duration) {
			for _, o := range each {
				o.Discovered(streams, sweep)
			}
		},
		Cut: func(s Stream, w Window) {
			for _, o := range each {
				o.Cut(s, w)
			}
		},
	}
}
