package world

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/pipeline"
)

// fleet are processes that are members of the same group: they publish one app, which their settings name, or those that a file names.
type fleet struct {
	*World

	apps []*app
	// file names the apps; empty where there is none.
	file   string
	roster *roster

	mu sync.Mutex
	// started counts processes.
	started int
	slots   []*slot
	// away counts what keeps an app out of the file.
	away map[*app]int
}

// shards is how many partitions the topic of checkpoints has, among which the apps of a file are shared out.
const shards = 3

// newFleets gives each app processes of its own, or all of them the same.
func (w *World) newFleets() (fleets []*fleet, err error) {
	for _, a := range w.apps {
		if len(fleets) == 0 || !w.plan.Together {
			fleets = append(fleets, &fleet{
				World: w, away: make(map[*app]int), roster: &roster{dice: newDice(w.plan.Seed, a.name("group")), shards: 1},
			})
		}
		a.fleet = fleets[len(fleets)-1]
		a.fleet.apps = append(a.fleet.apps, a)
	}
	if w.plan.Together {
		f := fleets[0]
		f.roster.shards = shards
		folder, failed := os.MkdirTemp(memory(), "jmpub-world")
		if failed != nil {
			return nil, failed
		}
		f.file = filepath.Join(folder, "apps.yaml")
		err = f.writeFile()
	}
	return fleets, err
}

// writeFile names the apps that are not away.
func (f *fleet) writeFile() error {
	var all []sim.Options
	for _, a := range f.apps {
		if f.away[a] == 0 {
			all = append(all, f.plan.api(a.number))
		}
	}
	next := f.file + ".next"
	if err := os.WriteFile(next, []byte(sim.AppsFile(all)), 0o600); err != nil {
		return err
	}
	return os.Rename(next, f.file)
}

// leaveOut keeps an app out of the file for a while.
func (f *fleet) leaveOut(ctx context.Context, a *app, long time.Duration) {
	change := func(by int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.away[a] += by
		if err := f.writeFile(); err != nil {
			f.found("the file of apps cannot be written: %v", err)
		}
	}
	change(1)
	_ = pipeline.Sleep(ctx, long)
	change(-1)
}

// ServeHTTP answers as the API of the app by whose key a request is sent.
func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, _, _ := r.BasicAuth()
	for _, a := range f.apps {
		if a.api.AppKey == key {
			a.api.ServeHTTP(w, r)
			return
		}
	}
	f.found("a process asks for the app %q, which it does not have", key)
	http.NotFound(w, r)
}

// name is that of a process.
func (f *fleet) name(of string) string {
	if f.file != "" {
		return of
	}
	return f.apps[0].name(of)
}

// start starts a process. Its end is looked at by whoever started it.
func (f *fleet) start(ctx context.Context, stopped *Event) (*process, error) {
	f.mu.Lock()
	f.started++
	name := f.name("process " + itoa(f.started))
	f.mu.Unlock()
	p := &process{link: f.connect(name, f), name: name, done: make(chan struct{})}
	p.stopped, p.fleet = stopped, f
	cfg, apps, err := f.configure(p)
	if err != nil {
		return nil, err
	}
	// What is rejected is not found again by its id, and what is late by its time can be seen long before it is published.
	if api := &f.plan.API; apps == nil && f.plan.Memory > 0 && api.IrregularRows == 0 && api.Late == 0 && f.apps[0].slack() == 0 {
		p.process, p.allowed = name, allowed(cfg)
	}
	options := operate.RunOptions{Version: "world", Join: f.roster.join(p.link), Apps: apps}
	if usual := 0.25; !newDice(f.plan.Seed, "state of "+name).chance(usual) {
		options.StateEvery = 10 * time.Minute // Nothing that is checked comes from it, and it is most of what an idle process writes.
	}
	ctx, p.stop = context.WithCancel(ctx)
	go func() {
		defer close(p.done)
		defer p.stop()
		p.err = operate.Run(ctx, cfg, p.log(""), options)
	}()
	return p, nil
}

