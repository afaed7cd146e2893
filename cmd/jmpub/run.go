package main

import (
	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/operate"
)

const runHelp = `Publish the streams of one app continuously, from their checkpoints on, until SIGTERM or Ctrl-C.

A window of messages is one Kafka transaction: its events, its ledger record and its checkpoint appear together or not
at all. SIGTERM lets the window that is being committed finish, at most 8 s; a second signal leaves at once. Either way nothing is
lost and nothing is published twice.

Settings are environment variables; ` + "`jmpub config`" + ` shows them.`

const runExamples = `  export JMPUB_APP_KEY=4f7aef34fb361292c566a1cd
  export JMPUB_MASTER_SECRET_FILE=/run/secrets/jmpub
  export JMPUB_KAFKA_BROKERS=kafka-1:9092,kafka-2:9092
  jmpub run

  # Only two groups and a room, from the first of November on.
  JMPUB_STREAMS=groups/10055201,groups/10055202,chatrooms/15296728 \
    JMPUB_START='2026-11-01 00:00:00' jmpub run`

func newRun() *cobra.Command {
	return &cobra.Command{
		Use:     "run",
		Short:   "Publish continuously",
		Long:    runHelp,
		Example: runExamples,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, log, err := configure(cmd)
			if err != nil {
				return err
			}
			limitPublishing(cfg.Parallel)
			return operate.Run(cmd.Context(), cfg, log, buildVersion())
		},
	}
}
