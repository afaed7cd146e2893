package main

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/view"
	"github.com/jmpub/jmpub/pipeline"
)

const tailHelp = `Show what is published, a line each: when it was sent, the target, from whom to whom, the type and the text. A line is as long as the terminal
is wide; control characters and what turns the direction of text are shown as escapes.

TOPIC is single, group, chatroom, other, rejected, windows, notices, checkpoints, coverage, processes, statistics.users, statistics.messages or
statistics.groups, or the whole name of a topic; several may be named, and without one it is all topics of events. What is in Avro is decoded
by the schema registry, or without one by the schema of this release.

It reads what is committed, joins no group, and writes nothing. The last 10 records come first (-n), or all from a time on (--from), by the time
at which they were published. On a terminal it goes on until Ctrl-C; elsewhere it ends with what is there, unless --follow is given.`

const tailExamples = `  jmpub tail
  jmpub tail group -n 100
  jmpub tail rejected notices --from 1d
  jmpub tail --from begin --target single,group --json | jq -r .value.text`

type tailFlags struct {
	from, stream   string
	targets        []string
	last           int
	follow, asJSON bool
}

func newTail() *cobra.Command {
	var t tailFlags
	cmd := &cobra.Command{
		Use: "tail [TOPIC]...", Short: "Show what is published, as it is", Long: tailHelp, Example: tailExamples,
		Args: cobra.ArbitraryArgs, ValidArgs: operate.TailTopics(),
		RunE: t.run,
	}
	f := cmd.Flags()
	f.StringVar(&t.from, "from", "", "begin: begin, RFC 3339, a local time in the app's zone, or how long ago (36h, 7d)")
	f.IntVarP(&t.last, "last", "n", 10, "show so many of the last records first")
	f.StringSliceVar(&t.targets, "target", nil, "only events of these targets: single, group, chatroom, other")
	f.StringVar(&t.stream, "stream", "", "only what this stream brought")
	f.BoolVarP(&t.follow, "follow", "f", false, "go on with what is published from now on (default on a terminal)")
	f.BoolVar(&t.asJSON, "json", false, "print a JSON object a line")
	completeFlag(cmd, "stream", completeStreams)
	return cmd
}

func (t *tailFlags) run(cmd *cobra.Command, args []string) error {
	app, cfg, err := tailConfig(cmd)
	if err != nil {
		return err
	}
	o := operate.TailOptions{Topics: args, App: app, Last: t.last, Follow: t.follow}
	if t.last < 0 || t.last > operate.MostLast {
		return usage.Errorf("--last: %d is not between 0 and %d; --from shows more", t.last, operate.MostLast)
	}
	if slices.Contains(args, "") {
		return usage.Errorf("TOPIC is empty; leave it out, or name one")
	}
	if o.Targets, err = operate.ParseTargets("--target", t.targets); err != nil {
		return err
	}
	if t.stream != "" {
		stream, wrong := pipeline.ParseStream(t.stream)
		if wrong != nil {
			return usage.Errorf("--stream: %w", wrong)
		}
		o.Stream = stream.String()
	}
	if err = notEmpty(cmd, "from", "stream", "target"); err != nil {
		return err
	}
	switch t.from {
	case "":
	case "begin":
		o.From = &settings.Moment{At: time.Unix(0, 0)}
	default:
		o.From = new(settings.Moment)
		if *o.From, err = settings.ParseMoment("--from", t.from, cfg.Source.TimeZone); err != nil {
			return err
		}
	}
	if !cmd.Flags().Changed("follow") {
		o.Follow = view.IsTerminal(cmd.OutOrStdout())
	}
	lines := &view.TailLines{Out: cmd.OutOrStdout(), JSON: t.asJSON, Zone: cfg.Source.TimeZone}
	o.Show = lines.Show
	err = operate.Tail(cmd.Context(), cfg, openLog(cmd, cfg).Without(cfg.Redactor), o)
	if cmd.Context().Err() != nil && (err == nil || errors.Is(err, cmd.Context().Err())) { // Ctrl-C is how it ends.
		return nil
	}
	return err
}

// tailConfig is the configuration of the app that --app names, or what all apps of the file have in common.
func tailConfig(cmd *cobra.Command) (app string, cfg *settings.Config, err error) {
	s, err := settings.Read()
	if err != nil {
		return "", nil, err
	}
	if s.AppsFile == "" || cmd.Flags().Changed(appFlag) {
		if s, err = readApp(cmd); err != nil {
			return "", nil, err
		}
		if cmd.Flags().Changed(appFlag) {
			app = s.AppKey
		}
		cfg, err = s.Parse()
		return app, cfg, err
	}
	if strings.Contains(s.TopicTemplate, "{app_key}") {
		return "", nil, usage.Errorf("JMPUB_TOPIC_TEMPLATE has {app_key}; say with --app whose topics are shown")
	}
	_, cfg, err = settings.NewAppsFile(s)
	return "", cfg, err
}
