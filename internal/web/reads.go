package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/fleet"
)

const (
	// readTime is for how long one who asks for what has to be read may wait, its turn and the reading together. It ends before the time in
	// which an answer has to be written.
	readTime = 20 * time.Second
	// readAge is how old an answer may be that is given again.
	readAge = 5 * time.Second
	// keptReads and keptBytes bound the answers that are kept.
	keptReads = 32
	keptBytes = 8 << 20
)

// errBusy is why somebody was not answered in time.
var errBusy = errors.New("it took too long to read that: ask for a shorter range or for one stream, or ask again; one such question is answered at a time")

// reads are answers that have to be read from topics. One is made at a time, whoever asks, and is given again to who asks the same soon after.
// Safe for concurrent use.
type reads struct {
	turn chan struct{}
	// silent is an error where Kafka would not answer.
	silent func() error

	mu    sync.Mutex // Guards what follows.
	kept  map[string]keptRead
	bytes int
}

type keptRead struct {
	at   time.Time
	body []byte
}

func newReads(silent func() error) *reads {
	return &reads{turn: make(chan struct{}, 1), silent: silent, kept: make(map[string]keptRead)}
}

// get is the answer to a question. What goes wrong is not kept.
func (r *reads) get(ctx context.Context, question string, read func(context.Context) ([]byte, error)) ([]byte, error) {
	if body, ok := r.recent(question); ok {
		return body, nil
	}
	if err := r.silent(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readTime, errBusy)
	defer cancel()
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil, cmp.Or(r.silent(), context.Cause(ctx))
	}
	if body, ok := r.recent(question); ok { // Somebody else asked the same meanwhile.
		return body, nil
	}
	body, err := read(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = cmp.Or(r.silent(), context.Cause(ctx))
		}
		return nil, err
	}
	r.keep(question, body)
	return body, nil
}

func (r *reads) recent(question string) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found, ok := r.kept[question]
	return found.body, ok && time.Since(found.at) < readAge
}

// keep keeps an answer, and none that is old.
func (r *reads) keep(question string, body []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes += len(body)
	r.kept[question] = keptRead{time.Now(), body}
	for asked, one := range r.kept {
		if time.Since(one.at) >= readAge || (len(r.kept) > keptReads || r.bytes > keptBytes) && asked != question {
			delete(r.kept, asked)
		}
	}
	r.bytes = 0
	for _, one := range r.kept {
		r.bytes += len(one.body)
	}
}

// forget lets go of all answers: something was changed.
func (r *reads) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.kept)
	r.bytes = 0
}

const (
	// askTime is how long somebody who asks for the status of all processes may wait, answerAge how old an answer may be that is given again.
	askTime   = 5 * time.Second
	answerAge = 3 * time.Second
	// membersAge is how old the members may be that an overview tells of.
	membersAge = 10 * time.Second
	// maxApps is how many apps are told of at once; those that are not published and those that are furthest behind come first.
	maxApps = 10_000
)

// fleets are the answers of all processes to who asks. Safe for concurrent use.
type fleets struct {
	ask func(context.Context) (*fleet.Fleet, error)

	mu   sync.Mutex // Who asks while Kafka is asked waits for the answer.
	at   time.Time
	last *FleetAnswer
	err  error

	// wanted has somebody ask whose members are old.
	wanted chan struct{}

	told    sync.Mutex // Guards what follows.
	members []fleet.Member
	toldAt  time.Time
}

// FleetAnswer is what is known of the apps of all processes.
type FleetAnswer struct {
	*fleet.Fleet

	// LeftOut is how many apps are not told of.
	LeftOut int `json:"apps_left_out,omitempty"`
}

// get asks, unless that was done a moment ago: then what was found is told again, and so is what went wrong.
func (a *fleets) get(ctx context.Context) (*FleetAnswer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.at.IsZero() && time.Since(a.at) < answerAge {
		return a.last, a.err
	}
	// The answer is for those who ask next, too.
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), askTime, fmt.Errorf("no answer came from Kafka within %s", askTime))
	defer cancel()
	found, err := a.ask(ctx)
	if a.at, a.last, a.err = time.Now(), nil, err; err != nil {
		return nil, err
	}
	a.last = &FleetAnswer{Fleet: found}
	if left := len(found.Apps) - maxApps; left > 0 {
		found.Apps, a.last.LeftOut = found.Apps[:maxApps:maxApps], left
	}
	a.tell(found.Processes)
	return a.last, nil
}

func (a *fleets) tell(members []fleet.Member) {
	a.told.Lock()
	defer a.told.Unlock()
	a.members, a.toldAt = members, time.Now()
}

// lately are the members as they were told last. It waits for nobody: where they are old, they are asked for meanwhile.
func (a *fleets) lately() []fleet.Member {
	a.told.Lock()
	defer a.told.Unlock()
	if time.Since(a.toldAt) > membersAge {
		select {
		case a.wanted <- struct{}{}:
		default: // They are about to be asked for.
		}
	}
	return a.members
}

// run asks for the members when they are wanted, until ctx is done.
func (a *fleets) run(ctx context.Context) {
	for {
		select {
		case <-a.wanted:
			_, _ = a.get(ctx) // Who asks for the apps is told what is wrong.
		case <-ctx.Done():
			return
		}
	}
}
