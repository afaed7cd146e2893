package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

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
	var o operate.RunOptions
	cmd := &cobra.Command{
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
			stop := outliveTerminal(cmd.Context(), log)
			defer stop()
			o.Version = buildVersion()
			return operate.Run(cmd.Context(), cfg, log, o)
		},
	}
	cmd.Flags().BoolVar(&o.AcceptLostCheckpoints, "accept-lost-checkpoints", false,
		"go on although checkpoints are lost or older than what was published: what lies between comes again")
	return cmd
}

// outliveTerminal has SIGHUP end nothing, until the function that it returns is called: a supervisor takes a process that SIGHUP has
// ended for one that has ended well.
func outliveTerminal(ctx context.Context, log *slog.Logger) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	ctx, stop = context.WithCancel(ctx)
	go func() {
		defer signal.Stop(hangups)
		for {
			select {
			case <-hangups:
				log.WarnContext(ctx, "SIGHUP changes nothing; SIGTERM ends the run")
			case <-ctx.Done():
				return
			}
		}
	}()
	return stop
}
