package main

import (
	"log/slog"
	"strings"
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
	return configureAs(cmd, func(*settings.Settings) error { return nil })
}

// configureAs lets flags change the settings first.
func configureAs(cmd *cobra.Command, change func(*settings.Settings) error) (*settings.Config, *slog.Logger, error) {
	s, err := settings.Read()
	if err == nil {
		err = change(s)
	}
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

// prefixFlag names the topics of a replay that does not publish to those of JMPUB_TOPIC_PREFIX.
const prefixFlag = "to-topic-prefix"

// toPrefix has the topics of a replay be others.
func toPrefix(s *settings.Settings, prefix string) error {
	if !strings.Contains(s.TopicTemplate, "{prefix}") {
		return usage.Errorf("--%s: the events' topics have no prefix, because JMPUB_TOPIC_TEMPLATE is %q", prefixFlag, s.TopicTemplate)
	}
	s.TopicPrefix = prefix
	return nil
}

// notEmpty refuses flags that were given without a value, as by a script whose variable is not set: what they choose would be something else.
func notEmpty(cmd *cobra.Command, flags ...string) error {
	for _, name := range flags {
		if f := cmd.Flags().Lookup(name); f.Changed && f.Value.String() == "" {
			return usage.Errorf("--%s is empty; leave it out, or give it a value", name)
		}
	}
	return nil
}
