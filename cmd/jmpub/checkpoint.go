package main

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/view"
	"github.com/jmpub/jmpub/pipeline"
)

const checkpointHelp = `See, set and forget the positions from which jmpub publishes: one for each stream, and one for each replay.

reset and delete work while jmpub runs, with positions in Kafka and in files: they take the writer's place for a moment, compute
from what is committed then, write, and leave. The running process waits for that, reads the positions anew and goes on from
there; an idle stream notices when it commits next, within half a minute, or 5 minutes after an hour of silence. list and
get disturb nobody.`

const checkpointExamples = `  jmpub checkpoint list
  jmpub checkpoint get messages --json
  jmpub checkpoint reset messages --to 36h
  jmpub checkpoint reset messages --from 36h --to 35h
  jmpub checkpoint reset groups/10055201 --to '2026-11-01 00:00:00' --yes
  jmpub checkpoint delete users/left-the-company`

func newCheckpoint() *cobra.Command {
	cmd := &cobra.Command{
		Use: "checkpoint", Short: "See, set and forget positions", Long: checkpointHelp, Example: checkpointExamples,
	}
	cmd.AddCommand(showPositions(&cobra.Command{
		Use: "list", Short: "List the app's positions, those of replays too", Args: noArgs,
		Example: "  jmpub checkpoint list\n  jmpub checkpoint list --json",
	}), showPositions(&cobra.Command{
		Use: "get STREAM", Short: "Show one stream's positions", Args: oneStream, ValidArgsFunction: completeStream,
		Example: "  jmpub checkpoint get messages",
	}), newCheckpointReset(), newCheckpointDelete())
	for _, sub := range cmd.Commands() {
		addApp(sub)
	}
	return cmd
}

// showPositions has a command show all positions, or those of the stream that its argument names.
func showPositions(cmd *cobra.Command) *cobra.Command {
	var asJSON bool
	var prefix string
	cmd.RunE = func(cmd *cobra.Command, stream []string) error {
		cfg, log, err := configureElsewhere(cmd, prefix)
		if err != nil {
			return err
		}
		positions, paused, err := operate.PositionsAndPause(cmd.Context(), cfg, log)
		if err != nil {
			return err
		}
		if len(stream) > 0 {
			positions = slices.DeleteFunc(positions, func(cp pipeline.Checkpoint) bool { return cp.Stream.String() != stream[0] })
			if len(positions) == 0 {
				return fmt.Errorf("%s has no position yet: it begins at JMPUB_START", stream[0])
			}
		}
		show := &view.Printer{Out: cmd.OutOrStdout(), JSON: asJSON, Zone: cfg.Source.TimeZone}
		return show.Positions(positions, &paused, time.Now())
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object a line")
	cmd.Flags().StringVar(&prefix, prefixFlag, "", "show those of replays to these topics, not to those of JMPUB_TOPIC_PREFIX")
	return cmd
}

func newCheckpointReset() *cobra.Command {
	var from, to string
	var yes, asJSON bool
	cmd := &cobra.Command{
		Use: "reset STREAM [--from TIME] --to TIME", Short: "Read a stream, or a range of it, again, or skip ahead",
		Args: oneStream, ValidArgsFunction: completeStream,
		Long: `Set a stream's position. Rows from the time on are read again and published again, with the same keys; consumers that
keep only the newest record of a key do not notice. Rows before it are not. What it takes is shown before anything happens.

With --from, just the time from there to --to is published again, into the live topics, while the live position stays where it is
and goes on. Both times are included. What of it is still to be published for the first time comes once.

Where history is being published behind a live position, what of it lies before the time stays to be published, once.`,
		Example: "  jmpub checkpoint reset messages --to 36h\n  jmpub checkpoint reset messages --to 2026-11-01T00:00:00+08:00 --yes\n" +
			"  jmpub checkpoint reset messages --from '2026-11-01 10:00:00' --to '2026-11-01 11:00:00'",
		RunE: func(cmd *cobra.Command, args []string) error {
			stream, _ := pipeline.ParseStream(args[0]) // It was checked.
			cfg, log, err := configure(cmd)
			if err != nil {
				return err
			}
			o := operate.ResetOptions{Stream: stream, Confirm: confirmation(cmd, yes)}
			if o.To, err = settings.ParseMoment("--to", to, cfg.Source.TimeZone); err != nil {
				return err
			}
			if from != "" {
				o.From = new(settings.Moment)
				if *o.From, err = settings.ParseMoment("--from", from, cfg.Source.TimeZone); err != nil {
					return err
				}
			}
			cp, err := operate.Reset(cmd.Context(), cfg, log, o)
			if err != nil {
				return err
			}
			show := &view.Printer{Out: cmd.OutOrStdout(), JSON: asJSON, Zone: cfg.Source.TimeZone}
			return show.Reset(cp, time.Now())
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "begin of a range that is published again, in the same forms as --to")
	cmd.Flags().StringVar(&to, "to", "", "RFC 3339, a local time in the app's zone, or how long ago (36h, 7d)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the new position as JSON")
	return cmd
}

func newCheckpointDelete() *cobra.Command {
	var yes, asJSON bool
	var replay, prefix string
	cmd := &cobra.Command{
		Use: "delete STREAM", Short: "Forget a stream's position: it begins at JMPUB_START again",
		Args: oneStream, ValidArgsFunction: completeStream,
		Example: "  jmpub checkpoint delete messages --yes\n  jmpub checkpoint delete messages --replay after-the-outage\n" +
			"  jmpub checkpoint delete messages --replay after-the-outage --to-topic-prefix replayed",
		RunE: func(cmd *cobra.Command, args []string) error {
			stream, _ := pipeline.ParseStream(args[0]) // It was checked.
			if err := notEmpty(cmd, "replay"); err != nil {
				return err
			}
			if prefix != "" && replay == "" {
				return usage.Errorf("--%s goes with --replay; a live position is that of JMPUB_TOPIC_PREFIX", prefixFlag)
			}
			cfg, log, err := configureElsewhere(cmd, prefix)
			if err != nil {
				return err
			}
			o := operate.DeleteOptions{Stream: stream, Replay: replay, Confirm: confirmation(cmd, yes)}
			if err = operate.Delete(cmd.Context(), cfg, log, o); err != nil {
				return err
			}
			show := &view.Printer{Out: cmd.OutOrStdout(), JSON: asJSON}
			return show.Deleted(view.Deleted{Stream: stream.String(), Replay: replay})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was forgotten as JSON")
	cmd.Flags().StringVar(&replay, "replay", "", "forget the position of this replay, not the live one")
	cmd.Flags().StringVar(&prefix, prefixFlag, "", "with --replay, the topics that it publishes to, if they are not those of JMPUB_TOPIC_PREFIX")
	completeFlag(cmd, "replay", completeReplay)
	return cmd
}

// configureElsewhere reads the settings, for topics that are made by nobody who only asks about them where a prefix is named.
func configureElsewhere(cmd *cobra.Command, prefix string) (*settings.Config, *slog.Logger, error) {
	if err := notEmpty(cmd, prefixFlag); err != nil || prefix == "" {
		return configureAs(cmd, func(*settings.Settings) error { return err })
	}
	return configureAs(cmd, func(s *settings.Settings) error {
		s.Topics.Create = "false"
		return toPrefix(s, prefix)
	})
}

// oneStream wants the name of a stream.
func oneStream(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage.Errorf("%s takes the name of one stream, such as messages or groups/10055201; got %q", cmd.CommandPath(), args)
	}
	if _, err := pipeline.ParseStream(args[0]); err != nil {
		return usage.Wrap(err)
	}
	return nil
}
