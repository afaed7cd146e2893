package operate

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/sink"
	"github.com/jmpub/jmpub/source"
)

// app publishes one app's streams.
type app struct {
	wiring *wiring
	status *status.Status
	source *source.Client
	output *output
	pulse  *pulse
	// acceptLost goes on although checkpoints are lost; the first time that this process has the app.
	acceptLost bool
	// began is called when this process begins to publish the app.
	began func(context.Context)
}

func newApp(cfg *settings.Config, log *slog.Logger, s *status.Status, p *pulse, common *shared, observers ...pipeline.Observer) *app {
	a := &app{status: s, pulse: p, wiring: newWiring(cfg, log, append(observers, s.Observer(), p.observe)...)}
	a.wiring.shared = common
	return a
}

// open opens everything, in the order in which wrong settings are best reported.
func (a *app) open(ctx context.Context) error {
	var err error
	if a.source, err = a.wiring.openSource(ctx, a.wiring.cfg.Source); err != nil {
		return err
	}
	if a.output, err = a.wiring.openOutput(ctx); err != nil {
		return err
	}
	if err = greetRegistry(ctx, a.output.sink); err != nil {
		return err
	}
	return a.wiring.checkRights(ctx, a.output)
}

// Close lets go of what is held. The app can be opened again.
func (a *app) Close() { a.wiring.Close() }

// newPipeline makes what publishes the app from now on.
func (a *app) newPipeline() (*pipeline.Pipeline, error) {
	c := a.wiring.pipelineConfig(a.source, a.output)
	c.Members, c.Attendants = a.wiring.members(a.source), a.wiring.attendants(a.source, a.output)
	c.Evidence, c.Pauses = a.output.evidence, a.output.pauses
	return pipeline.New(c)
}

// publish publishes the app until ctx is done, or something ends it.
func (a *app) publish(ctx context.Context) error {
	p, err := a.newPipeline()
	if err != nil {
		return err
	}
	if a.acceptLost {
		a.acceptLost = false
		p.AcceptLost()
	}
	a.output.sink.Forget() // What this process was before it had the app is over.
	if a.began != nil {
		a.began(ctx)
	}
	a.pulse.waits(0)
	a.pulse.run.Store(p)
	defer a.pulse.run.Store(nil)
	return p.Run(ctx)
}

// publishAlone publishes the app until ctx is done, or another process has taken it.
func (a *app) publishAlone(ctx context.Context) error {
	a.status.StandBy(false)
	return a.wiring.runError(a.publish(ctx))
}

// replacedPause is how long a process that has the app by the group's word waits after another one has taken its place: until the group has
// another word for one of them.
const replacedPause = 10 * time.Second

// publishOwned publishes the app until ctx is done, when this process does not have it any more. Another writer is no reason to leave it.
func (a *app) publishOwned(ctx context.Context) error {
	for ctx.Err() == nil {
		err := a.publish(ctx)
		if pipeline.ClassOf(err) != pipeline.Fenced || ctx.Err() != nil {
			return err
		}
		a.wiring.log.WarnContext(ctx, "another process has taken the app; this one takes it back if the group goes on saying that it has it",
			slog.Any("error", err), slog.Duration("wait", replacedPause))
		a.pulse.waits(replacedPause)
		_ = pipeline.Sleep(ctx, replacedPause)
	}
	return nil
}

// shared is what the apps of one process share. Safe for concurrent use.
type shared struct {
	conn      *kafka.Conn
	together  kafka.Together
	bounds    *pipeline.Bounds
	transport *http.Transport
	zones     source.Zones
	// apps is how many there are.
	apps func() int

	mu sync.Mutex
	// allowed has the names of the topics for which an app was found to have every right.
	allowed map[string]bool
}

// The bounds of what a process does for the apps of a file at the same time. A window that is fetched takes up to 12 MiB, and one that is
// streamed two parts of 4 MiB and what its client holds of them.
const (
	sharedFetches  = 32
	sharedMemory   = 96 << 20
	sharedStreamed = 4
	sharedCommits  = 256
)

// hourSpread is over how much time after a full hour apps are spread that have nothing but its end to commit: one each hourCommit, within a
// minute, which is soon for those who wait for whole hours.
func (s *shared) hourSpread() time.Duration {
	const hourCommit = 10 * time.Millisecond
	return min(time.Duration(s.apps())*hourCommit, time.Minute)
}

// newShared is what so many apps share over a connection.
func newShared(conn *kafka.Conn, apps func() int) *shared {
	return &shared{
		apps: apps,
		conn: conn, bounds: pipeline.NewBounds(pipeline.Limits{Fetches: sharedFetches, MemoryBytes: sharedMemory, Streamed: sharedStreamed, Commits: sharedCommits}), transport: source.NewTransport(),
		allowed: make(map[string]bool),
	}
}

// isAllowed tells whether rights need no look, because an app with the same topics has all that this one needs.
func (s *shared) isAllowed(t *sink.Topics) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.allowed[strings.Join(t.Names(), ",")]
}

func (s *shared) allow(t *sink.Topics) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed[strings.Join(t.Names(), ",")] = true
}
