package operate

import (
	"context"
	"log/slog"

	"github.com/jmpub/jmpub/internal/settings"
)

// RunOptions are what is decided anew with each start.
type RunOptions struct {
	Version string
	// AcceptLostCheckpoints goes on although checkpoints are lost, or older than what was published.
	AcceptLostCheckpoints bool
}

// Run publishes one app's streams until ctx is done, and says in the log what it does. It is no error to be stopped before
// anything was read.
func Run(ctx context.Context, cfg *settings.Config, log *slog.Logger, o RunOptions) error {
	live, err := NewLive(ctx, cfg, log, o.Version)
	switch {
	case err != nil && ctx.Err() != nil:
		log.InfoContext(ctx, "stopped before anything was read")
		return nil
	case err != nil:
		return err
	}
	defer live.Close()
	if o.AcceptLostCheckpoints {
		live.AcceptLostCheckpoints()
		log.WarnContext(ctx, "checkpoints that are lost are accepted", slog.String("hint", "leave --accept-lost-checkpoints out of the next start"))
	}
	attrs := []slog.Attr{
		slog.String("version", o.Version), slog.String("app_key", cfg.Source.AppKey),
		slog.Any("streams", cfg.Selected()), slog.String("delivery", cfg.Delivery()),
		slog.String("api", cfg.Source.BaseURL), slog.Any("brokers", cfg.Kafka.Brokers),
	}
	if url := live.StatusURL(); url != "" {
		attrs = append(attrs, slog.String("status", url))
	}
	log.LogAttrs(ctx, slog.LevelInfo, "publishing", attrs...)
	if cfg.StreamsOverlap() {
		log.WarnContext(ctx, "several streams can bring the same message; each publishes it once. "+
			"Tell them apart by the header jmpub_stream, or drop what repeats by msgid")
	}
	if err := live.Run(ctx); err != nil {
		return err
	}
	log.InfoContext(ctx, "stopped")
	return nil
}
