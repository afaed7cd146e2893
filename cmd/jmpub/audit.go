package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/sink"
)

const auditHelp = `Hold what was published against what the API has now.

The ledger tells how many different rows each stretch of time has; the API is asked for its total of the same stretch, hour by
hour (--step). Where the two differ, the stretch is halved until single windows are left; their rows are read and compared by
id with the records that stand at the ledger's offsets, so that each missing row is known with its second. Time in which
nothing was read is named too. A longer step costs fewer requests; but a row that is missing and one that the API has deleted
since cancel out within it.

Where the app has statistics, whole days are compared with those as well (a request a day; --no-statistics leaves it out).
That comparison is a hint: see what it prints.

With --repair, rows that are missing are published, each once, marked in the ledger and told in a notice. The live position
does not move, and a running jmpub is not disturbed. An audit asks at half the configured rate, and leaves a fifth of what the
API still allows to the live run.

Exit code 4 if anything differs (and was not repaired), or if some of the time was not read.`

const auditExamples = `  jmpub audit --from 7d
  jmpub audit --from 60d --step 7d --no-statistics
  jmpub audit --from '2026-11-01 00:00:00' --to '2026-11-02 00:00:00' --repair`

func newAudit() *cobra.Command {
	a := &auditRun{}
	cmd := &cobra.Command{
		Use: "audit", Short: "Compare what was published with the API's totals", Long: auditHelp, Example: auditExamples, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.check(); err != nil {
				return err
			}
			return withParts(cmd, func(ctx context.Context, p *parts) error {
				a.cmd, a.p = cmd, p
				return a.start(ctx)
			})
		},
	}
	a.add(cmd)
	f := cmd.Flags()
	f.StringVar(&a.stepText, "step", "1h", "the longest range that is compared as one, from 1m to 7d")
	f.BoolVar(&a.noStatistics, "no-statistics", false, "do not compare with the API's statistics")
	f.BoolVar(&a.repair, "repair", false, "publish what is missing")
	f.BoolVar(&a.yes, "yes", false, "do not ask, however many requests it takes")
	return cmd
}

// manyRequests is from where on an audit asks before it begins.
const manyRequests = 1000

