package operate

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"time"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/web"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

type auditJob struct {
	app status.AppName
	// state is guarded by the jobs' lock.
	state web.Audit
}

// Start implements [web.Audits].
func (j *auditJobs) Start(ctx context.Context, c web.Call, r web.AuditRequest) (*web.AuditAnswer, error) {
	cfg, log, err := j.process.find(c.App)
	if err != nil {
		return nil, err
	}
	job := &auditJob{app: c.App, state: web.Audit{
		ID: rand.Text(), State: web.StateRunning, Repair: r.Repair, Started: time.Now().UTC(), Notes: []string{},
		Differences: []web.AuditDifference{}, Holes: []web.AuditHole{},
	}}
	o := AuditOptions{Step: time.Hour, Statistics: false, Repair: r.Repair, Report: &auditReport{j.jobs, job}, Observer: j.asked(job)}
	if o.Range.Span, err = parseRange(r.From, r.To, cfg); err != nil {
		return nil, err
	}
	for _, name := range r.Streams {
		s, wrong := pipeline.ParseStream(name)
		if wrong != nil {
			return nil, usage.Errorf("streams: %w", wrong)
		}
		o.Range.Streams = append(o.Range.Streams, s)
	}
	if !r.DryRun {
		if err = j.take(job); err != nil {
			return nil, err
		}
	}
	return j.run(ctx, &c, r, o, job, cfg, log)
}

// take keeps a place for an audit.
func (j *auditJobs) take(job *auditJob) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	running := 0
	for _, one := range j.audits {
		if one.state.State == web.StateRunning {
			running++
		}
	}
	if err := busy(running, "audits"); err != nil {
		return err
	}
	j.audits = append(j.audits, job)
	j.audits = slices.DeleteFunc(j.audits, func(one *auditJob) bool { return one.state.State != web.StateRunning && len(j.audits) > keptJobs })
	return nil
}

// run begins an audit in the background, and returns when it is known what it takes, or has failed.
func (j *auditJobs) run(
	ctx context.Context, c *web.Call, r web.AuditRequest, o AuditOptions, job *auditJob, cfg *settings.Config, log *slog.Logger,
) (*web.AuditAnswer, error) {
	found := &web.AuditAnswer{DryRun: r.DryRun}
	known, failed := make(chan error, 1), make(chan error, 1)
	o.Confirm = func(cost AuditCost) bool {
		found.Requests, found.Seconds = cost.Totals+cost.Days, cost.Took().Seconds()
		if r.DryRun {
			known <- nil
			return false
		}
		n := notice(cfg, c, actionAudit, pipeline.Stream{}, "an audit was begun"+map[bool]string{true: ", which publishes what is missing"}[r.Repair])
		err := notify(ctx, newReading(cfg, log), &n)
		if err == nil {
			j.mu.Lock()
			job.state.Requests, found.ID = found.Requests, job.state.ID
			j.mu.Unlock()
		}
		known <- err
		return err == nil
	}
	j.running.Go(func() {
		result, err := Audit(j.ctx, cfg, log, o)
		j.end(job, result, err, log)
		failed <- err
	})
	select {
	case err := <-known:
		return found, err
	case err := <-failed:
		select {
		case err = <-known: // Both have happened.
		default:
		}
		return found, err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// end takes in how an audit ended.
func (j *auditJobs) end(job *auditJob, r *AuditResult, err error, log *slog.Logger) {
	j.mu.Lock()
	defer j.mu.Unlock()
	job.state.Ended = time.Now().UTC()
	switch {
	case j.ctx.Err() != nil:
		job.state.State = web.StateStopped
	case err != nil:
		job.state.State, job.state.Error = web.StateFailed, err.Error()
	default:
		job.state.State = web.StateComplete
		job.state.Result = &web.AuditResult{
			Complete: r.Complete(), Windows: r.Windows, Rows: r.Rows, Missing: r.Missing, Extra: r.Extra, Deleted: r.Deleted,
			Repaired: r.Repaired, RepairedByOthers: r.RepairedByOthers, Holes: r.Holes,
		}
		log.Info("an audit has ended", slog.Bool("complete", r.Complete()), slog.Int("missing", r.Missing), slog.Int64("repaired", r.Repaired),
			slog.Int("holes", r.Holes))
	}
}

// asked counts the requests of an audit.
func (j *auditJobs) asked(job *auditJob) pipeline.Observer {
	return func(o pipeline.Observation) {
		if _, is := o.(pipeline.RequestAnswered); is {
			j.mu.Lock()
			defer j.mu.Unlock()
			job.state.Asked++
		}
	}
}

// Audit implements [web.Audits].
func (j *auditJobs) Audit(app status.AppName, id string) (*web.Audit, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, one := range j.audits {
		if one.app.AppKey == app.AppKey && one.state.ID == id {
			own := one.state
			own.Notes, own.Differences, own.Holes = slices.Clone(own.Notes), slices.Clone(own.Differences), slices.Clone(own.Holes)
			return &own, true
		}
	}
	return nil, false
}

// auditReport keeps the first findings of an audit.
type auditReport struct {
	jobs *jobs
	job  *auditJob
}

// Note implements [AuditReport].
func (r *auditReport) Note(text string) {
	r.jobs.mu.Lock()
	defer r.jobs.mu.Unlock()
	keepFinding(&r.job.state, &r.job.state.Notes, text)
}

// keepFinding keeps a finding, or counts it.
func keepFinding[T any](a *web.Audit, list *[]T, one T) {
	if len(*list) == maxFindings {
		a.LeftOut++
		return
	}
	*list = append(*list, one)
}

// Difference implements [AuditReport].
func (r *auditReport) Difference(d *audit.Difference) error {
	r.jobs.mu.Lock()
	defer r.jobs.mu.Unlock()
	keepFinding(&r.job.state, &r.job.state.Differences, web.AuditDifference{
		Stream: d.Stream.String(), Window: d.Window, Missing: len(d.Missing), Extra: max(0, d.Extra), Deleted: d.Deleted,
	})
	return nil
}

// Holes implements [AuditReport].
func (r *auditReport) Holes(holes []audit.Hole) error {
	r.jobs.mu.Lock()
	defer r.jobs.mu.Unlock()
	for _, h := range holes {
		keepFinding(&r.job.state, &r.job.state.Holes, web.AuditHole{Stream: h.Stream, Window: h.Window})
	}
	return nil
}

// Statistics implements [AuditReport].
func (*auditReport) Statistics([]DayCounts) error { return nil }
