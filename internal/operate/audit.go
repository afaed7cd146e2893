package operate

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
	"github.com/jmpub/jmpub/source"
)

// AuditOptions say what is compared.
type AuditOptions struct {
	Range Range
	// Step is the longest range that is compared as one.
	Step time.Duration
	// Statistics compares whole days with the API's statistics too.
	Statistics bool
	// Repair publishes what is missing.
	Repair bool
	// Confirm says what the audit takes, and whether to go on.
	Confirm func(AuditCost) bool
	Report  AuditReport
	// Observer learns what happens; may be nil.
	Observer pipeline.Observer
}

// AuditReport is given what an audit finds, as it finds it. An error ends the audit.
type AuditReport interface {
	// Note says what limits the audit.
	Note(text string)
	// Difference is a stretch of time of which another number of rows was published than the API has.
	Difference(d *audit.Difference) error
	// Holes are the time in which nothing was read.
	Holes(holes []audit.Hole) error
	// Statistics are the days that were compared.
	Statistics(days []DayCounts) error
}

// AuditCost is what an audit takes at least.
type AuditCost struct {
	// Totals and Days are its requests for totals and for statistics.
	Totals, Days int
	Rate         source.Rate
}

// manyRequests is from where on an audit is better confirmed.
const manyRequests = 1000

// Many tells whether the audit is better confirmed.
func (c *AuditCost) Many() bool { return c.Totals > manyRequests }

// Took is the least time.
func (c *AuditCost) Took() time.Duration {
	return time.Duration(float64(c.Totals+c.Days) * c.Rate.Per.Seconds() / float64(c.Rate.Requests) * float64(time.Second))
}

// AuditResult is the end of an audit.
type AuditResult struct {
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Windows  int       `json:"windows"`
	Rows     int64     `json:"rows"`
	Requests int       `json:"requests"`
	// StatisticsRequests are those for statistics.
	StatisticsRequests int   `json:"statistics_requests"`
	Missing            int   `json:"missing"`
	Extra              int64 `json:"extra"`
	// Deleted are published records that Kafka does not have any more, so that their time cannot be compared.
	Deleted int64 `json:"deleted"`
	// Repaired are missing rows that were published now, RepairedByOthers those that another command or the run published between
	// the comparison and that.
	Repaired         int64 `json:"repaired"`
	RepairedByOthers int64 `json:"repaired_by_others"`
	Holes            int   `json:"holes"`
}

// Complete tells whether everything is published, and nothing else.
func (r *AuditResult) Complete() bool {
	return int64(r.Missing) <= r.Repaired+r.RepairedByOthers && r.Extra <= 0 && r.Deleted == 0 && r.Holes == 0
}

type auditing struct {
	opts    *AuditOptions
	compare *audit.Audit
	repair  *repair
	result  AuditResult
	// oldest is the first second that the API holds.
	oldest time.Time
}

