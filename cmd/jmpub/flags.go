package main

import (
	"fmt"
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
	s, err := readApp(cmd)
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
	return cfg, openLog(cmd, cfg).Without(cfg.Redactor), nil
}

// openLog makes the log that the settings ask for, and says there what is unsafe about them.
func openLog(cmd *cobra.Command, cfg *settings.Config) *view.Logs {
	logs := view.NewLogs(cmd.ErrOrStderr(), cfg.LogLevel, cfg.LogFormat)
	log := logs.Without(cfg.Redactor)
	view.TakeLibraryLogs(log)
	for _, w := range cfg.Warnings {
		log.Warn("a setting is unsafe", slog.String("setting", w.Setting), slog.String("detail", w.Detail), slog.String("hint", w.Hint))
	}
	return logs
}

// appFlag names one of the apps of JMPUB_APPS_FILE.
const appFlag = "app"

// addApp lets a command that is about one app be told which.
func addApp(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().String(appFlag, "", "the app key, where JMPUB_APPS_FILE names several apps")
	completeFlag(cmd, appFlag, completeApps)
	return cmd
}

// readApp reads the settings of the app that a command is about.
func readApp(cmd *cobra.Command) (*settings.Settings, error) {
	s, err := settings.Read()
	if err != nil {
		return nil, err
	}
	key := ""
	if f := cmd.Flags().Lookup(appFlag); f != nil {
		if err = notEmpty(cmd, appFlag); err != nil {
			return nil, err
		}
		key = f.Value.String()
	}
	return s.OfApp(key)
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

// confirmation says what is about to happen and, without --yes, asks whether to go on.
func confirmation(cmd *cobra.Command, yes bool) operate.Confirm {
	return func(question string) bool {
		if question != "" {
			fmt.Fprintln(cmd.ErrOrStderr(), question)
		}
		return yes || view.Ask(cmd.Context(), cmd.InOrStdin(), cmd.ErrOrStderr())
	}
}
