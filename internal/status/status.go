// Package status keeps what the observer of each app tells: as a snapshot for screens, as metrics, and as the judgement that /readyz
// answers. All of them come from the same counters.
package status

import (
	"cmp"
	"errors"
	"sync"
	"time"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// Options describe the app that is observed.
type Options struct {
	AppKey string
	// TopicPrefix is that of the topics that the app is published to.
	TopicPrefix string
	Delivery    string
	// Streams are those that were named, statistics among them.
	Streams []pipeline.Stream
	// Discover are the kinds of which the lists' streams are read. They may be many, so they are shown as one, users/*.
	Discover []pipeline.StreamKind
	// Warn is how near the end of the API's history unread time may come before a warning is given; default 7 days.
	Warn time.Duration
	// StatisticsStale is how long no statistics, which are read seldom, may have been read before readiness is lost; default 30
	// minutes.
	StatisticsStale time.Duration
	// Zone is that of the times in what people read; default UTC.
	Zone *time.Location
}

// staleAfter is how long nothing may have been read of messages before readiness is lost.
const staleAfter = 5 * time.Minute

// Status keeps the counters of an app. Safe for concurrent use.
type Status struct {
	process *Process
	opts    Options
	// instruments count what happens to the app.
	instruments appInstruments

	mu      sync.Mutex // Guards everything below.
	started time.Time
	// role is whether this process publishes the app.
	role role
	// failed is whether the app's session has failed and no other one has begun to read.
	failed  bool
	streams map[pipeline.Stream]*streamState
	// names are those of streams, in order, where there are as many.
	names  []pipeline.Stream
	totals totals
	// rows and requests are those of the last time; quota is what the API said of the app's last, nil before it did.
	rows, requests rate
	quota          *pipeline.QuotaTold
	// problem is the last error and when it came.
	problem   string
	problemAt time.Time
	last      *pipeline.Ledger
	// discovered is how many streams the lists have, sweep about how long it takes until a window of each was read.
	discovered int
	sweep      time.Duration
	// paused is what is paused of the app.
	paused pipeline.Pause
	// troubles is what may make its messages late.
	troubles troubles
	// memory is how many bytes its windows have reserved.
	memory int64
	// clocks is how the API's clock and the local one compared at the last reply.
	clocks pipeline.ClocksCompared
}

// role is what a process does for an app.
type role int

const (
	// joining is one that does not know yet.
	joining role = iota
	owner
	standby
)

// The states of an app, as jmpub_apps has them.
const (
	stateOwner   = "owner"
	stateStandby = "standby"
	stateJoining = "joining"
	stateFailed  = "failed"
)

// state is the one that the app is counted in. The caller holds the lock.
func (s *Status) state() string {
	switch {
	case s.failed:
		return stateFailed
	case s.role == owner:
		return stateOwner
	case s.role == standby:
		return stateStandby
	default:
		return stateJoining
	}
}

// streamState is what is known of one stream, or of all that a list has.
type streamState struct {
	position

	// members are the positions of a list's streams; nil for a single stream.
	members map[pipeline.Stream]*position

	totals  streamTotals
	dropped bool
	// unreadable are the streams of it whose positions cannot be read; nil before the first.
	unreadable map[pipeline.Stream]bool
}

type streamTotals struct {
	rows, published, skipped, repeated, rejected, windows, gapSeconds int64

	events [event.TargetCount]int64
	// restarts and notices are nil before there is one.
	restarts map[pipeline.Class]int64
	notices  map[pipeline.NoticeKind]int64
}

// totals are an app's. Their maps are nil before they have something.
type totals struct {
	rejected    map[event.Reason]int64
	requests    map[string]int64
	retries     int64
	sessions    int64
	early, late int64
}

// newStatus makes an empty status.
func newStatus(p *Process, o Options) *Status {
	o.Warn = cmp.Or(o.Warn, 7*24*time.Hour)
	o.StatisticsStale = cmp.Or(o.StatisticsStale, 30*time.Minute)
	o.Zone = cmp.Or(o.Zone, time.UTC)
	s := &Status{
		process: p, opts: o, started: p.opts.Now(), streams: make(map[pipeline.Stream]*streamState), instruments: p.instrumentsOf(o.AppKey),
	}
	for _, stream := range o.Streams {
		s.streams[stream] = &streamState{}
	}
	for _, kind := range o.Discover {
		state := &streamState{}
		state.members = make(map[pipeline.Stream]*position)
		s.streams[every(kind)] = state
	}
	return s
}

// Observer is what the core reports through.
func (s *Status) Observer() pipeline.Observer {
	return func(o pipeline.Observation) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.observe(o)
	}
}

