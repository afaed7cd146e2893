package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/view"
)

const appsHelp = `Show each app of the processes that share JMPUB_GROUP and JMPUB_TOPIC_PREFIX: its state, up to when it is published, how
far behind that is, the requests of the last minute and how many the API still allows, which process has it, and its last error. Below stand the processes.

Those come first that are failed, silent (their process has not been heard of for 30 s) or nobody's (the settings name them, and no process has
them), then the ones that are furthest behind. Each process tells its state every 10 s, in the topic <prefix>.processes.`

const appsExamples = `  jmpub apps
  jmpub apps --json | jq -r 'select(.state != "publishing") | .app_key'`

func newApps() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "apps", Short: "Show who publishes which app, and how far", Long: appsHelp, Example: appsExamples, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := settings.Read()
			if err != nil {
				return err
			}
			file, cfg, err := s.Shared()
			if err != nil {
				return err
			}
			found, err := operate.Fleet(cmd.Context(), cfg, file, openLog(cmd, cfg).Without(cfg.Redactor))
			if err != nil {
				return err
			}
			show := &view.Printer{Out: cmd.OutOrStdout(), JSON: asJSON, Zone: cfg.Source.TimeZone}
			return show.Fleet(found, cfg.Topics.Prefix, time.Now())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object a line, one for each app")
	return cmd
}
