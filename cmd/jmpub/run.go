package main

import (
	"log/slog"
	"math"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/pipeline"
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
			s, err := readSettings()
			if err != nil {
				return err
			}
			cfg, err := s.parse()
			if err != nil {
				return err
			}
			limitMemory(cfg.parallel)
			ctx := cmd.Context()
			log := newLogger(cmd.ErrOrStderr(), cfg.logLevel, cfg.logFormat)
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
				slog.String("version", buildVersion()), slog.String("app_key", cfg.source.AppKey),
				slog.Any("streams", cfg.selected()), slog.String("delivery", cfg.delivery()),
				slog.String("api", cfg.source.BaseURL), slog.Any("brokers", cfg.kafka.Brokers),
			}
			if a.listener != nil {
				attrs = append(attrs, slog.String("status", "http://"+a.listener.Addr().String()))
			}
			log.InfoContext(ctx, "publishing", attrs...)
			if overlapping(cfg) {
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

func streamNames(streams []pipeline.Stream) []string {
	names := make([]string, len(streams))
	for i, s := range streams {
		names[i] = s.String()
	}
	return names
}

// overlapping tells whether a message can stand in more than one of the streams: a single chat stands with both of its users,
// and a user's messages to a group stand with the group too.
func overlapping(cfg *config) bool {
	kinds := make(map[pipeline.StreamKind]int)
	for _, s := range cfg.streams {
		kinds[s.Kind]++
	}
	const many = 2
	for _, kind := range cfg.discover {
		kinds[kind] += many
	}
	return kinds[pipeline.StreamUsers] > 1 ||
		kinds[pipeline.StreamUsers] > 0 && kinds[pipeline.StreamGroups]+kinds[pipeline.StreamChatrooms] > 0
}
