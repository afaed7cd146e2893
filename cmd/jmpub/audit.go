package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/view"
	"github.com/jmpub/jmpub/pipeline"
)

const auditHelp = `Compare what was published with what the API has now.

The ledger says how many different rows each stretch of time has; the API is asked for its total of the same stretch, hour by
hour (--step). Where the two differ, the stretch is halved until single windows are left; their rows are read and compared by
id with the records that stand at the ledger's offsets, so that each missing row is known with its second. Time in which
nothing was read is named too. A longer step costs fewer requests; but a row that is missing and one that the API has deleted
since cancel out within it.

Where the app has statistics, whole days are compared with those as well (a request a day; --no-statistics leaves it out).
That comparison is a hint: see what it prints.

With --repair, rows that are missing are published, each once, marked in the ledger and announced in a notice. The live position
does not move, and a running jmpub waits for a moment and goes on. An audit asks at half the configured rate, and leaves a fifth of what the
API still allows to the live run.

Exit code 4 if anything differs (and was not repaired), or if some of the time was not read.`

const auditExamples = `  jmpub audit --from 7d
  jmpub audit --from 60d --step 7d --no-statistics
  jmpub audit --from '2026-11-01 00:00:00' --to '2026-11-02 00:00:00' --repair`

type auditFlags struct {
	span                      rangeFlags
	step                      string
	noStatistics, repair, yes bool
}

func newAudit() *cobra.Command {
	var a auditFlags
	cmd := &cobra.Command{
		Use: "audit", Short: "Compare what was published with the API's totals", Long: auditHelp, Example: auditExamples, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.run(cmd) },
	}
	a.span.add(cmd)
	f := cmd.Flags()
	f.StringVar(&a.step, "step", "1h", "the longest range that is compared as one, from 1m to 7d")
	f.BoolVar(&a.noStatistics, "no-statistics", false, "do not compare with the API's statistics")
	f.BoolVar(&a.repair, "repair", false, "publish what is missing")
	f.BoolVar(&a.yes, "yes", false, "do not ask, however many requests it takes")
	return cmd
}

func (a *auditFlags) run(cmd *cobra.Command) error {
	step, err := settings.ParseDuration(a.step)
	if err != nil || step < time.Minute || step > pipeline.LongestWindow {
		return usage.Errorf("--step: %q is not a duration from 1m to 7d", a.step)
	}
	cfg, log, err := configure(cmd)
	if err != nil {
		return err
	}
	operate.LimitMemory()
	report := &view.AuditReport{
		Printer: &view.Printer{Out: cmd.OutOrStdout(), JSON: a.span.asJSON, Zone: cfg.Source.TimeZone},
		Notes:   cmd.ErrOrStderr(),
	}
	o := operate.AuditOptions{
		Step: step, Statistics: !a.noStatistics, Repair: a.repair, Report: report,
		Confirm: func(cost operate.AuditCost) bool {
			report.Cost(&cost)
			return !cost.Many() || a.yes || view.Ask(cmd.Context(), cmd.InOrStdin(), cmd.ErrOrStderr())
		},
	}
	if o.Range, err = a.span.parse(cfg.Source.TimeZone); err != nil {
		return err
	}
	result, err := operate.Audit(cmd.Context(), cfg, log, o)
	if err != nil {
		return err
	}
	if err = report.Result(result); err == nil && !result.Complete() {
		return errors.Join(errReported, errIncomplete)
	}
	return err
}

// errIncomplete is what makes the exit code 4.
var errIncomplete = errors.New("what was published differs from what the API has")
