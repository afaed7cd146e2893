package operate

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/web"
	"github.com/jmpub/jmpub/pipeline"
)

const (
	// maxJobs is how many replays, and how many audits, a process runs at the same time, keptJobs how many of each it remembers.
	maxJobs  = 2
	keptJobs = 50
	// jobParallel is how many windows a replay in a process that publishes fetches at the same time: its memory is that process's.
	jobParallel = 2
	// maxFindings is how many notes, differences and holes of an audit are kept, each.
	maxFindings = 200
)

// jobs are replays and audits that a process runs beside what it publishes. They end with it. Safe for concurrent use.
type jobs struct {
	process *Process
	// ctx is done when they have to end.
	ctx context.Context //nolint:containedctx // It is that of the process, which outlives the calls that begin jobs.

	running sync.WaitGroup

	mu      sync.Mutex // Guards what follows.
	replays []*replayJob
	audits  []*auditJob
}

type replayJob struct {
	app    status.AppName
	replay *Replay
	stop   context.CancelFunc
	done   chan struct{}
	// state is guarded by the jobs' lock.
	state web.Replay
}

var (
	_ web.Replays = (*replayJobs)(nil)
	_ web.Audits  = (*auditJobs)(nil)
)

// replayJobs and auditJobs are the jobs as the API wants them.
type (
	replayJobs struct{ *jobs }
	auditJobs  struct{ *jobs }
)

// wait waits until all jobs have come to their end, which their context has them do.
func (j *jobs) wait() { j.running.Wait() }

// forReplay is the configuration of a replay to topics of a prefix, where that is not empty, of some streams, where some are named.
func forReplay(cfg *settings.Config, names []string, prefix string) (*settings.Config, error) {
	own := *cfg
	own.Parallel = min(own.Parallel, jobParallel)
	if prefix != "" {
		if !strings.Contains(own.Topics.Template, "{prefix}") {
			return nil, usage.Errorf("topic_prefix: the events' topics have no prefix, because JMPUB_TOPIC_TEMPLATE is %q", own.Topics.Template)
		}
		own.Topics.Prefix = prefix
		if err := own.Topics.Validate(); err != nil {
			return nil, usage.Errorf("topic_prefix: %w", err)
		}
	}
	if len(names) > 0 {
		for i := range names {
			names[i] = strings.ReplaceAll(names[i], ",", "%2C")
		}
		selection, err := pipeline.ParseSelection(strings.Join(names, ","))
		if err != nil {
			return nil, usage.Errorf("streams: %w", err)
		}
		own.Streams, own.Discover, own.Statistics = selection.Streams, selection.Discover, nil
		own.Topics.Statistics = nil
	}
	return &own, nil
}

// parseRange is what a request names, in the app's time zone.
func parseRange(from, to string, cfg *settings.Config) (span Span, err error) {
	if span.From, err = settings.ParseMoment("from", from, cfg.Source.TimeZone); err != nil {
		return span, err
	}
	span.To, err = settings.ParseMoment("to", to, cfg.Source.TimeZone)
	return span, err
}

// busy refuses one more of what is running.
func busy(running int, what string) error {
	if running < maxJobs {
		return nil
	}
	return fmt.Errorf("%w: %d %s are running in this process already; wait for one, or stop it", web.ErrConflict, running, what)
}

// Start implements [web.Replays].
func (j *replayJobs) Start(ctx context.Context, c web.Call, r web.ReplayRequest) (_ *web.ReplayAnswer, err error) {
	cfg, log, err := j.process.find(c.App)
	if err != nil {
		return nil, err
	}
	asked, err := parseRange(r.From, r.To, cfg)
	if err != nil {
		return nil, err
	}
	name := status.AppName{AppKey: cfg.Source.AppKey, TopicPrefix: cfg.Topics.Prefix}
	own, err := forReplay(cfg, slices.Clone(r.Streams), r.TopicPrefix)
	if err != nil {
		return nil, err
	}
	if err = j.room(r.DryRun); err != nil {
		return nil, err
	}
	replay, err := NewReplay(own, log, ReplayOptions{Span: asked, ID: r.ID}, j.progress(name))
	if err != nil {
		return nil, err
	}
	begun := false
	defer func() {
		if !begun {
			replay.Close()
		}
	}()
	if err = replay.Connect(ctx); err != nil {
		return nil, err
	}
	found := &web.ReplayAnswer{DryRun: r.DryRun}
	if _, err = replay.Resume(ctx, func(question string) bool { found.Question = question; return true }); err != nil {
		return nil, err
	}
	if _, running := j.find(c.App, replay.ID()); running {
		return nil, fmt.Errorf("%w: the replay %s is running in this process already", web.ErrConflict, replay.ID())
	}
	cost, err := replay.Estimate(ctx)
	if err != nil {
		return nil, err
	}
	found.Cost = web.Cost{Rows: cost.Rows, Windows: cost.Windows, Requests: cost.Requests, Seconds: cost.Seconds}
	if r.DryRun {
		return found, nil
	}
	before, err := replay.Open(ctx)
	if err != nil {
		return nil, err
	}
	n := notice(cfg, &c, actionReplay, pipeline.Stream{}, "the replay "+replay.ID()+" was begun")
	n.Window, n.Replay = replay.Window(), replay.ID()
	if err = notify(ctx, newReading(cfg, log), &n); err != nil {
		return nil, err
	}
	begun = true
	found.Replay = j.begin(name, replay, cost.Rows, before, log) //nolint:contextcheck // It outlives the call.
	return found, nil
}