// auditResult is the end of an audit.
type auditResult struct {
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

// auditRun is one audit.
type auditRun struct {
	rangeFlags

	stepText                  string
	step                      time.Duration
	noStatistics, repair, yes bool

	cmd    *cobra.Command
	p      *parts
	result auditResult
	// now is the API's clock, oldest the first second that it holds.
	now, oldest time.Time
	// writer and store publish repairs; opened with the first.
	writer *sink.Writer
	store  pipeline.Checkpoints
}

// check refuses flags that cannot be.
func (a *auditRun) check() error {
	var err error
	if a.step, err = parseDuration(a.stepText); err != nil || a.step < time.Minute || a.step > pipeline.LongestWindow {
		return usage("--step: %q is not a duration from 1m to 7d", a.stepText)
	}
	return a.rangeFlags.check()
}

// start opens the API and looks what there is to compare.
func (a *auditRun) start(ctx context.Context) error {
	cfg := &a.p.cfg.source
	cfg.Rate.Requests, cfg.Reserve = max(1, cfg.Rate.Requests/2), liveShare
	if err := a.p.openSource(ctx); err != nil {
		return startError(err)
	}
	now, err := a.p.source.Now(ctx, a.p.cfg.contact())
	if err != nil {
		return startError(err)
	}
	w, err := a.window(a.p, now)
	if err != nil {
		return err
	}
	oldest := now.Add(-pipeline.History + time.Minute).Truncate(time.Second)
	if w.Begin.Before(oldest) {
		fmt.Fprintf(a.cmd.ErrOrStderr(), "the API holds nothing before %s; the audit begins there\n", pipeline.FormatTime(oldest))
		w.Begin = oldest
	}
	records, err := a.neighbours(ctx, a.p, w)
	if err != nil {
		return err
	}
	records = slices.DeleteFunc(records, func(l pipeline.Ledger) bool { return l.Stream.Kind == pipeline.StreamStatistics })
	a.result.From, a.result.To = w.Begin, w.End
	a.oldest, a.now = oldest, now
	return a.run(ctx, records, w)
}

// run compares. Windows that lie in the range in part are compared whole.
func (a *auditRun) run(ctx context.Context, records []pipeline.Ledger, w pipeline.Window) error {
	audit := &pipeline.Audit{
		AppKey: a.p.cfg.source.AppKey, Source: a.p.source, Totals: a.p.source, Archive: a.p.archive, Step: a.step,
	}
	var chains []pipeline.Chain
	all, totals := pipeline.Chains(slices.Clone(records)), 0
	for _, c := range all {
		// A window that began before what the API holds cannot be compared.
		c = c.Trim(func(l *pipeline.Ledger) bool { return overlap(l.Window, w) && !l.Begin.Before(a.oldest) })
		if len(c.Windows) > 0 {
			chains = append(chains, c)
			totals += audit.Cost(&c)
		}
	}
	holes := holesIn(records, a.named(a.p), settled(w, time.Now()))
	figures := &figuresAudit{auditRun: a}
	if !a.noStatistics {
		figures.plan(all, holes, w)
	}
	a.announce(totals, len(figures.days))
	if totals > manyRequests && !a.yes && !confirmed(a.cmd) {
		return errNotConfirmed()
	}
	for i := range chains {
		a.result.Windows += len(chains[i].Windows)
		a.result.Rows += chains[i].Rows()
		if err := audit.Check(ctx, &chains[i], func(d *pipeline.Difference) error { return a.found(ctx, d) }); err != nil {
			return err
		}
	}
	a.result.Requests = audit.Asked
	a.result.Holes = len(holes)
	if err := a.view().holes(holes); err != nil {
		return err
	}
	if err := figures.compare(ctx); err != nil {
		return err
	}
	return a.end()
}

// announce tells what the audit takes.
func (a *auditRun) announce(totals, days int) {
	rate := a.p.cfg.source.Rate
	took := time.Duration(float64(totals+days) * rate.Per.Seconds() / float64(rate.Requests) * float64(time.Second))
	fmt.Fprintf(a.cmd.ErrOrStderr(), "%d requests for totals and %d for statistics, at least %s at %s; more where something differs\n",
		totals, days, took.Round(time.Second), rate)
}

func (a *auditRun) view() *ledgerView {
	return &ledgerView{out: a.cmd.OutOrStdout(), zone: a.p.cfg.source.TimeZone, asJSON: a.asJSON}
}

// found tells of a difference, and repairs it if that was asked for.
func (a *auditRun) found(ctx context.Context, d *pipeline.Difference) error {
	a.result.Missing += len(d.Missing)
	a.result.Extra += max(0, d.Extra)
	zone := a.p.cfg.source.TimeZone
	err := a.tell(d, "%s, %s to %s: the API has %d rows, %d are known\n", d.Stream,
		d.Begin.In(zone).Format(time.DateTime), d.End.In(zone).Format(time.DateTime), d.Total, d.Known)
	if err != nil {
		return err
	}
	if !a.asJSON {
		for _, m := range d.Missing {
			fmt.Fprintln(a.cmd.OutOrStdout(), "  missing:", missingText(m, zone))
		}
		for _, id := range d.Gone {
			fmt.Fprintf(a.cmd.OutOrStdout(), "  published, and gone from the API: msgid %d\n", id)
		}
	}
	if !a.repair || d.Batch() == nil {
		return nil
	}
	if err = a.open(ctx); err != nil {
		return err
	}
	closed, err := pipeline.Repair(ctx, a.writer, a.store, d, time.Now())
	if err != nil {
		return err
	}
	a.result.Repaired += closed.Ledger.Published + closed.Ledger.Rejected
	return nil
}

// missingText names a row that is missing.
func missingText(m pipeline.Missing, zone *time.Location) string {
	text := "a row without a msgid"
	if m.MsgID != 0 {
		text = fmt.Sprintf("msgid %d", m.MsgID)
	}
	if !m.Time.IsZero() {
		text += " of " + m.Time.In(zone).Format(time.DateTime)
	}
	return text
}

// open makes a writer of the audit's own: the live one is not fenced.
func (a *auditRun) open(ctx context.Context) error {
	if a.writer != nil {
		return nil
	}
	cfg := a.p.cfg.sink
	if a.p.cfg.exactlyOnce() {
		cfg.TransactionalID = a.p.cfg.group + "-repair-" + a.p.cfg.source.AppKey
	}
	writer, err := sink.NewWriter(a.p.topics, cfg)
	if err != nil {
		return err
	}
	if err := writer.Open(ctx); err != nil {
		return startError(err)
	}
	a.writer = writer
	a.store = checkpoint.NewKafka(a.p.conn.Client, a.p.topics.Routing().Own(pipeline.TopicCheckpoints), a.p.cfg.source.AppKey,
		func() int { return a.p.topics.Partitions(pipeline.TopicCheckpoints) }, a.p.retry)
	return nil
}

// tell prints a finding as a JSON object or as a line.
func (a *auditRun) tell(v any, format string, args ...any) error {
	out := a.cmd.OutOrStdout()
	if a.asJSON {
		return json.NewEncoder(out).Encode(v)
	}
	_, err := fmt.Fprintf(out, format, args...)
	return err
}

func (a *auditRun) end() error {
	r := &a.result
	err := a.tell(r, "%d rows in %d windows compared with %d requests:\n%d missing, %d too many, %d repaired, %s not read\n",
		r.Rows, r.Windows, r.Requests, r.Missing, r.Extra, r.Repaired, counted(r.Holes, "stretch", "stretches"))
	if err == nil && (int64(r.Missing) > r.Repaired || r.Extra > 0 || r.Holes > 0) {
		return errors.Join(errReported, errIncomplete)
	}
	return err
}

// errIncomplete is what makes the exit code 4.
var errIncomplete = errors.New("what was published differs from what the API has")

// counted is a number with its noun.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
