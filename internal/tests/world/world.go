package world

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/tests/world/kafkamodel"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/pipeline"
)

// Outcome is how a plan ended.
type Outcome struct {
	// Findings are what is wrong, a sentence each; none where all is well.
	Findings []string
	// Simulated is how much time has passed, Rows how many rows the API had, Starts how many processes ran.
	Simulated time.Duration
	Rows      int
	Starts    int

	trace *trace
}

// Last are the newest lines of what happened, in simulated time.
func (o *Outcome) Last(n int) string { return o.trace.last(n) }

// World is one that lives through a plan.
type World struct {
	plan  *Plan
	trace *trace
	api   *sim.Server
	kafka *kafkamodel.Cluster
	// first is where the history begins, began when the world did.
	first, began time.Time
	// folder has the positions that are kept in files.
	folder string

	mu   sync.Mutex
	dice *dice
	// started counts processes; newest is the one that was started last.
	started int
	newest  *process
	// bad is until when the API misbehaves.
	bad time.Time
	// down counts, for each broker, the faults that keep it down.
	down      map[int]int
	slots     []*slot
	licences  []*licence
	findings  []string
	operators sync.WaitGroup
}

const (
	// healing is how long the world goes on after the last fault: until late rows were looked for, and everything was caught up with.
	healing = 30 * time.Minute
	// fresh is how young a row may be that is not published yet when everything has healed.
	fresh = 2 * time.Minute
	// longest is how much longer than planned a world may go on.
	longest = 24 * time.Hour
)

