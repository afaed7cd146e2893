package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/sink"
)

const auditHelp = `Hold what was published against what the API has now.

The ledger tells how many different rows each stretch of time has; the API is asked for its total of the same stretch, a week
at a time. Where the two differ, the stretch is halved until single windows are left; their rows are read and compared by id
with the records that stand at the ledger's offsets. Time in which nothing was read is named too.

With --repair, rows that are missing are published, each once, marked in the ledger and told in a notice. The live position
does not move, and a running jmpub is not disturbed.

Exit code 4 if anything differs (and was not repaired), or if some of the time was not read.`

const auditExamples = `  jmpub audit --from 7d
  jmpub audit --from '2026-11-01 00:00:00' --to '2026-11-02 00:00:00' --repair`

func newAudit() *cobra.Command {
	var r rangeFlags
	var repair, yes bool
	cmd := &cobra.Command{
		Use: "audit", Short: "Compare what was published with the API's totals", Long: auditHelp, Example: auditExamples, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.check(); err != nil {
				return err
			}
			return withParts(cmd, func(ctx context.Context, p *parts) error {
				return runAudit(ctx, cmd, p, &r, repair, yes)
			})
		},
	}
	r.add(cmd)
	cmd.Flags().BoolVar(&repair, "repair", false, "publish what is missing")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask, however many requests it takes")
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
	Missing  int       `json:"missing"`
	Extra    int64     `json:"extra"`
	Repaired int64     `json:"repaired"`
	Holes    int       `json:"holes"`
}

func runAudit(ctx context.Context, cmd *cobra.Command, p *parts, r *rangeFlags, repair, yes bool) error {
	if err := p.openSource(ctx); err != nil {
		return startError(err)
	}
	now, err := p.source.Now(ctx, p.cfg.streams[0])
	if err != nil {
		return startError(err)
	}
	w, err := r.window(p, now)
	if err != nil {
		return err
	}
	if oldest := now.Add(-historyLength + time.Minute); w.Begin.Before(oldest) {
		fmt.Fprintf(cmd.ErrOrStderr(), "the API holds nothing before %s; the audit begins there\n", pipeline.FormatTime(oldest))
		w.Begin = oldest.Truncate(time.Second)
	}
	records, err := r.ledger(ctx, p, w)
	if err != nil {
		return err
	}
	a := &auditRun{cmd: cmd, p: p, asJSON: r.asJSON, repair: repair}
	a.result.From, a.result.To = w.Begin, w.End
	return a.run(ctx, records, w, yes)
}

// auditRun is one audit.
type auditRun struct {
	cmd            *cobra.Command
	p              *parts
	asJSON, repair bool
	result         auditResult
	// writer and store publish repairs; opened with the first.
	writer *sink.Sink
	store  pipeline.Checkpoints
}

func (a *auditRun) run(ctx context.Context, records []pipeline.Ledger, w pipeline.Window, yes bool) error {
	var chains []pipeline.Chain
	audit := &pipeline.Audit{AppKey: a.p.cfg.source.AppKey, Source: a.p.source, Totals: a.p.source, Archive: a.p.archive}
	cost := 0
	for _, c := range pipeline.Chains(records) {
		// A window that began before what the API holds cannot be compared.
		if rest := c.From(w.Begin); len(rest.Windows) > 0 {
			chains = append(chains, rest)
			cost += audit.Cost(&rest)
		}
	}
	fmt.Fprintf(a.cmd.ErrOrStderr(), "%d requests for totals, and more where something differs\n", cost)
	if cost > manyRequests && !yes && !confirmed(a.cmd) {
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
	view := &ledgerView{out: a.cmd.OutOrStdout(), zone: a.p.cfg.source.TimeZone, asJSON: a.asJSON}
	// What is being read just now is no hole.
	young := w
	if settled := time.Now().Add(-2 * time.Minute); young.End.After(settled) {
		young.End = settled.Truncate(time.Second)
	}
	for _, hole := range holesIn(records, young) {
		a.result.Holes++
		if err := a.tell(hole, "nothing was read of %s from %s to %s\n", hole.Stream, view.local(hole.Begin), view.local(hole.End)); err != nil {
			return err
		}
	}
	return a.end()
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
			fmt.Fprintf(a.cmd.OutOrStdout(), "  missing: msgid %d of %s\n", m.MsgID, m.Time.In(zone).Format(time.DateTime))
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

// open makes a writer of the audit's own: the live one is not fenced.
func (a *auditRun) open(ctx context.Context) error {
	if a.writer != nil {
		return nil
	}
	cfg := a.p.cfg.sink
	cfg.Client, cfg.Retry, cfg.Warn = a.p.conn.Client, a.p.retry, a.p.warn
	if a.p.cfg.exactlyOnce() {
		cfg.TransactionalID = a.p.cfg.group + "-repair-" + a.p.cfg.source.AppKey
	}
	writer, err := sink.New(cfg)
	if err != nil {
		return err
	}
	if err := writer.Open(ctx); err != nil {
		return err
	}
	a.writer = writer
	a.store = checkpoint.NewKafka(a.p.conn.Client, cfg.Prefix+"."+string(pipeline.TopicCheckpoints), a.p.cfg.source.AppKey,
		func() int { return writer.Partitions(pipeline.TopicCheckpoints) }, a.p.retry)
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
	err := a.tell(r, "%d rows in %d windows compared with %d requests: %d missing, %d too many, %d repaired, %d stretches not read\n",
		r.Rows, r.Windows, r.Requests, r.Missing, r.Extra, r.Repaired, r.Holes)
	if err == nil && (int64(r.Missing) > r.Repaired || r.Extra > 0 || r.Holes > 0) {
		return errors.Join(errReported, errIncomplete)
	}
	return err
}

// errIncomplete is what makes the exit code 4.
var errIncomplete = errors.New("what was published differs from what the API has")
