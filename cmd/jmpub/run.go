package main

import (
	"log/slog"
	"math"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/settings"
)

const runHelp = `Publish the streams of one app continuously, from their checkpoints on, until SIGTERM or Ctrl-C.

A window of messages is one Kafka transaction: its events, its ledger record and its checkpoint appear together or not
at all. SIGTERM lets the window in flight finish, at most 10 s; a second signal leaves at once. Either way nothing is
lost and nothing is published twice.

Settings are environment variables; ` + "`jmpub config`" + ` shows them.`

const runExamples = `  export JMPUB_APP_KEY=4f7aef34fb361292c566a1cd
  export JMPUB_MASTER_SECRET_FILE=/run/secrets/jmpub
  export JMPUB_KAFKA_BROKERS=kafka-1:9092,kafka-2:9092
  jmpub run

  # Only two groups and a room, from the first of November on.
  JMPUB_STREAMS=groups/10055201,groups/10055202,chatrooms/15296728 JMPUB_START='2026-11-01 00:00:00' jmpub run`

func newRun() *cobra.Command {
	return &cobra.Command{
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
			cfg, err := s.Parse()
			if err != nil {
				return err
			}
			limitMemory(cfg.Parallel)
			ctx := cmd.Context()
			log := newLogger(cmd.ErrOrStderr(), cfg.LogLevel, cfg.LogFormat)
			a, err := newApp(ctx, cfg, log)
			switch {
			case err != nil && ctx.Err() != nil:
				log.InfoContext(ctx, "stopped before anything was read")
				return nil
			case err != nil:
				return err
			}
			defer a.Close()
			attrs := []any{
				slog.String("version", buildVersion()), slog.String("app_key", cfg.Source.AppKey),
				slog.Any("streams", cfg.Selected()), slog.String("delivery", cfg.Delivery()),
				slog.String("api", cfg.Source.BaseURL), slog.Any("brokers", cfg.Kafka.Brokers),
			}
			if a.listener != nil {
				attrs = append(attrs, slog.String("status", "http://"+a.listener.Addr().String()))
			}
			log.InfoContext(ctx, "publishing", attrs...)
			if cfg.StreamsOverlap() {
				log.WarnContext(ctx, "several streams can bring the same message; each publishes it once. "+
					"Tell them apart by the header jmpub_stream, or drop what repeats by msgid")
			}
			if err := a.Run(ctx); err != nil {
				return err
			}
			log.InfoContext(ctx, "stopped")
			return nil
		},
	}
}

// softMemory is where the garbage collector begins to work harder. What jmpub holds is bounded well below it; without the
// limit, a catch-up at full speed leaves garbage beyond 128 MiB.
const (
	softMemory     = 64 << 20
	parallelMemory = 12 << 20 // For each window that may be fetched at the same time.
)

// limitMemory sets the limit, unless the operator has set one by GOMEMLIMIT.
func limitMemory(parallel int) {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(softMemory + int64(parallel)*parallelMemory)
	}
}