// Run lets the plan happen, and checks what is left. It must run in a bubble of testing/synctest.
func (p *Plan) Run() *Outcome {
	w := &World{plan: p, down: make(map[int]int), dice: newDice(p.Seed, "world")}
	w.began = time.Now().Truncate(time.Second).Add(time.Second)
	_ = pipeline.Sleep(context.Background(), time.Until(w.began))
	w.first = w.began.Add(-p.Past)
	w.trace = &trace{began: w.began}
	opts := p.API
	opts.Begin, opts.BurstAt = w.first, w.began.Add(p.BurstAt)
	opts.Intercept, opts.SlowBy = w.intercept, 5*time.Second
	out := &Outcome{trace: w.trace}
	var err error
	if w.api, err = sim.New(opts); err != nil {
		out.Findings = []string{"the plan has wrong options: " + err.Error()}
		return out
	}
	if p.Files {
		if w.folder, err = os.MkdirTemp(memory(), "jmpub-world"); err != nil {
			out.Findings = []string{err.Error()}
			return out
		}
		defer os.RemoveAll(w.folder) //nolint:errcheck // It is in memory, or in a folder for such files.
	}
	delays := newDice(p.Seed, "markers")
	w.kafka = kafkamodel.New(kafkamodel.Options{Brokers: p.Brokers, MarkerDelay: func() time.Duration { return delays.upTo(p.MarkerDelay) }})

	ctx, cancel := context.WithTimeout(context.Background(), p.For+healing+longest)
	defer cancel()
	w.live(ctx)
	stopped := time.Now()
	w.audit(ctx)
	w.check(stopped)
	if ctx.Err() != nil {
		w.found("it does not come to an end")
	}
	for range w.truth(stopped) {
		out.Rows++
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	out.Findings, out.Simulated, out.Starts = w.findings, time.Since(w.began), w.started
	return out
}

// memory is a file system in memory, where syncing takes no time; the usual folder where there is none.
func memory() string {
	const linux = "/dev/shm"
	if _, err := os.Stat(linux); err != nil {
		return ""
	}
	return linux
}

// streams are those of messages that processes follow.
func (w *World) streams() []pipeline.Stream {
	if !w.plan.Lists {
		return []pipeline.Stream{{Kind: pipeline.StreamMessages}}
	}
	var all []pipeline.Stream
	for i := range w.plan.API.Groups {
		all = append(all, pipeline.Stream{Kind: pipeline.StreamGroups, Name: sim.GroupID(i)})
	}
	for i := range w.plan.API.Rooms {
		all = append(all, pipeline.Stream{Kind: pipeline.StreamChatrooms, Name: sim.RoomID(i)})
	}
	return all
}

// truth are the rows up to a time that are in one of the streams, which have none in common.
func (w *World) truth(end time.Time) iter.Seq2[pipeline.Stream, sim.Row] {
	return func(yield func(pipeline.Stream, sim.Row) bool) {
		for _, s := range w.streams() {
			for r := range w.api.Truth(sim.Range{Begin: w.first, End: end, Stream: s.String()}) {
				if !yield(s, r) {
					return
				}
			}
		}
	}
}

// found notes what is wrong.
func (w *World) found(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	const most = 10
	if len(w.findings) < most {
		w.findings = append(w.findings, fmt.Sprintf(format, args...))
	}
	w.trace.add("FOUND: "+format, args...)
}

// live runs processes and has everything happen to them that is planned, heals, and ends the processes.
func (w *World) live(ctx context.Context) {
	w.newSlot(ctx)
	for i := range w.plan.Events {
		e := &w.plan.Events[i]
		if pipeline.Sleep(ctx, time.Until(w.began.Add(e.At))) != nil {
			return
		}
		w.happen(ctx, i, e)
	}
	_ = pipeline.Sleep(ctx, time.Until(w.began.Add(w.plan.For)))
	w.trace.add("everything heals")
	w.operators.Wait()
	_ = pipeline.Sleep(ctx, healing)
	w.mu.Lock()
	last := w.slots[len(w.slots)-1]
	w.mu.Unlock()
	w.trace.add("the end of the processes")
	if err := last.end(); err != nil {
		w.found("the process leaves with an error when everything is healed: %v", err)
	}
	for _, s := range w.slots {
		_ = s.end()
	}
}

// happen has an event begin.
func (w *World) happen(ctx context.Context, number int, e *Event) {
	if e.Kind.operator() {
		w.operators.Go(func() { w.operator(ctx, number, e) })
		return
	}
	w.trace.add("%s", e)
	w.mu.Lock()
	s := w.slots[len(w.slots)-1]
	w.mu.Unlock()
	switch e.Kind {
	case Kill:
		s.restart(e.For, (*process).kill)
	case Terminate:
		s.restart(e.For, func(p *process) { _ = p.terminate() })
	case Replace:
		w.newSlot(ctx)
		w.operators.Go(func() {
			_ = pipeline.Sleep(ctx, e.For)
			_ = s.end()
		})
	case Broker:
		w.operators.Go(func() { w.breakBroker(ctx, e.Broker, e.For) })
	case Brokers:
		for id := range w.plan.Brokers {
			w.operators.Go(func() { w.breakBroker(ctx, id+1, e.For) })
		}
	case BadAPI:
		w.mu.Lock()
		w.bad = time.Now().Add(e.For)
		w.mu.Unlock()
	default:
		if p := s.process(); p != nil {
			p.fault(e.Kind, e.For)
		}
	}
}

func (w *World) breakBroker(ctx context.Context, id int, long time.Duration) {
	change := func(by, when int, do func(int)) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.down[id] += by; w.down[id] == when {
			do(id)
		}
	}
	change(1, 1, w.kafka.Stop)
	_ = pipeline.Sleep(ctx, long)
	change(-1, 0, w.kafka.Start)
}

// intercept implements [sim.Faults.Intercept].
func (w *World) intercept(int64, *http.Request) sim.Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	const part = 0.3
	if !time.Now().Before(w.bad) || !w.dice.chance(part) {
		return ""
	}
	all := []sim.Fault{
		sim.RateLimited, sim.RateLimitedBare, sim.ServerError, sim.HTMLError, sim.HTMLPage, sim.Truncated, sim.Malformed, sim.Dropped,
		sim.DroppedHeaders, sim.DroppedMidway, sim.Repeated, sim.Displaced, sim.Shuffled, sim.WrongTotal, sim.Slow, sim.ExpiredEarly,
	}
	return all[w.dice.IntN(len(all))]
}