// StandBy notes whether another process publishes the app from now on, or this one. Where others are, a standby does not know.
func (s *Status) StandBy(is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.role, s.started, s.failed = owner, s.process.opts.Now(), false
	if !is {
		return
	}
	s.role, s.clocks, s.quota, s.paused, s.memory, s.troubles = standby, pipeline.ClocksCompared{}, nil, pipeline.Pause{}, 0, troubles{}
	for _, state := range s.streams {
		state.position = position{}
		clear(state.members)
	}
}

// Fail notes that the app's session has failed, so that the app is not published, and why; the error says when that is tried again, if it is.
// The app is not ready until something of it is read or committed again, or StandBy is called.
func (s *Status) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = false // A newer failure replaces the one before it.
	s.ended(err)
	s.failed = err != nil
}

// observe takes in what happened. The caller holds the lock.
func (s *Status) observe(o pipeline.Observation) {
	switch o := o.(type) {
	case pipeline.RequestAnswered:
		count(&s.totals.requests, o.Class)
		s.requests.add(s.process.opts.Now(), requestSlot, 1)
		s.instruments.requests.WithLabelValues(o.Class).Observe(o.Took.Seconds())
		s.troubles.answered(&o, s.process.opts.Now())
	case pipeline.QuotaTold:
		s.quota = &o
	case pipeline.ClocksCompared:
		s.clocks = o
	case pipeline.TransactionEnded:
		s.instruments.transactions.WithLabelValues(string(o.Result)).Observe(o.Took.Seconds())
		s.instruments.sent.Add(float64(o.Bytes))
		if o.Result == pipeline.Committed {
			s.process.flow.transaction(s.process.opts.Now(), o.Took)
			s.troubles.committed(o.Took, s.process.opts.Now())
		}
	case pipeline.MemoryHeld:
		s.memory = o.Bytes
	case pipeline.RetryScheduled:
		s.totals.retries++
		s.instruments.retries.WithLabelValues(operation(o.Op), pipeline.KindOf(o.Err)).Inc()
		s.trouble(o.Err)
		s.troubles.tried.again(s.process.opts.Now(), s.process.opts.Now())
	case pipeline.WindowRestarted:
		count(&s.at(o.Stream).totals.restarts, cause(o.Err))
	case pipeline.PauseRead:
		s.paused = o.Pause
	case pipeline.StreamStarted:
		s.place(o.Checkpoint.Stream).move(o.Checkpoint)
		delete(s.at(o.Checkpoint.Stream).unreadable, o.Checkpoint.Stream)
	case pipeline.HeadRead:
		p := s.place(o.Stream)
		p.read, p.headAt, s.failed = o.End, s.process.opts.Now(), false
		s.troubles.tried = period{} // What was tried again has succeeded; a publisher that cannot commit soon holds up who reads.
	case pipeline.WindowCommitted:
		s.committed(&o)
	case pipeline.RowRejected:
		count(&s.totals.rejected, o.Rejection.Reason)
	case pipeline.NoticePublished:
		s.notice(&o.Notice)
	case pipeline.SessionStarted:
		s.totals.sessions++
		s.memory = 0
		s.ended(o.Err)
	case pipeline.StreamsDiscovered:
		s.discovered, s.sweep = o.Streams, o.Sweep
	case pipeline.StreamDropped:
		if state := s.at(o.Stream); errors.Is(o.Err, pipeline.ErrUnreadable) {
			if state.unreadable == nil {
				state.unreadable = make(map[pipeline.Stream]bool)
			}
			state.unreadable[o.Stream] = true
		} else {
			state.dropped = true
		}
		s.ended(o.Err)
	default: // It shows nowhere.
	}
}

// count counts one in a map that may not be there yet.
func count[K comparable](m *map[K]int64, key K) {
	if *m == nil {
		*m = make(map[K]int64)
	}
	(*m)[key]++
}

