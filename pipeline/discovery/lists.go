package discovery

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// lists compare what the app's lists have with what is read. They are used by one goroutine, but for gone.
type lists struct {
	cfg *Config
	// kinds are those whose lists the app has a right to.
	kinds []pipeline.StreamKind
	last  time.Time
	// known has every stream that was added and not removed, and how many whole lists in a row were without it.
	known map[pipeline.Stream]int
	// leftOut is how many streams were left out when that was told last.
	leftOut int
	// refused are streams that the API knows no longer although they are listed still.
	refused map[pipeline.Stream]bool

	mu       sync.Mutex // Guards reported.
	reported []pipeline.Stream
}

// change is what the lists say is new, and what is not there any more.
type change struct {
	// added are in the order of the lists, a stream of each kind alternately, so that no kind waits for all of another.
	added, removed []pipeline.Stream
	// leftOut is how many streams are listed and not read because there are too many.
	leftOut int
}

// newLists takes it that these streams were listed before.
func newLists(cfg *Config, before []pipeline.Stream) *lists {
	l := &lists{cfg: cfg, kinds: cfg.Kinds, known: make(map[pipeline.Stream]int), refused: make(map[pipeline.Stream]bool)}
	for _, s := range before {
		l.known[s] = 0
	}
	return l
}

// gone tells that the API answered that a stream's user, group or room does not exist. It is not added again until a list
// has been without it. Safe for concurrent use.
func (l *lists) gone(s pipeline.Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reported = append(l.reported, s)
}

// next reads the lists, at the first call at once and then at each interval, until something changed. A list that the app
// has no right to is reported to the observer once and given up; if none is left, the error is of class [pipeline.Drop].
func (l *lists) next(ctx context.Context) (change, error) {
	for {
		if err := pipeline.Sleep(ctx, time.Until(l.last.Add(l.cfg.Every))); err != nil {
			return change{}, err
		}
		l.last = time.Now()
		l.takeGone()
		found, err := l.readAll(ctx)
		if err != nil || len(found.added)+len(found.removed) > 0 || found.leftOut != l.leftOut {
			l.leftOut = found.leftOut
			return found, err
		}
	}
}

// takeGone takes in what the API answered since the last reading.
func (l *lists) takeGone() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.reported {
		delete(l.known, s)
		l.refused[s] = true
	}
	l.reported = nil
}

// readAll reads every list once.
func (l *lists) readAll(ctx context.Context) (change, error) {
	var found change
	var fresh [][]pipeline.Stream
	var last error
	kinds := l.kinds[:0:0]
	for _, kind := range l.kinds {
		listing, err := l.cfg.Directory.List(ctx, kind)
		if err != nil && pipeline.ClassOf(err) == pipeline.Restart && ctx.Err() == nil {
			l.cfg.Observer.Retry("read the list of "+string(kind), err, l.cfg.Every)
			kinds = append(kinds, kind)
			continue
		}
		if err != nil && pipeline.ClassOf(err) == pipeline.Drop && ctx.Err() == nil {
			l.cfg.Observer.Tell(pipeline.StreamDropped{Stream: pipeline.Stream{Kind: kind, Name: "*"}, Err: err})
			last = err
			continue
		}
		if err != nil {
			return change{}, err
		}
		kinds = append(kinds, kind)
		added, removed := l.compare(kind, listing)
		fresh = append(fresh, added)
		found.removed = append(found.removed, removed...)
	}
	l.kinds = kinds
	if len(kinds) == 0 {
		return change{}, last
	}
	found.added = interleave(fresh)
	room := min(max(cmp.Or(l.cfg.Most, defaultMost)-len(l.known), 0), len(found.added))
	found.added, found.leftOut = found.added[:room], len(found.added)-room
	for _, s := range found.added {
		l.known[s] = 0
	}
	return found, nil
}

// compare holds a list against what is known of its kind. What is new is not known yet.
func (l *lists) compare(kind pipeline.StreamKind, listing Listing) (added, removed []pipeline.Stream) {
	listed := make(map[pipeline.Stream]bool, len(listing.Streams))
	for _, s := range listing.Streams {
		listed[s] = true
		if l.refused[s] {
			continue
		}
		if _, known := l.known[s]; !known {
			added = append(added, s)
			continue
		}
		l.known[s] = 0
	}
	if !listing.Whole {
		return added, nil // Whatever is not in it may have been missed.
	}
	for s := range l.refused {
		if s.Kind == kind && !listed[s] {
			delete(l.refused, s)
		}
	}
	for s, missed := range l.known {
		switch {
		case s.Kind != kind || listed[s]:
		case missed+1 < missedLists:
			l.known[s] = missed + 1
		default:
			delete(l.known, s)
			removed = append(removed, s)
		}
	}
	return added, removed
}

// interleave merges lists, one of each alternately.
func interleave(lists [][]pipeline.Stream) []pipeline.Stream {
	var merged []pipeline.Stream
	for i := 0; len(lists) > 0; i++ {
		lists = slices.DeleteFunc(lists, func(list []pipeline.Stream) bool { return i == len(list) })
		for _, list := range lists {
			merged = append(merged, list[i])
		}
	}
	return merged
}