// slot is where a process runs under a supervisor, one after another.
type slot struct {
	world *World
	stop  context.CancelFunc
	done  chan struct{}

	mu      sync.Mutex
	current *process
	// pause is how long the supervisor waits before the next one.
	pause time.Duration
	// err is what the last process left with.
	err error
}

// usually is how long a supervisor waits before it starts a process again.
const usually = 2 * time.Second

func (w *World) newSlot(ctx context.Context) {
	s := &slot{world: w, done: make(chan struct{})}
	ctx, s.stop = context.WithCancel(ctx)
	w.mu.Lock()
	w.slots = append(w.slots, s)
	w.mu.Unlock()
	go s.supervise(ctx)
}

func (s *slot) supervise(ctx context.Context) {
	defer close(s.done)
	for ctx.Err() == nil {
		p, err := s.world.start(ctx)
		if err != nil {
			s.world.found("the settings are refused: %v", err)
			return
		}
		s.world.trace.add("%s starts", p.name)
		s.mu.Lock()
		s.current, s.pause = p, usually
		s.mu.Unlock()
		<-p.done
		s.mu.Lock()
		pause := s.pause
		s.current, s.err = nil, p.err
		s.mu.Unlock()
		s.world.ended(p)
		if pipeline.ClassOf(p.err) == pipeline.Fenced && s.isReplaced() {
			return
		}
		_ = pipeline.Sleep(ctx, pause)
	}
}

// isReplaced tells whether another process was started to take this one's place.
func (s *slot) isReplaced() bool {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	return s.world.slots[len(s.world.slots)-1] != s
}

// ended looks at how a process ended.
func (w *World) ended(p *process) {
	if p.killed.Load() {
		return
	}
	w.trace.add("%s ends with %v", p.name, p.err)
	if _, wrong := errors.AsType[*usage.Error](p.err); wrong {
		w.found("%s takes the settings for wrong: %v", p.name, p.err)
	}
	w.mu.Lock()
	newest := w.newest == p
	w.mu.Unlock()
	if newest && pipeline.ClassOf(p.err) == pipeline.Fenced {
		w.found("%s leaves as if it had been replaced, but no other has begun since: %v", p.name, p.err)
	}
}

// process is the one that runs; nil between two.
func (s *slot) process() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// restart ends the process, so that another one is started a while later.
func (s *slot) restart(pause time.Duration, end func(*process)) {
	s.mu.Lock()
	p := s.current
	s.pause = pause
	s.mu.Unlock()
	if p != nil {
		end(p)
	}
}

// end ends the process by SIGTERM, for good.
func (s *slot) end() error {
	s.stop()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// audit has an operator look for what is missing and publish it, when everything has healed. A second look finds nothing.
func (w *World) audit(ctx context.Context) {
	to := time.Now().Add(-fresh).Truncate(time.Second)
	for i, repair := range []bool{true, false} {
		_ = pipeline.Sleep(ctx, 2*latestMarker) // An audit goes by what is decided.
		name := fmt.Sprintf("last audit %d", i)
		l := w.connect(name)
		// Where the API has no totals, all of it is read once more.
		cfg, err := w.configure(name, l, func(s *settings.Settings) { s.API.PageSize = "1000" })
		if err != nil {
			w.found("the settings are refused: %v", err)
			return
		}
		c := &command{World: w, link: l, name: name}
		result, err := operate.Audit(ctx, cfg, c.log(), operate.AuditOptions{
			Range: operate.Range{Span: operate.Span{From: settings.Moment{At: w.first}, To: settings.Moment{At: to}}},
			Step:  time.Hour, Repair: repair, Report: c, Confirm: func(operate.AuditCost) bool { return true },
		})
		switch {
		case err != nil:
			w.found("an audit fails when everything is healed: %v", err)
			return
		case i == 1 && result.Missing > 0:
			w.found("after a repair, an audit finds %d rows missing", result.Missing)
		}
		w.trace.add("audit: %+v", *result)
	}
}
