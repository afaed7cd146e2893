package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/settings"
)

const runHelp = `Publish the streams of one app, or of all apps that JMPUB_APPS_FILE names, continuously, from their checkpoints on, until
SIGTERM or Ctrl-C. SIGHUP reads that file again, and so does a change of it.

A window of messages is one Kafka transaction: its events, its ledger record and its checkpoint appear together or not
at all. SIGTERM lets the window that is being committed finish, at most 8 s; a second signal leaves at once. Either way nothing is
lost and nothing is published twice.

Settings are environment variables; ` + "`jmpub config`" + ` shows them.`

const runExamples = `  export JMPUB_APP_KEY=4f7aef34fb361292c566a1cd
  export JMPUB_MASTER_SECRET_FILE=/run/secrets/jmpub
  export JMPUB_KAFKA_BROKERS=kafka-1:9092,kafka-2:9092
  jmpub run

  # Many apps, and a second process that takes over.
  export JMPUB_APPS_FILE=/etc/jmpub/apps.yaml
  jmpub run & JMPUB_LISTEN=127.0.0.1:9465 jmpub run

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
			s, err := settings.Read()
			if err != nil {
				return err
			}
			o.Version = buildVersion()
			if s.AppsFile != "" {
				return runApps(cmd, s, o)
			}
			cfg, log, err := configure(cmd)
			if err != nil {
				return err
			}
			operate.LimitMemory()
			stop := outliveTerminal(cmd.Context(), func() { log.WarnContext(cmd.Context(), "SIGHUP changes nothing; SIGTERM ends the run") })
			defer stop()
			return operate.Run(cmd.Context(), cfg, log, o)
		},
	}
	cmd.Flags().BoolVar(&o.AcceptLostCheckpoints, "accept-lost-checkpoints", false,
		"go on although checkpoints are lost or older than what was published: what lies between comes again")
	return cmd
}

// runApps publishes the apps of JMPUB_APPS_FILE.
func runApps(cmd *cobra.Command, s *settings.Settings, o operate.RunOptions) error {
	file, cfg, err := settings.NewAppsFile(s)
	if err != nil {
		return err
	}
	logs := openLog(cmd, cfg)
	operate.LimitMemory()
	changed := make(chan struct{}, 1)
	stop := outliveTerminal(cmd.Context(), func() {
		select {
		case changed <- struct{}{}:
		default: // It is about to be read.
		}
	})
	defer stop()
	o.Apps = &operate.Apps{
		Path: file.Path(), Load: file.Load, Changed: changed,
		Log: func(app *settings.Config) *slog.Logger {
			return logs.Without(app.Redactor).With(slog.String("app_key", app.Source.AppKey))
		},
	}
	return operate.Run(cmd.Context(), cfg, logs.Without(cfg.Redactor), o)
}

// outliveTerminal has SIGHUP end nothing but call a function, until the function that it returns is called: a supervisor takes a process that
// SIGHUP has ended for one that has ended well.
func outliveTerminal(ctx context.Context, hangUp func()) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	ctx, stop = context.WithCancel(ctx)
	go func() {
		defer signal.Stop(hangups)
		for {
			select {
			case <-hangups:
				hangUp()
			case <-ctx.Done():
				return
			}
		}
	}()
	return stop
}
