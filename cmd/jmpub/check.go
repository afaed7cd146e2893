package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/view"
)

const checkHelp = `Look at everything that jmpub run needs, and say what is wrong and what to do about it: the settings, the API, its clock against this
machine's, the credentials, the quota, the time zone, each stream, each broker with its release, TLS and login, each topic, each right, a
transaction, the consumer group, the schema registry, and the releases of the other processes.

Nothing is changed: no topic is made, no schema is registered, and nobody who publishes is disturbed. One record is written in a transaction of
its own and aborted, where the topics are there. Every wait has an end, a minute at most; of many apps each is asked once, all of them together
at JMPUB_API_RATE.

✓ is fine, ! a warning, ✗ an error, and - was not checked. Exit code 1 if there is an error, 0 otherwise, and 2 for settings that are wrong
by themselves.`

const checkExamples = `  jmpub check
  jmpub check --app 4f7aef34fb361292c566a1cd
  jmpub check --json | jq -r '.findings[] | select(.level == "error") | .subject + ": " + .text'
  jmpub check && jmpub run`

func newCheck() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "check", Short: "Look at everything that run needs", Long: checkHelp, Example: checkExamples, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, apps, err := checkedApps(cmd)
			if err != nil {
				return err
			}
			view.TakeLibraryLogs(slog.New(slog.DiscardHandler))
			list := &view.Checklist{Out: cmd.OutOrStdout(), Many: len(apps) > 1}
			if asJSON {
				list.Out = io.Discard
			}
			report := operate.Check(cmd.Context(), cfg, operate.CheckOptions{Version: buildVersion(), Apps: apps, Told: list.Show})
			if err = cmd.Context().Err(); err != nil {
				return fmt.Errorf("check: %w", err)
			}
			if err = list.Summary(report); err == nil && asJSON {
				show := &view.Printer{Out: cmd.OutOrStdout(), JSON: true}
				err = show.Document(report, nil)
			}
			if err == nil && !report.OK {
				return errReported
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object, with all findings")
	return cmd
}

// checkedApps are the apps that a check is about, and what they have in common.
func checkedApps(cmd *cobra.Command) (common *settings.Config, apps []*settings.Config, err error) {
	s, err := settings.Read()
	if err != nil {
		return nil, nil, err
	}
	if s.AppsFile == "" || cmd.Flags().Changed(appFlag) {
		if s, err = readApp(cmd); err != nil {
			return nil, nil, err
		}
		common, err = s.Parse()
		return common, []*settings.Config{common}, err
	}
	file, common, err := settings.NewAppsFile(s)
	if err != nil {
		return nil, nil, err
	}
	apps, err = file.Load()
	return common, apps, err
}
