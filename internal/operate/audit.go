package operate

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/pipeline"
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
}

// AuditReport is given what an audit finds, as it finds it. An error ends the audit.
type AuditReport interface {
	// Note says what limits the audit.
	Note(text string)
	// Difference is a stretch of time of which another number of rows was published than the API has.
	Difference(d *pipeline.Difference) error
	// Holes are the time in which nothing was read.
	Holes(holes []Hole) error
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
	Repaired           int64 `json:"repaired"`
	Holes              int   `json:"holes"`
}

// Complete tells whether everything is published, and nothing else.
func (r *AuditResult) Complete() bool {
	return int64(r.Missing) <= r.Repaired && r.Extra <= 0 && r.Holes == 0
}

// audit is one audit.
type audit struct {
	opts    *AuditOptions
	compare *pipeline.Audit
	repair  *repair
	result  AuditResult
	// oldest is the first second that the API holds.
	oldest time.Time
}

// Audit compares what was published with what the API has.
func Audit(ctx context.Context, cfg *settings.Config, log *slog.Logger, o AuditOptions) (*AuditResult, error) {
	w := newReading(cfg, log)
	defer w.Close()
	conn, out, err := w.openOutput(ctx)
	if err != nil {
		return nil, err
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
	span, err := o.Range.window(now)
	if err != nil {
		return nil, err
	}
	oldest := now.Add(-settings.HistoryLength + time.Minute).Truncate(time.Second)
	if span.Begin.Before(oldest) {
		o.Report.Note(fmt.Sprintf("the API holds nothing before %s; the audit begins there", pipeline.FormatTime(oldest)))
		span.Begin = oldest
	}
	records, err := o.Range.neighbours(ctx, out.archive, span)
	if err != nil {
		return nil, err
	}
	records = slices.DeleteFunc(records, func(l pipeline.Ledger) bool { return l.Stream.Kind == pipeline.StreamStatistics })
	a := &audit{
		opts: &o, oldest: oldest, result: AuditResult{From: span.Begin, To: span.End},
		compare: &pipeline.Audit{AppKey: src.AppKey, Source: client, Totals: client, Archive: out.archive, Step: o.Step},
		repair:  &repair{cfg: cfg, conn: conn, retry: w.retry, warn: w.warn},
	}
	all := pipeline.Chains(slices.Clone(records))
	holes := holesIn(records, o.Range.expected(cfg), settled(span, time.Now()))
	days := &dayAudit{source: client, archive: out.archive, report: o.Report}
	if o.Statistics {
		days.plan(all, holes, span, now.In(src.TimeZone))
	}
	chains, totals := a.within(all, span)
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

// within are the windows of the chains that overlap the range, and how many totals comparing them takes. A window that lies
// in it only partly is compared whole.
func (a *audit) within(all []pipeline.Chain, w pipeline.Window) (chains []pipeline.Chain, totals int) {
	for _, c := range all {
		// A window that began before what the API holds cannot be compared.
		c = c.Trim(func(l *pipeline.Ledger) bool { return overlap(l.Window, w) && !l.Begin.Before(a.oldest) })
		if len(c.Windows) > 0 {
			chains = append(chains, c)
			totals += a.compare.Cost(&c)
		}
	}
	return chains, totals
}

func (a *audit) compareAll(ctx context.Context, chains []pipeline.Chain) error {
	for i := range chains {
		a.result.Windows += len(chains[i].Windows)
		a.result.Rows += chains[i].Rows()
		if err := a.compare.Check(ctx, &chains[i], func(d *pipeline.Difference) error { return a.found(ctx, d) }); err != nil {
			return err
		}
	}
	return nil
}

// found reports a difference, and repairs it if that was asked for.
func (a *audit) found(ctx context.Context, d *pipeline.Difference) error {
	a.result.Missing += len(d.Missing)
	a.result.Extra += max(0, d.Extra)
	if err := a.opts.Report.Difference(d); err != nil {
		return err
	}
	if !a.opts.Repair || d.Batch() == nil {
		return nil
	}
	rows, err := a.repair.publish(ctx, d)
	a.result.Repaired += rows
	return err
}
