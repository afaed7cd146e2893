package main

import (
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/view"
	"github.com/jmpub/jmpub/pipeline"
)

// configure reads the settings, and makes the log that they ask for.
func configure(cmd *cobra.Command) (*settings.Config, *slog.Logger, error) {
	s, err := settings.Read()
	if err != nil {
		return nil, nil, err
	}
	cfg, err := s.Parse()
	if err != nil {
		return nil, nil, err
	}
	log := view.NewLogger(cmd.ErrOrStderr(), cfg.LogLevel, cfg.LogFormat, cfg.Redactor)
	view.TakeLibraryLogs(log)
	for _, w := range cfg.Warnings {
		log.Warn("a setting is unsafe", slog.String("setting", w.Setting), slog.String("detail", w.Detail), slog.String("hint", w.Hint))
	}
	return cfg, log, nil
}

// rangeFlags are the flags of commands that look at a range of time.
type rangeFlags struct {
	from, to string
	streams  []string
	asJSON   bool
}

func (r *rangeFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.from, "from", "24h", "begin: RFC 3339, a local time in the app's zone, or how long ago (36h, 7d)")
	f.StringVar(&r.to, "to", "0s", "end, in the same forms")
	f.StringSliceVar(&r.streams, "stream", nil, "stream to look at, repeatable; default all")
	f.BoolVar(&r.asJSON, "json", false, "print a JSON object a line")
	completeFlag(cmd, "stream", completeStreams)
}

// parse is the range that the flags name, in a time zone.
func (r *rangeFlags) parse(zone *time.Location) (operate.Range, error) {
	var parsed operate.Range
	for _, name := range r.streams {
		s, err := pipeline.ParseStream(name)
		if err != nil {
			return parsed, usage.Errorf("--stream: %w", err)
		}
		parsed.Streams = append(parsed.Streams, s)
	}
	var err error
	parsed.Span, err = parseSpan(r.from, r.to, zone)
	return parsed, err
}

// parseSpan is what the flags --from and --to name, in a time zone.
func parseSpan(from, to string, zone *time.Location) (span operate.Span, err error) {
	if span.From, err = settings.ParseMoment("--from", from, zone); err != nil {
		return span, err
	}
	span.To, err = settings.ParseMoment("--to", to, zone)
	return span, err
}
