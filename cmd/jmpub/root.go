package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/usage"
)

const rootHelp = `jmpub publishes the message history of JMessage apps to Kafka.

It pages the IM REST Report V2 API, turns every message into an event keyed by its msgid, and publishes it to one
Kafka topic per target_type, exactly once, from a checkpointed end_time.

Settings are environment variables (JMPUB_...); ` + "`jmpub config`" + ` shows them all with their values.

Exit codes: 0 done, 1 failed, 2 wrong use or settings, 3 another process took over, 4 data
incomplete (audit), 130 interrupted, 141 nobody reads the output.`

const rootExamples = `  # See it work: simulated API, embedded broker and pipeline in one process, no settings.
  jmpub demo

  # The real thing.
  export JMPUB_APP_KEY=... JMPUB_MASTER_SECRET_FILE=/run/secrets/jmpub JMPUB_KAFKA_BROKERS=kafka-1:9092
  jmpub run`

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "jmpub",
		Short:         "Publish JMessage history to Kafka",
		Long:          rootHelp,
		Example:       rootExamples,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage.Errorf("%q is no command; see `jmpub --help`", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage.Errorf("%w; see `%s --help`", err, cmd.CommandPath())
	})
	root.AddCommand(newDemo(), newRun(), newReplay(), newCheckpoint(), newWindows(), newAudit(), newSim(), newBroker(), newConfig(), newVersion())
	return root
}

// noArgs refuses arguments with the exit code of wrong use.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args)
	}
	return nil
}