// configure makes the settings of a process; apps are those of the file.
func (f *fleet) configure(p *process) (cfg *settings.Config, apps *operate.Apps, err error) {
	if f.file == "" {
		cfg, err = f.apps[0].configure(p.name, p.link, nil)
		return cfg, nil, err
	}
	s := f.settings(p.name)
	s.AppsFile = f.file
	file, cfg, err := settings.NewAppsFile(s)
	if err != nil {
		return nil, nil, err
	}
	f.plug(cfg, p.link)
	return cfg, &operate.Apps{
		Path: f.file,
		Load: func() ([]*settings.Config, error) {
			all, err := file.Load()
			for _, one := range all {
				if one.Source.Transport == nil {
					f.plug(one, p.link)
				}
			}
			return all, err
		},
		Log: func(app *settings.Config) *slog.Logger { return p.log(" for " + app.Source.AppKey) },
	}, nil
}

// slot is where a process runs under a supervisor, one after another.
type slot struct {
	fleet *fleet
	stop  context.CancelFunc
	done  chan struct{}
	// ended is set once its processes are ended for good, leaving once they are to be; the fleet's lock guards both.
	ended, leaving bool

	mu      sync.Mutex
	current *process
	// pause is how long the supervisor waits before the next one.
	pause time.Duration
	// err is what the last process left with.
	err error
	// stopped, where it is not nil, says when the next process is stopped.
	stopped *Event
}

// usually is how long a supervisor waits before it starts a process again.
const usually = 2 * time.Second

func (f *fleet) newSlot(ctx context.Context) {
	s := &slot{fleet: f, done: make(chan struct{})}
	ctx, s.stop = context.WithCancel(ctx)
	f.mu.Lock()
	f.slots = append(f.slots, s)
	f.mu.Unlock()
	go s.supervise(ctx)
}

func (s *slot) supervise(ctx context.Context) {
	defer close(s.done)
	for ctx.Err() == nil {
		if _, back := s.fleet.absence(); pipeline.Sleep(ctx, time.Until(back)) != nil {
			return
		}
		s.mu.Lock()
		stopped := s.stopped
		s.stopped = nil
		s.mu.Unlock()
		p, err := s.fleet.start(ctx, stopped)
		if err != nil {
			s.fleet.found("the settings are refused: %v", err)
			return
		}
		s.fleet.trace.add("%s starts", p.name)
		s.mu.Lock()
		s.current, s.pause = p, usually
		s.mu.Unlock()
		<-p.done
		s.mu.Lock()
		pause := s.pause
		s.current, s.err = nil, p.err
		s.mu.Unlock()
		s.fleet.ended(p)
		_ = pipeline.Sleep(ctx, pause)
	}
}

// ended looks at how a process ended.
func (f *fleet) ended(p *process) {
	f.custody.ended(p.name)
	if p.killed.Load() {
		return
	}
	f.trace.add("%s ends with %v", p.name, p.err)
	if _, wrong := errors.AsType[*usage.Error](p.err); wrong {
		f.found("%s takes the settings for wrong: %v", p.name, p.err)
	}
	if !f.plan.Files && pipeline.ClassOf(p.err) == pipeline.Fenced {
		f.found("%s leaves although it is in a group: %v", p.name, p.err)
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

// slowStart has the next process stopped while it begins.
func (s *slot) slowStart(e *Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = e
}

// slotAt is one of those that have not ended, by its place among them.
func (f *fleet) slotAt(place int) *slot {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.among(place, func(s *slot) bool { return !s.ended })
}

// leaving is one whose processes are to be ended for good, by its place among those that are not.
func (f *fleet) leaving(place int) *slot {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.among(place, func(s *slot) bool { return !s.leaving })
	s.leaving = true
	return s
}

// among is one of some slots, by its place among them. The caller holds the lock.
func (f *fleet) among(place int, is func(*slot) bool) *slot {
	var some []*slot
	for _, s := range f.slots {
		if is(s) {
			some = append(some, s)
		}
	}
	return some[place%len(some)]
}

// slot is where the newest processes run.
func (f *fleet) slot() *slot {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.slots[len(f.slots)-1]
}

// end ends all processes, the newest first, which has no reason to complain.
func (f *fleet) end() {
	if err := f.slot().end(); err != nil {
		f.found("the process leaves with an error when everything is healed: %v", err)
	}
	for _, s := range f.slots {
		_ = s.end()
	}
}

// end ends the process by SIGTERM, for good.
func (s *slot) end() error {
	s.fleet.mu.Lock()
	s.ended = true
	s.fleet.mu.Unlock()
	s.stop()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
