// Package discovery finds the streams of `users/*`, `groups/*` and `chatrooms/*` by the app's lists and has each of them read for as
// long as the lists have it. It is a [pipeline.Member].
package discovery

import (
	"context"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// Listing is what a list of the app has.
type Listing struct {
	// Streams are those of the entries, each once, in the order of the list.
	Streams []pipeline.Stream
	// Whole tells that the list did not move while it was read, so that what is not in it is not there.
	Whole bool
}

// Directory lists the users, groups or chatrooms of an app.
type Directory interface {
	// List reads the list of a kind. All errors are *[pipeline.Fault] or the context's; transient faults are retried inside. A
	// fault of class [pipeline.Drop] means that the app has no right to it, one of class [pipeline.Restart] that what came cannot be
	// understood.
	List(ctx context.Context, kind pipeline.StreamKind) (Listing, error)
}

// Config is what discovery is made of. AppKey, Kinds, Directory and Clock are required; the rest works when zero.
type Config struct {
	AppKey    string
	Kinds     []pipeline.StreamKind
	Directory Directory
	Clock     Clock
	// Named are streams that are read because they were named: discovery leaves them alone.
	Named []pipeline.Stream
	// Most is how many streams are read at most, because each takes memory, about 5 KiB while nothing happens in it; default 5000. Those that
	// were read before are read on in any case.
	Most int
	// Every is how often the lists are read; default 10 min.
	Every time.Duration
	// Observer learns of a list or a stream that is dropped, and of how many streams there are; may be nil.
	Observer pipeline.Observer
}

// Clock tells the time by which a stream was noticed to be gone.
type Clock interface {
	// Now is the server's clock; see [pipeline.Source].
	Now(ctx context.Context, s pipeline.Stream) (time.Time, error)
}

const (
	defaultEvery = 10 * time.Minute
	defaultMost  = 5000
	// missedLists is how many whole lists in a row have to be without a stream before it is taken for deleted.
	missedLists = 2
)

// Discovery keeps to the lists of an app.
type Discovery struct{ cfg Config }

var _ pipeline.Member = (*Discovery)(nil)

// New makes a member that keeps to the lists.
func New(cfg Config) *Discovery {
	if cfg.Every <= 0 {
		cfg.Every = defaultEvery
	}
	return &Discovery{cfg}
}
