package world

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/tests/world/kafkamodel"
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
	apps  []*app
	// fleets are the processes that publish them.
	fleets []*fleet
	kafka  *kafkamodel.Cluster
	// first is where the history begins, began when the world did.
	first, began time.Time
	// committed is what a reader sees in the end; nil before.
	committed map[string][]kafkamodel.Record

	custody *custody
	schemas schemas

	mu sync.Mutex
	// down counts, for each broker, the faults that keep it down.
	down     map[int]int
	findings []string
	// left and back are from when to when no process runs, once one of those has begun.
	left, back time.Time
	// takings are those of each transactional id.
	takings map[string]*takings
	// others are operators, and what lasts for a while.
	others sync.WaitGroup
}

const (
	// healing is how long the world goes on after the last fault: until late rows were looked for, and everything was caught up with.
	healing = 30 * time.Minute
	// after is how long it goes on after the last commands.
	after = 4 * time.Minute
	// fresh is how young a row may be that is not published yet when everything has healed.
	fresh = 2 * time.Minute
	// open is how old a position may be then: where nothing comes, a window stays open.
	open = 5*time.Minute + fresh
	// longest is how much longer than planned a world may go on.
	longest = 24 * time.Hour
)

// Run lets the plan happen, and checks what is left. It must run in a bubble of testing/synctest.
func (p *Plan) Run() *Outcome {
	w := &World{plan: p, custody: newCustody(), down: make(map[int]int), takings: make(map[string]*takings)}
	w.began = time.Now().Truncate(time.Second).Add(time.Second)
	_ = pipeline.Sleep(context.Background(), time.Until(w.began))
	w.first = w.began.Add(-p.Past)
	w.trace = &trace{began: w.began}
	out := &Outcome{trace: w.trace}
	for number := range p.Apps {
		a, err := w.newApp(number)
		if err != nil {
			out.Findings = []string{err.Error()}
			return out
		}
		w.apps = append(w.apps, a)
	}
	defer w.clear()
	var err error
	if w.fleets, err = w.newFleets(); err != nil {
		out.Findings = []string{err.Error()}
		return out
	}
	delays := newDice(p.Seed, "markers")
	w.kafka = kafkamodel.New(kafkamodel.Options{
		Brokers: p.Brokers, MarkerDelay: func() time.Duration { return delays.upTo(p.MarkerDelay) },
		Taken: w.custody.taken, CompactEvery: p.Compact, ForgetProducers: p.Forget, ForgetTransactionalIDs: p.Forget,
	})

	ctx, cancel := context.WithTimeout(context.Background(), p.For+healing+longest)
	defer cancel()
	w.live(ctx)
	stopped := time.Now()
	for _, a := range w.apps {
		a.audit(ctx, stopped)
	}
	w.read()
	for _, a := range w.apps {
		a.check(stopped)
		for range a.truth(stopped) {
			out.Rows++
		}
	}
	w.checkTaken()
	for _, f := range w.fleets {
		out.Starts += f.started
	}
	if ctx.Err() != nil {
		w.found("it does not come to an end")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	out.Findings, out.Simulated = w.findings, time.Since(w.began)
	return out
}

// read reads all that is committed.
func (w *World) read() {
	w.committed = make(map[string][]kafkamodel.Record)
	for _, topic := range w.kafka.Topics() {
		all := w.kafka.Committed(topic)
		for i := range all {
			if err := w.schemas.decode(&all[i]); err != nil {
				w.found("the value of %s in %s cannot be read: %v", all[i].Key, topic, err)
			}
		}
		w.committed[topic] = all
	}
}

// clear removes what was written to files.
func (w *World) clear() {
	for _, a := range w.apps {
		_ = os.RemoveAll(a.folder)
	}
	for _, f := range w.fleets {
		if f.file != "" {
			_ = os.RemoveAll(filepath.Dir(f.file))
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
	for _, f := range w.fleets {
		for range 1 + w.plan.Standbys {
			f.newSlot(ctx)
		}
	}
	for i := range w.plan.Events {
		e := &w.plan.Events[i]
		if pipeline.Sleep(ctx, time.Until(w.began.Add(e.At))) != nil {
			return
		}
		w.happen(ctx, i, e)
	}
	_ = pipeline.Sleep(ctx, time.Until(w.began.Add(w.plan.For)))
	w.trace.add("everything heals")
	w.others.Wait()
	for _, a := range w.apps {
		a.resume(ctx)
	}
	_ = pipeline.Sleep(ctx, healing)
	if w.plan.BothAtOnce {
		for _, a := range w.apps {
			w.others.Go(func() { a.bothAtOnce(ctx) })
		}
		w.others.Wait()
		_ = pipeline.Sleep(ctx, after)
	}
	w.trace.add("the end of the processes")
	for _, f := range w.fleets {
		f.end()
	}
}

// happen has an event begin.
func (w *World) happen(ctx context.Context, number int, e *Event) {
	a := w.apps[e.App]
	if e.Kind.operator() {
		w.others.Go(func() { a.operator(ctx, number, e) })
		return
	}
	w.trace.add("%s", e)
	s := a.fleet.slotAt(e.Process)
	if e.AtCommit {
		if p := s.process(); p != nil {
			p.failAtCommit(func() { w.fail(p, s, e) })
		}
		return
	}
	switch e.Kind {
	case Kill:
		s.restart(e.For, (*process).kill)
	case Terminate:
		s.restart(e.For, func(p *process) { _ = p.terminate() })
	case SlowStart:
		s.slowStart(e)
	case Away:
		w.leave(e.For)
	case Replace:
		s = a.fleet.leaving(e.Process)
		a.fleet.newSlot(ctx)
		w.others.Go(func() {
			_ = pipeline.Sleep(ctx, e.For)
			_ = s.end()
		})
	case Broker:
		w.others.Go(func() { w.breakBroker(ctx, e.Broker, e.For) })
	case Brokers:
		for id := range w.plan.Brokers {
			w.others.Go(func() { w.breakBroker(ctx, id+1, e.For) })
		}
	case LeaveOut:
		w.others.Go(func() { a.fleet.leaveOut(ctx, a, e.For) })
	case BadAPI:
		a.mu.Lock()
		a.bad = time.Now().Add(e.For)
		a.mu.Unlock()
	default:
		if p := s.process(); p != nil {
			p.fault(e.Kind, e.For)
		}
	}
}

// leave has all processes be killed, and none run for a while.
func (w *World) leave(long time.Duration) {
	w.mu.Lock()
	w.left, w.back = time.Now(), time.Now().Add(long)
	w.mu.Unlock()
	for _, f := range w.fleets {
		for _, s := range f.slots {
			s.restart(0, (*process).kill)
		}
	}
}

// absence is from when to when no process ran; both are zero where there always was one.
func (w *World) absence() (left, back time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.left, w.back
}

// fail has a process fail that commits.
func (*World) fail(p *process, s *slot, e *Event) {
	switch {
	case e.Kind == Kill && s.process() == p:
		s.restart(e.For, (*process).kill)
	case e.Kind != Kill:
		p.fault(e.Kind, e.For)
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
