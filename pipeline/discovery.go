package pipeline

import (
	"context"
	"sync"
	"time"
)

// DiscoveryConfig is what finds the streams of `users/*`, `groups/*` and `chatrooms/*`. Kinds and Directory are required; the
// rest works when zero.
type DiscoveryConfig struct {
	Kinds     []StreamKind
	Directory Directory
	// Every is how often the lists are read; default 10 min.
	Every time.Duration
	// Pace is the time between two requests that the quota allows; it is what a sweep is estimated by at first.
	Pace time.Duration
	// Observer is told of a list that cannot be read; may be nil.
	Observer *Observer
}

const (
	defaultDiscoveryEvery = 10 * time.Minute
	// missedLists is how many whole lists in a row have to be without a stream before it is taken for deleted.
	missedLists = 2
)

// Discovery keeps to the lists of an app. It is used by one goroutine, but for Gone.
type Discovery struct {
	cfg  DiscoveryConfig
	last time.Time
	// known has every stream that was added and not removed, and how many whole lists in a row were without it.
	known map[Stream]int
	// refused are streams that the API knows no longer although they are listed still.
	refused map[Stream]bool

	mu   sync.Mutex // Guards gone.
	gone []Stream
}

// Change is what the lists say is new, and what is not there any more.
type Change struct {
	// Added are in the order of the lists, a stream of each kind in turn, so that no kind waits for all of another.
	Added, Removed []Stream
}

// NewDiscovery takes it that these streams were listed before.
func NewDiscovery(cfg DiscoveryConfig, before ...Stream) *Discovery {
	setDefault(&cfg.Every, defaultDiscoveryEvery)
	cfg.Observer = cfg.Observer.Complete()
	d := &Discovery{cfg: cfg, known: make(map[Stream]int), refused: make(map[Stream]bool)}
	for _, s := range before {
		d.known[s] = 0
	}
	return d
}

// Gone tells that the API answered that a stream's user, group or room does not exist. It is not added again until a list
// has been without it. Safe for concurrent use.
func (d *Discovery) Gone(s Stream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = append(d.gone, s)
}

// Next reads the lists, at the first call at once and then at each interval, until something changed. A list that the app
// has no right to is told to the observer once and given up; if none is left, the error is of class [Drop].
func (d *Discovery) Next(ctx context.Context) (Change, error) {
	for {
		if err := Sleep(ctx, time.Until(d.last.Add(d.cfg.Every))); err != nil {
			return Change{}, err
		}
		d.last = time.Now()
		d.takeGone()
		change, err := d.read(ctx)
		if err != nil || len(change.Added)+len(change.Removed) > 0 {
			return change, err
		}
	}
}

// Streams is how many streams are known.
func (d *Discovery) Streams() int { return len(d.known) }

// takeGone takes in what the API answered since the last reading.
func (d *Discovery) takeGone() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.gone {
		delete(d.known, s)
		d.refused[s] = true
	}
	d.gone = nil
}

// read reads every list once.
func (d *Discovery) read(ctx context.Context) (Change, error) {
	var change Change
	var fresh [][]Stream
	var last error
	kinds := d.cfg.Kinds[:0:0]
	for _, kind := range d.cfg.Kinds {
		listing, err := d.cfg.Directory.List(ctx, kind)
		if err != nil && ClassOf(err) == Drop && ctx.Err() == nil {
			d.cfg.Observer.Dropped(Stream{Kind: kind, Name: "*"}, err)
			last = err
			continue
		}
		if err != nil {
			return Change{}, err
		}
		kinds = append(kinds, kind)
		added, removed := d.compare(kind, listing)
		fresh = append(fresh, added)
		change.Removed = append(change.Removed, removed...)
	}
	d.cfg.Kinds = kinds
	if len(kinds) == 0 {
		return Change{}, last
	}
	change.Added = inTurn(fresh)
	return change, nil
}

// compare holds a list against what is known of its kind.
func (d *Discovery) compare(kind StreamKind, listing Listing) (added, removed []Stream) {
	listed := make(map[Stream]bool, len(listing.Streams))
	for _, s := range listing.Streams {
		listed[s] = true
		if _, known := d.known[s]; !known && !d.refused[s] {
			added = append(added, s)
		}
		if !d.refused[s] {
			d.known[s] = 0
		}
	}
	if !listing.Whole {
		return added, nil // Whatever is not in it may have been missed.
	}
	for s := range d.refused {
		if s.Kind == kind && !listed[s] {
			delete(d.refused, s)
		}
	}
	for s, missed := range d.known {
		switch {
		case s.Kind != kind || listed[s]:
		case missed+1 < missedLists:
			d.known[s] = missed + 1
		default:
			delete(d.known, s)
			removed = append(removed, s)
		}
	}
	return added, removed
}

// inTurn merges lists, one of each in turn.
func inTurn(lists [][]Stream) []Stream {
	var merged []Stream
	for i := 0; ; i++ {
		before := len(merged)
		for _, list := range lists {
			if i < len(list) {
				merged = append(merged, list[i])
			}
		}
		if len(merged) == before {
			return merged
		}
	}
}

// RemovedUpdate is the notice that a stream is read no longer because its user, group or room was deleted, with its position,
// which remembers that. cp is up to where it was read, at when that was noticed; what was written in between may be lost.
func RemovedUpdate(cp *Checkpoint, at time.Time) *Update {
	w := Window{Begin: cp.Unread().UTC().Truncate(time.Second), End: at.UTC().Truncate(time.Second)}
	if w.End.Before(w.Begin) {
		w.End = w.Begin
	}
	next := *cp
	next.Removed, next.SavedAt = true, at
	return &Update{Closed: &Closed{Checkpoint: next, Notices: []Notice{{
		Kind: NoticeRemoved, AppKey: cp.AppKey, Stream: cp.Stream, Window: w, At: at,
		Detail: "it was deleted, so it is read no longer; what was written since it was last read may be missing here",
	}}}}
}