// Audit compares what was published with what the API has.
func Audit(ctx context.Context, cfg *settings.Config, log *slog.Logger, o AuditOptions) (*AuditResult, error) {
	w := newReading(cfg, log, o.Observer)
	defer w.Close()
	out, err := w.openOutput(ctx)
	if err != nil {
		return nil, err
	}
	if o.Repair {
		if err = w.checkWrite(ctx, out); err != nil {
			return nil, err
		}
	}
	src := cfg.Source
	src.Rate.Requests, src.Reserve = max(1, src.Rate.Requests/2), liveShare
	client, err := w.openSource(ctx, src)
	if err != nil {
		return nil, err
	}
	now, err := client.Now(ctx, cfg.Contact())
	if err != nil {
		return nil, startError(err)
	}
	span, err := o.Range.window(cfg, now)
	if err != nil {
		return nil, err
	}
	oldest := now.Add(-pipeline.History + time.Minute).Truncate(time.Second)
	if span.Begin.Before(oldest) {
		o.Report.Note(fmt.Sprintf("the API holds nothing before %s; the audit begins there", cfg.Time(oldest)))
		span.Begin = oldest
	}
	a := &auditing{
		opts: &o, oldest: oldest, result: AuditResult{From: span.Begin, To: span.End},
		compare: &audit.Audit{
			AppKey: src.AppKey, Totals: client, Archive: out.archive, Step: o.Step,
			Rows: &pipeline.RowReader{Source: client, Retry: w.retry, Observer: w.observer},
		},
		repair: &repair{exclusive: w.exclusive(out, "audit --repair"), archive: out.archive},
	}
	lineage, coverage, err := a.readLedger(ctx, span)
	if err != nil {
		return nil, err
	}
	holes := coverage.Holes(o.Range.expected(cfg), audit.Settled(span, now))
	days := &dayAudit{source: client, report: o.Report, lineage: lineage, counter: dailyCounter(cfg, out)}
	if o.Statistics {
		days.plan(holes, span, now.In(src.TimeZone))
	}
	chains, totals := a.within(lineage, span)
	if !o.Confirm(AuditCost{Totals: totals, Days: len(days.days), Rate: src.Rate}) {
		return nil, errNotConfirmed()
	}
	if err = a.compareAll(ctx, chains); err != nil {
		return nil, err
	}
	a.result.Requests, a.result.Holes = a.compare.Asked, len(holes)
	if err = o.Report.Holes(holes); err != nil {
		return nil, err
	}
	err = days.compare(ctx)
	a.result.StatisticsRequests = days.requests
	return &a.result, err
}

// readLedger reads what windows have time in common with a range, and their lineage.
func (a *auditing) readLedger(ctx context.Context, span pipeline.Window) (*audit.Lineage, *audit.Coverage, error) {
	lineage, coverage := &audit.Lineage{}, &audit.Coverage{}
	var err error
	q := audit.Query{Streams: a.opts.Range.Streams, Since: span.Begin}
	a.compare.Since = span.Begin
	a.compare.Frontier, err = a.compare.Archive.Ledger(ctx, q, func(l *pipeline.Ledger, at audit.Place) error {
		lineage.Add(l, at)
		if overlap(l.Window, span) {
			coverage.Add(l)
		}
		return nil
	})
	return lineage, coverage, err
}

// overlap tells whether two windows have time in common.
func overlap(l, w pipeline.Window) bool { return l.End.After(w.Begin) && l.Begin.Before(w.End) }

// within are the windows of the chains that overlap the range, and how many totals comparing them takes. A window that lies
// in it only partly is compared whole.
func (a *auditing) within(lineage *audit.Lineage, w pipeline.Window) (chains []audit.Chain, totals int) {
	chains = lineage.Chains(func(_ pipeline.Stream, l pipeline.Window) bool {
		return overlap(l, w) && !l.Begin.Before(a.oldest) // One that began before what the API holds cannot be compared.
	})
	for i := range chains {
		totals += a.compare.Cost(&chains[i])
	}
	return chains, totals
}

func (a *auditing) compareAll(ctx context.Context, chains []audit.Chain) error {
	for i := range chains {
		a.result.Windows += chains[i].Len()
		a.result.Rows += chains[i].Rows()
		if err := a.compare.Check(ctx, &chains[i], func(d *audit.Difference) error { return a.found(ctx, d) }); err != nil {
			return err
		}
	}
	err := a.repair.flush(ctx)
	a.result.Repaired, a.result.RepairedByOthers = a.repair.published, a.repair.others
	return err
}

// found reports a difference, and has it repaired if that was asked for.
func (a *auditing) found(ctx context.Context, d *audit.Difference) error {
	a.result.Missing += len(d.Missing)
	a.result.Extra += max(0, d.Extra)
	a.result.Deleted += d.Deleted
	if err := a.opts.Report.Difference(d); err != nil {
		return err
	}
	if !a.opts.Repair || !d.Repairable() {
		return nil
	}
	return a.repair.add(ctx, d)
}
