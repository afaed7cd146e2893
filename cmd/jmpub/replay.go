package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/view"
	"github.com/jmpub/jmpub/source"
)

const replayHelp = `Publish a range of time again, while the live run goes on and without touching its position.

Every event carries the replay's id in the header jmpub_replay. The replay has a position and a transactional id of its
own: interrupted, the same command goes on where it was, and each row of the range is published once. Times that are given
as how long ago are fixed when it begins, and shown: until it is complete, the same command goes on with it; afterwards it is another replay,
of another time, and asks first whether that is meant where most of it is the same. With --id, go on by the times that were shown. Notices tell consumers when it begins and ends. It asks at half the configured rate, and leaves a fifth of what the API still allows to
the live run.`

const replayExamples = `  jmpub replay --from '2026-11-01 00:00:00' --to '2026-11-02 00:00:00' --dry-run
  jmpub replay --from 2026-11-01T00:00:00+08:00 --to 2026-11-02T00:00:00+08:00
  jmpub replay --from 36h --to 12h
  jmpub replay --from '2026-11-01 10:00:00' --to '2026-11-01 12:00:00' \
    --id after-the-outage --stream groups/10055201 --to-topic-prefix replayed`

type replayFlags struct {
	from, to, id, prefix, rate string
	streams                    []string
	dryRun, asJSON, yes        bool
}

func newReplay() *cobra.Command {
	var o replayFlags
	cmd := &cobra.Command{
		Use: "replay", Aliases: []string{"backfill"}, Short: "Publish a range of time again, marked as such",
		Long: replayHelp, Example: replayExamples, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "begin: RFC 3339, a local time in the app's zone, or how long ago (36h, 7d)")
	f.StringVar(&o.to, "to", "", "end, in the same forms")
	f.StringVar(&o.id, "id", "", "the replay's name; by default it is made of range, streams and topics")
	f.StringSliceVar(&o.streams, "stream", nil, "stream to replay, repeatable; default JMPUB_STREAMS")
	f.StringVar(&o.prefix, prefixFlag, "", "publish to these topics instead of those of JMPUB_TOPIC_PREFIX")
	f.StringVar(&o.rate, "rate", "", "requests, as in JMPUB_API_RATE; default half of that")
	f.BoolVar(&o.dryRun, "dry-run", false, "tell what it would take, and publish nothing")
	f.BoolVar(&o.yes, "yes", false, "do not ask, where the same command has published nearly the same rows a short while ago")
	f.BoolVar(&o.asJSON, "json", false, "print the result as JSON")
	completeFlag(cmd, "stream", completeStreams)
	completeFlag(cmd, "id", completeReplay)
	return cmd
}

// configure reads the settings and lets the flags change them.
func (o *replayFlags) configure(cmd *cobra.Command) (*settings.Config, error) {
	s, err := readApp(cmd)
	if err != nil {
		return nil, err
	}
	if len(o.streams) > 0 {
		s.Streams = strings.Join(o.streams, ",")
	}
	if o.prefix != "" {
		if err = toPrefix(s, o.prefix); err != nil {
			return nil, err
		}
	}
	s.Listen, s.Recheck = "off", "off" // A replay has neither.
	return s.Parse()
}

func (o *replayFlags) options(zone *time.Location) (operate.ReplayOptions, error) {
	parsed := operate.ReplayOptions{ID: o.id}
	var err error
	if parsed.Span, err = parseSpan(o.from, o.to, zone); err != nil || o.rate == "" {
		return parsed, err
	}
	if parsed.Rate, err = source.ParseRate(o.rate); err != nil {
		return parsed, usage.Errorf("--rate: %q is not a rate such as 600/m or 10/s", o.rate)
	}
	return parsed, nil
}

func (o *replayFlags) run(cmd *cobra.Command) error {
	if err := notEmpty(cmd, "id", prefixFlag); err != nil {
		return err
	}
	cfg, err := o.configure(cmd)
	if err != nil {
		return err
	}
	options, err := o.options(cfg.Source.TimeZone)
	if err != nil {
		return err
	}
	operate.LimitMemory()
	ctx, screen := cmd.Context(), cmd.ErrOrStderr()
	bar := view.NewProgress(screen, cfg.Source.TimeZone)
	log := view.NewLogger(bar, cfg.LogLevel, cfg.LogFormat, cfg.Redactor)
	replay, err := operate.NewReplay(cfg, log, options, bar.Observer())
	if err != nil {
		return err
	}
	defer replay.Close()
	if err = replay.Connect(ctx); err != nil {
		return err
	}
	if !o.dryRun {
		resumed, failed := replay.Resume(ctx, confirmation(cmd, o.yes))
		if failed != nil {
			return failed
		}
		o.announce(screen, cfg, replay, resumed)
	}
	cost, err := replay.Estimate(ctx)
	if err != nil {
		return err
	}
	show := &view.Printer{Out: cmd.OutOrStdout(), JSON: o.asJSON, Zone: cfg.Source.TimeZone}
	if o.dryRun {
		return show.Cost(cost, cfg.TopicNames())
	}
	before, err := replay.Open(ctx)
	if err != nil {
		return err
	}
	bar.Begin(max(0, cost.Rows-before))
	result, err := replay.Run(ctx)
	bar.End()
	if err != nil {
		return err
	}
	if err = show.ReplayResult(result, cfg.TopicNames()); err != nil || result.Complete {
		return err
	}
	fmt.Fprintf(screen, "to go on with it: %s\n", o.command(cfg, replay))
	if ctx.Err() != nil {
		return errors.Join(errReported, ctx.Err())
	}
	return nil
}

// announce says which replay it is, of which time, and how it is gone on with and begun anew.
func (o *replayFlags) announce(screen io.Writer, cfg *settings.Config, replay *operate.Replay, resumed bool) {
	does, after := "begins", "if it is interrupted, go on with:\n    "+o.command(cfg, replay)
	if resumed {
		does, after = "goes on, with the times that it had when it began", "to begin another one instead, give it a name: --id NAME"
	}
	fmt.Fprintf(screen, "replay %s %s:\n  %s\n  %s\n", replay.ID(), does, cfg.Span(replay.Window()), after)
}

// command is the command line that goes on with a replay.
func (o *replayFlags) command(cfg *settings.Config, replay *operate.Replay) string {
	w := replay.Window()
	words := []string{"jmpub replay --from", cfg.Time(w.Begin), "--to", cfg.Time(w.End), "--id", replay.ID()}
	for _, s := range o.streams {
		words = append(words, "--stream '"+s+"'")
	}
	if o.prefix != "" {
		words = append(words, "--to-topic-prefix", o.prefix)
	}
	return strings.Join(words, " ")
}
