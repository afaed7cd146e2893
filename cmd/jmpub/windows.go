package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/view"
	"github.com/jmpub/jmpub/pipeline/audit"
)

const windowsHelp = `Show the ledger: each committed window with its rows, what became of them, what it took and where it stands in Kafka; sums by
hour or day; and the time in which nothing was read. The last two minutes do not count as such: they may be being read just now.

Windows come in the order in which they were committed.`

const windowsExamples = `  jmpub windows --from 1h
  jmpub windows --from 7d --by day
  jmpub windows --from '2026-11-01 00:00:00' --to '2026-11-02 00:00:00' --stream messages --json`

func newWindows() *cobra.Command {
	var r rangeFlags
	var by string
	cmd := &cobra.Command{
		Use: "windows", Short: "Show what was published when: the ledger", Long: windowsHelp, Example: windowsExamples, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			steps := map[string]time.Duration{"": 0, "hour": time.Hour, "day": 24 * time.Hour}
			every, ok := steps[by]
			if !ok {
				return usage.Errorf("--by: %q is not hour or day", by)
			}
			cfg, log, err := configure(cmd)
			if err != nil {
				return err
			}
			span, err := r.parse(cfg.Source.TimeZone)
			if err != nil {
				return err
			}
			operate.LimitMemory()
			show := &view.Printer{Out: cmd.OutOrStdout(), JSON: r.asJSON, Zone: cfg.Source.TimeZone}
			var holes []audit.Hole
			if every > 0 {
				var sums *audit.Sums
				if sums, holes, err = operate.SumWindows(cmd.Context(), cfg, log, span, every); err == nil {
					err = show.Sums(sums)
				}
			} else if err = show.WindowHeading(); err == nil {
				holes, err = operate.ReadWindows(cmd.Context(), cfg, log, span, show.Window)
			}
			if err != nil {
				return err
			}
			return show.Holes(holes)
		},
	}
	r.add(cmd)
	cmd.Flags().StringVar(&by, "by", "", "sums by hour or day of the app's time zone, instead of windows")
	completeFlag(cmd, "by", cobra.FixedCompletions([]string{"hour", "day"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