func (s *Status) notice(n *pipeline.Notice) {
	state := s.at(n.Stream)
	count(&state.totals.notices, n.Kind)
	switch n.Kind {
	case pipeline.NoticeGap:
		state.totals.gapSeconds += int64(n.End.Sub(n.Begin) / time.Second)
	case pipeline.NoticeRemoved:
		delete(state.members, n.Stream)
	default: // Counted by kind.
	}
}

// cause is the class of what made a window be read again: the error behind the restart, if it has one.
func cause(err error) pipeline.Class {
	fault, ok := errors.AsType[*pipeline.Fault](err)
	if !ok {
		return pipeline.Restart
	}
	if inner, ok := errors.AsType[*pipeline.Fault](fault.Err); ok {
		return inner.Class
	}
	return fault.Class
}

// every stands for all streams of a kind that a list has.
func every(kind pipeline.StreamKind) pipeline.Stream { return pipeline.Stream{Kind: kind, Name: "*"} }

// at is what a stream's facts go to.
func (s *Status) at(stream pipeline.Stream) *streamState {
	if state, ok := s.streams[stream]; ok {
		return state
	}
	if state, ok := s.streams[every(stream.Kind)]; ok {
		return state
	}
	state := &streamState{}
	s.streams[stream] = state
	return state
}

// place is the position of a stream.
func (s *Status) place(stream pipeline.Stream) *position {
	state := s.at(stream)
	if state.members == nil {
		return &state.position
	}
	p, ok := state.members[stream]
	if !ok {
		p = &position{}
		state.members[stream] = p
	}
	return p
}

// trouble keeps an error as the last one. Why the app's session has failed stays.
func (s *Status) trouble(err error) {
	if err != nil && !s.failed {
		s.problem, s.problemAt = err.Error(), s.process.opts.Now()
	}
}

// ended counts and keeps an error that has ended something.
func (s *Status) ended(err error) {
	if err != nil {
		s.instruments.errors.WithLabelValues(pipeline.ClassOf(err).String()).Inc()
		s.trouble(err)
	}
}

func (s *Status) committed(c *pipeline.WindowCommitted) {
	ledger := c.Ledger
	state, p := s.at(ledger.Stream), s.place(ledger.Stream)
	p.move(c.Checkpoint)
	p.headAt, s.failed = s.process.opts.Now(), false
	t := &state.totals
	t.rows += ledger.Rows
	t.published += ledger.Published
	t.skipped += ledger.Skipped
	t.repeated += ledger.Repeated
	t.rejected += ledger.Rejected
	t.windows++
	if ledger.Early {
		s.totals.early += ledger.Published + ledger.Rejected
	}
	if ledger.Late {
		s.totals.late += ledger.Published + ledger.Rejected
	}
	for target, n := range c.Events {
		t.events[target] += int64(n)
	}
	s.rows.add(p.headAt, rowSlot, ledger.Rows)
	s.last = ledger
	s.process.flow.committed(p.headAt, c)
}

// rate is how many of something there were in the last time, by slots of so many seconds: one that is being filled, and fullSlots before it.
type rate struct {
	slots [fullSlots + 1]struct{ number, n int64 }
}

const (
	fullSlots = 5
	// rowSlot and requestSlot are what a slot is of rows and of requests, in seconds: rows are those of 5 s, requests those of a minute.
	rowSlot, requestSlot = 1, 12
)

func (r *rate) add(now time.Time, seconds, n int64) {
	number := now.Unix() / seconds
	slot := &r.slots[number%int64(len(r.slots))]
	if slot.number != number {
		slot.number, slot.n = number, 0
	}
	slot.n += n
}

// sum is how many there were in the slots that are full.
func (r *rate) sum(now time.Time, seconds int64) (sum int64) {
	for _, slot := range r.slots {
		if age := now.Unix()/seconds - slot.number; age > 0 && age <= fullSlots {
			sum += slot.n
		}
	}
	return sum
}

// rowsPerSecond is the mean over the last full seconds. The caller holds the lock.
func (s *Status) rowsPerSecond(now time.Time) float64 {
	return float64(s.rows.sum(now, rowSlot)) / fullSlots
}