// room refuses one more replay, where one is to be begun.
func (j *replayJobs) room(dryRun bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	running := 0
	for _, one := range j.replays {
		if one.state.State == web.StateRunning {
			running++
		}
	}
	if dryRun {
		return nil
	}
	return busy(running, "replays")
}

// find is a replay that is running.
func (j *replayJobs) find(app status.AppName, id string) (*replayJob, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, one := range j.replays {
		if one.app.AppKey == app.AppKey && one.state.ID == id && one.state.State == web.StateRunning {
			return one, true
		}
	}
	return nil, false
}

// begin runs a replay in the background.
func (j *replayJobs) begin(app status.AppName, replay *Replay, expected, before int64, log *slog.Logger) *web.Replay {
	ctx, stop := context.WithCancel(j.ctx)
	job := &replayJob{app: app, replay: replay, stop: stop, done: make(chan struct{}), state: web.Replay{
		ID: replay.ID(), TopicPrefix: replay.cfg.Topics.Prefix, State: web.StateRunning, From: replay.Window().Begin, To: replay.Window().End,
		Started: time.Now().UTC(), Expected: expected, Published: before, Streams: []web.ReplayedStream{},
	}}
	for _, s := range replay.cfg.Streams {
		job.state.Streams = append(job.state.Streams, web.ReplayedStream{Stream: s.String()})
	}
	j.mu.Lock()
	j.replays = append(j.replays, job)
	j.replays = slices.DeleteFunc(j.replays, func(one *replayJob) bool { // A newer run of a replay takes the place of the one before it.
		return one != job && one.state.State != web.StateRunning && (one.state.ID == job.state.ID && one.app == app || len(j.replays) > keptJobs)
	})
	state := copyReplay(&job.state)
	j.mu.Unlock()
	j.running.Go(func() {
		defer close(job.done)
		defer stop()
		defer replay.Close()
		result, err := replay.Run(ctx)
		j.mu.Lock()
		defer j.mu.Unlock()
		job.state.Ended = time.Now().UTC()
		switch {
		case err != nil:
			job.state.State, job.state.Error = web.StateFailed, err.Error()
			log.Error("a replay has failed; the same call goes on with it", slog.String("replay", job.state.ID), slog.Any("error", err))
			return
		case result.Complete:
			job.state.State = web.StateComplete
		default:
			job.state.State = web.StateStopped
		}
		job.state.Published, job.state.Rejected = result.Published, result.Rejected
		job.state.Streams = job.state.Streams[:0]
		for _, s := range result.Streams {
			job.state.Streams = append(job.state.Streams, web.ReplayedStream{Stream: s.Stream, End: s.End.UTC()})
		}
		log.Info("a replay has ended", slog.String("replay", job.state.ID), slog.String("state", job.state.State),
			slog.Int64("published", result.Published))
	})
	return state
}

func copyReplay(r *web.Replay) *web.Replay {
	own := *r
	own.Streams = slices.Clone(r.Streams)
	return &own
}

// progress takes in what a replay commits.
func (j *replayJobs) progress(app status.AppName) pipeline.Observer {
	return func(o pipeline.Observation) {
		c, ok := o.(pipeline.WindowCommitted)
		if !ok {
			return
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, one := range j.replays {
			if one.app != app || one.state.ID != c.Ledger.Replay || one.state.State != web.StateRunning {
				continue
			}
			one.state.Published += c.Ledger.Published
			one.state.Rejected += c.Ledger.Rejected
			for i := range one.state.Streams {
				if s := &one.state.Streams[i]; s.Stream == c.Ledger.Stream.String() {
					s.End = c.Checkpoint.End.UTC()
				}
			}
		}
	}
}

// Stop implements [web.Replays].
func (j *replayJobs) Stop(ctx context.Context, c web.Call, id string) (*web.Replay, error) {
	cfg, log, err := j.process.find(c.App)
	if err != nil {
		return nil, err
	}
	job, running := j.find(c.App, id)
	if !running {
		return nil, fmt.Errorf("%w: this process does not run the replay %q", web.ErrConflict, id)
	}
	job.stop()
	select {
	case <-job.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	n := notice(cfg, &c, actionReplayStop, pipeline.Stream{}, "the replay "+id+" was stopped; the same call goes on with it")
	n.Window, n.Replay = job.replay.Window(), id
	if err = notify(ctx, newReading(cfg, log), &n); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return copyReplay(&job.state), nil
}

// List implements [web.Replays].
func (j *replayJobs) List(app status.AppName) []web.Replay {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := []web.Replay{}
	for _, one := range j.replays {
		if one.app.AppKey == app.AppKey {
			list = append(list, *copyReplay(&one.state))
		}
	}
	return list
}
